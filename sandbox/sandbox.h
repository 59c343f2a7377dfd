/* Sandboxes: the one interface that the tools use and the backends stand behind.
 *
 * A `struct sandboxes` is all sandboxes of this process with their backend. A caller is
 * an owner, a number that the transport gives: its upper 32 bits are the tenant (the
 * principal; 0: the user of this process), the lower ones who of that tenant it is (the
 * process on stdio, the connection; 0: the principal itself, which never goes away).
 * Default and ephemeral sandboxes are their owner's alone, named ones their tenant's.
 * Sandboxes and commands are referred to by numbers (slot and generation), never by
 * pointers: what is gone is simply not found.
 *
 * Asynchronous functions take a callback that is called exactly once, possibly before
 * the function returns, unless sandboxes_free() comes first (then never). The
 * callback's arguments live during the call only. err is NULL on success.
 *
 * The limits' defaults are in sandbox_limits_default(). */
#pragma once
#include "base/err.h"
#include "base/str.h"
#include "net/loop.h"
#include <stdbool.h>
#include <stdint.h>

enum {
    SANDBOX_NAME_MAX = 128, /* ^[a-zA-Z0-9_-]{1,128}$ */
    SANDBOX_PATH_MAX = 4095,
    SANDBOX_COMMAND_MAX = 128 * 1024 - 1, /* the kernel's limit of one argument */
    SANDBOX_ENV_MAX = 32 * 1024,          /* all variables of one command together */
    SANDBOX_FILE_WRITE_MAX = 64 * 1024 * 1024,
    SANDBOX_INPUT_QUEUE_MAX = 1024 * 1024, /* stdin not yet taken by the command */
};

struct sandbox_limits {
    uint64_t memory_bytes, disk_bytes, disk_inodes, cpu_millis;
    uint64_t kept_disk_bytes; /* disk_bytes of one whose files are kept */
    uint32_t pids;
    uint32_t sandboxes;                              /* per owner */
    uint32_t commands;                               /* running, per sandbox */
    uint64_t keep_command_bytes, keep_sandbox_bytes; /* of output */
};
void sandbox_limits_default(struct sandbox_limits *limits);

struct network_policy; /* sandbox/network_policy.h */
struct host_network;   /* sandbox/egress/host_proxy.h */
struct vercel_config;  /* sandbox/vercel/vercel.h */

/* All strings are borrowed for the life of the sandboxes. */
struct sandbox_config {
    struct sandbox_limits limits;
    const char
        *workspace; /* host directory for default sandboxes' /workspace, or NULL */
    bool workspace_readonly;
    bool workspace_overlay; /* what is written there waits for workspace_changes() */
    const char *const *toolchains; /* host directories, read-only in every sandbox */
    size_t toolchain_count;
    const struct sandbox_mount *mounts; /* of default sandboxes */
    size_t mount_count;
    /* What is the root of new sandboxes: a directory of the host; for the vercel
     * backend the name of an image or a runtime. Or NULL. */
    const char *image;
    const char
        *default_name; /* name of the default sandbox, or NULL for an unnamed one */
    const char
        *state_dir;       /* where named sandboxes live, e.g. ~/.local/state/sandquay */
    const char *temp_dir; /* for spilled output */
    /* Of a principal's default sandbox, when nothing runs in it: stopped, then deleted.
     * 0: never. */
    uint64_t idle_stop_ms, idle_delete_ms;
    const char *guest_path; /* the guest program */
    /* What all sandboxes may reach at most; NULL: every public address. */
    const struct network_policy *network;
    /* How this machine reaches the network; asked when the first sandbox is made. NULL:
     * directly. */
    const struct host_network *(*host_network)(void);
    const struct vercel_config *vercel; /* for the vercel backend; else NULL */
    const char *backend_why;  /* "local: there are no Vercel credentials"; or NULL */
    uint64_t answer_limit_ms; /* for the guest, then it is given up; 0: 40 s */
    int require_level;        /* a weaker one is refused; 0: any */
    bool allow_weak;          /* level 4 may be used where nothing better can be had */
    bool relaxed; /* sanitizer builds only: no memory rlimits for the guest */
};

struct sandboxes;
struct sandbox_backend; /* see sandbox/backend.h; vercel is in a module of its own */
extern const struct sandbox_backend sandbox_local, sandbox_null;

int sandboxes_new(struct sandboxes **ret_set, struct loop *loop,
                  const struct sandbox_backend *backend,
                  const struct sandbox_config *config, struct err *err);
/* Ends everything that lives: processes, mounts, cgroups; synchronous, a few
 * milliseconds. */
void sandboxes_free(struct sandboxes *set);
/* "local", "vercel", ... */
const char *sandboxes_backend(const struct sandboxes *set);
/* Has fn told what a sandbox that takes its time is doing, for progress. fn may not
 * change anything here. */
typedef void sandbox_doing_fn(void *ctx, uint64_t owner, uint64_t sandbox,
                              struct str text);
void sandboxes_on_doing(struct sandboxes *set, sandbox_doing_fn *fn, void *ctx);
/* Has fn told when what sandbox_list() gives to an owner has changed: one was made or
 * resumed, has ended, was deleted. Named ones are their whole tenant's: the lower half
 * of `owner` is 0 then. fn may not use the set. */
typedef void sandbox_change_fn(void *ctx, uint64_t owner);
void sandboxes_on_change(struct sandboxes *set, sandbox_change_fn *fn, void *ctx);
/* Ends one owner's unnamed sandboxes (its connection went away) and releases the named
 * ones. */
void sandboxes_drop_owner(struct sandboxes *set, uint64_t owner);

/* How many sandboxes live and how many commands run, of all owners. */
void sandboxes_count(const struct sandboxes *set, size_t *ret_sandboxes,
                     size_t *ret_running);

/* What was asked of the backend so far, by kind ("POST", "exec") and outcome ("2xx",
 * "failed"), for /metrics. */
typedef void sandboxes_call_fn(void *ctx, const char *backend, const char *call,
                               const char *outcome, uint64_t times);
void sandboxes_each_call(const struct sandboxes *set, sandboxes_call_fn *fn, void *ctx);

static inline uint32_t sandbox_tenant(uint64_t owner)
{
    return (uint32_t)(owner >> 32);
}

/* A directory of the host inside a sandbox. */
struct sandbox_mount {
    struct str host, inside; /* absolute; inside is not "/workspace" and no system's */
    bool readonly;
};
enum { SANDBOX_MOUNTS_MAX = 8 };

/* What is asked for. All is borrowed for the call; zero or empty is the configured
 * default. */
struct sandbox_spec {
    struct str name; /* empty: one is made up */
    uint64_t memory_bytes, disk_bytes, cpu_millis;
    uint32_t pids;
    uint64_t timeout_ms;   /* of each run: then it is stopped; 0: none */
    const struct str *env; /* K=V, for every command in it */
    size_t env_count;
    const struct str *tags; /* K=V, shown in lists */
    size_t tag_count;
    const uint16_t *ports; /* to be reached from outside */
    size_t port_count;
    struct str snapshot, image; /* where its files come from; empty: the default root */
    const struct sandbox_mount *mounts; /* of this run: to be given again */
    size_t mount_count;
    const struct network_policy *network;
    bool ephemeral; /* its files are not kept: it ends with its owner */
};

/* stopped: its files are there, its processes are gone; the next use resumes it. The
 * other words are Vercel's. */
enum sandbox_status {
    SANDBOX_RUNNING,
    SANDBOX_STOPPED,
    SANDBOX_PENDING,
    SANDBOX_STOPPING,
    SANDBOX_SNAPSHOTTING,
    SANDBOX_FAILED,
    SANDBOX_ABORTED,
};
const char *sandbox_status_name(enum sandbox_status status); /* "running" */

struct sandbox_info {
    uint64_t id;     /* 0: kept, and not running in this process */
    struct str name; /* a default sandbox without a name: "default" */
    const char *backend;
    enum sandbox_status status;
    bool is_default;
    bool kept;                       /* its files outlive its owner */
    bool resumed;                    /* it had been stopped before this use */
    int level;                       /* 1 to 4: docs/security.md */
    uint32_t layers;                 /* enum zygote_layer bits */
    uint64_t created_ms, updated_ms; /* unix time */
    uint64_t expires_ms;             /* when its time is over; 0: never */
    /* As asked for; limits: what is in force. No secret of `env` may be shown. */
    const struct sandbox_spec *spec;
    struct str limited_by; /* what enforces them, e.g. "cgroup v1" */
    struct str os, user, home, cwd;
    bool installs;           /* the system's package manager works inside */
    struct str workspace;    /* the host directory at /workspace, or empty */
    unsigned running;        /* commands */
    long held_by;            /* another process that has it running, or 0 */
    struct str first_notice; /* told in its first result: level and what is missing */
};

typedef void sandbox_open_fn(void *ctx, const struct sandbox_info *info,
                             const struct err *err);
typedef void sandbox_done_fn(void *ctx, const struct err *err);
typedef void sandbox_list_fn(void *ctx, const struct sandbox_info *infos, size_t count,
                             const struct err *err);

/* The owner's sandbox of that name (empty: its default sandbox), created or resumed if
 * need be. Errors: INVALID (name), CONFLICT (held by another server: its pid), LIMIT,
 * UNAVAILABLE (no isolation to be had: which and the fix). */
void sandbox_open(struct sandboxes *set, uint64_t owner, struct str name,
                  sandbox_open_fn *fn, void *ctx);

/* The same with these mounts, for a run that begins now. */
void sandbox_open_with(struct sandboxes *set, uint64_t owner, struct str name,
                       const struct sandbox_mount *mounts, size_t mount_count,
                       sandbox_open_fn *fn, void *ctx);

/* A new one. CONFLICT when the name exists, running or kept; INVALID (name, limits). */
void sandbox_create(struct sandboxes *set, uint64_t owner,
                    const struct sandbox_spec *spec, sandbox_open_fn *fn, void *ctx);

/* A directory that was mounted, and in which nothing works any more, goes away with all
 * that sandboxed code has put there: out of sight at once, in its own time from the
 * disk. Errors: UNAVAILABLE, IO. */
int sandbox_discard(struct sandboxes *set, const char *path, struct err *err);

/* A running one, by its number; NOT_FOUND. Valid until the loop runs on. */
int sandbox_get(struct sandboxes *set, uint64_t sandbox, struct sandbox_info *ret_info,
                struct err *err);

/* All that the owner may use: running here, stopped, kept on disk, by age. */
void sandbox_list(struct sandboxes *set, uint64_t owner, sandbox_list_fn *fn,
                  void *ctx);

/* KEEP: ends its processes, keeps its files; fine when it is stopped already. DELETE:
 * all of it is gone when fn is called. name empty: the default sandbox. Errors:
 * NOT_FOUND, CONFLICT (held by another server). */
enum sandbox_stop_mode { SANDBOX_STOP_KEEP, SANDBOX_STOP_DELETE };
void sandbox_stop(struct sandboxes *set, uint64_t owner, struct str name,
                  enum sandbox_stop_mode mode, sandbox_done_fn *fn, void *ctx);

/* Its time is over so much later. INVALID when it has no time limit. */
void sandbox_extend(struct sandboxes *set, uint64_t sandbox, uint64_t duration_ms,
                    sandbox_open_fn *fn, void *ctx);

/* Limits, time, environment, tags and ports that are not zero or empty in `spec`
 * replace those of before, from its next run on. */
void sandbox_update(struct sandboxes *set, uint64_t owner, struct str name,
                    const struct sandbox_spec *spec, sandbox_open_fn *fn, void *ctx);

/* What all sandboxes may reach at most: a sandbox's own policy only narrows that. */
const struct network_policy *sandboxes_network(const struct sandboxes *set);
/* Replaces a running sandbox's own policy, from now on: what is open and no longer
 * allowed is cut. Kept with a kept one. */
void sandbox_network(struct sandboxes *set, uint64_t sandbox,
                     const struct network_policy *policy, sandbox_open_fn *fn,
                     void *ctx);

/* One attempt of a sandbox to reach something. */
struct network_attempt {
    uint64_t number;     /* 1, 2, ... of its sandbox */
    uint64_t time_ms;    /* unix time */
    struct str host;     /* "" when the request was not understood */
    uint16_t port;       /* 0: a look-up of the name */
    struct str address;  /* that the host has, or "" */
    const char *way;     /* "connect", "http", "socks", "transparent", "dns" */
    const char *verdict; /* "allowed", "refused", "failed", "pending" */
    struct str reason;   /* "" when allowed */
    uint64_t sent_bytes, received_bytes;
    bool open;
};
typedef void network_attempt_fn(void *ctx, const struct network_attempt *attempt);
/* Calls fn for the attempts with a number over `since`, oldest first; only so many are
 * kept. NOT_FOUND, UNAVAILABLE. */
int sandbox_network_log(struct sandboxes *set, uint64_t sandbox, uint64_t since,
                        network_attempt_fn *fn, void *ctx, struct err *err);

/* A port of a running sandbox becomes a URL of this machine (or of the cloud): HTTP,
 * streams and WebSockets. The same one each time, until it is unexposed or the sandbox
 * ends. The URL carries a secret: for the asker alone. Errors: NOT_FOUND, INVALID (port
 * 0), LIMIT, UNAVAILABLE. */
typedef void sandbox_expose_fn(void *ctx, struct str url, const struct err *err);
void sandbox_expose(struct sandboxes *set, uint64_t sandbox, uint16_t port,
                    sandbox_expose_fn *fn, void *ctx);
/* A connection to a port inside, which need not be exposed: fd is to be taken. Errors:
 * NOT_FOUND, UNAVAILABLE (nothing listens there), TIMEOUT. */
typedef void sandbox_connect_fn(void *ctx, int fd, const struct err *err);
void sandbox_connect(struct sandboxes *set, uint64_t sandbox, uint16_t port,
                     sandbox_connect_fn *fn, void *ctx);
/* NOT_FOUND when it is not exposed. */
int sandbox_unexpose(struct sandboxes *set, uint64_t sandbox, uint16_t port,
                     struct err *err);

/* A snapshot: the files of a sandbox at one moment, kept until it is deleted. */
struct snapshot_info {
    struct str id;
    struct str source;                           /* the sandbox's name */
    uint64_t created_ms, expires_ms, size_bytes; /* size 0: not measured */
};
typedef void snapshot_fn(void *ctx, const struct snapshot_info *snapshot,
                         const struct err *err);
typedef void snapshot_list_fn(void *ctx, const struct snapshot_info *snapshots,
                              size_t count, const struct err *err);
/* Stops the sandbox (its processes end, its files stay), as Vercel does. */
void sandbox_snapshot(struct sandboxes *set, uint64_t owner, struct str name,
                      snapshot_fn *fn, void *ctx);
void snapshot_list(struct sandboxes *set, uint64_t owner, snapshot_list_fn *fn,
                   void *ctx);
void snapshot_delete(struct sandboxes *set, uint64_t owner, struct str id,
                     sandbox_done_fn *fn, void *ctx);
/* How much it has on disk of its own: what it shares with older ones does not count. */
void snapshot_measure(struct sandboxes *set, uint64_t owner, struct str id,
                      snapshot_fn *fn, void *ctx);
/* A new sandbox with the files (and, where `spec` says nothing, the settings) of
 * another. */
void sandbox_fork(struct sandboxes *set, uint64_t owner, struct str source,
                  const struct sandbox_spec *spec, sandbox_open_fn *fn, void *ctx);

enum command_status {
    COMMAND_RUNNING,
    COMMAND_EXITED,
    COMMAND_TIMED_OUT,
    COMMAND_KILLED,  /* cancelled, or ended with its sandbox */
    COMMAND_UNKNOWN, /* its outcome cannot be known */
};

/* Of a terminal, in characters; cols 0: no terminal. */
struct pty_size {
    uint16_t cols, rows;
};

struct command_spec {
    struct str command; /* given to bash -c */
    /* Instead of it, a program (looked up in PATH) and its arguments; NOT_FOUND when
     * there is no such program. */
    const struct str *argv;
    size_t argv_count;
    struct str cwd;        /* empty: /workspace */
    const struct str *env; /* K=V, in addition to the sandbox's environment */
    size_t env_count;
    uint64_t timeout_ms; /* 0: none */
    bool keep_stdin;     /* true: stdin stays open for command_input */
    /* Its controlling terminal is one of this size; stderr is part of stdout, and
     * closing stdin is an end-of-file character. Needs keep_stdin. */
    struct pty_size pty;
    bool hold; /* as by command_hold() with offsets of 0, from the start */
};

enum command_stream { COMMAND_STDOUT, COMMAND_STDERR };

/* What is kept of one stream: the first `head_bytes`, then `dropped_bytes` that are
 * gone, then the rest up to total_bytes. Nothing is dropped while total_bytes is within
 * the limit. */
struct command_output {
    uint64_t total_bytes, head_bytes, dropped_bytes;
};

struct command_info {
    uint64_t id;
    struct str remote; /* how other servers know it, in a named sandbox of a backend
                        * that they share; else empty. See command_adopt() */
    uint64_t sandbox;
    struct str sandbox_name;
    enum command_status status;
    int exit_code; /* 128+n by signal n, 137 on timeout; meaningless while running */
    int signal;    /* 0 if none */
    bool oom_killed, left_behind,
        evicted;                      /* evicted: its output made room for others */
    uint64_t started_ms, duration_ms; /* duration so far while running */
    struct str command;               /* as given */
    struct str warning;               /* "" or sentences a model should read */
    struct command_output out[2];
    uint64_t input_queued_bytes; /* stdin not yet taken */
    bool input_open;
};

/* Starts it; fn gets the command once it runs (or err: LIMIT, INVALID cwd, ...). */
typedef void command_start_fn(void *ctx, uint64_t command, const struct err *err);
void command_start(struct sandboxes *set, uint64_t sandbox,
                   const struct command_spec *spec, command_start_fn *fn, void *ctx);

/* The command of that `remote` in a sandbox that is open, whichever server has started
 * it: its output from the first byte, its end. fn as above; NOT_FOUND when there is
 * none, or it ended with an earlier session of its sandbox. */
void command_adopt(struct sandboxes *set, uint64_t sandbox, struct str remote,
                   command_start_fn *fn, void *ctx);

/* Looks one up; -1 with NOT_FOUND when there is none that this owner may see: like its
 * sandbox, it is its owner's alone, or of a named one its tenant's. The info is valid
 * until the loop runs on. */
int command_get(struct sandboxes *set, uint64_t owner, uint64_t command,
                struct command_info *ret_info, struct err *err);
/* Those that it may see, oldest first: up to max ids; returns how many there are. */
size_t command_list(struct sandboxes *set, uint64_t owner, uint64_t *ret_ids,
                    size_t max);

/* Copies bytes [offset, offset+max) of a stream that are still kept to `to` (capacity
 * max); returns how many; 0 at the end or inside the dropped middle (see
 * command_output). */
size_t command_read(struct sandboxes *set, uint64_t command, enum command_stream stream,
                    uint64_t offset, char *to, size_t max);

/* Flow control: while `hold`, a command whose output is far ahead of what was read
 * (from_offset[] of both streams) is paused before any of that is dropped. */
void command_hold(struct sandboxes *set, uint64_t command, bool hold,
                  const uint64_t from_offset[2]);

/* A watcher: fn is called whenever there is more output or the status changed
 * (coalesced, at most once a loop turn), until unwatched. Returns a watch number, 0 if
 * the command is gone. */
typedef void command_news_fn(void *ctx, uint64_t command);
uint64_t command_watch(struct sandboxes *set, uint64_t command, command_news_fn *fn,
                       void *ctx);
void command_unwatch(struct sandboxes *set, uint64_t watch);

/* Queues stdin bytes; *ret_taken of them fit the queue. close: EOF after them. INVALID
 * when its stdin is not open. */
int command_input(struct sandboxes *set, uint64_t command, struct str bytes, bool close,
                  size_t *ret_taken, struct err *err);
/* A signal to the command's process group, as Ctrl-C at a terminal would send it. */
int command_signal(struct sandboxes *set, uint64_t command, int signum,
                   struct err *err);
/* Another size of its terminal; those in its foreground get SIGWINCH. INVALID when it
 * has none, NOT_FOUND when it has ended. */
int command_resize(struct sandboxes *set, uint64_t command, struct pty_size size,
                   struct err *err);
/* Kills it and every descendant; its status becomes `status` (TIMED_OUT or KILLED) once
 * dead. */
void command_kill(struct sandboxes *set, uint64_t command, enum command_status status);

/* The file as an open descriptor of a regular file (borrowed during the call; dup to
 * keep) and its size. Errors: NOT_FOUND, INVALID (directory, fifo, ...), DENIED, IO. */
typedef void file_open_fn(void *ctx, int fd, uint64_t size_bytes,
                          const struct err *err);
void file_open(struct sandboxes *set, uint64_t sandbox, struct str path,
               file_open_fn *fn, void *ctx);

/* Replaces or creates a file atomically, parents made, an existing file's mode kept.
 * The content is borrowed until fn is called. A relative path starts at /workspace. */
typedef void file_write_fn(void *ctx, bool existed, const struct err *err);
void file_write(struct sandboxes *set, uint64_t sandbox, struct str path,
                struct str content, file_write_fn *fn, void *ctx);

/* The same with these permissions (07777), also of a file that exists; 0: file_write().
 */
void file_write_mode(struct sandboxes *set, uint64_t sandbox, struct str path,
                     struct str content, unsigned mode, file_write_fn *fn, void *ctx);

/* The same for content that is not in one piece: `fill` writes all of it to fd (a file
 * that blocks), or gives err, and then nothing is changed. It is called at most once,
 * before fn, with the same ctx. */
typedef int file_fill_fn(void *ctx, int fd, struct err *err);
void file_fill(struct sandboxes *set, uint64_t sandbox, struct str path,
               file_fill_fn *fill, file_write_fn *fn, void *ctx);

/* Of a workspace that is an overlay: what differs from the host's directory. */
enum workspace_action { WORKSPACE_LIST, WORKSPACE_COMMIT, WORKSPACE_DISCARD };
struct workspace_change {
    char kind;       /* 'A' added, 'M' modified, 'D' deleted */
    struct str path; /* in the workspace; a directory ends with a slash */
};
typedef void workspace_changes_fn(void *ctx, const struct workspace_change *changes,
                                  size_t count, uint64_t total, const struct err *err);
/* LIST: count of total changes (of a great many, the first). COMMIT writes them to the
 * host's directory, DISCARD takes them back inside; both tell what they did, while the
 * sandbox's processes stand still. When one fails in the middle, the rest is still a
 * change. INVALID: its workspace is no overlay. */
void workspace_changes(struct sandboxes *set, uint64_t sandbox,
                       enum workspace_action action, workspace_changes_fn *fn,
                       void *ctx);

/* Makes a directory. parents: those that are missing, too, and one that exists is fine.
 */
void dir_make(struct sandboxes *set, uint64_t sandbox, struct str path, bool parents,
              sandbox_done_fn *fn, void *ctx);
