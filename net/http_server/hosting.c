#include "net/http_server/hosting.h"
#include "base/fd.h"
#include "base/log.h"
#include <fcntl.h>
#include <string.h>

static void on_log(int level, const char *line)
{
    int n = (int)strcspn(line, "\n");
    if (level & LLL_ERR)
        log_info("libwebsockets: %.*s", n, line);
    else
        log_debug("libwebsockets: %.*s", n, line);
}

/* lws_service() sleeps for a time that is not negative. */
static void service(void *ctx, bool sleep)
{
    struct hosting *hosting = ctx;
    lws_service(hosting->lws, sleep ? 0 : -1);
}

int hosting_event(struct lws *wsi, enum lws_callback_reasons reason, void *user,
                  void *in, size_t n)
{
    (void)user;
    (void)in;
    (void)n;
    struct hosting *hosting = lws_context_user(lws_get_context(wsi));
    if (reason == LWS_CALLBACK_RAW_RX_FILE)
        loop_due(hosting->loop);
    return 0;
}

static int watch_loop(struct hosting *hosting, struct err *err)
{
    int fd = fcntl(loop_host_fd(hosting->loop), F_DUPFD_CLOEXEC, 3);
    lws_sock_file_fd_type file = {.filefd = fd};
    if (fd < 0 || !lws_adopt_descriptor_vhost(hosting->vhost, LWS_ADOPT_RAW_FILE_DESC,
                                              file, "loop", NULL)) {
        fd_close(&fd);
        return err_set(err, ERR_INTERNAL, "libwebsockets does not take the loop");
    }
    return loop_set_host(hosting->loop, &(struct loop_host){service, hosting}, err);
}

/* The types of these differ: int in 4.1.6, uid_t and gid_t in 4.3. */
static void say_what_not(struct lws_context_creation_info *info)
{
    info->port = CONTEXT_PORT_NO_LISTEN_SERVER;
    info->uid = (__typeof__(info->uid))-1;
    info->gid = (__typeof__(info->gid))-1;
}

struct lws_vhost *hosting_vhost(struct hosting *hosting,
                                struct lws_context_creation_info *info)
{
    say_what_not(info);
    return lws_create_vhost(hosting->lws, info);
}

int hosting_init(struct hosting *hosting, struct loop *loop,
                 struct lws_context_creation_info *info,
                 const struct lws_protocols *protocols, struct err *err)
{
    hosting->loop = loop;
    say_what_not(info);
    info->options |= LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
    info->user = hosting;
    lws_set_log_level(LLL_ERR | (log_enabled(LOG_DEBUG) ? LLL_WARN | LLL_NOTICE : 0),
                      on_log);
    hosting->lws = lws_create_context(info);
    info->protocols = protocols;
    info->vhost_name = "plain";
    if (hosting->lws)
        hosting->vhost = lws_create_vhost(hosting->lws, info);
    if (!hosting->vhost)
        return err_set(err, ERR_INTERNAL, "libwebsockets does not start");
    return watch_loop(hosting, err);
}

void hosting_finish(struct hosting *hosting)
{
    if (!hosting->lws)
        return;
    loop_set_host(hosting->loop, NULL, NULL);
    lws_context_destroy(hosting->lws);
    hosting->lws = NULL;
}
