/* The objects of Vercel's Sandbox API (reference: docs/vercel.md, "The API"), read from
 * its JSON.
 *
 * Readers are lenient in what they do not need: unknown members are ignored, null
 * counts as absent. What they do need and do not find is PROTOCOL, and named. Strings
 * are borrowed from the document's text or live in the arena. Times are unix
 * milliseconds; absent numbers are 0. */
#pragma once
#include "base/json.h"
#include "sandbox/sandbox.h"

enum { VERCEL_ID_MAX = 127, VERCEL_ROUTES_MAX = 16 };

struct vercel_route {
    struct str url;
    uint16_t port;
};

struct vercel_session {
    struct str id, cwd;
    enum sandbox_status status;
    int64_t timeout_ms, started_ms;
    int64_t vcpus, memory_mb;
};

struct vercel_sandbox {
    struct str name, session, snapshot, image;
    enum sandbox_status status;
    bool persistent;
    int64_t created_ms, updated_ms, expires_ms, timeout_ms;
    int64_t vcpus, memory_mb;
    struct json tags; /* an object of strings, or absent */
};

/* What create, get and fork answer. */
struct vercel_opened {
    struct vercel_sandbox sandbox;
    struct vercel_session session;
    struct vercel_route routes[VERCEL_ROUTES_MAX];
    size_t route_count;
    bool resumed;
};

struct vercel_command {
    struct str id, session;
    struct json args;
    bool running;
    int exit_code;
    int64_t started_ms, duration_ms; /* unix time; of one that has ended, if known */
};

struct vercel_snapshot {
    struct str id, session, status;
    int64_t created_ms, expires_ms, size_bytes;
};

/* Why a request was refused. */
struct vercel_refusal {
    struct str code, message; /* empty when the body has another shape */
};

int vercel_read_opened(struct json v, struct arena *a, struct vercel_opened *ret_opened,
                       struct err *err);
int vercel_read_session(struct json v, struct arena *a, struct vercel_session *ret,
                        struct err *err);
int vercel_read_sandbox(struct json v, struct arena *a, struct vercel_sandbox *ret,
                        struct err *err);
int vercel_read_command(struct json v, struct arena *a, struct vercel_command *ret,
                        struct err *err);
int vercel_read_snapshot(struct json v, struct arena *a, struct vercel_snapshot *ret,
                         struct err *err);
/* The routes that are not the system's own; returns how many. */
size_t vercel_read_routes(struct json list, struct arena *a,
                          struct vercel_route ret_routes[VERCEL_ROUTES_MAX]);
struct vercel_refusal vercel_read_refusal(struct json v, struct arena *a);
/* The cursor of the next page; empty: this was the last one. */
struct str vercel_next_page(struct json v, struct arena *a);
