/* The requests of Vercel's Sandbox API as values: method, path with query, body. What
 * they look like is what the official SDK 3.5.0 was seen to send; whether one may be
 * sent again when its answer was lost is part of it. */
#pragma once
#include "base/buf.h"
#include "sandbox/network_policy.h"
#include "sandbox/sandbox.h"

/* Whose sandboxes. An empty team: the token's own. */
struct vercel_scope {
    struct str team, project;
};

struct vercel_request {
    const char *method;
    const char *doing; /* "creating the sandbox": for people and models */
    struct buf path;   /* below the base, or below the session if `in_session` */
    struct buf body;
    bool in_session;
    bool repeatable;  /* doing it twice does what doing it once does */
    bool gzip;        /* the body is an archive that is made piece by piece */
    uint32_t head_ms; /* an answer's head comes within this time */
};

void vercel_request_finish(struct vercel_request *r); /* accepts all-zero */

/* The whole path of a request: "/v2/sandboxes/sessions/SID" and so on before what is in
 * a session. */
void vercel_request_path(const struct vercel_request *r, struct str session,
                         struct buf *to);

/* Appends s as a part of a path or query: what RFC 3986 does not call unreserved is
 * escaped. */
void vercel_escape(struct buf *to, struct str s);

struct vercel_create {
    struct str name;
    bool persistent;
    uint64_t timeout_ms;
    unsigned vcpus; /* 0: the default */
    const struct sandbox_spec *spec;
};
struct vercel_request vercel_create(const struct vercel_scope *s,
                                    const struct vercel_create *c);
/* `c` has what differs from the source. */
struct vercel_request vercel_fork(const struct vercel_scope *s, struct str source,
                                  const struct vercel_create *c);
struct vercel_request vercel_get(const struct vercel_scope *s, struct str name,
                                 bool resume);
struct vercel_request vercel_list(const struct vercel_scope *s, struct str cursor);
struct vercel_request vercel_update(const struct vercel_scope *s,
                                    const struct vercel_create *c);
/* Its ports become these. */
struct vercel_request vercel_ports(const struct vercel_scope *s, struct str name,
                                   const uint16_t *ports, size_t count);
/* From now on stopping it keeps its files, for a day. */
struct vercel_request vercel_persist(const struct vercel_scope *s, struct str name);
struct vercel_request vercel_delete(const struct vercel_scope *s, struct str name,
                                    bool with_snapshots);

/* In a session. */
struct vercel_request vercel_stop(const struct vercel_scope *s);
struct vercel_request vercel_extend(const struct vercel_scope *s, uint64_t duration_ms);
struct vercel_request vercel_network(const struct vercel_scope *s,
                                     const struct network_policy *policy);
struct vercel_request vercel_snapshot_take(const struct vercel_scope *s);
struct vercel_request vercel_mkdir(const struct vercel_scope *s, struct str path,
                                   bool recursive);
struct vercel_request vercel_read(const struct vercel_scope *s, struct str path);
struct vercel_request vercel_write(const struct vercel_scope *s);

struct vercel_run {
    const struct str *args; /* of bash */
    size_t arg_count;
    struct str cwd;
    const struct str *env; /* K=V */
    size_t env_count;
    bool sudo, wait; /* wait: the answer is the stream of its output */
    uint64_t timeout_ms;
};
struct vercel_request vercel_run(const struct vercel_scope *s,
                                 const struct vercel_run *run);
struct vercel_request vercel_commands(const struct vercel_scope *s);
struct vercel_request vercel_command(const struct vercel_scope *s, struct str id,
                                     bool wait);
struct vercel_request vercel_logs(const struct vercel_scope *s, struct str id);
struct vercel_request vercel_kill(const struct vercel_scope *s, struct str id,
                                  int signum);

struct vercel_request vercel_snapshots(const struct vercel_scope *s, struct str cursor);
struct vercel_request vercel_snapshot_delete(const struct vercel_scope *s,
                                             struct str id);

/* Account. */
struct vercel_request vercel_user(void);
struct vercel_request vercel_project(struct str team, struct str name);
struct vercel_request vercel_project_new(struct str team, struct str name);
