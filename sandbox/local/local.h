/* Private to this folder: the embedded Linux sandbox, seen from the server. */
#pragma once
#include "sandbox/egress/egress.h"
#include "sandbox/guest/wire.h"
#include "sandbox/local/snapshot.h"

struct local;

/* The disk limit of a kept one: local/disk.c. */
struct disk_watch {
    struct loop_timer *timer;    /* NULL: nothing has run in it yet */
    bool looking;                /* the timer runs, or somebody measures */
    bool measured, over;         /* `bytes` is known; it is over the limit */
    int report;                  /* of who measures now, or -1 */
    uint64_t bytes, used;        /* measured; what the file system had then */
    uint64_t used_then;          /* ... when the measuring that goes on began */
    uint64_t began_ms, pause_ms; /* of the loop's clock */
};

/* One sandbox: a guest, our end of its socket, and what was asked of it. */
struct box {
    struct local *local;
    struct sandbox *sandbox; /* NULL once it is given up */
    struct box *next;
    uint32_t create_id;
    int guest_end; /* until it was sent to the zygote */
    int pidfd;
    struct local_hold hold; /* of a kept one: its directory */
    int layers_lock;        /* on the snapshot that it lies upon, or -1 */
    struct loop_io *socket;
    struct loop_timer *patience; /* the guest must become ready, and must halt */
    struct loop_timer *answers;  /* ... and must answer */
    uint32_t last_id, layers;
    enum zygote_launcher launcher;
    bool created, ready;
    bool spare;                               /* nobody's yet: local/spare.c */
    char workspace[256], home[256], tmp[256]; /* as seen inside */
    uint16_t proxy_port;
    char refused[240]; /* why the first way of launching failed */
    int refused_sys;
    struct pending *pending;
    struct disk_watch disk;
    bool left_behind; /* a command has left processes behind */
    struct egress *egress;
    struct port *ports;         /* local/ports.c */
    struct dial *dials;         /* local/dial.c */
    bool has_network;           /* GUEST_NETWORK has come */
    struct local_layers ground; /* what its root lies upon */
};

enum pending_kind {
    PENDING_EXEC,
    PENDING_KILL,
    PENDING_OPEN,
    PENDING_WRITE,
    PENDING_DIR,
    PENDING_COMMIT,
    PENDING_HALT,
    PENDING_CONNECT,
    PENDING_TREE,
};

/* A request to a guest that is not finished. */
struct pending {
    struct pending *next;
    uint32_t id;
    enum pending_kind kind;
    uint64_t command; /* EXEC, KILL */
    char cwd[104];    /* EXEC: for its error */
    bool program;     /* EXEC: not by bash */
    struct file_op *op;
    struct sandbox_op *halt; /* HALT, TREE: what is answered then */
    bool existed;
    uint64_t dial;  /* CONNECT: who asked */
    bool terminal;  /* EXEC: one is to come with its start */
    bool started;   /* EXEC */
    bool disk_over; /* EXEC: ended because the sandbox was over its disk limit */
    uint64_t asked_ms;
};

struct local {
    struct sandboxes *set;
    const struct host_network *host_network; /* NULL: not asked yet, or none */
    int zygote_pid, zygote_pidfd;
    struct loop_io *zygote; /* its socket */
    struct loop_io *zygote_end;
    uint32_t last_id;
    struct box *boxes;
    struct ending *endings;  /* boxes that are dying */
    struct waiting *waiting; /* sandboxes whose last holder is dying */
    struct helper *helpers;  /* processes that work on files: local/helper.c */
    struct merging *merging; /* snapshots that wait for one of them */
    struct measuring *measuring;
    struct changes *changes; /* reports that are read */
    struct box *spare;       /* kept ready for the next that asks, or NULL */
    struct loop_timer *spare_timer;
    bool swept; /* what crashes had left */
    struct host_proxy host_proxy;
    enum zygote_launcher launcher; /* the best that has not been refused */
    bool launched;                 /* it has made a sandbox: it stays */
};

/* local/zygote.c */
int local_zygote_start(struct local *l, struct err *err);
/* Takes the socket of a helper that runs, and the process: ours to reap. */
void local_zygote_adopt(struct local *l, int sock, pid_t pid);
void local_zygote_stop(struct local *l); /* waits until it and all sandboxes are gone */
/* What a box is made of. */
struct local_ground {
    struct local_hold hold;
    struct local_layers layers;
};
/* Takes the hold and the lock on the layers; not if it fails. */
struct box *local_box_new(struct local *l, struct sandbox *sb,
                          struct local_ground *ground, struct err *err);
void local_box_free(struct box *box); /* kills it */
/* It is ready, now or since before: tells whose it is. */
void local_box_ready(struct box *box);

/* local/spare.c */
void local_spare_want(struct local *l); /* one is to be kept ready, soon */
/* The one that is kept ready, if it is what sb asks for; else NULL. */
struct box *local_spare_take(struct local *l, struct sandbox *sb);
void local_spare_drop(struct local *l);
void local_spare_finish(struct local *l);

/* local/level.c: how well a sandbox isolates */
int local_level(uint32_t layers); /* 1 to 4 */
const char *local_level_notice(int level);
/* -1 with UNAVAILABLE when this way of launching has no sandboxes of that kind. */
int local_level_check_kept(enum zygote_launcher launcher, struct err *err);
/* Whether a failure to launch may be what a weaker way of launching does not meet. */
bool local_level_may_fall(const struct sandbox_config *config,
                          enum zygote_launcher launcher, int sys, struct str step);
/* No sandbox at all: which step failed and what to change. */
void local_level_explain(const struct sandbox_config *config, int sys, struct str step,
                         struct err *err);
/* -1 with UNAVAILABLE when it is weaker than what is required. */
int local_level_check(const struct sandbox_config *config, int level, struct err *err);

/* local/guest.c */
void local_guest_overdue(void *box); /* the timer `answers` */
/* -1: it broke the protocol. The box may be gone. */
int local_guest_message(struct box *box, struct wire_message *m);
void local_guest_run(struct box *box, struct command *c,
                     const struct command_spec *spec);
/* Runs a command that does nothing, for nobody. */
void local_guest_warm(struct box *box);
void local_guest_kill(struct box *box, struct command *c, int signum);
void local_guest_file(struct box *box, struct file_op *op);
void local_guest_halt(struct box *box, struct sandbox_op *op);
/* Does so, too -> local_tree_came(), or op fails. */
void local_guest_tree(struct box *box, struct sandbox_op *op);
bool local_guest_busy(const struct box *box); /* a command runs */
/* Every process of it ends, since it is over its disk limit: its commands say so. */
void local_guest_end_all(struct box *box);
/* -> local_dial_answer() with the number, unless it gives -1. */
int local_guest_connect(struct box *box, uint64_t number, uint16_t port, bool v6);
int local_guest_changes(struct box *box, enum workspace_action action, int report,
                        struct err *err);
void local_guest_drop_pending(struct box *box);

/* local/stream.c: the pipes of a command */
struct streams;
struct streams *streams_new(struct command *c, int child_fds[3], bool keep_stdin,
                            struct err *err);
/* Of a terminal; streams_attach() gives its master (taken), once it is there. */
struct streams *streams_new_terminal(struct command *c);
int streams_attach(struct streams *s, int *master);
int streams_resize(struct streams *s, struct pty_size size, struct err *err);
void streams_free(struct streams *s);
void streams_drain(struct streams *s); /* all that is in the pipes now */
void streams_input(struct streams *s); /* the queue changed */
void streams_flow(struct streams *s);  /* command->paused changed */

/* local/helper.c */
/* status: its exit status, or -1 when a signal has ended it */
typedef void local_helper_fn(struct local *l, void *ctx, int status);
/* Starts sandquay-guest with argv (NULL at its end) and fds, which are borrowed, as its
 * descriptors 3 and on. fn, which may be NULL, is called when it has ended. */
int local_helper_start(struct local *l, char *const *argv, const int *fds, int fd_count,
                       local_helper_fn *fn, void *ctx, struct err *err);
void local_helpers_finish(struct local *l); /* kills them; no fn is called */

/* local/changes.c */
void local_changes(void *self, struct sandbox_op *op);
void local_changes_finish(struct local *l);

/* local/directories.c: the host directory that becomes /workspace. "": none. */
int local_workspace_find(const struct sandbox *sb, char to[4096], struct err *err);
/* Further directories, as the guest program wants them (sandbox/guest/mount_list.h). */
int local_mounts_write(const struct sandbox *sb, enum zygote_launcher launcher,
                       struct buf *to, struct err *err);
/* Is it one of these that the failed step was about? */
bool local_mounts_name(const struct sandbox *sb, struct str step);

/* local/toolchain.c */
void local_toolchains_path(const struct sandbox_config *config, struct buf *path);
/* As local_mounts_write(), which calls it. */
int local_toolchains_write(const struct sandbox_config *config, struct buf *to,
                           struct err *err);

/* local/image.c: what begins with nothing gets the server's image, if there is one */
void local_image_begin(const struct sandboxes *set, struct owned_spec *wish);
/* The host directory that is its root, now "" if it has none. Errors:
 * UNAVAILABLE when it is not there any more, or this way of launching has no images;
 * DENIED when it is somebody else's. */
int local_image_check(const struct sandbox *sb, enum zygote_launcher launcher,
                      char to[4096], struct err *err);

/* local/limits.c: INVALID when a limit is too small or beyond the machine. */
int local_limits_check(const struct sandbox_spec *wish,
                       const struct sandbox_spec *in_force, bool kept, struct err *err);
/* Default limits become what a small machine can give. */
void local_limits_fit(struct sandbox_limits *limits);

/* local/disk.c */
void local_disk_watch(struct box *box); /* a command or a file has begun */
/* -1 with LIMIT when a kept one was over its limit when it was last looked at. */
int local_disk_check(const struct box *box, struct err *err);
void local_disk_finish(struct box *box);

/* local/info.c: fills in what is told of it. */
void local_describe(struct box *box);

/* local/life.c: the ends of sandboxes, and what is kept of them */
void local_create(void *self, struct sandbox *sb);
void local_stop(void *self, struct sandbox_op *op);
void local_list(void *self, struct sandbox_op *op);
void local_update(void *self, struct sandbox_op *op);
/* local/measure.c */
void local_snapshot_measure(void *self, struct sandbox_op *op);
void local_measure_finish(struct local *l);
int local_discard(void *self, const char *path, struct err *err);
void local_snapshot(void *self, struct sandbox_op *op);
/* The files of one that is not kept: takes tree, a directory. */
void local_tree_came(struct box *box, struct sandbox_op *op, int tree);
void local_snapshots(void *self, struct sandbox_op *op);
void local_snapshot_delete(void *self, struct sandbox_op *op);
void local_box_gone(struct local *l, uint32_t create_id); /* every process of it */
void local_all_gone(struct local *l);
void local_life_cancel(struct local *l, const struct sandbox *sb);
void local_life_finish(struct local *l);

/* local/ports.c: ports of the sandbox on the host */
void local_expose(void *self, struct sandbox *sb, uint16_t port, sandbox_expose_fn *fn,
                  void *ctx);
bool local_unexpose(void *self, struct sandbox *sb, uint16_t port);
void local_ports_close(struct box *box);

/* local/dial.c: connections to ports inside */
enum local_dialled {
    LOCAL_DIALLED,
    LOCAL_DIALLED_NOBODY, /* nothing listens there */
    LOCAL_DIALLED_LATE,   /* it does not answer */
    LOCAL_DIALLED_GONE,   /* the sandbox ended */
};
/* fd is to be taken; -1 unless LOCAL_DIALLED. */
typedef void local_dialled_fn(void *ctx, int fd, enum local_dialled how);
/* fn is called once, never before this returns -- unless the dial is freed first. */
struct dial *local_dial_new(struct box *box, uint16_t port, local_dialled_fn *fn,
                            void *ctx);
void local_dial_free(struct dial *d); /* accepts NULL */
/* Takes fd; -1: refused. */
void local_dial_answer(struct box *box, uint64_t number, int fd);
void local_dials_end(struct box *box); /* who asked is told */
void local_connect(void *self, struct sandbox *sb, uint16_t port,
                   sandbox_connect_fn *fn, void *ctx);

/* local/network.c: the way out */
void local_network_start(struct box *box, int listener); /* takes the listener */
void local_network_policy(struct box *box, const struct network_policy *policy);
void local_network_log(void *self, struct sandbox *sb, uint64_t since,
                       network_attempt_fn *fn, void *ctx);
/* GUEST_NETWORK: what a resolver and transparent connections need. -1: a lie. */
int local_network_more(struct box *box, struct wire_message *m);
/* What leads programs to it; none when nothing is allowed. */
const char *const *local_network_variables(const struct box *box, size_t *ret_count);
/* The host's certificates and package sources, for programs inside. */
const char *const *local_network_settings(const struct box *box, size_t *ret_count);
