/* What is written down about a kept sandbox or a snapshot: one JSON object, replaced
 * atomically. A reader ignores what it does not know; a newer `version` is refused. */
#include "base/fd.h"
#include "base/json.h"
#include "base/json_write.h"
#include "sandbox/local/local.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RECORD_VERSION = 1, RECORD_BYTES_MAX = 1024 * 1024 };

static void write_number(struct json_writer *w, const char *key, uint64_t value)
{
    if (value)
        jw_key_i64(w, key, (int64_t)value);
}

static void write_record(struct buf *text, const struct local_record *r)
{
    struct json_writer w;
    const struct sandbox_spec *s = &r->wish.spec;
    jw_init(&w, text);
    jw_object(&w);
    jw_key_i64(&w, "version", RECORD_VERSION);
    write_number(&w, "createdMs", r->created_ms);
    write_number(&w, "updatedMs", r->updated_ms);
    if (r->source[0])
        jw_key_cstr(&w, "source", r->source);
    write_number(&w, "memoryBytes", s->memory_bytes);
    write_number(&w, "diskBytes", s->disk_bytes);
    write_number(&w, "cpuMillis", s->cpu_millis);
    write_number(&w, "pids", s->pids);
    write_number(&w, "timeoutMs", s->timeout_ms);
    jw_key_list(&w, "env", s->env, s->env_count);
    jw_key_list(&w, "tags", s->tags, s->tag_count);
    if (s->port_count) {
        jw_key(&w, "ports");
        jw_array(&w);
        for (size_t i = 0; i < s->port_count; i++)
            jw_u64(&w, s->ports[i]);
        jw_end_array(&w);
    }
    if (s->image.n)
        jw_key_str(&w, "image", s->image);
    if (s->network) {
        jw_key(&w, "network");
        network_policy_write(s->network, &w);
    }
    if (r->layer_count) {
        jw_key(&w, "layers");
        jw_array(&w);
        for (size_t i = 0; i < r->layer_count; i++)
            jw_str(&w, r->layers[i]);
        jw_end_array(&w);
    }
    if (r->deleted)
        jw_key_bool(&w, "deleted", true);
    jw_end_object(&w);
    buf_addc(text, '\n');
}

int local_record_save(int dir, const struct local_record *r, struct err *err)
{
    struct buf text;
    buf_init(&text, RECORD_BYTES_MAX);
    write_record(&text, r);
    int fd = openat(dir, "record.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t n = fd < 0 ? -1 : write(fd, text.p, text.n);
    bool ok = n == (ssize_t)text.n && !text.overflow &&
              renameat(dir, "record.new", dir, "record.json") == 0;
    if (!ok)
        err_sys(err, n >= 0 && n < (ssize_t)text.n ? ENOSPC : errno,
                "writing a sandbox's record");
    fd_close(&fd);
    buf_finish(&text);
    return ok ? 0 : -1;
}

static uint64_t read_number(struct json record, const char *key)
{
    int64_t value = 0;
    json_i64(json_get(record, str_of(key)), &value);
    return value > 0 ? (uint64_t)value : 0;
}

static const struct str *read_list(struct json list, struct arena *a, size_t *ret_count)
{
    struct str *to = arena_alloc(a, (json_len(list) + 1) * sizeof *to);
    size_t n = 0;
    for (struct json k = json_first(list); json_present(k); k = json_next(k))
        to[n++] = arena_dup(a, json_str(k, a));
    *ret_count = n;
    return to;
}

static void read_ports(struct json list, struct arena *a, struct sandbox_spec *s)
{
    uint16_t *to = arena_alloc(a, (json_len(list) + 1) * sizeof *to);
    for (struct json k = json_first(list); json_present(k); k = json_next(k)) {
        int64_t port = 0;
        if (json_i64(k, &port) && port > 0 && port <= UINT16_MAX)
            to[s->port_count++] = (uint16_t)port;
    }
    s->ports = to;
}

static void take_record(struct json json, struct local_record *r)
{
    struct arena *a = &r->wish.arena;
    struct sandbox_spec *s = &r->wish.spec;
    r->created_ms = read_number(json, "createdMs");
    r->updated_ms = read_number(json, "updatedMs");
    s->memory_bytes = read_number(json, "memoryBytes");
    s->disk_bytes = read_number(json, "diskBytes");
    s->cpu_millis = read_number(json, "cpuMillis");
    s->pids = (uint32_t)read_number(json, "pids");
    s->timeout_ms = read_number(json, "timeoutMs");
    s->env = read_list(json_get(json, STR("env")), a, &s->env_count);
    s->tags = read_list(json_get(json, STR("tags")), a, &s->tag_count);
    read_ports(json_get(json, STR("ports")), a, s);
    s->image = arena_dup(a, json_str(json_get(json, STR("image")), a));
    r->deleted = json_is_true(json_get(json, STR("deleted")));
    r->layers = read_list(json_get(json, STR("layers")), a, &r->layer_count);
    struct str source = json_str(json_get(json, STR("source")), a);
    snprintf(r->source, sizeof r->source, "%.*s", STR_FMT(source));
}

/* One that cannot be read is an error: to go on without it would open the network. */
static int take_network(struct json json, struct local_record *r, struct err *err)
{
    struct network_policy policy;
    struct json network = json_get(json, STR("network"));
    if (!json_present(network))
        return 0;
    if (network_policy_read(&policy, network, err) < 0)
        return -1;
    r->wish.spec.network = network_policy_dup(&r->wish.arena, &policy);
    network_policy_finish(&policy);
    return 0;
}

static int parse_record(struct str text, struct local_record *r, struct err *err)
{
    struct json_doc doc;
    struct arena *a = &r->wish.arena;
    if (json_parse(&doc, a, text, err) < 0)
        return -1;
    struct json json = json_root(&doc);
    uint64_t version = read_number(json, "version");
    if (version > RECORD_VERSION) {
        err_set(err, ERR_UNAVAILABLE, "it was written by a newer sandquay");
        return err_remedy(err, "update sandquay");
    }
    if (version == 0)
        return err_set(err, ERR_IO, "it is no record");
    take_record(json, r);
    return take_network(json, r, err);
}

int local_record_load(int dir, struct local_record *r, struct err *err)
{
    struct buf text;
    *r = (struct local_record){0};
    int fd = openat(dir, "record.json", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        int saved = errno;
        err_sys(err, saved, "reading a sandbox's record");
        if (saved == ENOENT)
            err->kind = ERR_NOT_FOUND;
        return -1;
    }
    buf_init(&text, RECORD_BYTES_MAX);
    for (;;) {
        char *to = buf_reserve(&text, 4096);
        ssize_t n = to ? read(fd, to, 4096) : -1;
        if (n <= 0)
            break;
        text.n += (size_t)n;
    }
    fd_close(&fd);
    int rc = parse_record(buf_str(&text), r, err);
    if (rc < 0) {
        err_prefix(err, "the sandbox's record cannot be read");
        if (!err->remedy[0])
            err_remedy(err, "`sandquay rm NAME` removes it with its files");
    }
    buf_finish(&text);
    if (rc < 0)
        local_record_finish(r);
    return rc;
}

void local_record_finish(struct local_record *r)
{
    owned_spec_finish(&r->wish);
    *r = (struct local_record){0};
}
