#include "agent/journal.h"
#include "base/dirs.h"
#include "base/fd.h"
#include "base/json_write.h"
#include "base/log.h"
#include "base/mem.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    FILE_BYTES_MAX = 256 * 1024 * 1024,
    LINE_BYTES_MAX = 64 * 1024 * 1024,
    HEAD_BYTES_MAX = 8 * 1024 * 1024,
    MESSAGES_MAX = 100000,
};

struct journal {
    int fd;
    char id[JOURNAL_ID_MAX];
    size_t count;
    bool failed;
    struct buf line;
    struct arena arena; /* of the head's texts */
    struct buf text;    /* of the file that was resumed */
};

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void journal_new_id(char to[JOURNAL_ID_MAX])
{
    struct tm tm;
    time_t now = time(NULL);
    unsigned char unique[3] = {0};
    gmtime_r(&now, &tm);
    if (getrandom(unique, sizeof unique, 0) < 0)
        unique[0] = (unsigned char)getpid();
    size_t n = strftime(to, JOURNAL_ID_MAX, "%Y%m%d-%H%M%S-", &tm);
    snprintf(to + n, JOURNAL_ID_MAX - n, "%02x%02x%02x", unique[0], unique[1],
             unique[2]);
}

static bool is_id(const char *id)
{
    size_t n = strspn(id, "0123456789abcdefghijklmnopqrstuvwxyz-");
    return n > 0 && n < JOURNAL_ID_MAX && !id[n];
}

static int make_path(char to[PATH_MAX], const char *state_dir, const char *id,
                     struct err *err)
{
    int n = snprintf(to, PATH_MAX, "%s/sessions%s%s%s", state_dir, id ? "/" : "",
                     id ? id : "", id ? ".jsonl" : "");
    return n < 0 || n >= PATH_MAX
               ? err_set(err, ERR_INVALID, "the path of the sessions is too long")
               : 0;
}

static struct journal *new_journal(const char *id)
{
    struct journal *j = mem_new(struct journal);
    snprintf(j->id, sizeof j->id, "%s", id);
    j->fd = -1;
    buf_init(&j->line, LINE_BYTES_MAX);
    buf_init(&j->text, FILE_BYTES_MAX);
    return j;
}

void journal_close(struct journal *j)
{
    if (!j)
        return;
    fd_close(&j->fd);
    buf_finish(&j->line);
    buf_finish(&j->text);
    arena_finish(&j->arena);
    mem_free(j);
}

const char *journal_id(const struct journal *j)
{
    return j->id;
}

size_t journal_count(const struct journal *j)
{
    return j ? j->count : 0;
}

static void begin(struct journal *j, struct json_writer *w, const char *type)
{
    buf_reset(&j->line, 64 * 1024);
    jw_init(w, &j->line);
    jw_object(w);
    jw_key_cstr(w, "type", type);
}

static void append(struct journal *j, struct json_writer *w)
{
    jw_end_object(w);
    buf_addc(&j->line, '\n');
    if (j->failed)
        return;
    int failure = j->line.overflow ? EFBIG : 0;
    if (!failure && fd_write_all(j->fd, buf_str(&j->line)) < 0)
        failure = errno;
    if (!failure)
        return;
    j->failed = true;
    log_error("giving up on writing the session down: %s", strerror(failure));
}

static void write_head(struct journal *j, const struct journal_head *head,
                       const char *forked_from)
{
    struct json_writer w;
    begin(j, &w, "session");
    jw_key_i64(&w, "version", 1);
    jw_key_cstr(&w, "id", j->id);
    if (forked_from)
        jw_key_cstr(&w, "forkedFrom", forked_from);
    jw_key_time(&w, "created", now_ms());
    jw_key_str(&w, "directory", head->directory);
    jw_key_str(&w, "model", head->model);
    if (head->kept.n)
        jw_key_str(&w, "kept", head->kept);
    jw_key_str(&w, "system", head->system);
    jw_key_raw(&w, "tools", head->tools);
    append(j, &w);
}

int journal_create(struct journal **ret_journal, const char *state_dir, const char *id,
                   const struct journal_head *head, struct err *err)
{
    char path[PATH_MAX];
    if (make_path(path, state_dir, NULL, err) < 0 || dirs_make(path, err) < 0 ||
        make_path(path, state_dir, id, err) < 0)
        return -1;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(err, errno, "%s", path);
    flock(fd, LOCK_EX | LOCK_NB);
    *ret_journal = new_journal(id);
    (*ret_journal)->fd = fd;
    write_head(*ret_journal, head, NULL);
    return 0;
}

/* How far the complete lines go. */
static size_t complete_bytes(struct str text)
{
    const char *last = text.n ? memrchr(text.p, '\n', text.n) : NULL;
    return last ? (size_t)(last - text.p) + 1 : 0;
}

static int read_all(struct journal *j, int fd, const char *path, struct err *err)
{
    enum { CHUNK = 1024 * 1024 };
    for (;;) {
        char *to = buf_reserve(&j->text, CHUNK);
        if (!to)
            return err_set(err, ERR_LIMIT, "%s is over %d MiB", path,
                           FILE_BYTES_MAX >> 20);
        ssize_t n = read(fd, to, CHUNK);
        if (n < 0)
            return err_sys(err, errno, "%s", path);
        if (n == 0)
            return 0;
        j->text.n += (size_t)n;
    }
}

/* What the lines say. */
struct reading {
    struct journal *journal;
    struct conversation *conversation;
    struct conversation_mark *marks; /* before each message */
    size_t count, room;
    struct journal_head *head;
    struct buf open; /* the calls of the last message: their ids, each ended by a NUL */
    size_t line;
};

static void note_calls(struct reading *r, struct json content, bool assistant)
{
    struct arena a = {0};
    buf_reset(&r->open, 4096);
    for (struct json block = assistant ? json_first(content) : (struct json){0};
         json_present(block); block = json_next(block))
        if (json_str_is(json_get(block, STR("type")), STR("tool_use"))) {
            buf_adds(&r->open, json_str(json_get(block, STR("id")), &a));
            buf_addc(&r->open, '\0');
        }
    arena_finish(&a);
}

static int take_message(struct reading *r, struct json message, struct err *err)
{
    struct json role = json_get(message, STR("role"));
    struct json content = json_get(message, STR("content"));
    bool assistant = json_str_is(role, STR("assistant"));
    if (json_type(content) != JSON_ARRAY ||
        (!assistant && !json_str_is(role, STR("user"))))
        return err_set(err, ERR_PROTOCOL, "line %zu is no message", r->line);
    if (r->count == MESSAGES_MAX)
        return err_set(err, ERR_LIMIT, "more than %d messages", MESSAGES_MAX);
    if (r->count == r->room) {
        r->room = r->room ? 2 * r->room : 64;
        r->marks = mem_realloc(r->marks, r->room * sizeof r->marks[0]);
    }
    r->marks[r->count++] = conversation_mark(r->conversation);
    note_calls(r, content, assistant);
    return assistant
               ? conversation_add_assistant(r->conversation, json_raw(content), err)
               : conversation_add_user(r->conversation, json_raw(content), err);
}

static struct str keep(struct reading *r, struct json value)
{
    struct str text = json_type(value) == JSON_STRING
                          ? json_str(value, &r->journal->arena)
                          : json_raw(value);
    return arena_dup(&r->journal->arena, text);
}

static int take_head(struct reading *r, struct json line, struct err *err)
{
    int64_t version = 0;
    if (!json_i64(json_get(line, STR("version")), &version) || version != 1)
        return err_set(err, ERR_PROTOCOL, "a version that is not known here");
    r->head->directory = keep(r, json_get(line, STR("directory")));
    r->head->model = keep(r, json_get(line, STR("model")));
    r->head->kept = keep(r, json_get(line, STR("kept")));
    r->head->system = keep(r, json_get(line, STR("system")));
    r->head->tools = keep(r, json_get(line, STR("tools")));
    return 0;
}

static int take_line(struct reading *r, struct str text, struct err *err)
{
    struct arena a = {0};
    struct json_doc doc;
    int64_t messages = 0;
    int rc = json_parse(&doc, &a, text, err);
    struct json line = rc == 0 ? json_root(&doc) : (struct json){0};
    struct json type = json_get(line, STR("type"));
    if (rc < 0)
        err_prefix(err, "line %zu", r->line);
    else if (r->line == 1)
        rc = json_str_is(type, STR("session"))
                 ? take_head(r, line, err)
                 : err_set(err, ERR_PROTOCOL, "it does not begin as a session");
    else if (json_str_is(type, STR("message")))
        rc = take_message(r, json_get(line, STR("message")), err);
    else if (json_str_is(type, STR("rewind")) &&
             json_i64(json_get(line, STR("messages")), &messages) && messages >= 0 &&
             (size_t)messages < r->count) {
        r->count = (size_t)messages;
        conversation_rewind(r->conversation, r->marks[r->count]);
        buf_reset(&r->open, 4096);
    }
    arena_finish(&a);
    return rc;
}

/* Calls that nobody answered: the process ended before. */
static int answer_open_calls(struct reading *r, struct err *err)
{
    struct buf blocks;
    struct json_writer w;
    int rc = 0;
    if (r->open.n == 0)
        return 0;
    buf_init(&blocks, LINE_BYTES_MAX);
    jw_init(&w, &blocks);
    jw_array(&w);
    for (struct str rest = buf_str(&r->open); rest.n;) {
        struct str id = str_of(rest.p);
        jw_object(&w);
        jw_key_cstr(&w, "type", "tool_result");
        jw_key_str(&w, "tool_use_id", id);
        jw_key_bool(&w, "is_error", true);
        jw_key_cstr(&w, "content",
                    "Error: the session was interrupted; whether this call had an "
                    "effect is not known");
        jw_end_object(&w);
        rest = str_from(rest, id.n + 1);
    }
    jw_end_array(&w);
    rc = conversation_add_user(r->conversation, buf_str(&blocks), err);
    if (rc == 0)
        journal_user(r->journal, buf_str(&blocks));
    buf_finish(&blocks);
    return rc;
}

static int take_lines(struct reading *r, struct str text, struct err *err)
{
    while (text.n) {
        ptrdiff_t end = str_find(text, '\n');
        struct str line = {text.p, end < 0 ? text.n : (size_t)end};
        r->line++;
        if (take_line(r, line, err) < 0)
            return -1;
        text = str_from(text, line.n + 1);
    }
    return r->line ? 0 : err_set(err, ERR_PROTOCOL, "it is empty");
}

/* From here on the copy is written. */
static int fork_into(struct journal *j, const char *state_dir, const char *fork_id,
                     const struct journal_head *head, struct str lines, struct err *err)
{
    char path[PATH_MAX], from[JOURNAL_ID_MAX];
    if (make_path(path, state_dir, fork_id, err) < 0)
        return -1;
    fd_close(&j->fd);
    j->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
    if (j->fd < 0)
        return err_sys(err, errno, "%s", path);
    flock(j->fd, LOCK_EX | LOCK_NB);
    snprintf(from, sizeof from, "%s", j->id);
    snprintf(j->id, sizeof j->id, "%s", fork_id);
    write_head(j, head, from);
    size_t first = (size_t)(str_find(lines, '\n') + 1);
    if (fd_write_all(j->fd, str_from(lines, first)) < 0)
        return err_sys(err, errno, "%s", path);
    return 0;
}

static int open_existing(struct journal *j, const char *path, const char *id,
                         bool to_read, struct err *err)
{
    j->fd = open(path, (to_read ? O_RDONLY : O_RDWR | O_APPEND) | O_CLOEXEC);
    if (j->fd < 0 && errno == ENOENT) {
        err_set(err, ERR_NOT_FOUND, "there is no session %s", id);
        return err_remedy(err, "see the files in %.120s", path);
    }
    if (j->fd < 0)
        return err_sys(err, errno, "%s", path);
    if (!to_read && flock(j->fd, LOCK_EX | LOCK_NB) < 0) {
        err_set(err, ERR_CONFLICT, "session %s is in use by another process", id);
        return err_remedy(err, "--fork goes on in a copy of it");
    }
    return read_all(j, j->fd, path, err);
}

int journal_resume(struct journal **ret_journal, const char *state_dir, const char *id,
                   const char *fork_id, struct conversation *conversation,
                   struct journal_head *ret_head, struct err *err)
{
    char path[PATH_MAX];
    if (!is_id(id))
        return err_set(err, ERR_INVALID, "\"%.60s\" is not the id of a session", id);
    if (make_path(path, state_dir, id, err) < 0)
        return -1;
    struct journal *j = new_journal(id);
    struct journal_head head = {0};
    struct reading r = {.journal = j, .conversation = conversation, .head = &head};
    buf_init(&r.open, LINE_BYTES_MAX);
    int rc = open_existing(j, path, id, fork_id != NULL, err);
    if (rc == 0) {
        j->text.n = complete_bytes(buf_str(&j->text));
        rc = take_lines(&r, buf_str(&j->text), err);
        if (rc < 0)
            err_prefix(err, "%.120s", path);
    }
    if (rc == 0 && fork_id)
        rc = fork_into(j, state_dir, fork_id, &head, buf_str(&j->text), err);
    else if (rc == 0 && ftruncate(j->fd, (off_t)j->text.n) < 0)
        rc = err_sys(err, errno, "%s", path);
    j->count = r.count;
    if (rc == 0)
        rc = answer_open_calls(&r, err);
    buf_finish(&r.open);
    buf_finish(&j->text);
    mem_free(r.marks);
    if (rc < 0) {
        journal_close(j);
        return -1;
    }
    *ret_head = head;
    *ret_journal = j;
    return 0;
}

/* Does the file's first line name the directory? */
static bool began_in(int directory, const char *name, struct str where)
{
    struct arena a = {0};
    struct json_doc doc;
    struct err err;
    struct buf text;
    bool yes = false;
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    buf_init(&text, HEAD_BYTES_MAX);
    ptrdiff_t end = -1;
    for (ssize_t n = 1; n > 0 && end < 0;) {
        char *to = buf_reserve(&text, 64 * 1024);
        n = to ? read(fd, to, 64 * 1024) : 0;
        text.n += n > 0 ? (size_t)n : 0;
        end = str_find(buf_str(&text), '\n');
    }
    if (end > 0 && json_parse(&doc, &a, (struct str){text.p, (size_t)end}, &err) == 0)
        yes = json_str_is(json_get(json_root(&doc), STR("directory")), where);
    buf_finish(&text);
    arena_finish(&a);
    fd_close(&fd);
    return yes;
}

struct found {
    char name[NAME_MAX + 1];
    struct timespec changed;
};

static int newest_first(const void *a, const void *b)
{
    const struct timespec *x = &((const struct found *)a)->changed;
    const struct timespec *y = &((const struct found *)b)->changed;
    if (x->tv_sec != y->tv_sec)
        return x->tv_sec < y->tv_sec ? 1 : -1;
    return x->tv_nsec < y->tv_nsec ? 1 : x->tv_nsec > y->tv_nsec ? -1 : 0;
}

static size_t list_files(DIR *dir, struct found **ret_list)
{
    struct found *list = NULL;
    size_t count = 0, room = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        struct stat st;
        if (!str_ends(str_of(e->d_name), STR(".jsonl")) ||
            fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (count == room) {
            room = room ? 2 * room : 64;
            list = mem_realloc(list, room * sizeof list[0]);
        }
        snprintf(list[count].name, sizeof list[count].name, "%s", e->d_name);
        list[count++].changed = st.st_mtim;
    }
    if (count)
        qsort(list, count, sizeof list[0], newest_first);
    *ret_list = list;
    return count;
}

int journal_latest(const char *state_dir, struct str directory,
                   char ret_id[JOURNAL_ID_MAX], struct err *err)
{
    char path[PATH_MAX];
    struct found *list = NULL;
    bool found = false;
    if (make_path(path, state_dir, NULL, err) < 0)
        return -1;
    DIR *dir = opendir(path);
    size_t count = dir ? list_files(dir, &list) : 0;
    for (size_t i = 0; i < count && !found; i++) {
        int n = (int)strlen(list[i].name) - (int)strlen(".jsonl");
        found = n < JOURNAL_ID_MAX && began_in(dirfd(dir), list[i].name, directory);
        if (found)
            snprintf(ret_id, JOURNAL_ID_MAX, "%.*s", n, list[i].name);
    }
    mem_free(list);
    if (dir)
        closedir(dir);
    if (found)
        return 0;
    err_set(err, ERR_NOT_FOUND, "no session began in this directory");
    return err_remedy(err, "--resume ID goes on with any in %.100s", path);
}

void journal_write_usage(struct json_writer *w, const struct usage *usage)
{
    jw_object(w);
    jw_key_i64(w, "input_tokens", usage->input);
    jw_key_i64(w, "cache_creation_input_tokens", usage->cache_write);
    jw_key_i64(w, "cache_read_input_tokens", usage->cache_read);
    jw_key_i64(w, "output_tokens", usage->output);
    if (usage->thinking)
        jw_key_i64(w, "thinking_tokens", usage->thinking);
    jw_end_object(w);
}

static void begin_message(struct journal *j, struct json_writer *w, const char *role,
                          struct str blocks)
{
    begin(j, w, "message");
    jw_key_time(w, "time", now_ms());
    jw_key(w, "message");
    jw_object(w);
    jw_key_cstr(w, "role", role);
    jw_key_raw(w, "content", blocks);
    jw_end_object(w);
    j->count++;
}

void journal_user(struct journal *j, struct str blocks)
{
    struct json_writer w;
    if (!j)
        return;
    begin_message(j, &w, "user", blocks);
    append(j, &w);
}

void journal_assistant(struct journal *j, struct str blocks, struct str model,
                       const struct usage *usage)
{
    struct json_writer w;
    if (!j)
        return;
    begin_message(j, &w, "assistant", blocks);
    jw_key_str(&w, "model", model);
    jw_key(&w, "usage");
    journal_write_usage(&w, usage);
    append(j, &w);
}

void journal_rewind(struct journal *j, size_t messages)
{
    struct json_writer w;
    if (!j || messages == j->count)
        return;
    begin(j, &w, "rewind");
    jw_key_time(&w, "time", now_ms());
    jw_key_i64(&w, "messages", (int64_t)messages);
    append(j, &w);
    j->count = messages;
}

void journal_end(struct journal *j, const char *outcome)
{
    struct json_writer w;
    if (!j)
        return;
    begin(j, &w, "end");
    jw_key_time(&w, "time", now_ms());
    jw_key_cstr(&w, "outcome", outcome);
    append(j, &w);
}
