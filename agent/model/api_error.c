#include "agent/model/api_error.h"
#include "base/arena.h"
#include <stdio.h>
#include <string.h>

enum { MESSAGE_SHOWN = 150, WORD_SHOWN = 40 };

/* One row an error type, with the status that it usually comes with. */
static const struct row {
    struct str type;
    int status;
    enum err_kind kind;
    bool passing;
    const char *remedy;
} rows[] = {
    {STR_INIT("invalid_request_error"), 400, ERR_INVALID, false, NULL},
    {STR_INIT("authentication_error"), 401, ERR_DENIED, false, "check the key"},
    {STR_INIT("billing_error"), 402, ERR_DENIED, false,
     "check the plan and the billing of the account"},
    {STR_INIT("permission_error"), 403, ERR_DENIED, false,
     "this key may not use the model or the workspace: use another"},
    {STR_INIT("not_found_error"), 404, ERR_NOT_FOUND, false,
     "check --model and the base URL"},
    {STR_INIT("timeout_error"), 408, ERR_TIMEOUT, true, "try again"},
    {STR_INIT("conflict_error"), 409, ERR_CONFLICT, true, "try again"},
    {STR_INIT("request_too_large"), 413, ERR_LIMIT, false,
     "the conversation is too long: start a new one"},
    {STR_INIT("rate_limit_error"), 429, ERR_LIMIT, true,
     "wait, or look at the limits of the account"},
    {STR_INIT("api_error"), 500, ERR_UNAVAILABLE, true, "try again"},
    {STR_INIT("timeout_error"), 504, ERR_TIMEOUT, true, "try again"},
    {STR_INIT("overloaded_error"), 529, ERR_UNAVAILABLE, true, "try again later"},
};

/* Codes that say more than their type (claude-api 4). */
static const struct {
    struct str code;
    const char *remedy;
} codes[] = {
    {STR_INIT("image_dimensions_too_large"), "make the image smaller"},
    {STR_INIT("contract_spend_limit_reached"), "raise the account's spend limit"},
    {STR_INIT("enforced_spend_limit_reached"), "raise the account's spend limit"},
    {STR_INIT("organization_on_hold"), "the organization is on hold: ask its owner"},
    {STR_INIT("tool_name_conflict"), "two tools have the same name: leave one out"},
    {STR_INIT("available_tools_limit_exceeded"), "offer fewer tools"},
};

static const struct row *row_of(struct str type, int status)
{
    static const struct row client = {STR_INIT(""), 0, ERR_INVALID, false, NULL};
    static const struct row server = {STR_INIT(""), 0, ERR_UNAVAILABLE, true,
                                      "try again later"};
    size_t count = sizeof rows / sizeof rows[0];
    for (size_t i = 0; i < count; i++)
        if (status == rows[i].status)
            return &rows[i];
    for (size_t i = 0; i < count && status == 0; i++)
        if (str_eq(type, rows[i].type))
            return &rows[i];
    return status >= 400 && status < 500 ? &client : &server;
}

bool api_error_is_passing(struct str type, int status)
{
    return row_of(type, status)->passing;
}

/* Words of a peer, for a terminal: at most max bytes, without control characters. */
static void show(char *to, size_t room, struct str s, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n && n < max && n + 1 < room; i++) {
        unsigned char c = (unsigned char)s.p[i];
        to[n++] = (char)(c < 0x20 || c == 0x7f ? ' ' : c);
    }
    to[n] = '\0';
}

static void add_remedy(struct err *err, const struct row *row, struct str code,
                       const char *source)
{
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (str_eq(code, codes[i].code)) {
            err_remedy(err, "%s", codes[i].remedy);
            return;
        }
    if (row->status == 401 && source)
        err_remedy(err, "check the key (%s)", source);
    else if (row->remedy)
        err_remedy(err, "%s", row->remedy);
}

int api_error(struct err *err, int status, struct json body, struct str request_id,
              const char *source)
{
    struct arena a = {0};
    struct json error = json_get(body, STR("error"));
    if (json_type(error) != JSON_OBJECT) /* llama.cpp: without the outer object */
        error = json_present(json_get(body, STR("message"))) ? body : (struct json){0};
    struct str type = json_str(json_get(error, STR("type")), &a);
    struct str message = json_str(json_get(error, STR("message")), &a);
    struct str code =
        json_str(json_get(json_get(error, STR("details")), STR("error_code")), &a);
    struct str own_id = json_str(json_get(body, STR("request_id")), &a);
    char shown[MESSAGE_SHOWN + 1], word[WORD_SHOWN + 1], id[WORD_SHOWN + 16] = "";
    char head[WORD_SHOWN + 16] = "";
    const struct row *row = row_of(type, status);
    show(shown, sizeof shown, message, MESSAGE_SHOWN);
    show(word, sizeof word, own_id.n ? own_id : request_id, WORD_SHOWN);
    if (word[0])
        snprintf(id, sizeof id, " (request %s)", word);
    show(word, sizeof word, type, WORD_SHOWN);
    if (status)
        snprintf(head, sizeof head, "%d%s%s", status, word[0] ? " " : "", word);
    err_set(err, row->kind, "the model's server answers %s%s%s%s",
            status    ? head
            : word[0] ? word
                      : "with an error",
            shown[0] ? ": " : "", shown, id);
    add_remedy(err, row, code, source);
    arena_finish(&a);
    return -1;
}
