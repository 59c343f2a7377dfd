/* URLs for ports. A sandbox has a list of them there, which is replaced as a whole; the
 * answer has the routes. The hostnames are random, and nothing else protects them. */
#include "base/log.h"
#include "base/mem.h"
#include "sandbox/vercel/private.h"

struct port_job {
    struct machine *machine;
    uint16_t port;
    sandbox_expose_fn *fn; /* NULL: nobody waits */
    void *ctx;
};

static const struct vercel_route *route_of(const struct machine *m, uint16_t port)
{
    for (size_t i = 0; i < m->route_count; i++)
        if (m->routes[i].port == port)
            return &m->routes[i];
    return NULL;
}

static void tell(struct port_job *job, struct str url, const struct err *err)
{
    if (job->fn && !job->machine->vercel->set->finishing)
        job->fn(job->ctx, url, err);
    else if (err)
        log_info("vercel: %s, ignoring", err->msg);
    mem_free(job);
}

static void on_ports(void *ctx, const struct exchange_result *r)
{
    struct port_job *job = ctx;
    struct vercel_route routes[VERCEL_ROUTES_MAX];
    struct err err;
    if (r->err) {
        err = *r->err;
        tell(job, (struct str){0}, &err);
        return;
    }
    struct json list = json_get(r->root, STR("routes"));
    machine_take_routes(job->machine, routes,
                        vercel_read_routes(list, r->arena, routes));
    const struct vercel_route *route = route_of(job->machine, job->port);
    if (route || !job->fn) {
        tell(job, route ? route->url : (struct str){0}, NULL);
        return;
    }
    err_set(&err, ERR_PROTOCOL, "Vercel has no route for port %u", job->port);
    err_remedy(&err, "try again");
    tell(job, (struct str){0}, &err);
}

/* The ports that there are, without or with one more. */
static void set_ports(struct machine *m, uint16_t without, uint16_t with,
                      struct port_job *job)
{
    struct vercel_scope scope = vercel_scope_of(m->vercel);
    uint16_t ports[VERCEL_ROUTES_MAX + 1];
    size_t n = 0;
    for (size_t i = 0; i < m->route_count; i++)
        if (m->routes[i].port != without)
            ports[n++] = m->routes[i].port;
    if (with)
        ports[n++] = with;
    exchange_start(m->vercel,
                   &(struct exchange_spec){
                       .request = vercel_ports(&scope, str_of(m->name), ports, n),
                       .machine = m,
                       .done = on_ports,
                       .ctx = job});
}

static struct port_job *job_new(struct machine *m, uint16_t port, sandbox_expose_fn *fn,
                                void *ctx)
{
    struct port_job *job = mem_new(struct port_job);
    *job = (struct port_job){.machine = m, .port = port, .fn = fn, .ctx = ctx};
    return job;
}

void ports_expose(struct machine *m, uint16_t port, sandbox_expose_fn *fn, void *ctx)
{
    const struct vercel_route *route = route_of(m, port);
    if (route)
        fn(ctx, route->url, NULL);
    else
        set_ports(m, 0, port, job_new(m, port, fn, ctx));
}

bool ports_unexpose(struct machine *m, uint16_t port)
{
    if (!route_of(m, port))
        return false;
    set_ports(m, port, 0, job_new(m, port, NULL, NULL));
    return true;
}
