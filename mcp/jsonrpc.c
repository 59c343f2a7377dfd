#include "mcp/jsonrpc.h"
#include "mcp/errors.h"

static bool legal_id(struct json id)
{
    int64_t i;
    struct str raw = json_raw(id);
    switch (json_type(id)) {
    case JSON_STRING:
        return true;
    case JSON_NUMBER:
        /* Integers beyond int64 are integers all the same: echoed as they came. */
        return json_i64(id, &i) ||
               (!memchr(raw.p, '.', raw.n) && !memchr(raw.p, 'e', raw.n) &&
                !memchr(raw.p, 'E', raw.n));
    default:
        return false;
    }
}

static int refuse(int *ret_code, struct err *err, int code, const char *what)
{
    *ret_code = code;
    return err_set(err, ERR_INVALID, "%s", what);
}

int rpc_read(struct json message, struct rpc *rpc, int *ret_code, struct err *err)
{
    *rpc = (struct rpc){0};
    if (json_type(message) != JSON_OBJECT)
        return refuse(ret_code, err, RPC_INVALID_REQUEST, "a message is a JSON object");
    struct json id = json_get(message, STR("id"));
    if (legal_id(id))
        rpc->id = json_raw(id);
    if (!json_str_is(json_get(message, STR("jsonrpc")), STR("2.0")))
        return refuse(ret_code, err, RPC_INVALID_REQUEST,
                      "\"jsonrpc\" must be \"2.0\"");
    rpc->method = json_get(message, STR("method"));
    rpc->params = json_get(message, STR("params"));
    rpc->result = json_get(message, STR("result"));
    rpc->error = json_get(message, STR("error"));
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
    if (json_present(rpc->params) && json_type(rpc->params) != JSON_OBJECT)
        return refuse(ret_code, err, RPC_INVALID_PARAMS,
                      "\"params\" must be an object");
    return 0;
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
