/* What a conversation looks like from outside: one of the three --output forms. */
#pragma once
#include "agent/model/message.h"
#include "agent/result.h"
#include "base/buf.h"
#include "net/loop.h"

/* How a task came to its end; docs/agent.md lists the exit codes. */
enum task_outcome {
    TASK_DONE,
    TASK_TRUNCATED,    /* at --max-tokens */
    TASK_CONTEXT_FULL, /* nothing more fits the model, or a request */
    TASK_REFUSED,
    TASK_TURN_LIMIT,
    TASK_BUDGET,
    TASK_CANCELLED,
    TASK_FAILED,      /* the API */
    TASK_NO_SERVER,   /* its tools are gone */
    TASK_NOT_BEGUN,   /* something that it needs is missing */
    TASK_WRONG_SHAPE, /* the answer is not what --json-schema asks for */
};

struct view_start {
    const char *session; /* its id */
    const char *model;
    struct str tools; /* the JSON array for the model */
    bool resumed;
};

/* One call of a tool. */
struct view_call {
    struct str id, name; /* as the model wrote them */
    struct str input;    /* a JSON object text */
    struct str telling;  /* the argument that tells most; may be empty */
    struct str result;   /* the tool_result block, once it has one */
    struct result_facts facts;
    uint64_t start_ms; /* of the loop's clock */
    uint64_t duration_ms;
};

struct view_end {
    enum task_outcome outcome;
    const struct err *err; /* why, where the outcome does not say it all; or NULL */
    struct str text;       /* the answer */
    unsigned turns;
    struct usage usage;
    bool has_dollars;
    double dollars;
    uint64_t duration_ms;
    const char *session, *model;
    const char *kept;        /* what outlives the agent; or NULL */
    struct str stop_details; /* of a refusal: JSON */
    bool is_json;            /* the answer was to be JSON, and is */
};

struct view;

struct view_ops {
    void (*start)(struct view *v, const struct view_start *start);
    /* Something is waited for, e.g. the model: what ("asking claude-opus-5-5"). */
    void (*waiting)(struct view *v, const char *what);
    void (*text)(struct view *v, struct str delta);
    void (*thinking)(struct view *v, struct str delta);
    void (*writing)(struct view *v, struct str tool); /* the model writes a call */
    /* What was shown of this turn is void; it is repeated. */
    void (*again)(struct view *v, const char *why, uint64_t wait_ms);
    /* A turn is complete. is_last: no calls follow. */
    void (*message)(struct view *v, const struct message *message, bool is_last);
    void (*call)(struct view *v, const struct view_call *call);
    void (*progress)(struct view *v, const struct view_call *call, struct str line);
    void (*result)(struct view *v, const struct view_call *call);
    /* For people. A remark, or what a server said. */
    void (*note)(struct view *v, struct str text);
    void (*server)(struct view *v, const char *name, struct str line);
    void (*end)(struct view *v, const struct view_end *end);
    void (*close)(struct view *v); /* frees it */
};

struct view {
    const struct view_ops *ops;
};

struct view_config {
    struct loop *loop;
    int out_fd, err_fd;
    bool verbose, thinking;
    bool out_terminal, err_terminal;
    bool colour, unicode;
    /* Nobody reads the output any more. */
    void (*gone)(void *ctx);
    void *ctx;
};

struct view *view_text_new(const struct view_config *config);
/* The whole as one object at the end, or as it comes, a line each. */
struct view *view_json_new(const struct view_config *config, bool stream);

/* "max_turns", as --output json says it. */
const char *view_outcome_name(enum task_outcome outcome);
/* One sentence for people. */
const char *view_outcome_text(enum task_outcome outcome);
/* Writes all of it, waiting where it must; false: nobody reads. */
bool view_write(int fd, struct str bytes);
