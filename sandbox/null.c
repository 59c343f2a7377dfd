/* The test double: no processes, no files on disk. A command is one of a few words:
 *   echo TEXT   writes TEXT and a newline, exits 0
 *   fail TEXT   writes them to stderr, exits 1
 *   exit N      exits N
 *   flood N     writes N bytes
 *   forever     runs until it is killed
 *   cat         echoes its input until that is closed
 * Each is a program, too, for those that are started without a shell. The only
 * directory is /workspace. */
#include "base/fd.h"
#include "base/mem.h"
#include "sandbox/backend.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct null_file {
    struct null_file *next;
    char *path;
    int fd;
};

/* The files of a sandbox or a snapshot; those of a kept one outlive it. */
struct null_store {
    struct null_store *next;
    char name[SANDBOX_NAME_MAX + 1];
    char source[SANDBOX_NAME_MAX + 1]; /* of a snapshot */
    bool kept, snapshot, in_use;
    uint64_t created_ms;
    struct owned_spec wish;
    struct null_file *files;
};

struct null {
    struct null_store *stores;
    unsigned snapshots;
};

/* What a command of `flood` has still to write. */
struct flood {
    size_t left_bytes;
};

static void *start(struct sandboxes *set, struct err *err)
{
    (void)set;
    (void)err;
    return mem_new(struct null);
}

static void store_free(struct null *n, struct null_store *store)
{
    struct null_store **at = &n->stores;
    while (*at != store)
        at = &(*at)->next;
    *at = store->next;
    while (store->files) {
        struct null_file *f = store->files;
        store->files = f->next;
        close(f->fd);
        mem_free(f->path);
        mem_free(f);
    }
    owned_spec_finish(&store->wish);
    mem_free(store);
}

static void finish(void *self)
{
    struct null *n = self;
    while (n->stores)
        store_free(n, n->stores);
    mem_free(n);
}

static struct null_store *store_new(struct null *n, const char *name)
{
    struct null_store *store = mem_new(struct null_store);
    store->next = n->stores;
    n->stores = store;
    store->created_ms = sandbox_unix_ms();
    snprintf(store->name, sizeof store->name, "%s", name);
    return store;
}

static struct null_store *find_store(struct null *n, const char *name, bool snapshot)
{
    for (struct null_store *s = n->stores; s; s = s->next)
        if (s->snapshot == snapshot && (s->kept || snapshot) &&
            strcmp(s->name, name) == 0)
            return s;
    return NULL;
}

static struct null_file *file_new(struct null_store *store, const char *path)
{
    struct null_file *f = mem_new(struct null_file);
    f->path = mem_strndup(path, strlen(path));
    f->fd = memfd_create("null", MFD_CLOEXEC);
    f->next = store->files;
    store->files = f;
    return f;
}

static void copy_files(struct null_store *to, const struct null_store *from)
{
    for (const struct null_file *f = from->files; f; f = f->next) {
        char block[4096];
        struct null_file *copy = file_new(to, f->path);
        off_t at = 0;
        for (ssize_t k; (k = pread(f->fd, block, sizeof block, at)) > 0; at += k)
            if (pwrite(copy->fd, block, (size_t)k, at) != k)
                return;
    }
}

static void not_found(const char *what, const char *name, struct err *err)
{
    err_set(err, ERR_NOT_FOUND, "there is no %s %s", what, name);
    err_remedy(err, "list them");
}

static void create(void *self, struct sandbox *sb)
{
    struct null *n = self;
    struct err err;
    struct null_store *from = NULL;
    struct null_store *store = sb->kept ? find_store(n, sb->name, false) : NULL;
    const char *snapshot = sb->wish.spec.snapshot.p;
    if (store && sb->want == SANDBOX_WANT_NEW) {
        err_set(&err, ERR_CONFLICT, "there is a sandbox %s", sb->name);
        err_remedy(&err, "use it, or choose another name");
        sandbox_failed(sb, &err);
        return;
    }
    if (sb->source[0] && !(from = find_store(n, sb->source, false)))
        not_found("sandbox", sb->source, &err);
    else if (snapshot && !(from = find_store(n, snapshot, true)))
        not_found("snapshot", snapshot, &err);
    if (!from && (sb->source[0] || snapshot)) {
        sandbox_failed(sb, &err);
        return;
    }
    if (store) {
        sb->resumed = true;
        sb->created_ms = store->created_ms;
        owned_spec_set(&sb->wish, &store->wish.spec);
    } else {
        store = store_new(n, sb->name);
        store->kept = sb->kept;
        if (from)
            copy_files(store, from);
        owned_spec_set(&store->wish, &sb->wish.spec);
    }
    store->in_use = true;
    sb->impl = store;
    snprintf(sb->cwd, sizeof sb->cwd, "/workspace");
    snprintf(sb->home, sizeof sb->home, "/root");
    sandbox_created(sb, 1, 0, "Null sandbox: a test double.");
}

static void destroy(void *self, struct sandbox *sb)
{
    struct null_store *store = sb->impl;
    sb->impl = NULL;
    if (!store)
        return;
    store->in_use = false;
    if (!store->kept)
        store_free(self, store);
}

static void stop(void *self, struct sandbox_op *op)
{
    struct null *n = self;
    struct err err;
    bool delete = op->mode == SANDBOX_STOP_DELETE;
    struct null_store *store = op->sandbox ? op->sandbox->impl : NULL;
    if (!store && op->name[0])
        store = find_store(n, op->name, false);
    if (!store) {
        not_found("sandbox", op->name, &err);
        sandbox_op_done(op, &err);
        return;
    }
    op->in_place = op->sandbox && !store->kept && !delete;
    if (op->sandbox && !op->in_place) {
        op->sandbox->impl = NULL;
        store->in_use = false;
    }
    if (delete)
        store_free(n, store);
    sandbox_op_done(op, NULL);
}

static void add_info(struct sandbox_op *op, const struct null_store *store)
{
    struct sandbox_info info = {.name = str_of(store->name),
                                .backend = "null",
                                .status = SANDBOX_STOPPED,
                                .kept = true,
                                .level = 1,
                                .created_ms = store->created_ms,
                                .updated_ms = store->created_ms,
                                .spec = &store->wish.spec};
    sandbox_op_add_info(op, &info);
}

static void list(void *self, struct sandbox_op *op)
{
    const struct null *n = self;
    for (const struct null_store *s = n->stores; s; s = s->next)
        if (s->kept && !s->in_use)
            add_info(op, s);
    sandbox_op_done(op, NULL);
}

static void update(void *self, struct sandbox_op *op)
{
    struct err err;
    struct null_store *store =
        op->sandbox ? op->sandbox->impl : find_store(self, op->name, false);
    if (!store) {
        not_found("sandbox", op->name, &err);
        sandbox_op_done(op, &err);
        return;
    }
    owned_spec_merge(&store->wish, &op->wish.spec);
    if (!op->sandbox)
        add_info(op, store);
    sandbox_op_done(op, NULL);
}

static void add_snapshot(struct sandbox_op *op, const struct null_store *store)
{
    struct snapshot_info info = {.id = str_of(store->name),
                                 .source = str_of(store->source),
                                 .created_ms = store->created_ms};
    sandbox_op_add_snapshot(op, &info);
}

static void snapshot(void *self, struct sandbox_op *op)
{
    struct null *n = self;
    struct err err;
    char id[32];
    struct null_store *store =
        op->sandbox ? op->sandbox->impl : find_store(n, op->name, false);
    if (!store) {
        not_found("sandbox", op->name, &err);
        sandbox_op_done(op, &err);
        return;
    }
    snprintf(id, sizeof id, "snap_%u", ++n->snapshots);
    struct null_store *copy = store_new(n, id);
    copy->snapshot = true;
    memcpy(copy->source, op->name, sizeof copy->source);
    copy_files(copy, store);
    add_snapshot(op, copy);
    op->in_place = op->sandbox && !store->kept;
    if (op->sandbox && store->kept) {
        op->sandbox->impl = NULL;
        store->in_use = false;
    }
    sandbox_op_done(op, NULL);
}

static void snapshots(void *self, struct sandbox_op *op)
{
    const struct null *n = self;
    for (const struct null_store *s = n->stores; s; s = s->next)
        if (s->snapshot)
            add_snapshot(op, s);
    sandbox_op_done(op, NULL);
}

static void snapshot_remove(void *self, struct sandbox_op *op)
{
    struct err err;
    struct null_store *store = find_store(self, op->name, true);
    if (store)
        store_free(self, store);
    else
        not_found("snapshot", op->name, &err);
    sandbox_op_done(op, store ? NULL : &err);
}

static void feed_line(struct command *c, enum command_stream stream, struct str text)
{
    command_feed(c, stream, text);
    command_feed(c, stream, STR("\n"));
}

/* Writes on as far as the command is not held back. */
static void pour(struct command *c)
{
    char block[1000];
    struct flood *flood = c->impl;
    memset(block, 'x', sizeof block);
    while (flood->left_bytes > 0 && !c->paused) {
        size_t n = flood->left_bytes < sizeof block ? flood->left_bytes : sizeof block;
        flood->left_bytes -= n;
        command_feed(c, COMMAND_STDOUT, (struct str){block, n});
    }
    if (flood->left_bytes == 0)
        command_ended(c, &(struct command_end){0});
}

static bool is_word(struct str program)
{
    static const char *const words[] = {"echo",  "fail",    "exit",
                                        "flood", "forever", "cat"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (str_eq(program, str_of(words[i])))
            return true;
    return false;
}

static void run(void *self, struct command *c, const struct command_spec *spec)
{
    (void)self;
    struct str text = str_of(c->text);
    struct command_end end = {0};
    if (spec->cwd.n && !str_eq(spec->cwd, STR("/workspace"))) {
        struct err err;
        err_set(&err, ERR_INVALID,
                "the working directory %.*s: No such file or directory",
                (int)(spec->cwd.n < 100 ? spec->cwd.n : 100), spec->cwd.p);
        err_remedy(&err, "use /workspace");
        command_failed(c, &err);
        return;
    }
    if (spec->argv_count && !is_word(spec->argv[0])) {
        struct err err;
        err_set(&err, ERR_NOT_FOUND, "starting %.*s: No such file or directory",
                STR_FMT(spec->argv[0]));
        command_failed(c, &err);
        return;
    }
    command_started(c);
    if (str_starts(text, STR("echo "))) {
        feed_line(c, COMMAND_STDOUT, str_from(text, 5));
    } else if (str_starts(text, STR("fail "))) {
        feed_line(c, COMMAND_STDERR, str_from(text, 5));
        end.exit_code = 1;
    } else if (str_starts(text, STR("exit "))) {
        end.exit_code = (int)strtol(c->text + 5, NULL, 10) & 0xff;
    } else if (str_starts(text, STR("flood "))) {
        struct flood *flood = mem_new(struct flood);
        flood->left_bytes = strtoul(c->text + 6, NULL, 10);
        c->impl = flood;
        pour(c);
        return;
    } else if (str_eq(text, STR("forever")) || str_eq(text, STR("cat"))) {
        return;
    } else {
        feed_line(c, COMMAND_STDERR, STR("null: unknown command"));
        end.exit_code = 127;
    }
    command_ended(c, &end);
}

static void kill_command(void *self, struct command *c)
{
    (void)self;
    command_ended(c, &(struct command_end){.signal = SIGKILL});
}

static int send_signal(void *self, struct command *c, int signum, struct err *err)
{
    (void)self;
    (void)err;
    command_ended(c, &(struct command_end){.signal = signum});
    return 0;
}

static void input(void *self, struct command *c)
{
    (void)self;
    command_feed(c, COMMAND_STDOUT, buf_str(&c->input));
    bool closing = c->input_closing;
    command_input_taken(c, c->input.n);
    if (closing) {
        command_input_gone(c);
        command_ended(c, &(struct command_end){0});
    }
}

static void flow(void *self, struct command *c)
{
    (void)self;
    if (c->impl && !c->paused)
        pour(c);
}

static void forget(void *self, struct command *c)
{
    (void)self;
    mem_free(c->impl);
    c->impl = NULL;
}

static struct null_file *find_file(const struct file_op *op)
{
    const struct null_store *store = op->sandbox->impl;
    for (struct null_file *f = store->files; f; f = f->next)
        if (strcmp(f->path, op->path) == 0)
            return f;
    return NULL;
}

static void open_file(void *self, struct file_op *op)
{
    (void)self;
    struct null_file *f = find_file(op);
    struct err err;
    if (f) {
        off_t size = lseek(f->fd, 0, SEEK_END);
        op->open_fn(op->ctx, f->fd, (uint64_t)size, NULL);
    } else {
        err_set(&err, ERR_NOT_FOUND, "%.150s: No such file or directory", op->path);
        err_remedy(&err, "check the path");
        op->open_fn(op->ctx, -1, 0, &err);
    }
    file_op_free(op);
}

static void write_file(void *self, struct file_op *op)
{
    (void)self;
    struct err err;
    struct null_file *f = find_file(op);
    bool existed = f != NULL;
    int fd = memfd_create("null", MFD_CLOEXEC);
    int rc = file_op_write(op, fd, &err);
    if (rc < 0) {
        fd_close(&fd);
    } else {
        f = f ? f : file_new(op->sandbox->impl, op->path);
        fd_close(&f->fd);
        f->fd = fd;
    }
    op->write_fn(op->ctx, existed, rc < 0 ? &err : NULL);
    file_op_free(op);
}

const struct sandbox_backend sandbox_null = {
    .name = "null",
    .start = start,
    .finish = finish,
    .create = create,
    .destroy = destroy,
    .run = run,
    .kill = kill_command,
    .signal = send_signal,
    .input = input,
    .flow = flow,
    .forget = forget,
    .open_file = open_file,
    .write_file = write_file,
    .fills = true,
    .list = list,
    .stop = stop,
    .update = update,
    .snapshot = snapshot,
    .snapshots = snapshots,
    .snapshot_delete = snapshot_remove,
    .snapshots_any = true,
    .forks = true,
};
