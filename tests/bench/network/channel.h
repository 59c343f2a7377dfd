/* One MCP connection of a measurement: JSON texts there and back over any transport,
 * written by hand so that the client costs little. What fails ends the program. */
#pragma once
#include "base/buf.h"
#include <sys/types.h>

enum channel_kind { CHANNEL_HTTP, CHANNEL_WEBSOCKET, CHANNEL_STDIO };

struct channel {
    enum channel_kind kind;
    int in, out;       /* one descriptor, or two */
    char session[128]; /* HTTP: its header line, or empty */
    struct buf got;
};

void channel_open(struct channel *c, enum channel_kind kind, int in, int out);
void channel_close(struct channel *c); /* and its descriptors */
void channel_send(struct channel *c, struct str text);
/* The next response, without notifications; valid until the next call. */
struct str channel_receive(struct channel *c);
