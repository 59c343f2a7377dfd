/* Who a request comes from: the holder of a token of the list, or the subject of a
 * token of the authority (transport/authority.h). Challenges are those of RFC 6750 and
 * 9728, as the MCP specification ("Authorization") has them. */
#include "base/mem.h"
#include "transport/web/server.h"
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <time.h>

static struct principal *principal_of(struct web_server *server,
                                      const struct web_token *token)
{
    for (size_t i = 0; i < server->principal_count; i++)
        if (server->principals[i].number == token->number)
            return &server->principals[i];
    struct principal *p = &server->principals[server->principal_count++];
    *p = (struct principal){.own_name = mem_strndup(token->name, strlen(token->name)),
                            .number = token->number};
    p->name = p->own_name;
    return p;
}

void web_auth_init(struct web_server *server)
{
    const struct web_config *config = &server->config;
    server->principals =
        mem_zalloc((config->token_count + 1) * sizeof server->principals[0]);
    server->tokens = mem_zalloc((config->token_count + 1) * sizeof server->tokens[0]);
    server->principals[0].name = "";
    server->principal_count = 1;
    server->token_count = config->token_count;
    for (size_t i = 0; i < config->token_count; i++) {
        struct str token = config->tokens[i].token;
        server->tokens[i].principal = principal_of(server, &config->tokens[i]);
        SHA256((const unsigned char *)token.p, token.n, server->tokens[i].digest);
    }
}

void web_auth_finish(struct web_server *server)
{
    while (server->subjects) {
        struct principal *p = server->subjects;
        server->subjects = p->next;
        mem_free(p);
    }
    for (size_t i = 0; i < server->principal_count; i++)
        mem_free(server->principals[i].own_name);
    mem_free(server->principals);
    mem_free(server->tokens);
}

/* All of them are compared, each in constant time: how long it takes says nothing. */
static struct principal *find_token(struct web_server *server, struct str token)
{
    unsigned char digest[WEB_DIGEST];
    struct principal *found = NULL;
    SHA256((const unsigned char *)token.p, token.n, digest);
    for (size_t i = 0; i < server->token_count; i++)
        if (CRYPTO_memcmp(digest, server->tokens[i].digest, WEB_DIGEST) == 0)
            found = server->tokens[i].principal;
    return found;
}

static struct principal *of_subject(struct web_server *server,
                                    struct authority_subject *subject)
{
    struct principal *p = subject->app;
    if (p)
        return p;
    p = mem_new(struct principal);
    *p = (struct principal){
        .name = subject->name, .number = subject->number, .next = server->subjects};
    server->subjects = p;
    subject->app = p;
    return p;
}

/* error: of RFC 6750 3.1, or NULL: no token was given. */
static const char *challenge(struct web_server *server, const char *error,
                             const char *why)
{
    const struct web_config *config = &server->config;
    struct buf b;
    buf_init(&b, sizeof server->challenge);
    buf_addz(&b, "WWW-Authenticate: Bearer");
    const char *comma = " ";
    if (error) {
        buf_addf(&b, " error=\"%s\", error_description=\"%s\"", error, why);
        comma = ", ";
    }
    if (config->authority) {
        const struct authority_about *about = config->oauth->about(config->authority);
        buf_addf(&b, "%sresource_metadata=\"%s\"", comma, about->metadata_url);
        if (about->scope)
            buf_addf(&b, ", scope=\"%s\"", about->scope);
    }
    buf_addz(&b, "\r\n");
    snprintf(server->challenge, sizeof server->challenge, "%.*s", (int)b.n, b.p);
    buf_finish(&b);
    return server->challenge;
}

static int unauthorized(struct web_server *server, const char *error, const char *why,
                        struct http_refusal *refusal)
{
    *refusal = (struct http_refusal){.status = HTTP_UNAUTHORIZED,
                                     .message = why,
                                     .header = challenge(server, error, why)};
    return -1;
}

/* Counts the connection at whom it belongs to. */
static int belongs_to(struct conn *conn, struct principal *who, uint64_t expires_s,
                      struct http_refusal *refusal)
{
    conn->expires_s = expires_s;
    if (conn->principal != who) {
        if (conn->principal)
            conn->principal->connections--;
        who->connections++;
        conn->principal = who;
    }
    if (who->connections <= conn->server->config.limits.principal_connections)
        return 0;
    *refusal = (struct http_refusal){.status = HTTP_TOO_MANY,
                                     .message = "Too many connections with this token",
                                     .close = true};
    return -1;
}

int web_identified(struct conn *conn, const struct authority_answer *answer,
                   struct http_refusal *refusal)
{
    struct web_server *server = conn->server;
    switch (answer->says) {
    case AUTHORITY_KNOWN:
        return belongs_to(conn, of_subject(server, answer->subject), answer->expires_s,
                          refusal);
    case AUTHORITY_INVALID:
        return unauthorized(server, "invalid_token", answer->why, refusal);
    case AUTHORITY_SCOPE:
        *refusal = (struct http_refusal){
            .status = HTTP_FORBIDDEN,
            .message = answer->why,
            .header = challenge(server, "insufficient_scope", answer->why)};
        return -1;
    default:
        *refusal = (struct http_refusal){.status = HTTP_UNAVAILABLE,
                                         .message = answer->why,
                                         .header = "Retry-After: 5\r\n"};
        return -1;
    }
}

int web_authenticate(struct conn *conn, const struct http_head *head,
                     struct web_later *later, struct http_refusal *refusal)
{
    struct web_server *server = conn->server;
    const struct web_config *config = &server->config;
    struct str token = http_bearer(head);
    struct authority_answer answer;
    struct authority_wait *wait;
    if (server->token_count == 0 && !config->authority)
        return belongs_to(conn, &server->principals[0], 0, refusal);
    if (!token.n)
        return unauthorized(
            server, NULL, "A token is required: Authorization: Bearer TOKEN", refusal);
    struct principal *who = find_token(server, token);
    if (who)
        return belongs_to(conn, who, 0, refusal);
    if (!config->authority)
        return unauthorized(server, "invalid_token", "The token is not known here",
                            refusal);
    config->oauth->check(config->authority, token, &answer, &wait,
                         later ? later->fn : NULL, later ? later->ctx : NULL);
    if (answer.says != AUTHORITY_PENDING)
        return web_identified(conn, &answer, refusal);
    later->wait = wait;
    return 1;
}

uint64_t web_token_left_ms(const struct conn *conn, uint64_t most)
{
    uint64_t now_s = (uint64_t)time(NULL);
    if (!conn->expires_s || conn->expires_s > now_s + most / 1000)
        return most;
    return conn->expires_s > now_s ? (conn->expires_s - now_s) * 1000 : 0;
}

void web_forget(struct conn *conn, struct web_later *later)
{
    if (later->wait)
        conn->server->config.oauth->cancel(later->wait);
    later->wait = NULL;
}

bool web_is_metadata(const struct web_server *server, struct str path)
{
    static const struct str root = STR_INIT("/.well-known/oauth-protected-resource");
    static const struct str mcp = STR_INIT("/.well-known/oauth-protected-resource/mcp");
    const struct web_config *config = &server->config;
    return config->authority &&
           (str_eq(path, root) || str_eq(path, mcp) ||
            str_eq(path, config->oauth->about(config->authority)->metadata_path));
}
