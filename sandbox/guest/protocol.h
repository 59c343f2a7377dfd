/* What the server and the programs inside a local sandbox say to each other.
 *
 * Two SEQPACKET socketpairs: server <-> zygote (one a server) and server <-> guest (one
 * a sandbox). One datagram is one message: a fixed header, then the struct of its type,
 * then `tail_bytes` of data. Both ends are the same build on the same machine, so
 * structs travel as they are. Descriptors ride along by SCM_RIGHTS; which ones is said
 * at each type.
 *
 * Trust: the server trusts nothing that comes out of a guest: lengths, ids, statuses
 * and the nature of descriptors are checked (sandbox/local/guest.c). The guest trusts
 * the server. */
#pragma once
#include <stdint.h>

enum {
    GUEST_PROTOCOL_VERSION = 1,
    GUEST_MESSAGE_MAX =
        180 * 1024, /* under the default SO_SNDBUF of a SEQPACKET pair */
    GUEST_FDS_MAX = 16,
    GUEST_PROXY_PORT = 3128,
    GUEST_TRANSPARENT_MAX = 3,
    GUEST_POOL_BITS = 15,
};

/* 198.18.0.0/15: addresses that stand for names (sandbox/guest/transparent.h). */
#define GUEST_POOL 0xc6120000U

struct guest_header {
    uint32_t type; /* enum guest_type */
    uint32_t id;   /* chosen by the server; echoed in every answer to it */
    uint32_t tail_bytes;
    uint32_t reserved;
};

enum guest_type {
    /* server -> zygote */
    ZYGOTE_HELLO = 1, /* struct zygote_hello -> ZYGOTE_READY */
    ZYGOTE_CREATE,    /* struct zygote_create + tail, fds: the guest's end of its
                       * socketpair,    and the lock of its directory if it has one, which
                       * is    kept until    the last process is dead -> ZYGOTE_CREATED or
                       * GUEST_FAILED */
    ZYGOTE_DESTROY,   /* struct zygote_destroy; kills pid 1, reaps, removes cgroups
                       * -> ZYGOTE_DESTROYED */
    /* zygote -> server */
    ZYGOTE_READY,     /* struct zygote_ready: what this machine gives */
    ZYGOTE_CREATED,   /* struct zygote_created + fd: pidfd of the guest */
    ZYGOTE_DESTROYED, /* header only; also unasked when a guest died, id = the CREATE's
                       * id, struct zygote_destroyed */

    /* server -> guest */
    GUEST_EXEC = 32, /* struct guest_exec + tail, fds: stdin, stdout, stderr (none with
                      * a terminal) -> GUEST_STARTED or GUEST_FAILED, later GUEST_EXITED
                      * with the same id */
    GUEST_KILL,    /* struct guest_kill -> GUEST_DONE when all are dead, GUEST_FAILED */
    GUEST_OPEN,    /* struct guest_open + tail (path) -> GUEST_OPENED + fd */
    GUEST_COMMIT,  /* struct guest_commit: a file opened for writing takes its place
                    * -> GUEST_DONE or GUEST_FAILED */
    GUEST_CONNECT, /* struct guest_connect -> GUEST_CONNECTED or GUEST_FAILED */
    GUEST_HALT,    /* header only: ends every process but the guest -> GUEST_DONE */
    GUEST_TREE,    /* header only: as GUEST_HALT -> GUEST_TREE_IS, or GUEST_FAILED where
                    * its files are no tree of its own */
    GUEST_CHANGES, /* struct guest_changes, fd: a pipe that the report is written to
                    * (changes.c) -> GUEST_FAILED if it cannot begin */
    /* guest -> server */
    GUEST_READY,   /* id 0, struct guest_ready + fd: the proxy's listener. Sent once. */
    GUEST_STARTED, /* struct guest_started + fd: the terminal's master, if it has one */
    GUEST_EXITED,  /* struct guest_exited */
    GUEST_OPENED,  /* struct guest_opened + fd */
    GUEST_DONE,    /* header only */
    GUEST_FAILED,  /* struct guest_failed + tail: text of the step that failed */
    GUEST_CONNECTED, /* header only + fd: a socket, connected or connecting */
    GUEST_TREE_IS, /* header only + fd: the directory that has root/ and layers/, while
                    * nothing else runs */
    GUEST_NETWORK, /* id 0, after GUEST_READY; struct guest_network, fds: a UDP socket
                    * if has_dns, then listeners for connections to the pool */
};

/* Layers, as bits: what a sandbox has. Their names are in sandbox.h. */
enum zygote_layer {
    LAYER_USERNS = 1 << 0,
    LAYER_MOUNTNS = 1 << 1, /* own root, own /proc */
    LAYER_NETNS = 1 << 2,
    LAYER_IDRANGE = 1 << 3, /* 65536 ids, none of them the host's root */
    LAYER_OVERLAY = 1 << 4, /* writable /usr over idmapped overlays */
    LAYER_SECCOMP = 1 << 5,
    LAYER_CGROUP_MEMORY = 1 << 6,
    LAYER_CGROUP_PIDS = 1 << 7,
    LAYER_CGROUP_CPU = 1 << 8,
    LAYER_CGROUP_KILL = 1 << 9, /* v2: per-command cgroup.kill */
    LAYER_PID_MAX = 1 << 10,    /* per-namespace kernel.pid_max */
    LAYER_RLIMITS = 1 << 11,
    LAYER_WATCHDOG = 1 << 12,   /* memory watched in total instead of a cgroup */
    LAYER_BUBBLEWRAP = 1 << 13, /* namespaces made by bubblewrap */
    LAYER_LANDLOCK = 1 << 14,   /* the host's own root behind Landlock, no namespaces */
};

struct zygote_hello {
    uint32_t version;
    uint32_t server_pid;
};

struct zygote_ready {
    uint32_t version;
    uint32_t zygote_pid;
};

/* How a guest is started, from most to least isolation. The server tries the next one
 * when the machine does not allow one. */
enum zygote_launcher {
    LAUNCH_NAMESPACES,
    LAUNCH_BUBBLEWRAP,        /* bwrap makes a user namespace */
    LAUNCH_BUBBLEWRAP_SETUID, /* bwrap is setuid and needs none */
    LAUNCH_LANDLOCK,
    LAUNCHERS,
};

/* The tail holds `string_count` NUL-terminated strings in the order of enum
 * zygote_string. */
struct zygote_create {
    uint64_t memory_bytes; /* of the whole sandbox */
    uint64_t
        disk_bytes; /* of the root tmpfs; at most half of memory (or it OOM-kills) */
    uint64_t disk_inodes;
    uint64_t cpu_millis; /* 1000 = one CPU; 0 = all */
    uint32_t pids;
    uint32_t workspace_readonly;
    uint32_t workspace_overlay; /* writes do not reach the host's directory */
    uint32_t string_count;
    uint32_t relaxed;  /* 1 under ASan: no memory rlimits for the guest itself */
    uint32_t launcher; /* enum zygote_launcher */
};

enum zygote_string {
    CREATE_NAME,      /* host name inside and part of cgroup names */
    CREATE_WORKSPACE, /* host directory to be /workspace, or "" for tmpfs */
    CREATE_FILES,     /* host directory that holds the kept root, or "" for tmpfs */
    CREATE_SNAPSHOTS, /* host directory of snapshots that the root lies upon, or "" */
    CREATE_LOWERS,    /* which ones, newest first, each followed by a space */
    CREATE_IMAGE,     /* host directory that is the root instead of the host's, or "" */
    CREATE_MOUNTS,    /* more host directories: mount_list.h; or "" */
    CREATE_TEMP,      /* host directory for what LAUNCH_LANDLOCK keeps on disk */
    CREATE_STRINGS,
};

struct zygote_created {
    uint32_t layers;   /* enum zygote_layer bits set up outside the guest */
    uint32_t host_pid; /* of the guest, for the log */
};

struct zygote_destroy {
    uint32_t create_id; /* the id of its ZYGOTE_CREATE */
};

/* Tail: what bubblewrap said, if it did. */
struct zygote_destroyed {
    uint32_t oom_kills; /* the memory cgroup's count over its life */
};

/* Tail: NUL-terminated strings in the order of enum guest_place, absolute paths as seen
 * inside. */
struct guest_ready {
    uint32_t version;
    uint32_t layers; /* enum zygote_layer bits set up inside */
};

struct guest_network {
    uint32_t has_dns;
};
enum guest_place { PLACE_WORKSPACE, PLACE_HOME, PLACE_TMP, PLACES };

/* Tail: argc + envc NUL-terminated strings, then the working directory. The environment
 * is complete: the guest adds nothing. argv[0] is looked up in the PATH of that
 * environment. */
struct guest_exec {
    uint32_t argc, envc;
    uint16_t cols, rows; /* of a terminal made inside, its controlling one; 0: none */
    uint32_t reserved;
};

struct guest_started {
    uint32_t pid; /* inside */
};

struct guest_exited {
    int32_t exit_code;    /* 0-255, or -1 when killed by `signal` */
    int32_t signal;       /* 0 when it exited by itself */
    uint32_t left_behind; /* 1: processes that it started go on living */
    uint32_t
        oom_killed; /* 1: something of this sandbox was killed for memory meanwhile */
    uint32_t pids_hit;  /* 1: a fork failed for the process limit meanwhile */
    uint32_t disk_full; /* 1: it failed, and nothing can be written now, or the watched
                         * disk was over its limit */
};

struct guest_kill {
    uint32_t exec_id;
    int32_t signal;
    uint32_t whole_tree; /* 1: SIGKILL to the leader and every descendant, orphans
                            included */
};

enum guest_open_mode {
    GUEST_OPEN_READ, /* an existing regular file (links followed inside the sandbox) */
    GUEST_OPEN_REPLACE,   /* a temporary file beside the target, parents made; it takes
                           * the target's place, mode and owner at GUEST_COMMIT */
    GUEST_OPEN_MAKE_DIR,  /* nothing is opened: a directory is made -> GUEST_DONE */
    GUEST_OPEN_MAKE_DIRS, /* with its parents; one that exists is fine */
};

struct guest_open {
    uint32_t mode;
    uint32_t create_mode; /* REPLACE: the permissions, also of a file that exists; 0:
                             those stay, and a new file has 0644 */
};

struct guest_opened {
    uint32_t token;   /* for GUEST_COMMIT; 0 when reading */
    uint32_t existed; /* 1: REPLACE of an existing file */
    uint64_t size_bytes;
};

/* To 127.0.0.1 or ::1 of the sandbox. */
struct guest_connect {
    uint32_t port;
    uint32_t v6;
};

struct guest_commit {
    uint32_t token;
    uint32_t keep; /* 1: rename into place; 0: throw the temporary file away */
};

/* Of a workspace that is an overlay. */
enum guest_changes_action {
    GUEST_CHANGES_LIST,
    GUEST_CHANGES_COMMIT,  /* the host's directory becomes what is seen inside */
    GUEST_CHANGES_DISCARD, /* what is seen inside becomes the host's directory */
};

struct guest_changes {
    uint32_t action;
};

/* `what` tells failures apart that share an errno. */
enum guest_what {
    GUEST_WHAT_ERRNO, /* sys says it */
    GUEST_WHAT_IS_DIRECTORY,
    GUEST_WHAT_NOT_REGULAR, /* a fifo, device or socket */
    GUEST_WHAT_NO_COMMAND,  /* argv[0] not found */
    GUEST_WHAT_BAD_CWD,
    GUEST_WHAT_BAD_REQUEST,
    GUEST_WHAT_NO_TERMINAL,
    GUEST_WHAT_STEP, /* a step of the set-up: the tail names it */
};

struct guest_failed {
    int32_t sys;
    uint32_t what;
};
