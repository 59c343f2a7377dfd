#include "cli/dotenv.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/secret.h"
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FILE_MAX_BYTES = 256 * 1024 };

static bool allowed(struct str name)
{
    static const char *const names[] = {
        "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "VERCEL_SANDBOX_API_KEY",
        "VERCEL_TEAM_ID",    "VERCEL_PROJECT_ID",    "AI_GATEWAY_API_KEY",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (str_eq(name, str_of(names[i])))
            return true;
    return str_starts(name, STR("VERCEL_")) && str_ends(name, STR("TOKEN"));
}

static struct str trim(struct str s)
{
    while (s.n && strchr(" \t\r", s.p[0]))
        s = str_from(s, 1);
    while (s.n && strchr(" \t\r", s.p[s.n - 1]))
        s.n--;
    return s;
}

/* Quotes are taken off; behind an unquoted value a comment may stand. */
static struct str value_of(struct str s)
{
    if (s.n && (s.p[0] == '"' || s.p[0] == '\'')) {
        ptrdiff_t end = str_find(str_from(s, 1), s.p[0]);
        if (end >= 0)
            return (struct str){s.p + 1, (size_t)end};
    }
    for (size_t i = 1; i < s.n; i++)
        if (s.p[i] == '#' && (s.p[i - 1] == ' ' || s.p[i - 1] == '\t'))
            return trim((struct str){s.p, i});
    return s;
}

static void take_line(struct dotenv *d, struct str line)
{
    line = trim(line);
    if (str_starts(line, STR("export ")))
        line = trim(str_from(line, 7));
    ptrdiff_t equals = str_find(line, '=');
    if (equals <= 0 || line.p[0] == '#')
        return;
    struct str name = trim((struct str){line.p, (size_t)equals});
    struct str value = value_of(trim(str_from(line, (size_t)equals + 1)));
    if (!allowed(name) || value.n == 0 || str_find(value, '\0') >= 0)
        return;
    struct dotenv_pair *pair = arena_zalloc(&d->arena, sizeof *pair);
    pair->name = arena_dup(&d->arena, name).p;
    pair->value = arena_alloc(&d->arena, value.n + 1);
    memcpy(pair->value, value.p, value.n);
    pair->value[value.n] = '\0';
    struct dotenv_pair **at = &d->pairs;
    while (*at)
        at = &(*at)->next;
    *at = pair;
}

void dotenv_parse(struct dotenv *d, struct str text)
{
    while (text.n) {
        ptrdiff_t end = str_find(text, '\n');
        struct str line = {text.p, end < 0 ? text.n : (size_t)end};
        take_line(d, line);
        text = str_from(text, line.n + 1);
    }
}

static void read_one(struct dotenv *d, const char *directory, const char *file)
{
    char path[PATH_MAX];
    struct buf text;
    int n = snprintf(path, sizeof path, "%s/%s", directory, file);
    if (n < 0 || (size_t)n >= sizeof path)
        return;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return;
    buf_init(&text, FILE_MAX_BYTES);
    char *room = buf_reserve(&text, FILE_MAX_BYTES);
    ssize_t got = read(fd, room, FILE_MAX_BYTES);
    if (got > 0) {
        dotenv_parse(d, (struct str){room, (size_t)got});
        secret_wipe(room, (size_t)got);
    }
    buf_finish(&text);
    fd_close(&fd);
}

void dotenv_read(struct dotenv *d, const char *directory)
{
    read_one(d, directory, ".env.local");
    read_one(d, directory, ".env");
}

void dotenv_finish(struct dotenv *d)
{
    for (struct dotenv_pair *p = d->pairs; p; p = p->next)
        secret_wipe(p->value, strlen(p->value));
    arena_finish(&d->arena);
    *d = (struct dotenv){0};
}

const char *dotenv_get(const struct dotenv *d, const char *name)
{
    const char *value = getenv(name);
    if (value && value[0])
        return value;
    for (const struct dotenv_pair *p = d->pairs; p; p = p->next)
        if (strcmp(p->name, name) == 0)
            return p->value;
    return NULL;
}
