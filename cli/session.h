/* One sandbox, used step by step: each function waits for its answer. For verbs that
 * have nothing else to do meanwhile. */
#pragma once
#include "base/buf.h"
#include "sandbox/sandbox.h"

struct session {
    struct loop *loop;
    struct sandboxes *set;
    uint64_t sandbox, command, watch;
    size_t count;
    int level;
    bool installs;
    char limited_by[128];
    uint64_t opened_us; /* how long it took */
    struct sandbox_config config;
    /* the step that is waited for */
    bool done, failed;
    struct err err;
};

/* config is copied. */
int session_start(struct session *s, const struct sandbox_backend *backend,
                  const struct sandbox_config *config, struct err *err);
/* How many sandboxes there are before this one. */
int session_count(struct session *s, size_t *ret_count, struct err *err);
/* Errors: those of sandbox_open(). */
int session_open(struct session *s, struct err *err);
int session_write(struct session *s, const char *path, struct str content,
                  struct err *err);
/* Its stdout, as far as it fits `output` (or NULL). */
int session_run(struct session *s, struct str command, uint64_t timeout_ms,
                struct buf *output, int *ret_exit_code, struct err *err);
/* Everything of it is gone when it returns; also after a session_start() that failed.
 * How long that took, in microseconds. */
uint64_t session_close(struct session *s);
