#include "cli/agent_flags.h"
#include "cli/options.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum agent_number {
    NUMBER_MODEL = AGENT_FLAG_FIRST,
    NUMBER_MAX_TURNS,
    NUMBER_MAX_TOKENS,
    NUMBER_MAX_BUDGET,
    NUMBER_EFFORT,
    NUMBER_THINKING,
    NUMBER_SYSTEM,
    NUMBER_MCP_CONFIG,
    NUMBER_APPROVE,
    NUMBER_ALLOWED_TOOLS,
    NUMBER_OUTPUT,
    NUMBER_JSON_SCHEMA,
    NUMBER_CONTINUE,
    NUMBER_RESUME,
    NUMBER_FORK,
    NUMBER_KEEP,
    NUMBER_BASE_URL,
    NUMBER_GATEWAY,
    NUMBER_AUTH_STYLE,
    NUMBER_API_VERSION,
    NUMBER_END,
};

/* In the order of the numbers; the help is this table. */
static const struct agent_flag flags[] = {
    {"--model", "NAME", "default ANTHROPIC_MODEL, or claude-opus-5-5"},
    {"--max-turns", "N", "requests to the model for one task (default 10)"},
    {"--max-tokens", "N", "of one answer of the model (default 16000)"},
    {"--max-budget-usd", "N", "stop when this much has been spent, e.g. 0.50"},
    {"--effort", "LEVEL", "low, medium, high, xhigh or max (default: the model's)"},
    {"--thinking", "show|hide", "what the model thinks, as it comes"},
    {"--system", "TEXT", "instead of the instructions that sandquay gives"},
    {"--mcp-config", "FILE", "further MCP servers, as {\"mcpServers\": {...}}"},
    {"--approve", "MODE", "calls of other servers' tools: ask (default), auto, never"},
    {"--allowed-tools", "LIST", "tools that need no question, e.g. 'files__*,fetch'"},
    {"--output", "FORM", "text (default), json, stream-json"},
    {"--json-schema", "SCHEMA", "of the answer: JSON, or a file with it"},
    {"--continue", NULL, "go on with this directory's newest session"},
    {"--resume", "ID", "go on with this session"},
    {"--fork", NULL, "with one of these: in a copy of the session"},
    {"--keep", NULL, "the sandbox outlives this run (--continue has it again)"},
    {"--base-url", "URL", "of the Messages API (or ANTHROPIC_BASE_URL)"},
    {"--gateway", NULL, "the model through Vercel's AI Gateway (VERCEL_OIDC_TOKEN)"},
    {"--auth-style", "STYLE", "how the key is sent: bearer (default), x-api-key"},
    {"--anthropic-version", "DATE", "of the API (default 2026-10-21)"},
};
_Static_assert(NUMBER_END - AGENT_FLAG_FIRST <= AGENT_FLAGS_MAX, "table");
_Static_assert(sizeof flags / sizeof flags[0] == NUMBER_END - AGENT_FLAG_FIRST,
               "a row a number");

const struct agent_flag *agent_flags(size_t *ret_count)
{
    *ret_count = sizeof flags / sizeof flags[0];
    return flags;
}

void agent_flags_default(struct agent_config *c)
{
    *c = (struct agent_config){.max_turns = AGENT_TURNS,
                               .max_tokens = AGENT_MODEL_TOKENS};
}

/* Which of the words it is; -1 with err. */
static int one_of(const char *text, const char *const *words, int count,
                  struct err *err)
{
    char list[120] = "";
    size_t n = 0;
    for (int i = 0; i < count; i++) {
        if (strcmp(text, words[i]) == 0)
            return i;
        size_t length = strlen(words[i]);
        if (n + length + 3 < sizeof list) {
            memcpy(list + n, i ? ", " : "", i ? 2 : 0);
            n += i ? 2 : 0;
            memcpy(list + n, words[i], length + 1);
            n += length;
        }
    }
    return err_set(err, ERR_INVALID, "\"%.60s\" is none of %s", text, list);
}

static int take_dollars(struct agent_config *c, const char *text, struct err *err)
{
    char *end;
    double dollars = strtod(text, &end);
    if (end == text || *end || !isfinite(dollars) || dollars <= 0)
        return err_set(err, ERR_INVALID, "\"%.60s\" is no amount (like 0.50)", text);
    c->max_dollars = dollars;
    return 0;
}

static int take_number(struct agent_config *c, int number, const char *text,
                       struct err *err)
{
    uint64_t count = 0;
    uint64_t most = number == NUMBER_MAX_TURNS ? 10000 : 1000000;
    if (options_count(text, 1, most, &count, err) < 0)
        return -1;
    if (number == NUMBER_MAX_TURNS)
        c->max_turns = (unsigned)count;
    else
        c->max_tokens = (int64_t)count;
    return 0;
}

static int take_word(struct agent_config *c, int number, const char *text,
                     struct err *err)
{
    static const char *const thinking[] = {"hide", "show"};
    static const char *const approve[] = {"ask", "auto", "never"};
    static const char *const output[] = {"text", "json", "stream-json"};
    static const char *const style[] = {"bearer", "x-api-key"};
    static const char *const effort[] = {"low", "medium", "high", "xhigh", "max"};
    int which;
    switch (number) {
    case NUMBER_THINKING:
        which = one_of(text, thinking, 2, err);
        c->thinking_given = true;
        c->thinking_shown = which == 1;
        break;
    case NUMBER_APPROVE:
        which = one_of(text, approve, 3, err);
        c->approve = which == 1   ? APPROVAL_AUTO
                     : which == 2 ? APPROVAL_NEVER
                                  : APPROVAL_ASK;
        break;
    case NUMBER_OUTPUT:
        which = one_of(text, output, 3, err);
        c->output = which == 1   ? AGENT_JSON
                    : which == 2 ? AGENT_STREAM_JSON
                                 : AGENT_TEXT;
        break;
    case NUMBER_EFFORT:
        which = one_of(text, effort, 5, err);
        c->effort = text;
        break;
    default:
        which = one_of(text, style, 2, err);
        c->x_api_key = which == 1;
        break;
    }
    return which < 0 ? -1 : 0;
}

int agent_flags_take(struct agent_config *c, int number, const char *text,
                     struct err *err)
{
    switch (number) {
    case NUMBER_MODEL:
        c->model = text;
        return 0;
    case NUMBER_MAX_TURNS:
    case NUMBER_MAX_TOKENS:
        return take_number(c, number, text, err);
    case NUMBER_MAX_BUDGET:
        return take_dollars(c, text, err);
    case NUMBER_SYSTEM:
        c->system = text;
        return 0;
    case NUMBER_MCP_CONFIG:
        c->mcp_config = text;
        return 0;
    case NUMBER_ALLOWED_TOOLS:
        c->allowed_tools = text;
        return 0;
    case NUMBER_JSON_SCHEMA:
        c->schema = text;
        return 0;
    case NUMBER_CONTINUE:
        c->resume_latest = true;
        return 0;
    case NUMBER_RESUME:
        c->resume_id = text;
        return 0;
    case NUMBER_FORK:
        c->fork = true;
        return 0;
    case NUMBER_KEEP:
        c->keep = true;
        return 0;
    case NUMBER_BASE_URL:
        c->base_url = text;
        return 0;
    case NUMBER_GATEWAY:
        c->gateway = true;
        return 0;
    case NUMBER_API_VERSION:
        c->version = text;
        return 0;
    default:
        return take_word(c, number, text, err);
    }
}

int agent_flags_check(const struct agent_config *c, struct err *err)
{
    if (c->resume_latest && c->resume_id)
        return err_set(err, ERR_INVALID, "--continue and --resume exclude each other");
    if (c->fork && !c->resume_latest && !c->resume_id) {
        err_set(err, ERR_INVALID, "--fork of which session?");
        return err_remedy(err, "add --continue or --resume ID");
    }
    if (c->system && (c->resume_latest || c->resume_id)) {
        err_set(err, ERR_INVALID,
                "a session keeps the instructions that it began with");
        return err_remedy(err, "leave --system out");
    }
    return 0;
}
