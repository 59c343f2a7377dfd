/* sandquay cp: files and directories between the host and named sandboxes.
 *
 * Every side is a `sandquay exec` of its own, and a pipe is between them. A directory
 * travels as a tar that is packed and unpacked inside sandboxes: on the host's side
 * that sandbox has nothing but the directory itself, so that whatever a tar says, it
 * cannot lead elsewhere. */
#include "base/fd.h"
#include "cli/ask.h"
#include "cli/child.h"
#include "cli/verbs.h"
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ARGS_MAX = OPTIONS_SERVER_ARGS_MAX + 16, KIND_BYTES = 64 };

/* One end of a copy. */
struct end {
    const char *sandbox; /* NULL: on the host */
    char name[SANDBOX_NAME_MAX + 1];
    const char *path;
    char base[NAME_MAX + 1]; /* last component of path */
};

struct copy {
    const struct options *o;
    const char *executable;
    struct end from, to;
};

static const char put_file[] =
    "to=${SQ_TO:-.}; case $to in */) mkdir -p -- \"$to\" || exit 1;; esac; "
    "[ ! -d \"$to\" ] || to=${to%/}/$SQ_NAME; dir=$(dirname -- \"$to\"); "
    "mkdir -p -- \"$dir\" && t=$(mktemp -- \"$dir/.cp-XXXXXX\") || exit 1; "
    "cat > \"$t\" && chmod \"$SQ_MODE\" \"$t\" && mv -fT -- \"$t\" \"$to\" || "
    "{ rm -f -- \"$t\"; exit 1; }";
static const char put_tree[] =
    "to=${SQ_TO:-.}; "
    "[ ! -d \"$to\" ] || [ \"$SQ_NAME\" = - ] || to=${to%/}/$SQ_NAME; "
    "mkdir -p -- \"$to\" && tar -C \"$to\" --no-same-owner -xpf -";
static const char what_is_it[] =
    "if [ -d \"$SQ_FROM\" ]; then echo dir; elif [ -f \"$SQ_FROM\" ]; then "
    "stat -L -c 'file %a' -- \"$SQ_FROM\"; else "
    "ls -ld -- \"$SQ_FROM\" >/dev/null && echo \"$SQ_FROM: not a file\" >&2; exit 1; "
    "fi";
static const char get_file[] = "cat -- \"$SQ_FROM\"";
/* Of "/", what is mounted there is the machine's or lasts for a run only. */
static const char get_tree[] =
    "[ \"$SQ_FROM\" = / ] || exec tar -C \"$SQ_FROM\" -cf - .; "
    "cut -d' ' -f5 /proc/self/mountinfo | grep -vxe / -e /workspace | sed 's|^|.|' | "
    "exec tar -C / -cf - --anchored --no-wildcards -X - .";
static const char pack_workspace[] = "tar -cf - .";
static const char unpack_workspace[] = "tar --no-same-owner -xpf -";

/* "NAME:PATH" is in a sandbox; a colon behind a slash is part of a host path. */
static int parse_end(const char *text, struct end *e, struct err *err)
{
    size_t n = strcspn(text, ":/");
    *e = (struct end){.path = text};
    if (text[n] == ':' && n > 0) {
        if (n > SANDBOX_NAME_MAX)
            return err_set(err, ERR_INVALID, "%.40s... is not a sandbox name", text);
        memcpy(e->name, text, n);
        e->sandbox = e->name;
        e->path = text + n + 1;
    }
    char copy[PATH_MAX];
    if (snprintf(copy, sizeof copy, "%s", e->path) >= PATH_MAX)
        return err_set(err, ERR_INVALID, "the path %.40s... is too long", e->path);
    const char *base = copy[0] ? basename(copy) : ".";
    if (snprintf(e->base, sizeof e->base, "%s", base) > NAME_MAX)
        return err_set(err, ERR_INVALID, "the name %.40s... is too long", base);
    return 0;
}

struct side {
    const char *argv[ARGS_MAX];
    int argc;
};

static void side_init(struct side *s, const struct copy *c)
{
    *s = (struct side){0};
    s->argv[s->argc++] = c->executable;
    s->argv[s->argc++] = "exec";
}

static void side_sandbox(struct side *s, const struct copy *c, const char *name)
{
    for (size_t i = 0; i < c->o->server_arg_count; i++)
        s->argv[s->argc++] = c->o->server_args[i];
    s->argv[s->argc++] = "--sandbox";
    s->argv[s->argc++] = name;
}

/* text has NAME=VALUE; it lives in the caller. */
static void side_env(struct side *s, const char *text)
{
    s->argv[s->argc++] = "--env";
    s->argv[s->argc++] = text;
}

static pid_t side_start(struct side *s, const char *command, int in, int out)
{
    s->argv[s->argc++] = "--";
    s->argv[s->argc++] = command;
    return child_start(s->argv, in, out);
}

static int open_pipe(int fds[2], struct err *err)
{
    return pipe2(fds, O_CLOEXEC) < 0 ? err_sys(err, errno, "pipe") : 0;
}

static void variable(char to[PATH_MAX + 16], const char *name, const char *value)
{
    snprintf(to, PATH_MAX + 16, "%s=%s", name, value);
}

struct search {
    const char *name;
    bool found;
    struct err *err;
    int rc;
};

static void on_list(void *ctx, size_t call, struct json content, const struct err *err)
{
    struct search *s = ctx;
    (void)call;
    if (err) {
        *s->err = *err;
        s->rc = -1;
    }
    struct json list = json_get(content, STR("sandboxes"));
    for (struct json row = json_first(list); json_present(row); row = json_next(row))
        s->found |= json_str_is(json_get(row, STR("sandbox")), str_of(s->name));
}

/* exec would make a sandbox that is not there. */
static int must_exist(const struct copy *c, const char *name, struct err *err)
{
    struct search s = {.name = name, .err = err};
    struct ask_call call = {.tool = "sandbox_list"};
    buf_init(&call.arguments, 16);
    buf_addz(&call.arguments, "{}");
    if (ask(c->o, &call, 1, on_list, &s, err) < 0)
        s.rc = -1;
    buf_finish(&call.arguments);
    if (s.rc < 0 || s.found)
        return s.rc;
    err_set(err, ERR_NOT_FOUND, "there is no sandbox %s", name);
    return err_remedy(err, "`sandquay sandboxes` lists them");
}

/* What is at `from` in its sandbox: "dir" or "file MODE" in kind. Returns the status.
 */
static int look(const struct copy *c, char kind[KIND_BYTES], struct err *err)
{
    struct side s;
    int fds[2];
    char from[PATH_MAX + 16];
    size_t n = 0;
    if (must_exist(c, c->from.sandbox, err) < 0 || open_pipe(fds, err) < 0)
        return -1;
    variable(from, "SQ_FROM", c->from.path[0] ? c->from.path : ".");
    side_init(&s, c);
    side_sandbox(&s, c, c->from.sandbox);
    side_env(&s, from);
    pid_t pid = side_start(&s, what_is_it, -1, fds[1]);
    for (ssize_t k;
         n < KIND_BYTES - 1 && (k = read(fds[0], kind + n, KIND_BYTES - 1 - n)) > 0;)
        n += (size_t)k;
    kind[n] = '\0';
    fd_close(&fds[0]);
    return child_wait(pid);
}

/* The reading end's process. */
static pid_t start_reading(const struct copy *c, bool tree, int out)
{
    struct side s;
    char from[PATH_MAX + 16];
    side_init(&s, c);
    if (!c->from.sandbox) {
        s.argv[s.argc++] = "--workspace-readonly";
        s.argv[s.argc++] = "--workspace";
        s.argv[s.argc++] = c->from.path;
        return side_start(&s, pack_workspace, -1, out);
    }
    variable(from, "SQ_FROM", c->from.path[0] ? c->from.path : ".");
    side_sandbox(&s, c, c->from.sandbox);
    side_env(&s, from);
    return side_start(&s, tree ? get_tree : get_file, -1, out);
}

/* The writing end's, in a sandbox. */
static pid_t start_writing(const struct copy *c, bool tree, const char *mode, int in)
{
    struct side s;
    char to[PATH_MAX + 16], name[PATH_MAX + 16], bits[PATH_MAX + 16];
    variable(to, "SQ_TO", c->to.path);
    variable(name, "SQ_NAME", c->from.base);
    variable(bits, "SQ_MODE", mode);
    side_init(&s, c);
    side_sandbox(&s, c, c->to.sandbox);
    side_env(&s, to);
    side_env(&s, name);
    side_env(&s, bits);
    return side_start(&s, tree ? put_tree : put_file, in, -1);
}

static int both(pid_t reader, pid_t writer)
{
    int status = child_wait(reader), written = child_wait(writer);
    return status ? status : written;
}

static int into_sandbox(const struct copy *c, bool tree, const char *mode,
                        struct err *err)
{
    int fds[2];
    if (!c->from.sandbox && !tree) {
        int in = open(c->from.path, O_RDONLY | O_CLOEXEC);
        if (in < 0)
            return err_sys(err, errno, "%s", c->from.path);
        return child_wait(start_writing(c, false, mode, in));
    }
    if (open_pipe(fds, err) < 0)
        return -1;
    pid_t reader = start_reading(c, tree, fds[1]);
    return both(reader, start_writing(c, tree, mode, fds[0]));
}

/* Where on the host: an existing directory takes it under its own name. */
static int host_target(const struct copy *c, char to[PATH_MAX], struct err *err)
{
    struct stat st;
    bool inside = stat(c->to.path, &st) == 0 && S_ISDIR(st.st_mode);
    int n = inside ? snprintf(to, PATH_MAX, "%s/%s", c->to.path, c->from.base)
                   : snprintf(to, PATH_MAX, "%s", c->to.path);
    if (n >= PATH_MAX)
        return err_set(err, ERR_INVALID, "the path %.40s... is too long", c->to.path);
    return 0;
}

static int tree_to_host(const struct copy *c, const char *target, struct err *err)
{
    struct side s;
    int fds[2];
    if (mkdir(target, 0755) < 0 && errno != EEXIST)
        return err_sys(err, errno, "%s", target);
    if (open_pipe(fds, err) < 0)
        return -1;
    pid_t reader = start_reading(c, true, fds[1]);
    side_init(&s, c);
    s.argv[s.argc++] = "--workspace";
    s.argv[s.argc++] = target;
    return both(reader, side_start(&s, unpack_workspace, fds[0], -1));
}

static int file_to_host(const struct copy *c, const char *target, const char *mode,
                        struct err *err)
{
    char temporary[PATH_MAX];
    mode_t bits = (mode_t)strtoul(mode, NULL, 8) & 0777;
    if (snprintf(temporary, sizeof temporary, "%s.XXXXXX", target) >= PATH_MAX)
        return err_set(err, ERR_INVALID, "the path %.40s... is too long", target);
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, errno, "%s", target);
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    int status = child_wait(start_reading(c, false, own));
    bool ok = status == 0 && fchmod(fd, bits) == 0 && rename(temporary, target) == 0;
    if (!ok) {
        int saved = errno;
        unlink(temporary);
        if (status == 0)
            status = err_sys(err, saved, "%s", target);
    }
    fd_close(&fd);
    return status;
}

static int host_kind(const char *path, char kind[KIND_BYTES], struct err *err)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return err_sys(err, errno, "%s", path);
    if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
        return err_set(err, ERR_INVALID, "%s is neither file nor directory", path);
    if (S_ISDIR(st.st_mode))
        snprintf(kind, KIND_BYTES, "dir");
    else
        snprintf(kind, KIND_BYTES, "file %o", (unsigned)st.st_mode & 0777);
    return 0;
}

static bool is_stream(const struct end *e)
{
    return !e->sandbox && strcmp(e->path, "-") == 0;
}

/* A tar on stdin is unpacked in the sandbox; a directory there becomes one on stdout.
 */
static int stream(const struct copy *c, struct err *err)
{
    char kind[KIND_BYTES];
    if (is_stream(&c->from))
        return child_wait(start_writing(c, true, "755", fcntl(0, F_DUPFD_CLOEXEC, 3)));
    int status = look(c, kind, err);
    if (status == 0 && strncmp(kind, "dir", 3) != 0) {
        err_set(err, ERR_INVALID, "%s is not a directory", c->from.path);
        return err_remedy(err, "only directories become a tar");
    }
    if (status != 0)
        return status;
    return child_wait(start_reading(c, true, fcntl(1, F_DUPFD_CLOEXEC, 3)));
}

/* The exit status, or -1 with *err. */
static int copy(const struct copy *c, struct err *err)
{
    char kind[KIND_BYTES], target[PATH_MAX];
    if (is_stream(&c->from) || is_stream(&c->to))
        return stream(c, err);
    int status =
        c->from.sandbox ? look(c, kind, err) : host_kind(c->from.path, kind, err);
    if (status != 0)
        return status;
    bool tree = strncmp(kind, "dir", 3) == 0;
    kind[strcspn(kind, "\n")] = '\0';
    const char *mode = tree ? "755" : kind + strlen("file ");
    if (c->to.sandbox)
        return into_sandbox(c, tree, mode, err);
    if (host_target(c, target, err) < 0)
        return -1;
    return tree ? tree_to_host(c, target, err) : file_to_host(c, target, mode, err);
}

static int parse_ends(struct copy *c, const char *from, const char *to, struct err *err)
{
    if (parse_end(from, &c->from, err) < 0 || parse_end(to, &c->to, err) < 0)
        return -1;
    if (!c->from.sandbox && !c->to.sandbox) {
        err_set(err, ERR_INVALID, "neither side is in a sandbox");
        return err_remedy(err, "write NAME:PATH for the one that is");
    }
    if (c->from.sandbox && c->to.sandbox && strcmp(c->from.name, c->to.name) == 0) {
        err_set(err, ERR_INVALID, "both sides are in the sandbox %s", c->from.name);
        return err_remedy(err, "sandquay exec --sandbox NAME 'cp -a FROM TO'");
    }
    return 0;
}

int cp_main(int argc, char **argv)
{
    struct options o;
    struct places places;
    struct err err;
    if (options_parse(&o, OPTIONS_CP, argc, argv, &err) < 0)
        return verb_fail("cp", &err, EXIT_WRONG_USE);
    if (o.help) {
        help_verb(OPTIONS_CP);
        return 0;
    }
    struct copy c = {.o = &o};
    if (argc - o.first != 2) {
        err_set(&err, ERR_INVALID, "a source and a destination are needed");
        err_remedy(&err, "e.g. sandquay cp dev:result.txt .");
        return verb_fail("cp", &err, EXIT_WRONG_USE);
    }
    if (parse_ends(&c, argv[o.first], argv[o.first + 1], &err) < 0)
        return verb_fail("cp", &err, EXIT_WRONG_USE);
    if (places_find(&places, &err) < 0)
        return verb_fail("cp", &err, EXIT_CANNOT);
    c.executable = places.executable;
    int status = copy(&c, &err);
    return status < 0 ? verb_fail("cp", &err, 1) : status;
}
