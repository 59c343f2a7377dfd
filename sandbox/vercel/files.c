/* Files. Reading is one request; a file that cannot be read is then asked after, so
 * that the answer says what it is. Writing is two: the content goes to a file of its
 * own in /tmp, and a script moves it to its place, so that nobody sees half of it, an
 * existing file's mode stays, and links are followed. */
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "sandbox/file_error.h"
#include "sandbox/vercel/private.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

enum {
    READ_MAX_BYTES = 256 * 1024 * 1024, /* on disk, while it is looked into */
    IS_DIRECTORY = 21,
    NOT_REGULAR = 22,
    GONE = 23,
};

struct file_job {
    struct file_job *next, **at;
    struct machine *machine;
    struct file_op *op;
    struct exchange *exchange;
    struct script *script;
    char temporary[64];
    int fd;
    uint64_t size_bytes;
    struct err err; /* why it was given up */
    bool failed;
    int tries;
};

/* $1: the path. 21: a directory, 22: neither a file nor that; else cat says why. */
static const char probe_script[] = "[ -d \"$1\" ] && exit 21\n"
                                   "[ -e \"$1\" ] && [ ! -f \"$1\" ] && exit 22\n"
                                   "LC_ALL=C exec cat -- \"$1\" >/dev/null";

/* $1: the content, $2: where it belongs, $3: its mode, or 0: that of the file that is
 * there, else 644. Says whether there was one. 23: the content is
 * not there (any more). */
static const char commit_script[] =
    "export LC_ALL=C; t=$1 p=$2 old=new\n"
    "give_up() { rm -f -- \"$t\" \"$n\"; exit \"$1\"; }\n"
    "[ -e \"$t\" ] || exit 23\n"
    "case $p in */ | . | .. | */. | */..) give_up 21 ;; esac\n"
    "[ ! -L \"$p\" ] || p=$(realpath -m -- \"$p\") || give_up 1\n"
    "[ ! -d \"$p\" ] || give_up 21\n"
    "if [ -e \"$p\" ]; then [ -f \"$p\" ] || give_up 22; old=old; fi\n"
    "d=$(dirname -- \"$p\"); n=$d/${t##*/}\n"
    "mkdir -p -- \"$d\" || give_up 1\n"
    "if [ ! \"$t\" -ef \"$n\" ]; then mv -f -- \"$t\" \"$n\" || give_up 1; fi\n"
    "[ $old = new ] || chown --reference=\"$p\" -- \"$n\" 2>/dev/null\n"
    "if [ \"$3\" != 0 ]; then chmod \"$3\" -- \"$n\"\n"
    "elif [ $old = old ]; then chmod --reference=\"$p\" -- \"$n\"\n"
    "else chmod 644 -- \"$n\"; fi || give_up 1\n"
    "mv -fT -- \"$n\" \"$p\" || give_up 1\n"
    "echo $old";

static struct file_job *job_new(struct machine *m, struct file_op *op)
{
    struct file_job *job = mem_new(struct file_job);
    *job = (struct file_job){
        .machine = m, .op = op, .fd = -1, .next = m->files, .at = &m->files};
    if (job->next)
        job->next->at = &job->next;
    m->files = job;
    return job;
}

static void job_free(struct file_job *job)
{
    exchange_cancel(job->exchange);
    script_cancel(job->script);
    fd_close(&job->fd);
    *job->at = job->next;
    if (job->next)
        job->next->at = job->at;
    mem_free(job);
}

void files_drop(struct machine *m)
{
    while (m->files) {
        file_op_free(m->files->op);
        job_free(m->files);
    }
}

static void finish(struct file_job *job, bool existed, const struct err *err)
{
    struct file_op *op = job->op;
    if (op->done_fn)
        op->done_fn(op->ctx, err);
    else if (op->write_fn)
        op->write_fn(op->ctx, existed, err);
    else
        op->open_fn(op->ctx, err ? -1 : job->fd, job->size_bytes, err);
    file_op_free(op);
    job_free(job);
}

static void fail(struct file_job *job, const struct err *err)
{
    struct err copy = *err;
    finish(job, false, &copy);
}

/* What a program of the sandbox said: "cat: x: No such file or directory". */
static void explain(struct file_job *job, int exit_code, struct str said)
{
    struct err err;
    const char *path = job->op->path;
    int sys = file_error_in_text(said);
    if (sys == EEXIST && job->op->write_fn)
        sys = ENOTDIR; /* mkdir's word for a file in the way */
    if (exit_code == IS_DIRECTORY)
        file_error_directory(path, &err);
    else if (exit_code == NOT_REGULAR)
        file_error_not_regular(path, &err);
    else if (sys)
        file_error(sys, path, &err);
    else
        err_set(&err, ERR_IO, "%.150s: %.*s", path, (int)(said.n < 60 ? said.n : 60),
                said.n ? said.p : "");
    fail(job, &err);
}

/* Reading */

static void on_probed(void *ctx, const struct script_result *r)
{
    struct file_job *job = ctx;
    struct err err;
    job->script = NULL;
    if (r->err) {
        fail(job, r->err);
    } else if (r->exit_code == 0) {
        /* It is there now. */
        err_set(&err, ERR_IO, "%.150s: Vercel did not give the file", job->op->path);
        err_remedy(&err, "try again");
        fail(job, &err);
    } else {
        explain(job, r->exit_code, r->error);
    }
}

static void on_read_body(void *ctx, struct str bytes)
{
    struct file_job *job = ctx;
    if (job->failed)
        return;
    job->size_bytes += bytes.n;
    if (job->size_bytes > READ_MAX_BYTES) {
        job->failed = true;
        err_set(&job->err, ERR_LIMIT, "%.150s has more than %d MiB", job->op->path,
                READ_MAX_BYTES / (1024 * 1024));
        err_remedy(&job->err, "read a part of it with execute_command (head, tail, "
                              "sed)");
        exchange_stop(job->exchange);
        return;
    }
    while (bytes.n) {
        ssize_t n = write(job->fd, bytes.p, bytes.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            job->failed = true;
            err_sys(&job->err, errno, "keeping a copy of %.150s", job->op->path);
            exchange_stop(job->exchange);
            return;
        }
        bytes = str_from(bytes, (size_t)n);
    }
}

static void start_read(struct file_job *job);

static void on_read(void *ctx, const struct exchange_result *r)
{
    struct file_job *job = ctx;
    job->exchange = NULL;
    if (job->failed) {
        fail(job, &job->err);
    } else if (!r->err) {
        finish(job, true, NULL);
    } else if (r->status == 404 || r->status == 400 || r->status == 403) {
        struct str path = str_of(job->op->path);
        job->script =
            script_start(job->machine, probe_script, &path, 1, false, on_probed, job);
    } else if (r->unknown && job->size_bytes && job->machine->sandbox &&
               ++job->tries < 3 && lseek(job->fd, 0, SEEK_SET) == 0 &&
               ftruncate(job->fd, 0) == 0) {
        start_read(job); /* it was cut in the middle */
    } else {
        fail(job, r->err);
    }
}

static void start_read(struct file_job *job)
{
    struct machine *m = job->machine;
    struct vercel_scope scope = vercel_scope_of(m->vercel);
    job->size_bytes = 0;
    job->exchange = exchange_start(
        m->vercel,
        &(struct exchange_spec){.request = vercel_read(&scope, str_of(job->op->path)),
                                .machine = m,
                                .resumes = true,
                                .idle_limit = true,
                                .body = on_read_body,
                                .done = on_read,
                                .ctx = job});
}

void files_open(struct machine *m, struct file_op *op)
{
    struct file_job *job = job_new(m, op);
    const char *dir = m->vercel->set->config.temp_dir;
    struct err err;
    job->fd = open(dir ? dir : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (job->fd < 0) /* not every file system can */
        job->fd = memfd_create("vercel", MFD_CLOEXEC);
    if (job->fd < 0) {
        err_sys(&err, errno, "a temporary file");
        fail(job, &err);
        return;
    }
    start_read(job);
}

/* Writing */

static void on_committed(void *ctx, const struct script_result *r)
{
    struct file_job *job = ctx;
    job->script = NULL;
    if (r->err)
        fail(job, r->err);
    else if (r->exit_code == 0)
        finish(job, str_starts(r->out, STR("old")), NULL);
    else if (r->exit_code == GONE && r->tries > 1)
        finish(job, true, NULL); /* done by the run whose answer was lost */
    else
        explain(job, r->exit_code, r->error);
}

static void on_written(void *ctx, const struct exchange_result *r)
{
    struct file_job *job = ctx;
    job->exchange = NULL;
    if (r->err) {
        fail(job, r->err);
        return;
    }
    char mode[16];
    snprintf(mode, sizeof mode, "%o", job->op->mode & 07777);
    struct str args[] = {str_of(job->temporary), str_of(job->op->path), str_of(mode)};
    job->script =
        script_start(job->machine, commit_script, args, 3, false, on_committed, job);
}

static void name_temporary(struct file_job *job)
{
    unsigned char random[12] = {0};
    if (getrandom(random, sizeof random, 0) != sizeof random)
        memcpy(random, &job, sizeof job);
    int n = snprintf(job->temporary, sizeof job->temporary, "/tmp/.sandquay-");
    for (size_t i = 0; i < sizeof random; i++)
        n += snprintf(job->temporary + n, sizeof job->temporary - (size_t)n, "%02x",
                      random[i]);
}

void files_write(struct machine *m, struct file_op *op)
{
    struct file_job *job = job_new(m, op);
    struct vercel *v = m->vercel;
    struct vercel_scope scope = vercel_scope_of(v);
    struct err err;
    if (!v->tar)
        v->tar = v->config->tar(&err);
    if (!v->tar) {
        fail(job, &err);
        return;
    }
    name_temporary(job);
    job->exchange =
        exchange_start(v, &(struct exchange_spec){.request = vercel_write(&scope),
                                                  .machine = m,
                                                  .resumes = true,
                                                  .tar_path = str_of(job->temporary),
                                                  .tar_content = op->content,
                                                  .tar_mode = 0644,
                                                  .done = on_written,
                                                  .ctx = job});
}

/* Directories */

static void on_made(void *ctx, const struct exchange_result *r)
{
    struct file_job *job = ctx;
    job->exchange = NULL;
    if (!r->err)
        finish(job, false, NULL);
    else if (r->status >= 400 && r->status < 500 &&
             file_error_in_text(str_of(r->err->msg)))
        explain(job, 1, str_of(r->err->msg));
    else
        fail(job, r->err);
}

void files_make_dir(struct machine *m, struct file_op *op)
{
    struct file_job *job = job_new(m, op);
    struct vercel_scope scope = vercel_scope_of(m->vercel);
    job->exchange = exchange_start(
        m->vercel, &(struct exchange_spec){
                       .request = vercel_mkdir(&scope, str_of(op->path), op->parents),
                       .machine = m,
                       .resumes = true,
                       .done = on_made,
                       .ctx = job});
}
