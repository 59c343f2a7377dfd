#include "vercel_api/domain.h"
#include "base/fd.h"
#include "base/mem.h"
#include "net/http_server/tls_relay.h"

enum { VISITS_MAX = 1024, HANDSHAKE_MS = 10000 };

struct visit {
    struct vercel_api *api;
    struct visit *next, **at;
    char subdomain[API_SUBDOMAIN_MAX];
    struct tls_relay *relay; /* NULL: the visitor has gone */
    bool asked;              /* a connection was, and is to come */
};

bool domain_is(void *ctx, struct str host)
{
    (void)ctx;
    return str_ends(host, STR(API_ROUTES_DOMAIN));
}

static void visit_free(struct visit *v)
{
    tls_relay_free(v->relay);
    *v->at = v->next;
    if (v->next)
        v->next->at = v->at;
    v->api->visit_count--;
    mem_free(v);
}

void domains_free(struct vercel_api *api)
{
    while (api->visits)
        visit_free(api->visits);
}

/* In the words of the hosted one, for people and programs that look at them. */
static void answer(struct visit *v, const char *status, const char *code,
                   const char *text)
{
    struct buf b;
    buf_init(&b, 1024);
    buf_addf(&b,
             "HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
             "Content-Length: %zu\r\nX-Vercel-Error: %s\r\nCache-Control: no-store\r\n"
             "Connection: close\r\n\r\n%s: %s\n",
             status, strlen(code) + strlen(text) + 3, code, code, text);
    tls_relay_answer(v->relay, buf_str(&b));
    buf_finish(&b);
}

static void on_connected(void *ctx, int fd, const struct err *err)
{
    struct visit *v = ctx;
    v->asked = false;
    if (!v->relay) {
        fd_close(&fd);
        visit_free(v);
    } else if (!err) {
        tls_relay_to(v->relay, fd);
    } else if (err->kind == ERR_NOT_FOUND) {
        answer(v, "410 Gone", "SANDBOX_STOPPED", "the sandbox has stopped");
    } else {
        answer(v, "502 Bad Gateway", "SANDBOX_NOT_LISTENING",
               "nothing in the sandbox listens on this port");
    }
}

static const struct api_route *find(const struct vercel_api *api, const char *subdomain,
                                    const struct record **ret_record)
{
    for (const struct record *rec = api->records; rec; rec = rec->next)
        for (size_t i = 0; i < rec->route_count && !rec->deleted; i++)
            if (strcmp(rec->routes[i].subdomain, subdomain) == 0) {
                *ret_record = rec;
                return &rec->routes[i];
            }
    return NULL;
}

static void on_open(void *ctx)
{
    struct visit *v = ctx;
    const struct record *rec;
    const struct api_route *route = find(v->api, v->subdomain, &rec);
    if (!route) {
        answer(v, "404 Not Found", "SANDBOX_NOT_FOUND", "no sandbox has this name");
    } else if (rec->current->status != SANDBOX_RUNNING) {
        answer(v, "410 Gone", "SANDBOX_STOPPED", "the sandbox has stopped");
    } else {
        v->asked = true;
        sandbox_connect(v->api->set, rec->current->sandbox, route->port, on_connected,
                        v);
    }
}

static void on_done(void *ctx)
{
    struct visit *v = ctx;
    tls_relay_free(v->relay);
    v->relay = NULL;
    if (!v->asked)
        visit_free(v);
}

void domain_visit(void *ctx, struct str host, int fd, void *tls_ctx)
{
    static const struct tls_relay_events events = {.open = on_open, .done = on_done};
    struct vercel_api *api = ctx;
    host.n -= sizeof API_ROUTES_DOMAIN - 1;
    if (api->visit_count >= VISITS_MAX) {
        fd_close(&fd);
        return;
    }
    struct visit *v = mem_new(struct visit);
    *v = (struct visit){.api = api, .next = api->visits, .at = &api->visits};
    if (v->next)
        v->next->at = &v->next;
    api->visits = v;
    api->visit_count++;
    if (host.n < sizeof v->subdomain) /* a longer one is nobody's */
        memcpy(v->subdomain, host.p, host.n);
    v->relay = tls_relay_new(api->loop, fd, tls_ctx, HANDSHAKE_MS, &events, v);
}
