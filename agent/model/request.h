/* What a request to the Messages API looks like (claude-api 1.3, 2.1), sans I/O. */
#pragma once
#include "agent/model/model.h"
#include "base/buf.h"

enum { REQUEST_HEADERS_MAX = 64 };

/* A body up to and including the key "messages": the same bytes for every turn. */
void request_head(struct buf *to, const struct model_config *config);
/* The whole body; LIMIT when it is over MODEL_REQUEST_MAX. */
int request_body(struct buf *to, struct str head, struct str messages, struct err *err);

/* Header lines, each ended by a NUL. The lines' buffer holds the key, where it goes
 * into x-api-key: it is wiped by request_headers_finish(). */
struct request_headers {
    struct buf text;
    struct str line[REQUEST_HEADERS_MAX];
    size_t count;
    bool own_key; /* a header of the user's has the credentials: send no others */
};
int request_headers(struct request_headers *h, const struct model_config *config,
                    const char *version, struct err *err);
void request_headers_finish(struct request_headers *h); /* accepts all-zero */
