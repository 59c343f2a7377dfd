#include "transport/host.h"
#include <errno.h>
#include <sys/random.h>
#include <time.h>

static void on_timer(void *ctx)
{
    struct host *host = ctx;
    mcp_server_expire(host->server, loop_now_ms(host->loop));
}

static void schedule(void *ctx, uint64_t due_ms)
{
    struct host *host = ctx;
    uint64_t now_ms = loop_now_ms(host->loop);
    if (!host->timer)
        host->timer = loop_timer_new(host->loop, on_timer, host);
    if (due_ms == UINT64_MAX)
        loop_timer_stop(host->timer);
    else
        loop_timer_start(host->timer, due_ms > now_ms ? due_ms - now_ms : 0);
}

static uint64_t now(void *ctx)
{
    struct host *host = ctx;
    return loop_now_ms(host->loop);
}

static uint64_t unix_now(void *ctx)
{
    (void)ctx;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int host_init(struct host *host, struct loop *loop, struct err *err)
{
    *host = (struct host){
        .mcp = {.schedule = schedule, .now_ms = now, .unix_ms = unix_now, .ctx = host},
        .loop = loop,
    };
    if (getrandom(host->mcp.key, MCP_KEY_SIZE, 0) != MCP_KEY_SIZE)
        return err_sys(err, errno, "getrandom");
    return 0;
}

void host_serve(struct host *host, struct mcp_server *server)
{
    host->server = server;
}

void host_finish(struct host *host)
{
    loop_timer_free(host->timer);
    host->timer = NULL;
}
