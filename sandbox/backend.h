/* Private to sandbox/: what a backend is, and what the common part and the backends
 * share.
 *
 * The common part (sandboxes.c, command.c) has names, owners, limits, timeouts, kept
 * output and watchers; a backend starts, feeds and ends. A backend answers each request
 * exactly once through the functions at the end, now or later. A row that is NULL is
 * what the backend cannot do: the asker gets UNAVAILABLE. */
#pragma once
#include "base/arena.h"
#include "sandbox/output.h"

struct sandbox;
struct command;
struct file_op;
struct sandbox_op;

struct sandbox_backend {
    const char *name;
    /* The backend's own state for a set; NULL with err. Must not do what can wait. */
    void *(*start)(struct sandboxes *set, struct err *err);
    void (*finish)(void *self); /* everything is gone when it returns */
    /* sb->want says whether it may, must or must not exist already; sb->source (or "")
     * is the sandbox whose files it starts with, sb->wish what is asked for: what is
     * kept of it replaces that.
     * -> sandbox_created or sandbox_failed */
    void (*create)(void *self, struct sandbox *sb);
    /* Ends it, ready or not; sb goes away after this call. Files of a kept one stay. */
    void (*destroy)(void *self, struct sandbox *sb);
    /* -> command_started or command_failed; then command_feed, command_ended */
    void (*run)(void *self, struct command *c, const struct command_spec *spec);
    /* Takes over c->remote, which another server has started in its sandbox. -> as run;
     * command_adopted() before */
    void (*adopt)(void *self, struct command *c);
    void (*kill)(void *self, struct command *c); /* with all descendants */
    int (*signal)(void *self, struct command *c, int signum, struct err *err);
    int (*resize)(void *self, struct command *c, struct pty_size size,
                  struct err *err); /* NULL: no terminals, nor does run() make one */
    void (*input)(void *self,
                  struct command *c); /* its queue or input_closing changed */
    void (*flow)(void *self, struct command *c);   /* `paused` changed */
    void (*forget)(void *self, struct command *c); /* the command goes away */
    void (*open_file)(void *self,
                      struct file_op *op); /* -> op->open_fn, file_op_free */
    void (*write_file)(void *self,
                       struct file_op *op); /* -> op->write_fn, file_op_free */
    bool fills; /* write_file writes with file_op_write(), and not op->content */
    void (*make_dir)(void *self, struct file_op *op); /* -> op->done_fn, file_op_free */

    /* These answer with sandbox_op_done(). op->sandbox is the running one, or NULL:
     * then op->name is a kept one. */
    /* Those that are kept and not running here: sandbox_op_add_info(). */
    void (*list)(void *self, struct sandbox_op *op);
    /* op->mode; sets op->in_place when it stays here without its processes; else
     * sandbox->impl is NULL when it is answered, or it goes on running (an error). */
    void (*stop)(void *self, struct sandbox_op *op);
    /* op->duration_ms; sets sandbox->expires_ms. NULL: the time is kept here. */
    void (*extend)(void *self, struct sandbox_op *op);
    void (*update)(void *self, struct sandbox_op *op); /* op->spec */
    int (*discard)(void *self, const char *path, struct err *err);
    /* Ends its processes as stop does, then sandbox_op_add_snapshot() */
    void (*snapshot)(void *self, struct sandbox_op *op);
    void (*snapshots)(void *self, struct sandbox_op *op); /* as often as there are */
    void (*snapshot_delete)(void *self, struct sandbox_op *op);  /* op->name: its id */
    void (*snapshot_measure)(void *self, struct sandbox_op *op); /* op->name: its id */
    /* op->action: sandbox_op_add_change(), as often as there are */
    void (*changes)(void *self, struct sandbox_op *op);
    bool snapshots_any; /* also of those whose files are not kept */
    bool
        forks; /* create() knows sb->source alone; else it gets a snapshot of it, too */
    /* How long kill() may take before the sandbox is given up; 0: a few seconds. */
    uint32_t kill_limit_ms;

    /* Calls fn for each attempt that is still known and over `since`, oldest first. */
    void (*network_log)(void *self, struct sandbox *sb, uint64_t since,
                        network_attempt_fn *fn, void *ctx);
    /* A port of a running one; the same URL each time, until it is unexposed or ends.
     */
    void (*expose)(void *self, struct sandbox *sb, uint16_t port, sandbox_expose_fn *fn,
                   void *ctx);
    bool (*unexpose)(void *self, struct sandbox *sb, uint16_t port); /* was it? */
    /* Never before it returns. */
    void (*connect)(void *self, struct sandbox *sb, uint16_t port,
                    sandbox_connect_fn *fn, void *ctx);
};

enum sandbox_state { SANDBOX_CREATING, SANDBOX_READY, SANDBOX_ENDING, SANDBOX_LOST };

enum sandbox_want { SANDBOX_WANT_ANY, SANDBOX_WANT_NEW };

struct sandbox_waiter {
    struct sandbox_waiter *next;
    sandbox_open_fn *fn;
    void *ctx;
};

/* A copy of a spec that owns its strings. */
struct owned_spec {
    struct arena arena;
    struct sandbox_spec spec;
};

struct sandbox {
    struct sandboxes *set;
    uint64_t id, owner;
    char name[SANDBOX_NAME_MAX + 1]; /* "" for an unnamed default sandbox */
    bool is_default;
    bool kept; /* named, and its files outlive its owner */
    enum sandbox_state state;
    enum sandbox_want want;
    char source[SANDBOX_NAME_MAX + 1]; /* forked from it */
    struct owned_spec wish;            /* what was asked for */
    struct sandbox_spec in_force;      /* see sandbox_in_force() */
    bool resumed;                      /* it was kept: create() says so */
    bool halted; /* stopped in place: no process, until the next use */
    uint64_t created_ms, updated_ms, expires_ms; /* unix time; 0: set here */
    uint64_t used_ms;                            /* of the loop's clock */
    char os[128], user[64], home[256], cwd[256], limited_by[200];
    const char *workspace; /* the host directory at /workspace, or NULL */
    bool installs;         /* see sandbox_info */
    int level;
    uint32_t layers;
    char notice[320]; /* told once */
    struct sandbox_waiter *waiters;
    uint64_t *users; /* owners that have opened a kept one */
    size_t user_count;
    struct loop_timer *timer; /* its time is over, or it is idle */
    unsigned running;
    void *impl;
};

/* Something asked about a sandbox that is not a command or a file. */
enum sandbox_op_kind {
    SANDBOX_OP_LIST,
    SANDBOX_OP_STOP,
    SANDBOX_OP_EXTEND,
    SANDBOX_OP_UPDATE,
    SANDBOX_OP_SNAPSHOT,
    SANDBOX_OP_SNAPSHOTS,
    SANDBOX_OP_SNAPSHOT_DELETE,
    SANDBOX_OP_SNAPSHOT_MEASURE,
    SANDBOX_OP_CHANGES,
};

struct sandbox_op {
    struct sandboxes *set;
    struct sandbox_op *next;
    enum sandbox_op_kind kind;
    uint64_t owner;
    struct sandbox *sandbox; /* NULL: it is not running here */
    char name[SANDBOX_NAME_MAX + 1];
    enum sandbox_stop_mode mode;
    bool in_place;
    uint64_t duration_ms;
    enum workspace_action action;
    struct owned_spec wish;
    struct arena arena; /* of the results */
    struct workspace_change *changes;
    uint64_t total; /* of changes, those that are too many included */
    struct sandbox_info *infos;
    struct snapshot_info *snapshots;
    size_t count, room;
    union {
        sandbox_open_fn *open;
        sandbox_done_fn *done;
        sandbox_list_fn *list;
        snapshot_fn *snapshot;
        snapshot_list_fn *snapshots;
        workspace_changes_fn *changes;
    } fn;
    void *ctx;
    void *impl; /* the backend's, gone before sandbox_op_done() */
};

enum { COMMAND_WARNING_BYTES = 1200, COMMAND_REMOTE_BYTES = 128 };

struct command {
    struct sandboxes *set;
    uint64_t id;
    struct sandbox *sandbox; /* NULL once it is gone */
    uint64_t sandbox_id, owner;
    bool kept; /* its sandbox is: it is the whole tenant's */
    char sandbox_name[SANDBOX_NAME_MAX + 1];
    struct command *next, *previous;   /* by age */
    char remote[COMMAND_REMOTE_BYTES]; /* see command_info; set by the backend */
    char *text;
    enum command_status status, wanted; /* wanted: what it becomes once it is dead */
    int exit_code, signal;
    bool started, oom_killed, left_behind, evicted, ending;
    uint64_t started_us, ended_us, timeout_ms;
    char warning[COMMAND_WARNING_BYTES];
    struct output out[2];
    struct buf input;
    bool input_open, input_closing;
    bool pty;
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
    file_fill_fn *fill; /* instead of content */
    struct buf filled;  /* what content points to, of a backend that does not fill */
    bool parents;       /* make_dir */
    unsigned mode;      /* write_file: see file_write_mode() */
    file_open_fn *open_fn;
    file_write_fn *write_fn;
    sandbox_done_fn *done_fn;
    void *ctx;
};

struct watch {
    struct watch *next;
    uint64_t number, command;
    command_news_fn *fn;
    void *ctx;
};

enum { BACKEND_CALLS_MAX = 64 };
struct backend_calls { /* calls.c */
    struct backend_call {
        const char *call, *outcome; /* static */
        uint64_t times;
    } rows[BACKEND_CALLS_MAX];
    size_t count;
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
    struct sandbox_op *ops;
    struct forking *forks; /* lifecycle.c */
    struct watch *watches;
    uint64_t last_watch;
    struct loop_later *tell;
    struct backend_calls calls;
    sandbox_doing_fn *doing;
    void *doing_ctx;
    sandbox_change_fn *change;
    void *change_ctx;
    bool finishing;
};

void sandbox_created(struct sandbox *sb, int level, uint32_t layers,
                     const char *notice);
/* Tells on_change of a list that has changed. */
void sandbox_list_changed(struct sandboxes *set, uint64_t owner, bool kept);
/* Creation failed: the sandbox goes away. */
void sandbox_failed(struct sandbox *sb, const struct err *err);
/* Counts a request to the other side, once its outcome is known. Both are static. */
void backend_called(struct sandboxes *set, const char *call, const char *outcome);
/* Says, to whoever waits, what is going on: "creating the sandbox". */
void sandbox_doing(struct sandbox *sb, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* It was ready and has died: its commands end (status `killed`), it goes away. */
void sandbox_lost(struct sandbox *sb, const char *why);

/* The answer to an op, with err NULL on success; op and, unless it stays in place, the
 * sandbox that was stopped go away. */
void sandbox_op_done(struct sandbox_op *op, const struct err *err);
/* One more result; strings are copied. */
void sandbox_op_add_info(struct sandbox_op *op, const struct sandbox_info *info);
void sandbox_op_add_snapshot(struct sandbox_op *op, const struct snapshot_info *info);

void sandbox_op_add_change(struct sandbox_op *op, char kind, struct str path);

/* spec.c */
void owned_spec_set(struct owned_spec *to, const struct sandbox_spec *spec);
void owned_spec_finish(struct owned_spec *spec);
/* What is not zero or empty in `from` replaces what is in `to`. */
void owned_spec_merge(struct owned_spec *to, const struct sandbox_spec *from);

void command_started(struct command *c);
void command_failed(struct command *c, const struct err *err);
void command_feed(struct command *c, enum command_stream stream, struct str bytes);

struct command_end {
    int exit_code, signal; /* signal != 0: killed by it */
    bool left_behind, oom_killed, unknown;
    bool disk_over;           /* ended for what a kept one has on disk */
    bool pids_hit, disk_full; /* meanwhile; if it is known */
    uint64_t duration_ms;     /* 0: until now */
};
void command_ended(struct command *c, const struct command_end *end);
/* What is known of one that was taken over: its text, and how long ago it began. */
void command_adopted(struct command *c, struct str text, uint64_t age_ms);
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
/* The content to a file, by whichever way it is given. */
int file_op_write(struct file_op *op, int fd, struct err *err);

/* lifecycle.c */
void sandbox_touch(struct sandbox *sb); /* it is used: its idle time starts anew */
void sandbox_arm(struct sandbox *sb);   /* expires_ms or what runs in it has changed */
void sandbox_ops_drop(struct sandboxes *set);

/* sandboxes.c */
int sandbox_check_name(struct str name, struct err *err);
/* Whether a sandbox of that name can be made now, as far as this process knows. */
int sandbox_check_new(struct sandboxes *set, uint64_t owner, struct str name,
                      struct err *err);
int sandbox_unsupported(const struct sandboxes *set, const char *what, struct err *err);
uint64_t sandbox_unix_ms(void);
/* Empty for the default sandbox, unless that has a name. */
struct str sandbox_plain_name(const struct sandboxes *set, struct str name);
/* The wish completed by the configuration; valid until one of them changes. */
const struct sandbox_spec *sandbox_in_force(struct sandbox *sb);
void sandbox_use(struct sandbox *sb); /* a ready one: its waiters get it */
/* source: "" unless it is a fork. */
void sandbox_create_from(struct sandboxes *set, uint64_t owner, struct str source,
                         const struct sandbox_spec *spec, sandbox_open_fn *fn,
                         void *ctx);
struct sandbox *sandbox_find_named(struct sandboxes *set, uint64_t owner,
                                   struct str name);
void sandbox_info_fill(struct sandbox *sb, struct sandbox_info *ret_info);
void sandbox_answer_waiters(struct sandbox *sb, const struct err *err);
void sandbox_release(struct sandbox *sb);

void command_orphan_all(struct sandbox *sb, const char *why);
void command_forget_owner(struct sandboxes *set, uint64_t owner);
void command_forget_all(struct sandboxes *set);
void command_tell(void *set);
