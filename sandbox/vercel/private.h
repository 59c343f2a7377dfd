/* Private to sandbox/vercel/: the parts of the backend.
 *
 *   account.c   the token, which expires, and the scope, which may have to be asked for
 *   exchange.c  one request with what may be done about its failure
 *   machine.c   one sandbox: create, resume, keep alive, end
 *   run.c       one command;  script.c  a little program of ours
 *   files.c     files;  ports.c  URLs;  ops.c  lists, stop, time, snapshots
 *
 * Lifetimes: an exchange belongs to who started it, and is gone when its `done` is
 * called. A machine's end fails what still waits for it. While the set is finishing
 * nobody is called back. */
#pragma once
#include "net/http/client.h"
#include "sandbox/backend.h"
#include "sandbox/tar/tar.h"
#include "sandbox/vercel/requests.h"
#include "sandbox/vercel/stream.h"
#include "sandbox/vercel/vercel.h"

struct machine;
struct exchange;
struct script;
struct file_job;

/* Something that waits for the account or for a machine's resume. */
struct waiting {
    struct waiting *next;
    void (*fn)(void *ctx, const struct err *err);
    void *ctx;
    bool due;
};
void waiting_add(struct waiting **list, void (*fn)(void *ctx, const struct err *err),
                 void *ctx);
void waiting_remove(struct waiting **list, const void *ctx);
void waiting_tell(struct waiting **list, const struct err *err);

struct account {
    struct secret *token, *cli_token, *refresh_token;
    int64_t expires_s, cli_expires_s;
    char team[VERCEL_SCOPE_MAX], project[VERCEL_SCOPE_MAX];
    struct waiting *for_scope, *for_token;
    struct exchange *asking; /* for the scope */
    struct http_call *renewing;
    bool renewing_cli, renewal_failed;
    int renewal_status;
    struct buf answer;
    struct buf form; /* the body of a renewal */
};

struct vercel {
    struct sandboxes *set;
    struct loop *loop;
    const struct vercel_config *config;
    struct sandbox_limits asked; /* what flags asked for; 0: Vercel's defaults */
    struct http_client *http;
    const struct tar_entries *tar; /* NULL: no file was written yet */
    struct account account;
    struct machine *machines;
    struct exchange *exchanges;
};

struct vercel_scope vercel_scope_of(const struct vercel *v);

/* account.c */
void account_init(struct vercel *v);
void account_finish(struct vercel *v);
/* Calls fn, now or later, once team and project are known. */
void account_prepare(struct vercel *v, void (*fn)(void *ctx, const struct err *err),
                     void *ctx);
/* true: the token is good for a while, or cannot be renewed. Else it is being renewed,
 * and fn is called (with err NULL) when that is over. */
bool account_fresh(struct vercel *v, void (*fn)(void *ctx, const struct err *err),
                   void *ctx);
/* The API refused the token: is another one to be had? Then as above, and true. */
bool account_renew(struct vercel *v, void (*fn)(void *ctx, const struct err *err),
                   void *ctx);
/* No longer waits with that ctx. */
void account_forget(struct vercel *v, const void *ctx);
/* "VERCEL_TOKEN was refused": why and what to do. */
int account_refused(const struct vercel *v, int status, struct str message,
                    struct err *err);
/* Minutes until a token that cannot be renewed expires; -1: it does not, or long. */
int account_minutes_left(const struct vercel *v);

/* exchange.c */
struct exchange_result {
    const struct err *err; /* NULL: a 2xx answer, complete */
    int status;            /* 0: there was no answer */
    struct str code;       /* of a refusal */
    struct json root;      /* of the answer, absent if it had a body function */
    struct arena *arena;   /* for reading root */
    bool unknown;          /* it failed and may have had its effect all the same */
};
typedef void exchange_fn(void *ctx, const struct exchange_result *result);
struct exchange_spec {
    struct vercel_request request; /* taken */
    struct machine *machine;       /* for requests in its newest session */
    const char *session;           /* ... or in this one, borrowed */
    bool resumes;                  /* a stopped session is resumed, once */
    bool once;                     /* no retries */
    bool idle_limit;               /* with `body`: a stall of a minute is an error */
    void (*body)(void *ctx, struct str bytes); /* of a 2xx answer; NULL: JSON */
    struct str tar_path, tar_content;          /* for request.gzip */
    unsigned tar_mode;
    exchange_fn *done;
    void *ctx;
};
struct exchange *exchange_start(struct vercel *v, const struct exchange_spec *spec);
void exchange_cancel(struct exchange *x); /* accepts NULL */
void exchange_pause(struct exchange *x, bool pause);
/* The head of a good answer has come, its end has not. */
bool exchange_answering(const struct exchange *x);
/* From its body function: no more of it; it ends with an error. */
void exchange_stop(struct exchange *x);
/* Fails all that are on the machine. */
void exchange_fail_all(struct machine *m, const struct err *err);

/* machine.c */
struct machine {
    struct machine *next, **at;
    struct vercel *vercel;
    struct sandbox *sandbox;         /* NULL once it is given up */
    char name[SANDBOX_NAME_MAX + 1]; /* there */
    char session[VERCEL_ID_MAX + 1];
    struct vercel_route routes[VERCEL_ROUTES_MAX]; /* url: in `arena` */
    size_t route_count;
    struct arena arena;
    bool temporary; /* it is deleted with its sandbox */
    bool made;      /* it may exist there */
    bool generated; /* its name is ours alone */
    int tries;
    struct exchange *making, *resuming, *extending;
    struct script *asking; /* what system it is */
    struct waiting *for_resume;
    struct file_job *files;
    struct loop_timer *heartbeat;
    uint64_t timeout_ms; /* of a session without extensions, at most five minutes */
    uint64_t owed_ms;    /* time that a failed extension did not give */
};
void machine_create(struct vercel *v, struct sandbox *sb);
void machine_destroy(struct machine *m);
void machine_take_routes(struct machine *m, const struct vercel_route *routes,
                         size_t count);
/* Calls fn when there is a running session, or there is none to be had. */
void machine_resume(struct machine *m, void (*fn)(void *ctx, const struct err *err),
                    void *ctx);
/* How a sandbox of that name is called there: tenants have names of their own. */
void machine_name(uint64_t owner, struct str name, char to[SANDBOX_NAME_MAX + 1]);
unsigned machine_vcpus(const struct vercel *v, const struct sandbox_spec *spec);

/* policy.c: what the sandbox may reach, as Vercel is told; to be finished. */
void policy_in_force(const struct vercel *v, const struct sandbox_spec *spec,
                     struct network_policy *ret_policy);
bool policy_restricts(const struct vercel *v, const struct sandbox_spec *spec);

/* script.c: a short program of ours, run in the session. May be run twice. */
struct script_result {
    const struct err *err; /* it did not run to its end */
    int exit_code, tries;
    struct str out, error; /* at most SCRIPT_OUT_MAX each */
};
enum { SCRIPT_OUT_MAX = 64 * 1024 };
struct script *script_start(struct machine *m, const char *text, const struct str *args,
                            size_t arg_count, bool sudo,
                            void (*done)(void *ctx, const struct script_result *r),
                            void *ctx);
void script_cancel(struct script *s); /* accepts NULL */

/* run.c */
void run_start(struct machine *m, struct command *c, const struct command_spec *spec);
void run_adopt(struct machine *m, struct command *c);
void run_kill(struct command *c);
int run_signal(struct command *c, int signum, struct err *err);
void run_flow(struct command *c);
void run_forget(struct command *c);

/* files.c */
void files_open(struct machine *m, struct file_op *op);
void files_write(struct machine *m, struct file_op *op);
void files_make_dir(struct machine *m, struct file_op *op);
void files_drop(struct machine *m); /* nobody is called back */

/* ports.c */
void ports_expose(struct machine *m, uint16_t port, sandbox_expose_fn *fn, void *ctx);
bool ports_unexpose(struct machine *m, uint16_t port);

/* ops.c: the rows of the backend's table */
void ops_list(void *self, struct sandbox_op *op);
void ops_stop(void *self, struct sandbox_op *op);
void ops_extend(void *self, struct sandbox_op *op);
void ops_update(void *self, struct sandbox_op *op);
void ops_snapshot(void *self, struct sandbox_op *op);
void ops_snapshots(void *self, struct sandbox_op *op);
void ops_snapshot_delete(void *self, struct sandbox_op *op);
