/* JSON-RPC 2.0 envelopes. Ids keep their raw text: integers beyond int64 and escaped
 * strings go back as they came. MCP narrows the standard: no null and no fractional
 * ids, params only by name. */
#include "mcp/jsonrpc.h"
#include "mcp/errors.h"

bool rpc_legal_id(struct json id)
{
    int64_t i;
    struct str raw = json_raw(id);
    if (raw.n > RPC_ID_MAX)
        return false;
    switch (json_type(id)) {
    case JSON_STRING:
        return true;
    case JSON_NUMBER:
        return json_i64(id, &i) ||
               (!memchr(raw.p, '.', raw.n) && !memchr(raw.p, 'e', raw.n) &&
                !memchr(raw.p, 'E', raw.n));
    default:
        return false;
    }
}

/* An escape is longer than what it stands for, so most strings differ by length. */
bool rpc_is(struct json v, struct str s)
{
    struct str raw = json_raw(v);
    if (raw.n < s.n + 2)
        return false;
    if (raw.n == s.n + 2)
        return raw.p[0] == '"' && memcmp(raw.p + 1, s.p, s.n) == 0;
    return json_str_is(v, s);
}

static int refuse(int *ret_code, struct err *err, int code, const char *what)
{
    *ret_code = code;
    return err_set(err, ERR_INVALID, "%s", what);
}

/* All members in one walk; of duplicate keys the last one counts. */
static void read_members(struct json message, struct rpc *rpc, struct json *ret_version,
                         struct json *ret_id)
{
    struct {
        struct str name;
        struct json *to;
    } rows[] = {
        {STR("jsonrpc"), ret_version}, {STR("id"), ret_id},
        {STR("method"), &rpc->method}, {STR("params"), &rpc->params},
        {STR("result"), &rpc->result}, {STR("error"), &rpc->error},
    };
    for (struct json k = json_first(message); json_present(k); k = json_next(k))
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
            if (rpc_is(k, rows[i].name)) {
                *rows[i].to = json_value(k);
                break;
            }
}

int rpc_read(struct json message, struct rpc *rpc, int *ret_code, struct err *err)
{
    struct json version = {0}, id = {0};
    *rpc = (struct rpc){0};
    if (json_type(message) != JSON_OBJECT)
        return refuse(ret_code, err, RPC_INVALID_REQUEST, "a message is a JSON object");
    read_members(message, rpc, &version, &id);
    if (rpc_legal_id(id))
        rpc->id = json_raw(id);
    if (!rpc_is(version, STR("2.0")))
        return refuse(ret_code, err, RPC_INVALID_REQUEST,
                      "\"jsonrpc\" must be \"2.0\"");
    if (!json_present(rpc->method) &&
        (json_present(rpc->result) || json_present(rpc->error))) {
        rpc->kind = RPC_RESPONSE;
        return 0;
    }
    if (json_type(rpc->method) != JSON_STRING)
        return refuse(ret_code, err, RPC_INVALID_REQUEST,
                      "\"method\" must be a string");
    if (json_present(id) && !rpc->id.p)
        return refuse(ret_code, err, RPC_INVALID_REQUEST,
                      "\"id\" must be a string or an integer");
    rpc->kind = json_present(id) ? RPC_REQUEST : RPC_NOTIFICATION;
    if (!json_present(rpc->params) || json_type(rpc->params) == JSON_OBJECT)
        return 0;
    rpc->params = (struct json){0};
    if (rpc->kind == RPC_NOTIFICATION)
        return 0;
    return refuse(ret_code, err, RPC_INVALID_PARAMS, "\"params\" must be an object");
}

void rpc_begin_error(struct json_writer *w, struct str id, int code,
                     const char *message)
{
    jw_object(w);
    jw_key_cstr(w, "jsonrpc", "2.0");
    if (id.n)
        jw_key_raw(w, "id", id);
    jw_key(w, "error");
    jw_object(w);
    jw_key_i64(w, "code", code);
    jw_key_cstr(w, "message", message);
}

void rpc_end_error(struct json_writer *w)
{
    jw_end_object(w);
    jw_end_object(w);
}
