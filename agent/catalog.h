/* The tools of a conversation: what the model is told of them, and which tool of which
 * server each name means. Frozen once it has begun: the bytes of the list are a part of
 * every request, and caches and thinking blocks hold only for the same ones. */
#pragma once
#include "base/buf.h"
#include "base/json.h"

enum { CATALOG_NAME_MAX = 64, CATALOG_TOOLS_MAX = 1024 };

struct catalog_tool {
    char name[CATALOG_NAME_MAX + 1]; /* for the model: ^[a-zA-Z0-9_-]{1,64}$ */
    char *mcp_name;                  /* for its server */
    size_t server;                   /* its number */
    char *telling; /* the argument that tells most about a call; or NULL */
};

struct catalog {
    struct catalog_tool *tools;
    size_t count, room;
    struct buf json;  /* entries of the Messages API, without the brackets */
    struct buf given; /* the list of an earlier time, which counts instead */
};

void catalog_init(struct catalog *c);
void catalog_finish(struct catalog *c);

/* Adds an entry of tools/list. prefix: put before the name with "__", so that servers
 * cannot take each other's names; or NULL. Names that would be the same, or too long,
 * get a hash. LIMIT; INVALID for one that is no tool. */
int catalog_add(struct catalog *c, size_t server, const char *prefix, struct json tool,
                struct err *err);
/* The list that an earlier conversation had (a JSON array), byte by byte: the model is
 * told of it instead. A tool in it that nobody has any more is just not found. */
void catalog_use(struct catalog *c, struct str json);

const struct catalog_tool *catalog_find(const struct catalog *c, struct str name);
/* The JSON array for the model; made in *to. */
void catalog_write(const struct catalog *c, struct buf *to);
