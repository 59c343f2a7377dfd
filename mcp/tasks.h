/* Private to mcp/: tasks, which are calls that outlive their request. The call of a
 * task runs in a session of its own, whose output is the task's result; who asks for it
 * finds the task by its id, from whatever connection of its owner. A task is there
 * before anybody is told of it, and until its ttl is over. Specification: "Tasks" of
 * 2025-11-25; the extension io.modelcontextprotocol/tasks of 2026-07-28. */
#pragma once
#include "mcp/session.h"

enum task_status {
    TASK_WORKING,
    TASK_INPUT_REQUIRED,
    TASK_COMPLETED,
    TASK_FAILED,
    TASK_CANCELLED,
};

enum { TASK_ID_SIZE = 33, TASK_MESSAGE_SIZE = 200 };

struct task {
    struct task *next; /* of the server, the newest first */
    struct mcp_server *server;
    char id[TASK_ID_SIZE];
    char message[TASK_MESSAGE_SIZE]; /* of its progress */
    uint64_t owner;
    enum mcp_era era;
    enum task_status status;
    struct session *session;         /* its own */
    uint64_t call;                   /* ref */
    uint64_t created_ms, updated_ms; /* since 1970 */
    uint64_t ttl_ms, due_ms;         /* due: on the host's clock */
    struct buf result; /* a `result` or `error` object, once it has ended */
    bool is_error;     /* it is an `error` */
    uint64_t *waiting; /* tasks/result calls, by ref */
    size_t waiting_count;
    uint64_t asker; /* the one of these that carries its questions */
};

/* The owner's task of this id, in this era; or NULL. */
struct task *tasks_find(struct mcp_server *server, uint64_t owner, enum mcp_era era,
                        struct str id);
/* Makes the call a task and answers its request with it. NULL: there are too many. */
struct task *tasks_adopt(struct call *call, uint64_t ttl_ms);
struct call *tasks_call(const struct task *task); /* NULL: it has ended */
bool tasks_ended(const struct task *task);
/* Ends it as cancelled, if it has not ended. */
void tasks_cancel(struct task *task);
/* The call of a task asks; and gets its answers (of asks with the same keys). */
void tasks_ask(struct call *call, struct str state);
void tasks_resume(struct task *task);
void tasks_fail(struct task *task, const struct err *err); /* what it asked failed */
/* A tasks/result call is to be run again when there is news. */
void tasks_wait(struct task *task, struct call *waiter);
void tasks_expire(struct mcp_server *server, uint64_t now_ms);
uint64_t tasks_due(const struct mcp_server *server);
void tasks_finish(struct mcp_server *server);

/* task_methods.c: its members, as tasks/get and notifications have them; detailed: with
 * the result, error or questions (2026). */
void task_write(const struct task *task, struct json_writer *w, bool detailed);
/* The answer to the request that has become this task. */
void task_write_created(const struct task *task, struct session *s, struct str id,
                        const struct call *call);
/* Tells those who want to know. */
void task_changed(struct task *task);
/* What a tasks/result call asked on behalf of its task has failed: so has the task.
 * false: it has nothing to do with one any more. */
bool task_questions_failed(struct call *waiter, const struct err *err);
