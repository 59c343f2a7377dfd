/* What model.c and turn.c share. */
#pragma once
#include "agent/model/model.h"
#include "net/http/client.h"

struct model {
    struct loop *loop;
    struct model_config config;
    const char *version; /* that the server takes */
    struct http_client *http;
    struct turn *turns; /* under way */
    struct buf url;
    struct buf head; /* of every request's body */
};
