/* What create, fork and update say about a sandbox: first checked as a whole, then
 * taken, so that nothing is half changed. */
#include "base/mem.h"
#include "vercel_api/drives.h"
#include <stdio.h>

enum {
    TIMEOUT_LEAST_MS = 1000,
    TIMEOUT_MOST_MS = 24 * 3600 * 1000,
    TIMEOUT_DEFAULT_MS = 300 * 1000,
    EXPIRATION_LEAST_MS = 24 * 3600 * 1000,
    VCPUS_DEFAULT = 2,
    VCPUS_MOST = 32,
    MEMORY_PER_VCPU = 2048,
    PORT_LEAST = 1024,
    TAG_VALUE_MAX = 256,
    TEXT_MAX = 255,
    ENV_MAX = 256,
    KEEP_LAST_MOST = 10,
    SOURCE_TEXT_MAX = 4096,
};

static int bad(struct err *err, const char *what)
{
    return err_set(err, ERR_INVALID, "%s", what);
}

static bool given(struct json body, const char *key)
{
    struct json v = json_get(body, str_of(key));
    return json_present(v) && json_type(v) != JSON_NULL;
}

static int check_name(struct json body, struct arena *a, struct err *err)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    struct json v = json_get(body, STR("name"));
    struct str name = json_str(v, a);
    bool good = name.n > 0 && name.n <= SANDBOX_NAME_MAX;
    if (!given(body, "name"))
        return 0;
    for (size_t i = 0; i < name.n && good; i++)
        good = memchr(letters, name.p[i], sizeof letters - 1) != NULL;
    if (!good)
        return bad(err, "`name` should be 1 to 128 letters, digits, - and _");
    if (str_eq(name, STR("sessions")) || str_eq(name, STR("snapshots")) ||
        str_eq(name, STR("drives")))
        return bad(err, "`name` is a word of the API's own paths");
    return 0;
}

static int check_texts(struct json body, struct arena *a, struct err *err)
{
    static const char *const keys[] = {"runtime", "image", "region", "networkId"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        struct json v = json_get(body, str_of(keys[i]));
        struct str text = json_str(v, a);
        if (given(body, keys[i]) &&
            (text.n == 0 || text.n > TEXT_MAX || memchr(text.p, '\0', text.n)))
            return err_set(err, ERR_INVALID, "`%s` should be a text of 1 to %d bytes",
                           keys[i], TEXT_MAX);
    }
    return 0;
}

/* The machine's own programs stand for every runtime and for Vercel's own images. */
static int check_image(struct json body, struct arena *a, struct err *err)
{
    static const char *const runtimes[] = {"node22", "node24", "node26", "python3.13"};
    struct str runtime = json_str(json_get(body, STR("runtime")), a);
    struct str image = json_str(json_get(body, STR("image")), a);
    bool known = runtime.n == 0;
    for (size_t i = 0; i < sizeof runtimes / sizeof runtimes[0]; i++)
        known |= str_eq(runtime, str_of(runtimes[i]));
    if (!known)
        return bad(err, "`runtime` should be node22, node24, node26 or python3.13");
    if (runtime.n && image.n)
        return bad(err, "`runtime` and `image` exclude each other");
    if (image.n && !str_starts(image, STR("vercel/sandbox/")))
        return bad(err,
                   "only Vercel's own images (vercel/sandbox/...) are stood in for "
                   "here, by this machine's programs");
    return 0;
}

static int check_ports(struct json body, struct err *err)
{
    struct json list = json_get(body, STR("ports"));
    if (!given(body, "ports"))
        return 0;
    if (json_type(list) != JSON_ARRAY || json_len(list) > API_PORTS_MAX)
        return bad(err, "`ports` should be a list of at most 15");
    for (struct json k = json_first(list); json_present(k); k = json_next(k)) {
        int64_t port = 0, other;
        if (!json_i64(k, &port) || port < PORT_LEAST || port > UINT16_MAX)
            return bad(err, "`ports` should be numbers from 1024 to 65535");
        for (struct json o = json_first(list); o.i != k.i; o = json_next(o))
            if (json_i64(o, &other) && other == port)
                return bad(err, "`ports` should differ from each other");
    }
    return 0;
}

static int check_number(struct json body, const char *key, int64_t least, int64_t most,
                        bool zero_ok, struct err *err)
{
    int64_t value = 0;
    if (!given(body, key))
        return 0;
    if (!json_i64(json_get(body, str_of(key)), &value) ||
        ((value < least || value > most) && !(zero_ok && value == 0)))
        return err_set(err, ERR_INVALID, "`%s` should be%s a number from %lld to %lld",
                       key, zero_ok ? " 0 or" : "", (long long)least, (long long)most);
    return 0;
}

static int check_resources(struct json body, struct err *err)
{
    struct json v = json_get(body, STR("resources"));
    int64_t vcpus = VCPUS_DEFAULT, memory;
    if (!given(body, "resources"))
        return 0;
    struct json count = json_get(v, STR("vcpus")), size = json_get(v, STR("memory"));
    if (json_type(v) != JSON_OBJECT ||
        (json_present(count) && (!json_i64(count, &vcpus) || vcpus < 1 ||
                                 vcpus > VCPUS_MOST || (vcpus > 1 && vcpus % 2))))
        return bad(err, "`resources.vcpus` should be 1 or an even number up to 32");
    if (json_present(size) &&
        (!json_i64(size, &memory) || memory != vcpus * MEMORY_PER_VCPU))
        return bad(err, "`resources.memory` should be 2048 MB for each vcpu");
    return 0;
}

/* An object whose values are texts. */
static int check_map(struct json body, const char *key, size_t most, size_t value_max,
                     struct arena *a, struct err *err)
{
    struct json map = json_get(body, str_of(key));
    if (!given(body, key))
        return 0;
    bool good = json_type(map) == JSON_OBJECT && json_len(map) <= most;
    for (struct json k = json_first(map); json_present(k) && good; k = json_next(k)) {
        struct str name = json_str(k, a), value = json_str(json_value(k), a);
        good = json_type(json_value(k)) == JSON_STRING && value.n <= value_max &&
               name.n > 0 && !memchr(name.p, '\0', name.n) && str_find(name, '=') < 0 &&
               (!value.n || !memchr(value.p, '\0', value.n));
    }
    if (!good)
        return err_set(err, ERR_INVALID,
                       "`%s` should be an object of at most %zu texts of at most %zu "
                       "bytes each",
                       key, most, value_max);
    return 0;
}

static int check_keep_last(struct json body, struct err *err)
{
    struct json v = json_get(body, STR("keepLastSnapshots"));
    if (!given(body, "keepLastSnapshots"))
        return 0;
    if (json_type(v) != JSON_OBJECT || !given(v, "count"))
        return bad(err, "`keepLastSnapshots.count` is required");
    if (check_number(v, "count", 1, KEEP_LAST_MOST, false, err) < 0)
        return err_prefix(err, "`keepLastSnapshots`");
    return check_number(v, "expiration", EXPIRATION_LEAST_MS, INT64_MAX, true, err);
}

static int check_network(struct json body, struct err *err)
{
    struct network_policy policy;
    struct json v = json_get(body, STR("networkPolicy"));
    if (!given(body, "networkPolicy"))
        return 0;
    if (network_policy_read(&policy, v, err) < 0)
        return err_prefix(err, "`networkPolicy`");
    network_policy_finish(&policy);
    return 0;
}

static int check_source(struct json body, enum settings_of of, struct arena *a,
                        struct err *err)
{
    struct json v = json_get(body, STR("source"));
    struct str id = json_str(json_get(v, STR("snapshotId")), a);
    struct str url = json_str(json_get(v, STR("url")), a);
    bool snapshot = json_str_is(json_get(v, STR("type")), STR("snapshot"));
    bool git = json_str_is(json_get(v, STR("type")), STR("git"));
    bool tarball = json_str_is(json_get(v, STR("type")), STR("tarball"));
    if (!given(body, "source"))
        return 0;
    if (of != SETTINGS_CREATE || !(snapshot || git || tarball))
        return bad(err, "`source` should be of type git, tarball or snapshot, and is "
                        "for create alone");
    if (snapshot)
        return id.n && id.n < API_ID_MAX ? 0 : bad(err, "`source.snapshotId` is no id");
    if (!str_starts(url, STR("https://")) && !str_starts(url, STR("http://")))
        return bad(err, "`source.url` should begin with https:// or http://");
    static const char *const texts[] = {"url", "revision", "username", "password"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct str text = json_str(json_get(v, str_of(texts[i])), a);
        if (text.n > SOURCE_TEXT_MAX || (text.n && memchr(text.p, '\0', text.n)))
            return err_set(err, ERR_INVALID, "`source.%s` is too long", texts[i]);
    }
    return check_number(v, "depth", 1, INT32_MAX, false, err);
}

static int check_references(struct json body, struct arena *a, struct err *err)
{
    struct str current = json_str(json_get(body, STR("currentSnapshotId")), a);
    if (current.n >= API_ID_MAX)
        return bad(err, "`currentSnapshotId` is no id");
    return drives_check_mounts(json_get(body, STR("mounts")), a, err);
}

int settings_check(struct json body, enum settings_of of, struct arena *a,
                   struct err *err)
{
    if (check_name(body, a, err) < 0 || check_texts(body, a, err) < 0 ||
        check_image(body, a, err) < 0 || check_ports(body, err) < 0 ||
        check_number(body, "timeout", TIMEOUT_LEAST_MS, TIMEOUT_MOST_MS, false, err) <
            0 ||
        check_number(body, "snapshotExpiration", EXPIRATION_LEAST_MS, INT64_MAX, true,
                     err) < 0 ||
        check_resources(body, err) < 0 ||
        check_map(body, "env", ENV_MAX, SANDBOX_ENV_MAX, a, err) < 0 ||
        check_map(body, "tags", API_TAGS_MAX, TAG_VALUE_MAX, a, err) < 0 ||
        check_keep_last(body, err) < 0 || check_network(body, err) < 0)
        return -1;
    if (check_source(body, of, a, err) < 0)
        return -1;
    return check_references(body, a, err);
}

static void take_text(char **to, struct json body, const char *key, struct arena *a)
{
    struct json v = json_get(body, str_of(key));
    if (json_present(v))
        record_text(to, json_str(v, a));
}

static void take_json(char **to, struct json body, const char *key)
{
    struct json v = json_get(body, str_of(key));
    if (json_present(v))
        record_json(to, v);
}

static void take_number(uint64_t *to, struct json body, const char *key)
{
    int64_t value;
    if (json_i64(json_get(body, str_of(key)), &value))
        *to = (uint64_t)value;
}

/* A port that stays keeps its host name. */
static void take_ports(struct record *rec, struct json list)
{
    struct api_route before[API_PORTS_MAX];
    size_t count = rec->route_count;
    memcpy(before, rec->routes, sizeof before);
    rec->route_count = 0;
    for (struct json k = json_first(list); json_present(k); k = json_next(k)) {
        int64_t port = 0;
        json_i64(k, &port);
        struct api_route *to = &rec->routes[rec->route_count++];
        *to = (struct api_route){.port = (uint16_t)port};
        api_new_id(to->subdomain, "sb-", 12, ID_BASE36);
        for (size_t i = 0; i < count; i++)
            if (before[i].port == to->port)
                *to = before[i];
    }
}

static void take_network(struct record *rec, struct json v)
{
    struct err err;
    struct network_policy policy;
    if (!json_present(v) || network_policy_read(&policy, v, &err) < 0)
        return;
    network_policy_finish(&rec->network);
    rec->network = policy;
    rec->has_network = true;
}

void settings_take(struct record *rec, struct json body, struct arena *a)
{
    struct str name = json_str(json_get(body, STR("name")), a);
    struct json vcpus = json_pointer(body, "/resources/vcpus");
    struct json ports = json_get(body, STR("ports"));
    struct json expiration = json_get(body, STR("snapshotExpiration"));
    uint64_t count = rec->vcpus ? rec->vcpus : VCPUS_DEFAULT;
    if (name.n)
        snprintf(rec->name, sizeof rec->name, "%.*s", STR_FMT(name));
    if (!rec->timeout_ms)
        rec->timeout_ms = TIMEOUT_DEFAULT_MS;
    take_number(&rec->timeout_ms, body, "timeout");
    if (json_present(vcpus))
        take_number(&count, json_get(body, STR("resources")), "vcpus");
    rec->vcpus = (unsigned)count;
    take_text(&rec->runtime, body, "runtime", a);
    take_text(&rec->image, body, "image", a);
    take_text(&rec->network_id, body, "networkId", a);
    take_text(&rec->region, body, "region", a);
    if (!rec->region)
        record_text(&rec->region, STR("iad1"));
    take_json(&rec->tags, body, "tags");
    take_json(&rec->env, body, "env");
    take_json(&rec->keep_last, body, "keepLastSnapshots");
    take_json(&rec->failover, body, "failoverRegions");
    take_json(&rec->mounts, body, "mounts");
    if (given(body, "persistent"))
        rec->persistent = json_is_true(json_get(body, STR("persistent")));
    if (json_present(expiration)) {
        rec->has_expiration = json_i64(expiration, &(int64_t){0});
        take_number(&rec->expiration_ms, body, "snapshotExpiration");
    }
    if (json_present(ports))
        take_ports(rec, ports);
    take_network(rec, json_get(body, STR("networkPolicy")));
}
