#include "transport/oauth/subjects.h"
#include "base/buf.h"
#include "base/dirs.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/json_write.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sha256.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUCKETS = 4096, LINE_MAX_BYTES = 16 * 1024 };

struct row {
    struct authority_subject is; /* name: NULL for a subject of another issuer */
    struct row *next;            /* of the bucket, by key */
    unsigned char key[SHA256_SIZE];
};

struct subjects {
    char *issuer;
    int fd; /* append-only */
    char path[4096];
    size_t read_bytes; /* complete lines, so far */
    struct row **rows; /* all, by age */
    size_t count, room;
    struct row *buckets[BUCKETS];
    uint32_t *taken;
    size_t taken_count;
};

static void make_key(struct str issuer, struct str subject,
                     unsigned char key[SHA256_SIZE])
{
    struct sha256 h;
    sha256_init(&h);
    sha256_add(&h, issuer);
    sha256_add(&h, (struct str){"", 1}); /* a NUL: neither has one */
    sha256_add(&h, subject);
    sha256_end(&h, key);
}

static size_t bucket_of(const unsigned char key[SHA256_SIZE])
{
    return (size_t)(key[30] << 8 | key[31]) % BUCKETS;
}

static struct row *find(const struct subjects *s, const unsigned char key[SHA256_SIZE])
{
    for (struct row *r = s->buckets[bucket_of(key)]; r; r = r->next)
        if (memcmp(r->key, key, SHA256_SIZE) == 0)
            return r;
    return NULL;
}

static bool is_given(const struct subjects *s, uint32_t number)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->rows[i]->is.number == number)
            return true;
    return false;
}

static bool is_taken(const struct subjects *s, uint32_t number)
{
    for (size_t i = 0; i < s->taken_count; i++)
        if (s->taken[i] == number)
            return true;
    return number == 0; /* the user of this process */
}

static struct row *add_row(struct subjects *s, struct str issuer, struct str subject,
                           uint32_t number)
{
    static const char prefix[] = "oauth:";
    struct row *r = mem_new(struct row);
    make_key(issuer, subject, r->key);
    r->is.number = number;
    if (str_eq(issuer, str_of(s->issuer))) {
        char *name = mem_alloc(sizeof prefix + subject.n);
        memcpy(name, prefix, sizeof prefix - 1);
        memcpy(name + sizeof prefix - 1, subject.p, subject.n);
        name[sizeof prefix - 1 + subject.n] = '\0';
        r->is.name = name;
    }
    r->next = s->buckets[bucket_of(r->key)];
    s->buckets[bucket_of(r->key)] = r;
    if (s->count == s->room) {
        s->room = s->room ? 2 * s->room : 64;
        s->rows = mem_realloc(s->rows, s->room * sizeof s->rows[0]);
    }
    s->rows[s->count++] = r;
    return r;
}

static int damaged(const struct subjects *s, struct err *err)
{
    err_set(err, ERR_PROTOCOL, "%s: line %zu is not one of a subject", s->path,
            s->count + 1);
    return err_remedy(err, "restore it: without it, whose sandboxes are whose is lost");
}

static int take_line(struct subjects *s, struct str line, struct err *err)
{
    struct arena a = {0};
    struct json_doc doc;
    struct err ignored;
    int64_t number = 0;
    int rc = json_parse(&doc, &a, line, &ignored);
    struct json row = rc < 0 ? (struct json){0} : json_root(&doc);
    struct str issuer = json_str(json_get(row, STR("issuer")), &a);
    struct str subject = json_str(json_get(row, STR("subject")), &a);
    if (!issuer.p || !subject.p || !json_i64(json_get(row, STR("number")), &number) ||
        number < 1 || number > UINT32_MAX || is_given(s, (uint32_t)number))
        rc = damaged(s, err);
    else
        add_row(s, issuer, subject, (uint32_t)number);
    arena_finish(&a);
    return rc;
}

static int read_all(const struct subjects *s, struct buf *to, struct err *err)
{
    ssize_t n;
    do {
        char *room = buf_reserve(to, BUFSIZ);
        n = room ? pread(s->fd, room, BUFSIZ, (off_t)(s->read_bytes + to->n)) : 0;
        if (n > 0)
            to->n += (size_t)n;
    } while (n > 0 || (n < 0 && errno == EINTR));
    if (n < 0)
        return err_sys(err, errno, "%s", s->path);
    return to->overflow ? err_set(err, ERR_LIMIT, "%s: over %d MiB", s->path,
                                  SUBJECTS_BYTES_MAX >> 20)
                        : 0;
}

/* The complete lines that are new. */
static int read_on(struct subjects *s, struct err *err)
{
    struct buf text;
    buf_init(&text, SUBJECTS_BYTES_MAX);
    int rc = read_all(s, &text, err);
    struct str rest = buf_str(&text);
    for (ptrdiff_t end; rc == 0 && (end = str_find(rest, '\n')) >= 0;) {
        rc = take_line(s, (struct str){rest.p, (size_t)end}, err);
        rest = str_from(rest, (size_t)end + 1);
        if (rc == 0)
            s->read_bytes += (size_t)end + 1;
    }
    buf_finish(&text);
    return rc;
}

static int check_taken(const struct subjects *s, struct err *err)
{
    for (size_t i = 0; i < s->taken_count; i++)
        if (is_given(s, s->taken[i])) {
            err_set(err, ERR_CONFLICT,
                    "a name of --token-file has the number %08x, which is that of an "
                    "OAuth subject (%s)",
                    s->taken[i], s->path);
            return err_remedy(err, "choose other names for the tokens");
        }
    return 0;
}

static int open_file(struct subjects *s, const char *state_dir, struct err *err)
{
    struct stat st;
    int n = snprintf(s->path, sizeof s->path, "%s/oauth-subjects", state_dir);
    if (n < 0 || (size_t)n >= sizeof s->path)
        return err_set(err, ERR_INVALID, "the path %.60s... is too long", state_dir);
    if (dirs_make(state_dir, err) < 0)
        return -1;
    s->fd = open(s->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->fd < 0 || fstat(s->fd, &st) < 0)
        return err_sys(err, errno, "%s", s->path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_DENIED, "%s is no file", s->path);
    return dirs_check_own(s->fd, s->path, err);
}

int subjects_new(struct subjects **ret_subjects, const char *state_dir,
                 const char *issuer, const uint32_t *taken, size_t taken_count,
                 struct err *err)
{
    struct subjects *s = mem_new(struct subjects);
    s->fd = -1;
    s->issuer = mem_strndup(issuer, strlen(issuer));
    s->taken = mem_zalloc((taken_count + 1) * sizeof taken[0]);
    s->taken_count = taken_count;
    if (taken_count)
        memcpy(s->taken, taken, taken_count * sizeof taken[0]);
    if (open_file(s, state_dir, err) < 0 || read_on(s, err) < 0 ||
        check_taken(s, err) < 0) {
        subjects_free(s);
        return -1;
    }
    *ret_subjects = s;
    return 0;
}

void subjects_free(struct subjects *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->count; i++) {
        mem_free((void *)(uintptr_t)s->rows[i]->is.name);
        mem_free(s->rows[i]);
    }
    mem_free(s->rows);
    mem_free(s->taken);
    mem_free(s->issuer);
    fd_close(&s->fd);
    mem_free(s);
}

/* At the end of the complete lines: what a crash has left of one is overwritten. */
static int write_line(struct subjects *s, struct str line, struct err *err)
{
    if (ftruncate(s->fd, (off_t)s->read_bytes) < 0)
        return err_sys(err, errno, "%s", s->path);
    ssize_t n = pwrite(s->fd, line.p, line.n, (off_t)s->read_bytes);
    if (n == (ssize_t)line.n && fdatasync(s->fd) == 0) {
        s->read_bytes += line.n;
        return 0;
    }
    int sys = n < 0 || n == (ssize_t)line.n ? errno : ENOSPC;
    if (ftruncate(s->fd, (off_t)s->read_bytes) < 0)
        log_warn("ignoring half a line in %s", s->path);
    return err_sys(err, sys, "%s", s->path);
}

static int add(struct subjects *s, struct str subject,
               const unsigned char key[SHA256_SIZE], struct row **ret_row,
               struct err *err)
{
    struct buf line;
    struct json_writer w;
    if (s->count >= SUBJECTS_MAX)
        return err_set(err, ERR_LIMIT, "%s has %d subjects: no more are taken", s->path,
                       SUBJECTS_MAX);
    uint32_t number = (uint32_t)key[0] << 24 | (uint32_t)key[1] << 16 |
                      (uint32_t)key[2] << 8 | key[3];
    while (is_taken(s, number) || is_given(s, number))
        number++;
    buf_init(&line, LINE_MAX_BYTES);
    jw_init(&w, &line);
    jw_object(&w);
    jw_key_i64(&w, "number", number);
    jw_key_cstr(&w, "issuer", s->issuer);
    jw_key_str(&w, "subject", subject);
    jw_end_object(&w);
    buf_addc(&line, '\n');
    int rc = write_line(s, buf_str(&line), err);
    buf_finish(&line);
    if (rc == 0)
        *ret_row = add_row(s, str_of(s->issuer), subject, number);
    return rc;
}

/* Once in the life of a subject, for the time of one write to the disk: the loop waits
 * for it. */
static int find_or_add(struct subjects *s, struct str subject,
                       const unsigned char key[SHA256_SIZE], struct row **ret_row,
                       struct err *err)
{
    int rc;
    while ((rc = flock(s->fd, LOCK_EX)) < 0 && errno == EINTR)
        ;
    if (rc < 0)
        return err_sys(err, errno, "locking %s", s->path);
    rc = read_on(s, err);
    *ret_row = rc < 0 ? NULL : find(s, key);
    if (rc == 0 && !*ret_row)
        rc = add(s, subject, key, ret_row, err);
    flock(s->fd, LOCK_UN);
    return rc;
}

int subjects_find(struct subjects *s, struct str subject,
                  struct authority_subject **ret_subject, struct err *err)
{
    unsigned char key[SHA256_SIZE];
    make_key(str_of(s->issuer), subject, key);
    struct row *row = find(s, key);
    if (!row && find_or_add(s, subject, key, &row, err) < 0)
        return -1;
    *ret_subject = &row->is;
    return 0;
}
