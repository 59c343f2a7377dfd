/* A context of libwebsockets that hosts the loop (loop_set_host()), with one vhost:
 * what a process must say explicitly to it stands here. */
#pragma once
#include "base/err.h"
#include "net/loop.h"
#include <libwebsockets.h>

struct hosting {
    struct loop *loop;
    struct lws_context *lws;
    struct lws_vhost *vhost; /* without a listener; takes the loop's descriptor */
};

/* Belongs into the table of protocols of that vhost. */
#define HOSTING_PROTOCOL                                                               \
    {                                                                                  \
        .name = "loop", .callback = hosting_event                                      \
    }
int hosting_event(struct lws *wsi, enum lws_callback_reasons reason, void *user,
                  void *in, size_t n);

/* info: of the context and the vhost; no change of user, no listener, our log and the
 * context's user are added. */
int hosting_init(struct hosting *hosting, struct loop *loop,
                 struct lws_context_creation_info *info,
                 const struct lws_protocols *protocols, struct err *err);
/* One more vhost without a listener. */
struct lws_vhost *hosting_vhost(struct hosting *hosting,
                                struct lws_context_creation_info *info);
/* Destroys the context and all that is in it; accepts all-zero. */
void hosting_finish(struct hosting *hosting);
