#include "cli/listening.h"
#include "cli/options.h"
#include <string.h>

enum listening_number {
    NUMBER_LISTEN = LISTENING_FLAG_FIRST,
    NUMBER_TOKEN_FILE,
    NUMBER_TOKEN_ENV,
    NUMBER_OAUTH_ISSUER,
    NUMBER_OAUTH_RESOURCE,
    NUMBER_OAUTH_AUDIENCE,
    NUMBER_OAUTH_SCOPE,
    NUMBER_NO_AUTH,
    NUMBER_ALLOW_HOST,
    NUMBER_ALLOW_ORIGIN,
    NUMBER_TLS_CERT,
    NUMBER_TLS_KEY,
    NUMBER_TRUST_PROXY,
    NUMBER_CONNECTIONS,
    NUMBER_TOKEN_CONNECTIONS,
    NUMBER_TOKEN_REQUESTS,
    NUMBER_SESSIONS,
    NUMBER_TOKEN_SESSIONS,
    NUMBER_BODY,
    NUMBER_TOKEN_BODIES,
    NUMBER_SESSION_IDLE,
    NUMBER_HEAD_TIMEOUT,
    NUMBER_BODY_TIMEOUT,
    NUMBER_IDLE_TIMEOUT,
    NUMBER_WRITE_TIMEOUT,
    NUMBER_SHUTDOWN_TIMEOUT,
    NUMBER_PING,
    NUMBER_END,
};

/* In the order of the numbers; the help is this table. */
static const struct listening_flag flags[] = {
    {"--listen", "ADDRESS",
     "127.0.0.1:7777, [::1]:7777, 0.0.0.0:80, unix:/path; "
     "repeatable. MCP is at /mcp"},
    {"--token-file", "FILE",
     "who may connect, a line each: TOKEN or NAME TOKEN; each "
     "name has its own sandboxes"},
    {"--token-env", "VAR", "the token is in this environment variable"},
    {"--oauth-issuer", "URL", "whose access tokens (JWT) are good, too; docs/serve.md"},
    {"--oauth-resource", "URL", "how clients reach this server: https://host/mcp"},
    {"--oauth-audience", "AUD",
     "what tokens must name instead of the resource; "
     "repeatable"},
    {"--oauth-scope", "WORDS", "that a token must have, all of them"},
    {"--no-auth", NULL, "no token: on loopback and unix sockets only"},
    {"--allow-host", "NAME", "a further name of this server; repeatable"},
    {"--allow-origin", "ORIGIN", "of web pages that may connect; repeatable"},
    {"--tls-cert", "FILE", "PEM, with --tls-key; read again on SIGHUP"},
    {"--tls-key", "FILE", "PEM, its key"},
    {"--trust-proxy", NULL, "X-Forwarded-For is the client; WebSockets are pinged"},
    {"--max-connections", "N", "in all (default 4096)"},
    {"--max-token-connections", "N", "of a name (default 1024)"},
    {"--max-requests", "N", "over HTTP in flight, of a name (default 256)"},
    {"--max-sessions", "N", "over HTTP, in all (default 1024)"},
    {"--max-token-sessions", "N", "of a name (default 256)"},
    {"--max-message", "SIZE", "of a client (default 64m)"},
    {"--max-token-bytes", "SIZE", "being received, of a name (default 256m)"},
    {"--session-idle", "TIME", "then an HTTP session ends (default 30m)"},
    {"--head-timeout", "TIME", "for the head of a request (default 10s)"},
    {"--body-timeout", "TIME", "for its body, and 64 KiB a second (default 30s)"},
    {"--idle-timeout", "TIME", "between requests (default 75s)"},
    {"--write-timeout", "TIME", "for a client that takes nothing (default 60s)"},
    {"--shutdown-timeout", "TIME", "for what runs at SIGTERM (default 10s)"},
    {"--ping", "TIME",
     "between pings on a WebSocket (default none; 30s with "
     "--trust-proxy)"},
};
_Static_assert(NUMBER_END - LISTENING_FLAG_FIRST <= LISTENING_FLAGS_MAX, "table");
_Static_assert(sizeof flags / sizeof flags[0] == NUMBER_END - LISTENING_FLAG_FIRST,
               "a row a number");

const struct listening_flag *listening_flags(size_t *ret_count)
{
    *ret_count = sizeof flags / sizeof flags[0];
    return flags;
}

static int take_address(struct listening *l, const char *text, struct err *err)
{
    if (l->address_count == LISTENING_ADDRESSES_MAX)
        return err_set(err, ERR_LIMIT, "more than %d addresses",
                       LISTENING_ADDRESSES_MAX);
    if (listen_parse(&l->addresses[l->address_count], text, err) < 0)
        return -1;
    l->address_count++;
    return 0;
}

static int take_name(struct str *names, size_t *count, const char *text,
                     struct err *err)
{
    if (*count == LISTENING_NAMES_MAX)
        return err_set(err, ERR_LIMIT, "more than %d", LISTENING_NAMES_MAX);
    names[(*count)++] = str_of(text);
    return 0;
}

/* "https://app.example.com", as browsers write it: no path, no slash at the end. */
static int take_origin(struct listening *l, const char *text, struct err *err)
{
    const char *scheme = strstr(text, "://");
    if (!scheme || scheme == text || !scheme[3] || strchr(scheme + 3, '/'))
        return err_set(err, ERR_INVALID,
                       "\"%s\" is not an origin (like https://app.example.com)", text);
    return take_name(l->origins, &l->origin_count, text, err);
}

static int take_count(uint32_t *to, const char *text, struct err *err)
{
    uint64_t count;
    if (options_count(text, 1, 1000000, &count, err) < 0)
        return -1;
    *to = (uint32_t)count;
    return 0;
}

static int take_bytes(uint64_t *to, uint64_t most, const char *text, struct err *err)
{
    if (options_size(text, to, err) < 0)
        return -1;
    if (*to < 1024 || *to > most)
        return err_set(err, ERR_INVALID, "%s: from 1k to %llum", text,
                       (unsigned long long)most >> 20);
    return 0;
}

static int take_seconds(uint32_t *to, const char *text, struct err *err)
{
    uint64_t ms;
    if (options_duration(text, &ms, err) < 0)
        return -1;
    if (ms < 1000 || ms > 7ULL * 24 * 3600 * 1000)
        return err_set(err, ERR_INVALID, "%s: from 1s to 7d", text);
    *to = (uint32_t)(ms / 1000);
    return 0;
}

static int take_limit(struct web_limits *m, enum listening_number number,
                      const char *text, struct err *err)
{
    switch (number) {
    case NUMBER_CONNECTIONS:
        return take_count(&m->connections, text, err);
    case NUMBER_TOKEN_CONNECTIONS:
        return take_count(&m->principal_connections, text, err);
    case NUMBER_TOKEN_REQUESTS:
        return take_count(&m->principal_requests, text, err);
    case NUMBER_SESSIONS:
        return take_count(&m->sessions, text, err);
    case NUMBER_TOKEN_SESSIONS:
        return take_count(&m->principal_sessions, text, err);
    case NUMBER_BODY:
        return take_bytes(&m->body_bytes, MCP_MESSAGE_IN_MAX, text, err);
    case NUMBER_TOKEN_BODIES:
        return take_bytes(&m->principal_body_bytes, 1ULL << 40, text, err);
    case NUMBER_SESSION_IDLE:
        return take_seconds(&m->session_idle_s, text, err);
    case NUMBER_HEAD_TIMEOUT:
        return take_seconds(&m->head_s, text, err);
    case NUMBER_BODY_TIMEOUT:
        return take_seconds(&m->body_s, text, err);
    case NUMBER_IDLE_TIMEOUT:
        return take_seconds(&m->idle_s, text, err);
    case NUMBER_WRITE_TIMEOUT:
        return take_seconds(&m->write_s, text, err);
    case NUMBER_SHUTDOWN_TIMEOUT:
        return take_seconds(&m->shutdown_s, text, err);
    default:
        return take_seconds(&m->ping_s, text, err);
    }
}

int listening_take(struct listening *l, int flag, const char *text, struct err *err)
{
    l->any = true;
    switch ((enum listening_number)flag) {
    case NUMBER_LISTEN:
        return take_address(l, text, err);
    case NUMBER_TOKEN_FILE:
        l->token_file = text;
        return 0;
    case NUMBER_TOKEN_ENV:
        l->token_env = text;
        return 0;
    case NUMBER_OAUTH_ISSUER:
        l->oauth_issuer = text;
        return 0;
    case NUMBER_OAUTH_RESOURCE:
        l->oauth_resource = text;
        return 0;
    case NUMBER_OAUTH_AUDIENCE:
        return take_name(l->audiences, &l->audience_count, text, err);
    case NUMBER_OAUTH_SCOPE:
        l->oauth_scope = text;
        return 0;
    case NUMBER_NO_AUTH:
        l->no_auth = true;
        return 0;
    case NUMBER_ALLOW_HOST:
        return take_name(l->hosts, &l->host_count, text, err);
    case NUMBER_ALLOW_ORIGIN:
        return take_origin(l, text, err);
    case NUMBER_TLS_CERT:
        l->tls_cert = text;
        return 0;
    case NUMBER_TLS_KEY:
        l->tls_key = text;
        return 0;
    case NUMBER_TRUST_PROXY:
        l->trust_proxy = true;
        return 0;
    default:
        return take_limit(&l->limits, (enum listening_number)flag, text, err);
    }
}

int listening_check(const struct listening *l, struct err *err)
{
    if (l->any && l->address_count == 0) {
        err_set(err, ERR_INVALID, "this needs an address to listen on");
        return err_remedy(err, "add --listen 127.0.0.1:7777");
    }
    if (!l->tls_cert != !l->tls_key)
        return err_set(err, ERR_INVALID, "--tls-cert and --tls-key go together");
    if (!l->oauth_issuer &&
        (l->oauth_resource || l->oauth_scope || l->audience_count)) {
        err_set(err, ERR_INVALID, "--oauth-... without an issuer");
        return err_remedy(err, "add --oauth-issuer https://auth.example.com");
    }
    if (!l->no_auth)
        return 0;
    if (l->token_file || l->token_env || l->oauth_issuer)
        return err_set(err, ERR_INVALID, "--no-auth and a token exclude each other");
    for (size_t i = 0; i < l->address_count; i++)
        if (!l->addresses[i].local) {
            err_set(err, ERR_DENIED,
                    "--no-auth would let everybody on the network run code here");
            return err_remedy(err, "listen on 127.0.0.1, [::1] or unix:/path, or leave "
                                   "--no-auth out");
        }
    return 0;
}
