/* Ports of running sandboxes: each is a URL of this machine (sandbox_expose()). The
 * host that the SDK's domain() names leads there, too: domain.h. */
#include "base/log.h"
#include "base/mem.h"
#include "vercel_api/private.h"
#include <stdio.h>

/* A port that is being opened. */
struct opening {
    struct vercel_api *api;
    char session_id[API_ID_MAX];
    uint16_t port;
};

static struct api_route *find_route(struct record *rec, uint16_t port)
{
    for (size_t i = 0; i < rec->route_count; i++)
        if (rec->routes[i].port == port)
            return &rec->routes[i];
    return NULL;
}

static void on_exposed(void *ctx, struct str url, const struct err *err)
{
    struct opening *o = ctx;
    struct session *s = session_find(o->api, str_of(o->session_id));
    struct api_route *route = s ? find_route(s->record, o->port) : NULL;
    if (err)
        log_warn("port %u of a sandbox is not to be had: %s", o->port, err->msg);
    else if (route && s->status == SANDBOX_RUNNING && url.n < sizeof route->url)
        snprintf(route->url, sizeof route->url, "%.*s", STR_FMT(url));
    mem_free(o);
}

void session_open_ports(struct session *s)
{
    struct record *rec = s->record;
    for (size_t i = 0; i < rec->route_count; i++) {
        struct opening *o = mem_new(struct opening);
        o->api = rec->api;
        o->port = rec->routes[i].port;
        memcpy(o->session_id, s->id, sizeof o->session_id);
        sandbox_expose(rec->api->set, s->sandbox, o->port, on_exposed, o);
    }
}

void session_close_ports(struct session *s, const struct api_route *routes,
                         size_t count)
{
    struct err err;
    for (size_t i = 0; i < count; i++)
        if (!find_route(s->record, routes[i].port) &&
            sandbox_unexpose(s->record->api->set, s->sandbox, routes[i].port, &err) < 0)
            log_info("ignoring: %s", err.msg);
}

void record_forget_urls(struct record *rec)
{
    for (size_t i = 0; i < rec->route_count; i++)
        rec->routes[i].url[0] = '\0';
}
