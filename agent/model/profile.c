#include "agent/model/profile.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/json.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    FILE_BYTES = 64 * 1024,
    TOKEN_BYTES = 16 * 1024,
    ANT_MS = 30000, /* it may refresh the token over the network */
    NAME_MAX_BYTES = 64,
};

extern char **environ;

struct place {
    const char *(*variable)(void *ctx, const char *name);
    void *ctx;
    char dir[PATH_MAX];
    char name[NAME_MAX_BYTES]; /* of the profile */
};

static const char *given(const struct place *p, const char *name)
{
    const char *value = p->variable(p->ctx, name);
    return value && value[0] ? value : NULL;
}

static void find_dir(struct place *p)
{
    const char *own = given(p, "ANTHROPIC_CONFIG_DIR");
    const char *config = given(p, "XDG_CONFIG_HOME"), *home = given(p, "HOME");
    int n = -1;
    if (own)
        n = snprintf(p->dir, sizeof p->dir, "%s", own);
    else if (config)
        n = snprintf(p->dir, sizeof p->dir, "%s/anthropic", config);
    else if (home)
        n = snprintf(p->dir, sizeof p->dir, "%s/.config/anthropic", home);
    if (n < 0 || (size_t)n >= sizeof p->dir)
        p->dir[0] = '\0';
}

/* A small file of the directory; false: there is none. */
static bool read_small(const struct place *p, const char *name, struct buf *to)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", p->dir, name);
    if (!p->dir[0] || n < 0 || (size_t)n >= sizeof path)
        return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return false;
    ssize_t got = read(fd, buf_reserve(to, FILE_BYTES), FILE_BYTES);
    to->n += got > 0 ? (size_t)got : 0;
    fd_close(&fd);
    return got >= 0;
}

static bool is_profile_name(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] >= 0x7f || s.p[i] == '/')
            return false;
    return s.n > 0 && s.n < NAME_MAX_BYTES && s.p[0] != '.';
}

static bool set_name(struct place *p, struct str name)
{
    while (name.n && strchr(" \t\r\n", name.p[name.n - 1]))
        name.n--;
    if (!is_profile_name(name))
        return false;
    memcpy(p->name, name.p, name.n);
    p->name[name.n] = '\0';
    return true;
}

/* Is a profile set up? */
static bool find_name(struct place *p)
{
    struct buf text;
    bool found = false;
    if (given(p, "ANTHROPIC_PROFILE"))
        return set_name(p, str_of(given(p, "ANTHROPIC_PROFILE")));
    if (given(p, "ANTHROPIC_FEDERATION_RULE_ID"))
        return set_name(p, STR("default"));
    buf_init(&text, FILE_BYTES);
    if (read_small(p, "active_config", &text))
        found = set_name(p, buf_str(&text));
    if (!found) {
        buf_reset(&text, FILE_BYTES);
        found =
            read_small(p, "configs/default.json", &text) && set_name(p, STR("default"));
    }
    buf_finish(&text);
    return found;
}

/* What the profile says beside its token. */
static void read_config(const struct place *p, struct profile *to)
{
    struct arena a = {0};
    struct json_doc doc;
    struct buf text;
    struct err err;
    char file[NAME_MAX_BYTES + 16];
    snprintf(file, sizeof file, "configs/%s.json", p->name);
    buf_init(&text, FILE_BYTES);
    if (read_small(p, file, &text) && json_parse(&doc, &a, buf_str(&text), &err) == 0) {
        struct json root = json_root(&doc);
        struct str url = json_str(json_get(root, STR("base_url")), &a);
        struct str workspace = json_str(json_get(root, STR("workspace_id")), &a);
        bool user =
            json_str_is(json_pointer(root, "/authentication/type"), STR("user_oauth"));
        if (url.n < sizeof to->base_url)
            snprintf(to->base_url, sizeof to->base_url, "%.*s", STR_FMT(url));
        if (user && is_profile_name(workspace))
            snprintf(to->workspace, sizeof to->workspace, "%.*s", STR_FMT(workspace));
    }
    buf_finish(&text);
    arena_finish(&a);
}

static int start_ant(int out, pid_t *ret_pid)
{
    static char name[] = "ant", auth[] = "auth", print[] = "print-credentials",
                token[] = "--access-token";
    char *argv[] = {name, auth, print, token, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    int rc = posix_spawnp(ret_pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Its whole output; false: too long in time or bytes. */
static bool read_all(int fd, struct buf *to)
{
    int64_t end = now_ms() + ANT_MS;
    for (;;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        int64_t left = end - now_ms();
        int ready = left > 0 ? poll(&wait, 1, (int)left) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        char *room = ready > 0 ? buf_reserve(to, 1024) : NULL;
        if (!room)
            return false;
        ssize_t n = read(fd, room, 1024);
        if (n <= 0)
            return n == 0;
        to->n += (size_t)n;
    }
}

static int cannot(const struct place *p, const char *why, struct err *err)
{
    err_set(err, ERR_DENIED, "the profile \"%s\" of ant %s", p->name, why);
    return err_remedy(err, "`ant auth login`, or set ANTHROPIC_API_KEY");
}

static int take_token(const struct place *p, struct profile *to, struct str token,
                      struct err *err)
{
    while (token.n && strchr(" \t\r\n", token.p[token.n - 1]))
        token.n--;
    for (size_t i = 0; i < token.n; i++)
        if (token.p[i] <= ' ' || token.p[i] > '~')
            return cannot(p, "gives no token", err);
    if (token.n == 0)
        return cannot(p, "gives no token", err);
    to->token = secret_new(token);
    to->is_oauth = str_starts(token, STR("sk-ant-oat"));
    return 1;
}

static int ask_ant(const struct place *p, struct profile *to, struct err *err)
{
    struct buf out;
    int pipes[2], status = 0;
    pid_t pid;
    if (pipe2(pipes, O_CLOEXEC) < 0)
        return err_sys(err, errno, "making a pipe");
    int rc = start_ant(pipes[1], &pid);
    fd_close(&pipes[1]);
    if (rc != 0) {
        fd_close(&pipes[0]);
        if (rc != ENOENT)
            return err_sys(err, rc, "starting ant");
        return given(p, "ANTHROPIC_PROFILE") ? cannot(p,
                                                      "needs ant, which is not "
                                                      "installed",
                                                      err)
                                             : 0;
    }
    buf_init(&out, TOKEN_BYTES);
    buf_reserve(&out, TOKEN_BYTES);
    bool complete = read_all(pipes[0], &out);
    fd_close(&pipes[0]);
    if (!complete)
        kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!complete || status != 0)
        rc = cannot(
            p, complete ? "cannot be used (its words are above)" : "does not answer",
            err);
    else
        rc = take_token(p, to, buf_str(&out), err);
    secret_wipe(out.p, out.n);
    buf_finish(&out);
    return rc;
}

int profile_read(struct profile *ret_profile,
                 const char *(*variable)(void *ctx, const char *name), void *ctx,
                 struct err *err)
{
    struct place p = {.variable = variable, .ctx = ctx};
    *ret_profile = (struct profile){0};
    find_dir(&p);
    if (!find_name(&p)) {
        if (!given(&p, "ANTHROPIC_PROFILE"))
            return 0;
        err_set(err, ERR_INVALID, "ANTHROPIC_PROFILE is not the name of a profile");
        return err_remedy(err, "unset it, or set ANTHROPIC_API_KEY");
    }
    int rc = ask_ant(&p, ret_profile, err);
    if (rc > 0)
        read_config(&p, ret_profile);
    return rc;
}

void profile_finish(struct profile *p)
{
    secret_free(p->token);
    *p = (struct profile){0};
}
