/* Tokens: who may connect. They are secrets: no error, log or argument shows one. */
#include "base/fd.h"
#include "base/log.h"
#include "cli/listening.h"
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FILE_MAX_BYTES = 1024 * 1024,
    MADE_BYTES = 24, /* of a token that is made here, in hex */
    NAME_MAX_BYTES = 64,
    TOKEN_MAX_BYTES = 4096,
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The next word of the line. */
static struct str word(struct str *line)
{
    while (line->n && is_blank(line->p[0]))
        *line = str_from(*line, 1);
    size_t n = 0;
    while (n < line->n && !is_blank(line->p[n]))
        n++;
    struct str found = {line->p, n};
    *line = str_from(*line, n);
    return found;
}

static bool is_name(struct str s)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    if (s.n == 0 || s.n > NAME_MAX_BYTES)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!memchr(letters, s.p[i], sizeof letters - 1))
            return false;
    return true;
}

/* RFC 6750's b64token, so that it fits a header; long enough not to be guessed. */
static bool is_token(struct str s)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789-._~+/=";
    for (size_t i = 0; i < s.n; i++)
        if (!memchr(letters, s.p[i], sizeof letters - 1))
            return false;
    return s.n >= LISTENING_TOKEN_MIN && s.n <= TOKEN_MAX_BYTES;
}

/* FNV-1a: the same name has the same sandboxes after a restart, whatever the order of
 * the lines. */
static uint32_t number_of(struct str name)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < name.n; i++)
        hash = (hash ^ (unsigned char)name.p[i]) * 16777619u;
    return hash ? hash : 1;
}

static int add(struct tokens *tokens, struct str name, struct str token,
               struct err *err)
{
    uint32_t number = name.n ? number_of(name) : 0;
    if (tokens->count == LISTENING_TOKENS_MAX)
        return err_set(err, ERR_LIMIT, "more than %d tokens", LISTENING_TOKENS_MAX);
    if (name.n && !is_name(name))
        return err_set(err, ERR_INVALID, "a name is letters, digits, _ and -");
    if (!is_token(token))
        return err_set(
            err, ERR_INVALID,
            "a token is %d or more letters, digits and -._~+/=", LISTENING_TOKEN_MIN);
    for (size_t i = 0; i < tokens->count; i++) {
        if (str_eq(tokens->rows[i].token, token))
            return err_set(err, ERR_CONFLICT, "the same token twice");
        if (tokens->rows[i].number == number &&
            !str_eq(str_of(tokens->rows[i].name), name))
            return err_set(err, ERR_CONFLICT,
                           "choose another name than %.*s: its "
                           "number is that of %s",
                           STR_FMT(name), tokens->rows[i].name);
    }
    tokens->rows[tokens->count++] =
        (struct web_token){.name = arena_dup(&tokens->arena, name).p,
                           .number = number,
                           .token = arena_dup(&tokens->arena, token)};
    return 0;
}

int tokens_parse(struct tokens *tokens, struct str text, struct err *err)
{
    struct str rest = text;
    for (unsigned number = 1; rest.n; number++) {
        ptrdiff_t end = str_find(rest, '\n');
        struct str line = {rest.p, end < 0 ? rest.n : (size_t)end};
        rest = str_from(rest, line.n + 1);
        struct str first = word(&line), second = word(&line), third = word(&line);
        if (first.n == 0 || first.p[0] == '#')
            continue;
        int rc = third.n    ? err_set(err, ERR_INVALID, "a line is TOKEN or NAME TOKEN")
                 : second.n ? add(tokens, first, second, err)
                            : add(tokens, (struct str){"", 0}, first, err);
        if (rc < 0)
            return err_prefix(err, "line %u", number);
    }
    return tokens->count ? 0 : err_set(err, ERR_INVALID, "there is no token in it");
}

static int read_file(const char *path, struct buf *to, struct err *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) < 0) {
        int sys = errno;
        fd_close(&fd);
        return err_sys(err, sys, "%s", path);
    }
    if (S_ISREG(st.st_mode) && st.st_mode & (S_IROTH | S_IWOTH | S_IWGRP))
        log_warn("%s: others on this machine can read or change it (chmod 600)", path);
    ssize_t n;
    do {
        char *room = buf_reserve(to, BUFSIZ);
        n = room ? read(fd, room, BUFSIZ) : 0;
        if (n > 0)
            to->n += (size_t)n;
    } while (n > 0 || (n < 0 && errno == EINTR));
    int sys = n < 0 ? errno : 0;
    fd_close(&fd);
    if (to->overflow)
        return err_set(err, ERR_LIMIT, "%s: over %d MiB", path, FILE_MAX_BYTES >> 20);
    return sys ? err_sys(err, sys, "%s", path) : 0;
}

static int take_file(struct tokens *tokens, const char *path, struct err *err)
{
    struct buf text;
    buf_init(&text, FILE_MAX_BYTES);
    int rc = read_file(path, &text, err);
    if (rc == 0 && tokens_parse(tokens, buf_str(&text), err) < 0)
        rc = err_prefix(err, "%s", path);
    if (text.p)
        explicit_bzero(text.p, text.n);
    buf_finish(&text);
    return rc;
}

/* It leaves the environment, which children inherit. */
static int take_env(struct tokens *tokens, const char *variable, struct err *err)
{
    const char *value = getenv(variable);
    if (!value || !value[0])
        return err_set(err, ERR_INVALID, "$%s is not set", variable);
    int rc = add(tokens, (struct str){"", 0}, str_of(value), err);
    unsetenv(variable);
    return rc < 0 ? err_prefix(err, "$%s", variable) : 0;
}

static int make(struct tokens *tokens, struct err *err)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char bytes[MADE_BYTES];
    char text[2 * MADE_BYTES];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return err_sys(err, errno, "getrandom");
    for (size_t i = 0; i < sizeof bytes; i++) {
        text[2 * i] = hex[bytes[i] >> 4];
        text[2 * i + 1] = hex[bytes[i] & 15];
    }
    return add(tokens, (struct str){"", 0}, (struct str){text, sizeof text}, err);
}

int tokens_find(struct tokens *tokens, const struct listening *l, const char **ret_made,
                struct err *err)
{
    *ret_made = NULL;
    if (l->no_auth)
        return 0;
    if (l->token_file && take_file(tokens, l->token_file, err) < 0)
        return -1;
    if (l->token_env && take_env(tokens, l->token_env, err) < 0)
        return -1;
    if (tokens->count || l->oauth_issuer)
        return 0;
    if (make(tokens, err) < 0)
        return -1;
    *ret_made = tokens->rows[0].token.p;
    return 0;
}

void tokens_finish(struct tokens *tokens)
{
    for (size_t i = 0; i < tokens->count; i++) /* they are in our arena */
        explicit_bzero((void *)(uintptr_t)tokens->rows[i].token.p,
                       tokens->rows[i].token.n);
    arena_finish(&tokens->arena);
    tokens->count = 0;
}
