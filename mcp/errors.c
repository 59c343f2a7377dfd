#include "mcp/errors.h"

static const int codes[] = {
    [ERR_NONE] = RPC_INTERNAL_ERROR,        [ERR_INVALID] = RPC_INVALID_PARAMS,
    [ERR_NOT_FOUND] = RPC_INVALID_PARAMS,   [ERR_CONFLICT] = RPC_INVALID_PARAMS,
    [ERR_DENIED] = RPC_INVALID_PARAMS,      [ERR_LIMIT] = RPC_INVALID_REQUEST,
    [ERR_TIMEOUT] = RPC_INTERNAL_ERROR,     [ERR_CANCELLED] = RPC_INTERNAL_ERROR,
    [ERR_UNAVAILABLE] = RPC_INTERNAL_ERROR, [ERR_PROTOCOL] = RPC_PARSE_ERROR,
    [ERR_IO] = RPC_INTERNAL_ERROR,          [ERR_INTERNAL] = RPC_INTERNAL_ERROR,
};

int errors_rpc_code(enum err_kind kind)
{
    return (unsigned)kind < sizeof codes / sizeof codes[0] ? codes[kind]
                                                           : RPC_INTERNAL_ERROR;
}

/* Every other code is an answer like any: 200. */
static const struct {
    int code;
    int status[2]; /* by enum mcp_era */
} statuses[] = {
    {RPC_PARSE_ERROR, {400, 400}},        {RPC_INVALID_REQUEST, {400, 400}},
    {RPC_METHOD_NOT_FOUND, {200, 404}},   {RPC_HEADER_MISMATCH, {400, 400}},
    {RPC_MISSING_CAPABILITY, {400, 400}}, {RPC_UNSUPPORTED_VERSION, {400, 400}},
};

int errors_rpc_status(int code, enum mcp_era era)
{
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
        if (statuses[i].code == code)
            return statuses[i].status[era];
    return 200;
}

void errors_write(struct json_writer *w, const struct err *err)
{
    jw_object(w);
    jw_key_cstr(w, "code", err_kind_name(err->kind));
    jw_key_cstr(w, "cause", err->msg);
    if (err->remedy[0])
        jw_key_cstr(w, "remedy", err->remedy);
    jw_end_object(w);
}
