/* One WebSocket message out of its pieces (RFC 6455 5.4), sans I/O: fragments of text
 * frames, each as it was read. */
#pragma once
#include "base/buf.h"
#include "base/str.h"
#include <stdbool.h>

/* The close codes of RFC 6455 7.4.1 that come from here. */
enum {
    WEBSOCKET_GOING_AWAY = 1001,
    WEBSOCKET_PROTOCOL = 1002,
    WEBSOCKET_UNSUPPORTED = 1003,
    WEBSOCKET_NOT_UTF8 = 1007,
    WEBSOCKET_POLICY = 1008,
    WEBSOCKET_TOO_LARGE = 1009,
};

struct assembly {
    struct buf bytes;
    size_t max_bytes;
    bool open; /* a message is begun and not finished */
};

void assembly_init(struct assembly *a, size_t max_bytes);
void assembly_finish(struct assembly *a);

/* What came of a message, in one read. */
struct http_piece {
    struct str bytes;
    bool first, last; /* of the message */
    bool binary;
    size_t rest_bytes; /* of its frame that are still to come */
};

/* 1: *ret_text is a whole message, valid UTF-8, until the next call; 0: more is to
 * come; -1 with a close code. */
int assembly_add(struct assembly *a, const struct http_piece *piece,
                 struct str *ret_text, int *ret_code);
