/* Which endpoint a request means, sans I/O: the paths of the API as a table. */
#pragma once
#include "net/http_server/rules.h"

enum endpoint {
    /* the account, as far as the CLI asks */
    USER_GET,
    TEAM_LIST,
    TEAM_GET,
    PROJECT_GET,
    PROJECT_MAKE,
    HEALTH,

    SANDBOX_MAKE,
    SANDBOX_LIST,
    SANDBOX_GET,
    SANDBOX_UPDATE,
    SANDBOX_DELETE,
    SANDBOX_FORK,

    SESSION_LIST,
    SESSION_GET,
    SESSION_STOP,
    SESSION_EXTEND,
    SESSION_NETWORK,
    SESSION_SNAPSHOT,
    SESSION_INTERACTIVE,

    COMMAND_RUN,
    COMMAND_LIST,
    COMMAND_GET,
    COMMAND_LOGS,
    COMMAND_KILL,

    FILE_WRITE,
    FILE_READ,
    DIR_MAKE,

    SNAPSHOT_LIST,
    SNAPSHOT_TREE,
    SNAPSHOT_GET,
    SNAPSHOT_DELETE,

    DRIVE_LIST,
    DRIVE_GET,
    DRIVE_MAKE,
    DRIVE_DELETE,

    ENDPOINTS,
};

struct route {
    enum endpoint endpoint;
    struct str ids[2]; /* of the path: the sandbox, session, ... and the command */
};

/* path: below the base, which is "/api" or nothing. 404 or 405 with *refusal. */
int route_find(enum http_method method, struct str path, struct route *ret_route,
               struct http_refusal *refusal);
