/* Private to transport/web: a context of libwebsockets that hosts the loop
 * (loop_set_host()). */
#pragma once
#include "base/err.h"
#include "net/loop.h"
#include <libwebsockets.h>

struct web_host {
    struct loop *loop;
    struct lws_context *lws;
    struct lws_vhost *vhost; /* without a listener; takes the loop's descriptor */
};

/* Belongs into the table of protocols of that vhost. */
#define WEB_HOST_PROTOCOL                                                              \
    {                                                                                  \
        .name = "loop", .callback = web_host_event                                     \
    }
int web_host_event(struct lws *wsi, enum lws_callback_reasons reason, void *user,
                   void *in, size_t n);

/* info: of the context; what a process must say explicitly (no change of user, no
 * vhost, our log) is added. */
int web_host_init(struct web_host *host, struct loop *loop,
                  struct lws_context_creation_info *info,
                  const struct lws_protocols *protocols, struct err *err);
/* Destroys the context and all that is in it; accepts all-zero. */
void web_host_finish(struct web_host *host);
