#include "sandbox/local/snapshot.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int open_at(int dir, const char *name)
{
    return openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static bool is_complete(int snapshots, const char *id)
{
    struct stat st;
    int dir = open_at(snapshots, id);
    bool complete = dir >= 0 && fstatat(dir, "files", &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                    S_ISDIR(st.st_mode);
    fd_close(&dir);
    return complete;
}

/* The lock that everything which lies upon it shares; exclusive: nothing does. -1 when
 * that cannot be had now. */
static int lock_snapshot(int snapshots, const char *id, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET};
    int dir = open_at(snapshots, id);
    int fd = dir < 0
                 ? -1
                 : openat(dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    fd_close(&dir);
    if (fd >= 0 && fcntl(fd, F_OFD_SETLK, &lock) < 0)
        fd_close(&fd);
    return fd;
}

/* The record's layers, checked, as text; the newest is locked. */
static int collect_names(int snapshots, const struct local_record *record,
                         struct local_layers *layers, struct err *err)
{
    size_t n = 0;
    layers->names[0] = '\0';
    layers->lock = -1;
    for (size_t i = 0; i < record->layer_count; i++) {
        const struct str name = record->layers[i];
        if (sandbox_check_name(name, err) < 0 || i == LOCAL_LAYERS_MAX)
            return -1;
        memcpy(layers->names + n, name.p, name.n);
        layers->names[n + name.n] = '\0';
        if (!is_complete(snapshots, layers->names + n))
            return err_set(err, ERR_IO,
                           "the snapshot %.*s, which it lies upon, is gone",
                           STR_FMT(name));
        if (i == 0)
            layers->lock = lock_snapshot(snapshots, layers->names, F_RDLCK);
        n += name.n;
        layers->names[n++] = ' ';
        layers->names[n] = '\0';
    }
    return 0;
}

int local_layers_settle(struct sandboxes *set, uint64_t owner, struct local_hold *hold,
                        struct local_record *record, struct local_layers *ret_layers,
                        struct err *err)
{
    struct local_layers *layers = ret_layers;
    layers->dir[0] = layers->names[0] = '\0';
    layers->lock = -1;
    if (record->layer_count == 0)
        return 0;
    int snapshots = local_store_snapshots(set, owner, layers->dir, err);
    if (snapshots < 0)
        return -1;
    /* The server died before the files had moved there: they are still here. */
    struct str newest = record->layers[0];
    if (newest.n <= SANDBOX_NAME_MAX && !is_complete(snapshots, newest.p)) {
        record->layers++;
        record->layer_count--;
        log_warn("ignoring the snapshot %.*s, which was not finished", STR_FMT(newest));
    }
    int rc = local_record_save(hold->dir, record, err);
    if (rc == 0)
        rc = collect_names(snapshots, record, layers, err);
    fd_close(&snapshots);
    if (rc < 0)
        fd_close(&layers->lock);
    if (record->layer_count == 0)
        layers->dir[0] = '\0';
    return rc;
}

static int not_found(const char *id, struct err *err)
{
    err_set(err, ERR_NOT_FOUND, "there is no snapshot %s", id);
    return err_remedy(err, "sandbox_snapshot {action: \"list\"} shows those there are");
}

static int load_snapshot(int snapshots, const char *id, struct local_record *record,
                         struct err *err)
{
    int dir = open_at(snapshots, id);
    int rc = dir < 0 ? -1 : local_record_load(dir, record, err);
    fd_close(&dir);
    if (rc == 0 && is_complete(snapshots, id))
        return 0;
    if (rc == 0)
        local_record_finish(record);
    return not_found(id, err);
}

static void put_on_top(struct local_record *record, struct str id,
                       const struct str *below, size_t count)
{
    struct arena *a = &record->wish.arena;
    struct str *layers = arena_alloc(a, (count + 1) * sizeof *layers);
    layers[0] = arena_dup(a, id);
    for (size_t i = 0; i < count; i++)
        layers[i + 1] = arena_dup(a, below[i]);
    record->layers = layers;
    record->layer_count = count + 1;
}

int local_layers_begin(struct sandboxes *set, uint64_t owner, struct str snapshot,
                       bool settings, struct local_record *record,
                       struct local_layers *ret_layers, struct err *err)
{
    char id[SANDBOX_NAME_MAX + 1] = "";
    struct local_record old;
    if (sandbox_check_name(snapshot, err) < 0)
        return not_found("of that name", err);
    memcpy(id, snapshot.p, snapshot.n);
    int snapshots = local_store_snapshots(set, owner, ret_layers->dir, err);
    ret_layers->lock = -1;
    if (snapshots < 0)
        return -1;
    int rc = load_snapshot(snapshots, id, &old, err);
    /* A forgotten one may still be what a fork lies upon. */
    if (rc == 0 && old.deleted && !settings) {
        local_record_finish(&old);
        rc = not_found(id, err);
    }
    if (rc == 0) {
        if (settings)
            owned_spec_merge(&record->wish, &old.wish.spec);
        owned_spec_merge(&record->wish,
                         &(struct sandbox_spec){.image = old.wish.spec.image});
        put_on_top(record, snapshot, old.layers, old.layer_count);
        local_record_finish(&old);
        rc = collect_names(snapshots, record, ret_layers, err);
    }
    fd_close(&snapshots);
    if (rc < 0)
        fd_close(&ret_layers->lock);
    return rc;
}

static void make_up_id(char id[SANDBOX_NAME_MAX + 1])
{
    static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789";
    unsigned char random[8];
    char word[sizeof random + 1] = "";
    if (getrandom(random, sizeof random, 0) != sizeof random)
        memset(random, (int)sandbox_unix_ms() & 0xff, sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        word[i] = letters[random[i] % (sizeof letters - 1)];
    snprintf(id, SANDBOX_NAME_MAX + 1, "snap_%s", word);
}

/* Makes the snapshot's directory with its record: `record` is the sandbox's. */
static int make_snapshot(int snapshots, const char *id, const char *source,
                         const struct local_record *record, struct err *err)
{
    struct local_record copy = *record;
    copy.created_ms = sandbox_unix_ms();
    copy.updated_ms = 0;
    snprintf(copy.source, sizeof copy.source, "%s", source);
    if (mkdirat(snapshots, id, 0700) < 0)
        return err_sys(err, errno, "making a snapshot");
    int dir = open_at(snapshots, id);
    int rc = dir < 0 ? err_sys(err, errno, "making a snapshot")
                     : local_record_save(dir, &copy, err);
    fd_close(&dir);
    return rc;
}

/* What sandbox/guest/merge.c is started with. */
static void merge_arguments(struct local_merge *m, bool based, bool tree)
{
    static char program[] = "sandquay-guest", verb[] = "merge", on_others[] = "based",
                whole[] = "whole", files[] = "/";
    int n = 0;
    char *save = NULL;
    m->argv[n++] = program;
    m->argv[n++] = verb;
    m->argv[n++] = m->id;
    m->argv[n++] = based ? on_others : whole;
    if (tree)
        m->argv[n++] = files;
    for (char *name = strtok_r(m->layers.names, " ", &save); name;
         name = strtok_r(NULL, " ", &save))
        m->argv[n++] = name;
    m->argv[n] = NULL;
}

/* Its directory, which nobody else uses or removes while it is made. */
static int merge_open(struct sandboxes *set, uint64_t owner, const char *source,
                      const struct local_record *record, struct local_merge *m,
                      struct err *err)
{
    char path[4096];
    make_up_id(m->id);
    m->snapshots = local_store_snapshots(set, owner, path, err);
    if (m->snapshots < 0 || make_snapshot(m->snapshots, m->id, source, record, err) < 0)
        return -1;
    m->lock = lock_snapshot(m->snapshots, m->id, F_WRLCK);
    return m->lock < 0 ? err_sys(err, errno, "locking a snapshot") : 0;
}

/* The merged one is no snapshot that is listed: it goes when nothing lies upon it. */
static int merge_prepare(struct sandboxes *set, uint64_t owner,
                         const struct local_record *record, struct local_merge *m,
                         struct err *err)
{
    struct local_record merged = *record;
    merged.layer_count = 0;
    merged.deleted = true;
    if (merge_open(set, owner, "", &merged, m, err) < 0)
        return -1;
    merge_arguments(m, record->wish.spec.image.n > 0, false);
    return 1;
}

void local_merge_abandon(struct local_merge *m)
{
    fd_close(&m->lock);
    fd_close(&m->snapshots);
    fd_close(&m->layers.lock);
}

int local_merge_begin(struct sandboxes *set, uint64_t owner, struct local_hold *hold,
                      struct local_merge *ret, struct err *err)
{
    struct local_record record;
    *ret = (struct local_merge){.lock = -1, .snapshots = -1, .layers = {.lock = -1}};
    if (local_record_load(hold->dir, &record, err) < 0)
        return -1;
    int rc = 0;
    if (record.layer_count >= LOCAL_LAYERS_MAX)
        rc = local_layers_settle(set, owner, hold, &record, &ret->layers, err);
    if (rc == 0 && record.layer_count >= LOCAL_LAYERS_MAX)
        rc = merge_prepare(set, owner, &record, ret, err);
    local_record_finish(&record);
    if (rc <= 0)
        local_merge_abandon(ret);
    return rc;
}

static int lie_upon(struct local_hold *hold, const char *id, struct err *err)
{
    struct local_record record;
    if (local_record_load(hold->dir, &record, err) < 0)
        return -1;
    put_on_top(&record, str_of(id), NULL, 0);
    int rc = local_record_save(hold->dir, &record, err);
    local_record_finish(&record);
    return rc;
}

/* Of the program; what it has left unfinished goes. */
static int merge_status(struct sandboxes *set, uint64_t owner, struct local_merge *m,
                        int status, struct err *err)
{
    enum { NO_SPACE = 3 }; /* sandbox/guest/merge.c */
    char path[4096];
    struct err ignored; /* the next start removes it */
    if (status == 0)
        return 0;
    local_merge_abandon(m);
    int snapshots = local_store_snapshots(set, owner, path, &ignored);
    size_t n = strlen(path);
    snprintf(path + n, sizeof path - n, "/%s", m->id);
    if (snapshots >= 0)
        local_store_throw(set, path, &ignored);
    fd_close(&snapshots);
    if (status != NO_SPACE)
        return err_set(err, ERR_IO, "the files for the snapshot could not be read");
    err_set(err, ERR_LIMIT, "the host's disk is too full for the snapshot");
    return err_remedy(err, "free some space, then take it again");
}

int local_merge_end(struct sandboxes *set, uint64_t owner, struct local_hold *hold,
                    struct local_merge *m, int status, struct err *err)
{
    int rc = merge_status(set, owner, m, status, err);
    if (rc == 0)
        rc = lie_upon(hold, m->id, err);
    local_merge_abandon(m);
    if (rc == 0)
        local_snapshot_collect(set, owner);
    return rc;
}

static void split_names(struct local_record *record, const char *names)
{
    struct arena *a = &record->wish.arena;
    struct str *layers = arena_alloc(a, LOCAL_LAYERS_MAX * sizeof *layers);
    for (size_t n; *names; names += n + (names[n] == ' ')) {
        n = strcspn(names, " ");
        layers[record->layer_count++] = arena_dup(a, (struct str){names, n});
    }
    record->layers = layers;
}

int local_copy_begin(struct sandboxes *set, uint64_t owner, const char *source,
                     const struct owned_spec *wish, const struct local_layers *layers,
                     struct local_merge *ret, struct err *err)
{
    struct local_record record = {0};
    *ret = (struct local_merge){.lock = -1, .snapshots = -1, .layers = {.lock = -1}};
    owned_spec_set(&record.wish, &wish->spec);
    record.wish.spec.snapshot = (struct str){0};
    split_names(&record, layers->names);
    bool merges = record.layer_count >= LOCAL_LAYERS_MAX;
    bool based = record.wish.spec.image.n || (record.layer_count && !merges);
    if (merges) {
        memcpy(ret->layers.names, layers->names, sizeof layers->names);
        record.layer_count = 0;
    }
    int rc = merge_open(set, owner, source, &record, ret, err);
    local_record_finish(&record);
    if (rc < 0)
        local_merge_abandon(ret);
    else
        merge_arguments(ret, based, true);
    return rc;
}

int local_copy_end(struct sandboxes *set, uint64_t owner, struct local_merge *m,
                   int status, struct err *err)
{
    int rc = merge_status(set, owner, m, status, err);
    local_merge_abandon(m);
    return rc;
}

/* What has changed of a host workspace stays with the sandbox. */
static void keep_changes(int sandbox, int snapshots, const char *id)
{
    static const char layer[] = "files/layers/" LOCAL_WORKSPACE_LAYER "-upper";
    char from[SANDBOX_NAME_MAX + sizeof layer + 2];
    snprintf(from, sizeof from, "%s/%s", id, layer);
    if (mkdirat(sandbox, "files/layers", 0755) < 0 ||
        (renameat(snapshots, from, sandbox, layer) < 0 && errno != ENOENT))
        log_warn("ignoring the changes of the workspace: they went into %s", id);
}

static int take(struct sandboxes *set, uint64_t owner, const char *source,
                struct local_hold *hold, struct local_record *record, const char *id,
                struct err *err)
{
    char path[4096], files[SANDBOX_NAME_MAX + 16];
    int snapshots = local_store_snapshots(set, owner, path, err);
    if (snapshots < 0)
        return -1;
    int rc = make_snapshot(snapshots, id, source, record, err);
    const struct str *below = record->layers;
    size_t count = record->layer_count;
    if (rc == 0) {
        put_on_top(record, str_of(id), below, count);
        rc = local_record_save(hold->dir, record, err);
    }
    snprintf(files, sizeof files, "%s/files", id);
    if (rc == 0 && renameat(hold->dir, "files", snapshots, files) < 0)
        rc = err_sys(err, errno, "moving the files to the snapshot");
    if (rc == 0 && mkdirat(hold->dir, "files", 0755) < 0)
        rc = err_sys(err, errno, "making the sandbox's new files");
    if (rc == 0)
        keep_changes(hold->dir, snapshots, id);
    fd_close(&snapshots);
    return rc;
}

int local_snapshot_take(struct sandboxes *set, uint64_t owner, const char *source,
                        struct local_hold *hold, char id[SANDBOX_NAME_MAX + 1],
                        struct snapshot_info *ret_info, struct err *err)
{
    struct local_record record;
    struct local_layers layers;
    if (local_record_load(hold->dir, &record, err) < 0)
        return -1;
    int rc = local_layers_settle(set, owner, hold, &record, &layers, err);
    make_up_id(id);
    if (rc == 0)
        rc = take(set, owner, source, hold, &record, id, err);
    fd_close(&layers.lock);
    local_record_finish(&record);
    *ret_info = (struct snapshot_info){
        .id = str_of(id), .source = str_of(source), .created_ms = sandbox_unix_ms()};
    return rc;
}

/* Calls fn for each complete snapshot. */
static void each(struct sandboxes *set, uint64_t owner,
                 void (*fn)(void *ctx, int snapshots, const char *id,
                            struct local_record *record),
                 void *ctx)
{
    char path[4096];
    struct err err;
    int snapshots = local_store_snapshots(set, owner, path, &err);
    int copy = snapshots < 0 ? -1 : open_at(snapshots, ".");
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    for (struct dirent *e; d && (e = readdir(d));) {
        struct local_record record;
        if (sandbox_check_name(str_of(e->d_name), &err) < 0 ||
            load_snapshot(snapshots, e->d_name, &record, &err) < 0)
            continue;
        fn(ctx, snapshots, e->d_name, &record);
        local_record_finish(&record);
    }
    if (d)
        closedir(d);
    else
        fd_close(&copy);
    fd_close(&snapshots);
}

static void add_row(void *ctx, int snapshots, const char *id,
                    struct local_record *record)
{
    (void)snapshots;
    struct snapshot_info info = {.id = str_of(id),
                                 .source = str_of(record->source),
                                 .created_ms = record->created_ms};
    if (!record->deleted)
        sandbox_op_add_snapshot(ctx, &info);
}

void local_snapshot_each(struct sandboxes *set, uint64_t owner, struct sandbox_op *op)
{
    each(set, owner, add_row, op);
}

int local_snapshot_forget(struct sandboxes *set, uint64_t owner, const char *id,
                          struct err *err)
{
    char path[4096];
    struct local_record record;
    int snapshots = local_store_snapshots(set, owner, path, err);
    if (snapshots < 0)
        return -1;
    int rc = load_snapshot(snapshots, id, &record, err);
    if (rc == 0 && record.deleted)
        rc = not_found(id, err);
    int dir = rc < 0 ? -1 : open_at(snapshots, id);
    if (dir >= 0) {
        record.deleted = true;
        rc = local_record_save(dir, &record, err);
        local_record_finish(&record);
    }
    fd_close(&dir);
    fd_close(&snapshots);
    return rc;
}

/* The names of all layers that are in use, each followed by a space. */
struct use {
    struct sandboxes *set;
    struct buf names;
    const char *path;
    size_t thrown;
};

static void add_layers(struct use *use, const struct local_record *record)
{
    for (size_t i = 0; i < record->layer_count; i++) {
        buf_addc(&use->names, ' ');
        buf_adds(&use->names, record->layers[i]);
        buf_addc(&use->names, ' ');
    }
}

static void of_sandbox(void *ctx, const char *name, const struct local_record *record,
                       long held_by)
{
    (void)name;
    (void)held_by;
    add_layers(ctx, record);
}

static void of_snapshot(void *ctx, int snapshots, const char *id,
                        struct local_record *record)
{
    (void)snapshots;
    (void)id;
    add_layers(ctx, record);
}

static void throw_unused(void *ctx, int snapshots, const char *id,
                         struct local_record *record)
{
    struct use *use = ctx;
    struct err err;
    char word[SANDBOX_NAME_MAX + 3], path[4096];
    int n = snprintf(word, sizeof word, " %s ", id);
    if (!record->deleted || use->names.overflow ||
        (use->names.n && memmem(use->names.p, use->names.n, word, (size_t)n)))
        return;
    int lock = lock_snapshot(snapshots, id, F_WRLCK);
    if (lock < 0)
        return; /* an unnamed sandbox lies upon it */
    snprintf(path, sizeof path, "%.3800s/%s", use->path, id);
    if (local_store_throw(use->set, path, &err) == 0)
        use->thrown++;
    else
        log_warn("ignoring an unused snapshot: %s", err.msg);
    fd_close(&lock);
}

/* One that was being made when its server died, some time ago. */
static void throw_unfinished(struct sandboxes *set, int snapshots, const char *path)
{
    enum { OLD_S = 60 };
    int copy = open_at(snapshots, ".");
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat st;
        struct err err;
        char full[4096];
        if (sandbox_check_name(str_of(e->d_name), &err) < 0 ||
            is_complete(snapshots, e->d_name) ||
            fstatat(snapshots, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
            st.st_mtime + OLD_S > time(NULL))
            continue;
        int lock = lock_snapshot(snapshots, e->d_name, F_WRLCK);
        if (lock < 0)
            continue; /* it is being merged */
        snprintf(full, sizeof full, "%.3800s/%.255s", path, e->d_name);
        if (local_store_throw(set, full, &err) < 0)
            log_warn("ignoring an unfinished snapshot: %s", err.msg);
        fd_close(&lock);
    }
    if (d)
        closedir(d);
    else
        fd_close(&copy);
}

size_t local_snapshot_collect(struct sandboxes *set, uint64_t owner)
{
    enum { NAMES_MAX = 16 * 1024 * 1024 };
    char path[4096];
    struct err err;
    struct use use = {.set = set, .path = path};
    int snapshots = local_store_snapshots(set, owner, path, &err);
    if (snapshots < 0)
        return 0;
    throw_unfinished(set, snapshots, path);
    fd_close(&snapshots);
    for (size_t before = SIZE_MAX; before != use.thrown;) {
        before = use.thrown;
        buf_init(&use.names, NAMES_MAX);
        local_store_each(set, owner, of_sandbox, &use);
        each(set, owner, of_snapshot, &use);
        each(set, owner, throw_unused, &use);
        buf_finish(&use.names);
    }
    return use.thrown;
}
