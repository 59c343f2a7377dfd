/* Flags of the verbs, parsed without side effects. */
#pragma once
#include "agent/agent.h"
#include "base/err.h"
#include "cli/listening.h"
#include "sandbox/network_policy.h"
#include "sandbox/sandbox.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    OPTIONS_ENV_MAX = 256,
    OPTIONS_SERVER_ARGS_MAX = 64,
};

/* Which flags a verb knows. */
enum options_verb {
    OPTIONS_SERVE = 1,
    OPTIONS_EXEC = 2,
    OPTIONS_DOCTOR = 4,
    OPTIONS_SANDBOXES = 8,
    OPTIONS_STOP = 16,
    OPTIONS_RM = 32,
    OPTIONS_CP = 64,
    OPTIONS_SHELL = 128,
    OPTIONS_VERCEL_API = 256,
    OPTIONS_IMAGE = 512,
    OPTIONS_AGENT = 1024,
};

struct options {
    struct sandbox_limits limits;
    const char *workspace, *image, *sandbox, *backend; /* NULL: not given */
    int require_level;                                 /* 0: not given */
    bool allow_weak;
    bool workspace_readonly, workspace_overlay, verbose, help;
    struct sandbox_mount mounts[SANDBOX_MOUNTS_MAX];
    size_t mount_count;
    const char *toolchains[SANDBOX_MOUNTS_MAX];
    size_t toolchain_count;
    unsigned toolsets;             /* TOOLSET_* bits */
    bool json;                     /* sandboxes */
    struct network_policy network; /* see options_finish() */
    bool network_given;
    struct listening listening; /* serve, vercel-api */
    bool log_json;
    const char *token, *state_dir; /* vercel-api; NULL: not given */
    const char *suite, *include;   /* image; NULL: not given */
    /* exec */
    uint64_t timeout_ms; /* 0: not given */
    const char *timeout; /* as given */
    const char *cwd, *connect;
    bool tty;
    bool commit;                      /* the changes of the workspace */
    const char *env[OPTIONS_ENV_MAX]; /* K=V */
    size_t env_count;
    /* the flags that exec hands to the server that it starts */
    const char *server_args[OPTIONS_SERVER_ARGS_MAX];
    size_t server_arg_count;
    int first; /* index of the first operand in argv, or argc */
};

/* argv[0] is the verb. Stops at the first operand, so that a command keeps its flags.
 * INVALID with one clear line. */
int options_parse(struct options *o, enum options_verb verb, int argc, char **argv,
                  struct err *err);
/* The same for `agent`, with its own flags; they may stand behind the operands, which
 * are moved to the end of argv. */
int options_parse_agent(struct options *o, struct agent_config *agent, int argc,
                        char **argv, struct err *err);
void options_finish(struct options *o); /* accepts all-zero */

/* One more flag for the server that is started. LIMIT when there are too many. */
int options_add_server(struct options *o, const char *flag, const char *value,
                       struct err *err);

/* "2g", "512m", "1.5g", "4096": bytes. */
int options_size(const char *text, uint64_t *ret_bytes, struct err *err);
/* "60s", "500ms", "5m", "24h", "90" (seconds): milliseconds. */
int options_duration(const char *text, uint64_t *ret_ms, struct err *err);
/* "1.5": thousandths. */
int options_cpus(const char *text, uint64_t *ret_millis, struct err *err);
/* A whole number within [min, max]. */
int options_count(const char *text, uint64_t min, uint64_t max, uint64_t *ret_count,
                  struct err *err);
