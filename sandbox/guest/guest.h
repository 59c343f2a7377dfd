/* The guest: pid 1 of a sandbox. It makes the sandbox around itself, then serves the
 * server's requests: run, kill, open, commit. It is not dumpable, holds no secret and
 * trusts only the server; sandboxed code has no way to talk to it. */
#pragma once
#include "sandbox/guest/cgroup.h"
#include "sandbox/guest/mounts.h"
#include "sandbox/guest/seccomp.h"
#include "sandbox/guest/wire.h"

struct guest_setup {
    enum zygote_launcher launcher;
    int server; /* our end of the socketpair with the server */
    int zygote; /* NAMESPACES: the trees come from here once the id maps are written */
    struct mount_plan plan;
    struct cgroup_set groups;  /* v2_dir and the events files are used */
    int entries[CGROUP_KINDS]; /* NAMESPACES: cgroup_enter_self() */
    uint64_t memory_bytes;
    uint32_t pids;
    uint32_t pids_before; /* processes of our user outside: RLIMIT_NPROC counts them */
    bool relaxed;
    const char *temp;              /* LANDLOCK: host directory for its files */
    const struct weak_place *weak; /* LANDLOCK: where they are */
};

/* Never returns. */
_Noreturn void guest_main(struct guest_setup *setup);

struct guest {
    int server;
    int listener; /* of the proxy, until the server has it */
    const char *place[PLACES];
    struct seccomp_wishes wishes;
    uint32_t layers;
    struct cgroup_set groups;
    uint64_t memory_bytes;
    uint64_t disk_bytes; /* to be watched; 0: it is limited */
    uint64_t file_bytes; /* the most that a file may have; 0: what fits */
    uint32_t pids, pids_before;
    int top; /* plan.h; -1: there is none */
    bool relaxed;
};

void guest_answer(struct guest *g, uint32_t type, uint32_t id, const void *body,
                  size_t n);
void guest_answer_fd(struct guest *g, const struct wire_out *m);
void guest_fail(struct guest *g, uint32_t id, enum guest_what what, int sys,
                const char *text);

/* run.c */
void run_init(struct guest *g);
void run_exec(struct guest *g, struct wire_message *m);
void run_kill(struct guest *g, const struct wire_message *m);
void run_reap(struct guest *g);            /* SIGCHLD */
void run_end_all(struct guest *g);         /* every process but us */
void run_hold(struct guest *g, bool hold); /* all commands stand still, or go on */
int run_supervisor_fd(void);               /* to be polled; -1 if there are none */
void run_supervisor_news(struct guest *g);
int run_tick_ms(struct guest *g); /* how long poll may sleep; -1: for ever */
void run_tick(struct guest *g);   /* watchdog and overdue kills */

/* connect.c */
void connect_serve(struct guest *g, const struct wire_message *m);

/* files.c */
void files_open(struct guest *g, const struct wire_message *m);
void files_commit(struct guest *g, const struct wire_message *m);
