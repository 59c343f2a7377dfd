/* A job: what a tool's call keeps while it waits for a sandbox.
 *
 * A sandbox function calls back once, maybe after the call is gone (cancelled, its
 * connection closed). So the job, not the call, is the callback's context: it knows its
 * call by number, and lives until the callback that it waits for has come. A tool's own
 * struct starts with a struct tool_job. */
#pragma once
#include "base/buf.h"
#include "base/json_write.h"
#include "mcp/call.h"
#include "tools/tools.h"

struct tool_job {
    struct tool_job *next, **at; /* in tools_ctx.jobs */
    struct tools_ctx *tools;
    struct mcp_server *server;
    uint64_t call, owner, sandbox;
    bool awaits;    /* a callback with this job is still to come */
    unsigned steps; /* told by tools_doing() */
    /* The call went away: stop the work. May be NULL. */
    void (*cancelled)(struct tool_job *job);
    /* Gives back what the tool's struct holds. May be NULL. */
    void (*release)(struct tool_job *job);
    void (*opened)(struct tool_job *job, struct call *call);
    struct str sandbox_name, notice; /* in the call's arena, from job_open() on */
};

/* A zeroed job of size_bytes, tied to the call (its state and on_cancel are used). */
void *job_new(struct call *call, size_t size_bytes);
void job_free(struct tool_job *job);

/* First line of every callback: the call that waits, or NULL when it is gone (then the
 * job is still there, for the caller to free). */
struct call *job_resume(struct tool_job *job);

/* Opens the sandbox that the arguments name and goes on with opened(), or fails the
 * call. Neither the job nor the call may be touched after this. */
void job_open(struct tool_job *job, struct call *call,
              void (*opened)(struct tool_job *job, struct call *call));

/* The same for a sandbox by name; empty: the default one. */
void job_open_named(struct tool_job *job, struct str name,
                    void (*opened)(struct tool_job *job, struct call *call));

/* Ends the call with the error, and the job. */
void job_fail(struct tool_job *job, struct call *call, struct err *err);
/* The same for a callback's error; call may be NULL: then only the job ends. */
void job_end(struct tool_job *job, struct call *call, const struct err *err);

/* First line of a callback after which the job is not needed: the call that waits; NULL
 * when it is gone, or has been ended with err. */
struct call *job_finish(void *job, const struct err *err);

/* The answer of a callback, as a JSON object of up to 8 MiB. */
struct job_answer {
    struct tool_job *job;
    struct call *call;
    struct buf text;
    struct json_writer w; /* inside the object */
};
/* First line of a callback that answers so; false: there is nothing left to answer. */
bool job_answer_begin(struct job_answer *a, void *job, const struct err *err);
/* Ends the call with it, and the job. */
void job_answer_end(struct job_answer *a);

/* A sandbox_open_fn whose ctx is the job: ends the call with the sandbox's info. */
void job_answer_info(void *ctx, const struct sandbox_info *info, const struct err *err);
