/* Private to local*.c: the embedded Linux sandbox, seen from the server. */
#pragma once
#include "sandbox/backend.h"
#include "sandbox/guest/wire.h"

struct local;

/* One sandbox: a guest, our end of its socket, and what was asked of it. */
struct box {
    struct local *local;
    struct sandbox *sandbox; /* NULL once it is given up */
    struct box *next;
    uint32_t create_id;
    int guest_end; /* until it was sent to the zygote */
    int pidfd, lock_fd;
    struct loop_io *socket;
    struct loop_timer *patience; /* the guest must become ready and must answer */
    uint32_t last_id, layers;
    bool created, ready;
    struct pending *pending;
    struct proxy *proxy;
};

enum pending_kind {
    PENDING_EXEC,
    PENDING_KILL,
    PENDING_OPEN,
    PENDING_WRITE,
    PENDING_COMMIT
};

/* A request to a guest that is not finished. */
struct pending {
    struct pending *next;
    uint32_t id;
    enum pending_kind kind;
    uint64_t command; /* EXEC, KILL */
    char cwd[104];    /* EXEC: for its error */
    struct file_op *op;
    bool existed;
};

struct local {
    struct sandboxes *set;
    int zygote_pid, zygote_pidfd;
    struct loop_io *zygote; /* its socket */
    struct loop_io *zygote_end;
    uint32_t last_id;
    struct box *boxes;
};

/* local_zygote.c */
int local_zygote_start(struct local *l, struct err *err);
void local_zygote_stop(struct local *l); /* waits until it and all sandboxes are gone */
struct box *local_box_new(struct local *l, struct sandbox *sb, struct err *err);
void local_box_free(struct box *box); /* kills it */

/* local_guest.c */
void local_guest_message(struct box *box, struct wire_message *m);
void local_guest_run(struct box *box, struct command *c,
                     const struct command_spec *spec);
void local_guest_kill(struct box *box, struct command *c, int signum);
void local_guest_file(struct box *box, struct file_op *op);
void local_guest_drop_pending(struct box *box);

/* local_stream.c: the pipes of a command */
struct streams;
struct streams *streams_new(struct command *c, int child_fds[3], bool keep_stdin,
                            struct err *err);
void streams_free(struct streams *s);
void streams_drain(struct streams *s); /* all that is in the pipes now */
void streams_input(struct streams *s); /* the queue changed */
void streams_flow(struct streams *s);  /* command->paused changed */

/* local_names.c: named sandboxes on disk, host workspaces */
struct local_place {
    char workspace[4096], home[4096]; /* "" = in memory */
    int lock_fd;
};
int local_place_find(const struct sandbox *sb, struct local_place *ret_place,
                     struct err *err);

/* local_proxy.c: the way out, which is closed */
struct proxy;
struct proxy *proxy_new(struct loop *loop, int listener,
                        void (*refused)(void *ctx, const char *what), void *ctx);
void proxy_free(struct proxy *p);
