/* Private to vercel_api/: what its files share.
 *
 * A `record` is a sandbox as the API knows it: named, long-lived, one file in the state
 * directory. A `session` is one run of it. Behind both is one kept sandbox of
 * sandbox.h, whose name is the record's `local`.
 *
 * A `request` lives until its client is gone and everything that was begun for it has
 * ended: each thing that answers later holds it (request_hold), and finds r->ex NULL
 * when nobody waits for the answer any more. */
#pragma once
#include "base/json.h"
#include "base/json_write.h"
#include "net/http_server/server.h"
#include "sandbox/network_policy.h"
#include "sandbox/sandbox.h"
#include "vercel_api/page.h"
#include "vercel_api/route.h"
#include "vercel_api/vercel_api.h"

#define API_ROUTES_DOMAIN ".vercel.run"

enum {
    API_ID_MAX = 40, /* "sbx_" and 28 characters */
    API_PORTS_MAX = 15,
    API_TAGS_MAX = 5,
    API_JSON_MAX = 1024 * 1024, /* of one body or object */
    API_SESSIONS_MAX = 50,      /* remembered of a sandbox */
    API_SUBDOMAIN_MAX = 20,
    API_OWNER = 0, /* of all sandboxes, see sandbox.h */
    API_INTERACTIVE_PORT = 26661,
};

struct request {
    struct vercel_api *api;
    struct request *next, **at;
    struct http_exchange *ex; /* NULL: the client is gone */
    struct route route;
    struct arena arena;
    struct json_doc doc;
    struct json body; /* absent for requests without one */
    unsigned holds;
    bool resumed;
    void *work; /* of the endpoint while it answers in pieces */
    void (*drained)(struct request *r);
    void (*gone)(struct request *r); /* ends `work` */
};

struct session;

/* What waits for the end of a session's change (starting, stopping). */
struct waiter {
    struct waiter *next;
    void (*fn)(struct request *r, struct session *s, const struct err *err);
    struct request *request; /* held */
};

struct session {
    struct record *record;
    struct session *older;
    char id[API_ID_MAX];
    enum sandbox_status status;
    uint64_t requested_ms, created_ms, started_ms, updated_ms, stop_requested_ms,
        stopped_ms, snapshotted_ms, timeout_ms;
    char source_snapshot[API_ID_MAX];
    char taken[SANDBOX_NAME_MAX + 1]; /* a snapshot that is being measured */
    unsigned vcpus;
    char *mounts; /* JSON: the record's when it began, or NULL */
    char cwd[256];
    uint64_t sandbox; /* the running one of sandbox.h; 0: none */
    struct loop_timer *timer;
    struct waiter *waiters;
    struct loop_later *later;     /* tells them */
    struct err failed;            /* what they are told; kind ERR_NONE: it went well */
    struct api_command *commands; /* newest first */
    bool deleting, by_hand;       /* by_hand: its snapshot was asked for */
};

/* A command as the API knows it, as long as its session runs. */
struct api_command {
    struct session *session;
    struct api_command *older;
    char id[API_ID_MAX];
    char *name, *args; /* args: a JSON array */
    char *cwd;
    uint64_t number; /* see sandbox.h */
    uint64_t watch, started_ms, duration_ms;
    bool ended;
    int exit_code;
    struct reader *readers;
};

struct api_route {
    uint16_t port;
    char subdomain[API_SUBDOMAIN_MAX];
    char url[160]; /* of this machine, while the sandbox runs; it carries a secret */
};

/* Members that are JSON texts are as they were given, and NULL when they were not. */
struct record {
    struct vercel_api *api;
    struct record *next;
    char local[API_ID_MAX];
    char name[SANDBOX_NAME_MAX + 1];
    char *project;
    bool persistent, has_files; /* has_files: the kept sandbox is there to resume */
    bool deleted;               /* it goes away as soon as all have been told */
    uint64_t created_ms, updated_ms, status_ms, timeout_ms, total_ms;
    unsigned vcpus;
    char *runtime, *image, *region, *network_id;
    char *tags, *env, *mounts, *keep_last, *failover; /* JSON */
    char *source; /* JSON: to be fetched by the first session, then NULL */
    bool has_network, has_expiration;
    struct network_policy network;
    uint64_t expiration_ms;    /* of its snapshots */
    char snapshot[API_ID_MAX]; /* what it starts with when it has no files; or "" */
    bool rebase;               /* its next session begins with `snapshot` */
    struct api_route routes[API_PORTS_MAX];
    size_t route_count;
    struct session *current; /* and the older ones behind it; never NULL */
};

struct vercel_api {
    struct vercel_api_config config;
    struct loop *loop;
    struct sandboxes *set;
    struct http_server *http;
    unsigned char token[32]; /* SHA-256 */
    bool any_token;
    int state_dir, records_dir, snapshots_dir, drives_dir, drive_records_dir;
    struct record *records;
    struct snapshot *snapshots;
    struct drive *drives;
    struct ticket *tickets;
    struct request *requests;
    struct visit *visits; /* domain.c */
    unsigned visit_count;
    bool finishing;
};

/* api.c */
void request_hold(struct request *r);
void request_drop(struct request *r); /* may free it */
uint64_t api_now_ms(void);            /* unix time */
/* `prefix` and n characters out of [0-9A-Za-z], [0-9a-f] or [0-9a-z]. */
enum id_letters { ID_BASE62, ID_HEX, ID_BASE36 };
void api_new_id(char *to, const char *prefix, int n, enum id_letters letters);
/* A query's argument; p NULL when absent or empty. */
struct str request_arg(const struct request *r, const char *key);
bool request_arg_is(const struct request *r, const char *key, const char *value);
/* The project that the request names: in its body, as projectId or as project. */
struct str request_project(struct request *r);

/* answer.c. Answers end the request's part of an endpoint; they do nothing when the
 * client is gone. */
void api_answer(struct request *r, enum http_code status, struct buf *json);
void api_fail(struct request *r, enum http_code status, const char *code,
              const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void api_fail_err(struct request *r, const struct err *err);
void api_write_error(struct buf *to, const char *code, struct str message);
/* An object to answer with: api_begin() to api_end(), which sends it. */
struct reply {
    struct buf text;
    struct json_writer w;
};
void reply_begin(struct reply *reply);
void reply_end(struct reply *reply, struct request *r, enum http_code status);
/* The page of a list: what the query says; rows are sorted and cut. -1: answered. */
int api_page(struct request *r, struct page_row *rows, size_t count, bool descending,
             struct page *ret_page);
void api_write_page(struct json_writer *w, const struct page *page);

/* objects.c: the objects of the API. */
void object_sandbox(struct json_writer *w, const struct record *rec);
void object_session(struct json_writer *w, const struct session *s);
void object_routes(struct json_writer *w, const struct record *rec, bool with_system);
/* running: it is shown so, even if it has ended meanwhile. */
void object_command(struct json_writer *w, const struct api_command *c, bool running);
/* {sandbox, session, routes[, resumed]} */
void api_answer_opened(struct request *r, const struct session *s, int resumed);

/* record_store.c: records on disk. */
void records_load(struct vercel_api *api);
void record_save(const struct record *rec);
void record_forget(const struct record *rec);

/* record.c */
struct record *record_new(struct vercel_api *api);
void record_free(struct record *rec); /* and its sessions */
/* A new one with the settings of another and no name. */
struct record *record_copy(const struct record *from);
/* A session that is to be started, in front of the older ones. */
struct session *session_new(struct record *rec);
struct record *record_find(struct vercel_api *api, struct str project, struct str name);
struct session *session_find(struct vercel_api *api, struct str id);
/* Replaces a member that is a text (p NULL: none). */
void record_text(char **to, struct str value);
void record_json(char **to, struct json value);

/* settings.c: what create, fork and update say. -1 with err: INVALID. */
enum settings_of { SETTINGS_CREATE, SETTINGS_FORK, SETTINGS_UPDATE };
int settings_check(struct json body, enum settings_of of, struct arena *a,
                   struct err *err);
/* Takes what is there; it has been checked. */
void settings_take(struct record *rec, struct json body, struct arena *a);

/* life.c. fn is called exactly once. */
typedef void session_fn(struct request *r, struct session *s, const struct err *err);
/* NOT_FOUND: its snapshot is gone; INVALID: it has none, and no files. */
int session_can_start(const struct record *rec, struct err *err);
void session_start(struct session *s, struct request *r, session_fn *fn);
enum ending { ENDING_STOP, ENDING_SNAPSHOT, ENDING_DELETE };
void session_end(struct session *s, enum ending how, struct request *r, session_fn *fn);
/* When it starts or stops just now. */
void session_wait(struct session *s, struct request *r, session_fn *fn);
/* Has it ended behind our back? Then its status says so. */
void session_look(struct session *s);
/* Its time is over at started_ms + timeout_ms. */
void session_set_timer(struct session *s);
void session_free(struct session *s);

/* setup.c: what a new sandbox begins with; `source` (JSON), or NULL, is fetched into
 * it. done is called once. */
typedef void setup_fn(struct session *s, const struct err *err);
void session_setup(struct session *s, const char *source, setup_fn *done);

/* ports.c: those of the record, while s runs. */
void session_open_ports(struct session *s);
/* Those that are not the record's any more. */
void session_close_ports(struct session *s, const struct api_route *routes,
                         size_t count);
void record_forget_urls(struct record *rec);

/* The session that the request's path names, running; NULL: answered (404, 410, 422).
 */
struct session *request_session(struct request *r);
struct record *request_record(struct request *r); /* NULL: answered */

/* endpoints */
void sandbox_make(struct request *r);
void sandbox_list_page(struct request *r);
void sandbox_show(struct request *r);
void sandbox_change(struct request *r);
void sandbox_remove(struct request *r);
void sandbox_copy(struct request *r); /* fork */

void session_list_page(struct request *r);
void session_show(struct request *r);
void session_stop(struct request *r);
void session_extend(struct request *r);
void session_network(struct request *r);
void session_snapshot(struct request *r);

void api_command_run(struct request *r);
void api_command_list(struct request *r);
void api_command_get(struct request *r);
void api_command_logs(struct request *r);
void api_command_kill(struct request *r);
void commands_free(struct session *s);

void fs_write(struct request *r);
void fs_read(struct request *r);
void fs_mkdir(struct request *r);

void snapshot_list_page(struct request *r);
void snapshot_tree(struct request *r);
void snapshot_show(struct request *r);
void snapshot_remove(struct request *r);

void account_answer(struct request *r);
