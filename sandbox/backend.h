/* Private to sandbox/: what a backend is, and what the common part and the backends
 * share.
 *
 * The common part (sandboxes.c, command.c) has names, owners, limits, timeouts, kept
 * output and watchers; a backend starts, feeds and ends. A backend answers each request
 * exactly once through the functions at the end, now or later. */
#pragma once
#include "base/arena.h"
#include "sandbox/output.h"

struct sandbox;
struct command;
struct file_op;

struct sandbox_backend {
    const char *name;
    /* The backend's own state for a set; NULL with err. Must not do what can wait. */
    void *(*start)(struct sandboxes *set, struct err *err);
    void (*finish)(void *self); /* everything is gone when it returns */
    /* -> sandbox_created or sandbox_failed */
    void (*create)(void *self, struct sandbox *sb);
    /* Ends it, ready or not; sb goes away after this call. */
    void (*destroy)(void *self, struct sandbox *sb);
    /* -> command_started or command_failed; then command_feed, command_ended */
    void (*run)(void *self, struct command *c, const struct command_spec *spec);
    void (*kill)(void *self, struct command *c); /* with all descendants */
    int (*signal)(void *self, struct command *c, int signum, struct err *err);
    void (*input)(void *self,
                  struct command *c); /* its queue or input_closing changed */
    void (*flow)(void *self, struct command *c);   /* `paused` changed */
    void (*forget)(void *self, struct command *c); /* the command goes away */
    void (*open_file)(void *self,
                      struct file_op *op); /* -> op->open_fn, file_op_free */
    void (*write_file)(void *self,
                       struct file_op *op); /* -> op->write_fn, file_op_free */
};

enum sandbox_state { SANDBOX_CREATING, SANDBOX_READY, SANDBOX_LOST };

struct sandbox_waiter {
    struct sandbox_waiter *next;
    sandbox_open_fn *fn;
    void *ctx;
};

struct sandbox {
    struct sandboxes *set;
    uint64_t id, owner;
    char name[SANDBOX_NAME_MAX + 1]; /* "" for an unnamed default sandbox */
    bool is_default;
    enum sandbox_state state;
    int level;
    uint32_t layers;
    char notice[320]; /* told once */
    struct sandbox_waiter *waiters;
    unsigned running;
    void *impl;
};

enum { COMMAND_WARNING_BYTES = 1200 };

struct command {
    struct sandboxes *set;
    uint64_t id;
    struct sandbox *sandbox; /* NULL once it is gone */
    uint64_t sandbox_id, owner;
    char sandbox_name[SANDBOX_NAME_MAX + 1];
    struct command *next, *previous; /* by age */
    char *text;
    enum command_status status, wanted; /* wanted: what it becomes once it is dead */
    int exit_code, signal;
    bool started, oom_killed, left_behind, evicted, ending;
    uint64_t started_us, ended_us, timeout_ms;
    char warning[COMMAND_WARNING_BYTES];
    struct output out[2];
    struct buf input;
    bool input_open, input_closing;
    bool hold, paused;
    uint64_t read_from[2];
    bool news;
    struct loop_timer *timer; /* the time limit, then the limit of killing */
    command_start_fn *start_fn;
    void *start_ctx;
    void *impl;
};

struct file_op {
    struct sandbox *sandbox;
    char path[SANDBOX_PATH_MAX + 1];
    struct str content;
    file_open_fn *open_fn;
    file_write_fn *write_fn;
    void *ctx;
};

struct watch {
    struct watch *next;
    uint64_t number, command;
    command_news_fn *fn;
    void *ctx;
};

struct sandboxes {
    struct loop *loop;
    const struct sandbox_backend *backend;
    struct sandbox_config config;
    void *impl;
    struct sandbox **sandbox_slots;
    struct command **command_slots;
    uint32_t sandbox_slot_count, command_slot_count, generation;
    struct command *oldest, *newest;
    struct watch *watches;
    uint64_t last_watch;
    struct loop_later *tell;
    bool finishing;
};

void sandbox_created(struct sandbox *sb, int level, uint32_t layers,
                     const char *notice);
/* Creation failed: the sandbox goes away. */
void sandbox_failed(struct sandbox *sb, const struct err *err);
/* It was ready and has died: its commands end (status `killed`), it goes away. */
void sandbox_lost(struct sandbox *sb, const char *why);

void command_started(struct command *c);
void command_failed(struct command *c, const struct err *err);
void command_feed(struct command *c, enum command_stream stream, struct str bytes);

struct command_end {
    int exit_code, signal; /* signal != 0: killed by it */
    bool left_behind, oom_killed, unknown;
};
void command_ended(struct command *c, const struct command_end *end);
/* Adds a sentence to its warning, once. */
void command_warn(struct command *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* The first n bytes of its input queue were taken. */
void command_input_taken(struct command *c, size_t n);
/* Its stdin is closed: nobody reads it. */
void command_input_gone(struct command *c);

struct sandbox *sandbox_find(struct sandboxes *set, uint64_t id);
struct command *command_find(struct sandboxes *set, uint64_t id);
void file_op_free(struct file_op *op);

void command_orphan_all(struct sandbox *sb, const char *why);
void command_forget_owner(struct sandboxes *set, uint64_t owner);
void command_forget_all(struct sandboxes *set);
void command_tell(void *set);
