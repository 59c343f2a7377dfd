#include "sandbox/network_policy.h"
#include "base/mem.h"
#include <stdio.h>

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static int shown(struct str s)
{
    return (int)(s.n < 60 ? s.n : 60);
}

void network_policy_finish(struct network_policy *p)
{
    for (size_t i = 0; i < p->domain_count; i++)
        mem_free(p->domains[i]);
    mem_free(p->domains);
    mem_free(p->allowed);
    mem_free(p->denied);
    *p = (struct network_policy){0};
}

static struct address_range *copy_ranges(const struct address_range *from, size_t n)
{
    if (n == 0)
        return NULL;
    struct address_range *to = mem_alloc(n * sizeof *to);
    memcpy(to, from, n * sizeof *to);
    return to;
}

void network_policy_copy(struct network_policy *to, const struct network_policy *from)
{
    *to = *from;
    to->allowed = copy_ranges(from->allowed, from->allowed_count);
    to->denied = copy_ranges(from->denied, from->denied_count);
    to->domains = NULL;
    if (from->domain_count)
        to->domains = mem_alloc(from->domain_count * sizeof *to->domains);
    for (size_t i = 0; i < from->domain_count; i++)
        to->domains[i] = mem_strndup(from->domains[i], strlen(from->domains[i]));
}

static struct address_range *dup_ranges(struct arena *a,
                                        const struct address_range *from, size_t n)
{
    struct address_range *to = arena_alloc(a, (n + 1) * sizeof *to);
    if (n)
        memcpy(to, from, n * sizeof *to);
    return to;
}

const struct network_policy *network_policy_dup(struct arena *a,
                                                const struct network_policy *from)
{
    struct network_policy *to = arena_alloc(a, sizeof *to);
    *to = *from;
    to->allowed = dup_ranges(a, from->allowed, from->allowed_count);
    to->denied = dup_ranges(a, from->denied, from->denied_count);
    to->domains = arena_alloc(a, (from->domain_count + 1) * sizeof *to->domains);
    for (size_t i = 0; i < from->domain_count; i++) {
        size_t n = strlen(from->domains[i]) + 1;
        to->domains[i] = arena_alloc(a, n);
        memcpy(to->domains[i], from->domains[i], n);
    }
    return to;
}

static bool is_label_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '-' || c == '_';
}

/* The first label of *rest, which loses it and its dot; a final dot leaves an empty
 * label. */
static struct str next_label(struct str *rest)
{
    ptrdiff_t dot = str_find(*rest, '.');
    struct str label = {rest->p, dot < 0 ? rest->n : (size_t)dot};
    *rest = dot < 0 ? (struct str){0} : str_from(*rest, label.n + 1);
    return label;
}

/* What inet_aton() would take for a number: resolvers ask it first. */
static bool ends_in_number(struct str s)
{
    size_t at = s.n;
    while (at > 0 && s.p[at - 1] != '.')
        at--;
    struct str last = str_from(s, at);
    bool hex = last.n > 1 && last.p[0] == '0' && lower(last.p[1]) == 'x';
    for (size_t i = hex ? 2 : 0; i < last.n; i++) {
        char c = lower(last.p[i]);
        if (!(c >= '0' && c <= '9') && !(hex && c >= 'a' && c <= 'f'))
            return false;
    }
    return true;
}

static bool is_host(struct str s, bool wildcards)
{
    if (s.n == 0 || s.n > NETWORK_HOST_MAX || s.p[s.n - 1] == '.' || ends_in_number(s))
        return false;
    while (s.n) {
        struct str label = next_label(&s);
        if (wildcards && str_eq(label, STR("*")))
            continue;
        if (label.n == 0 || label.n > 63)
            return false;
        for (size_t i = 0; i < label.n; i++)
            if (!is_label_char(label.p[i]))
                return false;
    }
    return true;
}

bool network_is_name(struct str s)
{
    return is_host(s, false);
}

static int too_many(const char *what, struct err *err)
{
    return err_set(err, ERR_LIMIT, "more than %d %s", NETWORK_RULES_MAX, what);
}

/* Meant as one, right or wrong: only what addresses are written with. */
static bool looks_like_address(struct str s)
{
    bool colon = str_find(s, ':') >= 0;
    for (size_t i = 0; i < s.n; i++)
        if (!strchr(colon ? "0123456789abcdefABCDEF:./" : "0123456789./", s.p[i]))
            return false;
    return s.n > 0 && memchr(s.p, '\0', s.n) == NULL;
}

static int add_domain(struct network_policy *p, struct str text, struct err *err)
{
    struct str name = text;
    if (name.n > 1 && name.p[name.n - 1] == '.')
        name.n--;
    if (!is_host(name, true)) {
        err_set(err, ERR_INVALID, "\"%.*s\" is not a domain", shown(text),
                text.n ? text.p : "");
        return err_remedy(
            err, looks_like_address(text)
                     ? "addresses and networks belong into subnets.allow"
                     : "like github.com, *.github.com or *: no scheme, port or path");
    }
    if (p->domain_count == NETWORK_RULES_MAX)
        return too_many("domains", err);
    p->domains = mem_realloc(p->domains, (p->domain_count + 1) * sizeof *p->domains);
    char *copy = mem_strndup(name.p, name.n);
    for (char *c = copy; *c; c++)
        *c = lower(*c);
    p->domains[p->domain_count++] = copy;
    return 0;
}

static int add_range(struct address_range **list, size_t *count, struct str text,
                     struct err *err)
{
    struct address_range range;
    if (address_range_parse(text, &range, err) < 0)
        return -1;
    if (*count == NETWORK_RULES_MAX)
        return too_many("networks", err);
    *list = mem_realloc(*list, (*count + 1) * sizeof **list);
    (*list)[(*count)++] = range;
    return 0;
}

/* Without anything allowed it is deny-all, whatever is denied beside it. */
static void settle(struct network_policy *p)
{
    if (p->mode != NETWORK_CUSTOM || p->domain_count || p->allowed_count)
        return;
    network_policy_finish(p);
    p->mode = NETWORK_DENY_ALL;
}

/* allow-all as rules, so that others can stand beside it, and back. */
static int open_up(struct network_policy *p, struct err *err)
{
    if (p->mode != NETWORK_ALLOW_ALL)
        return 0;
    p->mode = NETWORK_CUSTOM;
    return add_domain(p, STR("*"), err);
}

static void close_up(struct network_policy *p)
{
    if (p->mode != NETWORK_CUSTOM || p->allowed_count || p->denied_count ||
        p->domain_count != 1 || strcmp(p->domains[0], "*") != 0)
        return;
    network_policy_finish(p);
}

static struct str next_item(struct str *rest)
{
    ptrdiff_t comma = str_find(*rest, ',');
    struct str item = {rest->p, comma < 0 ? rest->n : (size_t)comma};
    *rest = comma < 0 ? (struct str){0} : str_from(*rest, item.n + 1);
    while (item.n && item.p[0] == ' ')
        item = str_from(item, 1);
    while (item.n && item.p[item.n - 1] == ' ')
        item.n--;
    return item;
}

static int allow_item(struct network_policy *p, struct str item, struct err *err)
{
    if (str_eq(item, STR("allow-all")))
        return add_domain(p, STR("*"), err);
    if (str_eq(item, STR("deny-all"))) {
        err_set(err, ERR_INVALID, "deny-all cannot be combined with what is allowed");
        return err_remedy(err, "give either deny-all or what is allowed");
    }
    return looks_like_address(item)
               ? add_range(&p->allowed, &p->allowed_count, item, err)
               : add_domain(p, item, err);
}

int network_policy_allow(struct network_policy *p, bool *given, struct str list,
                         struct err *err)
{
    bool off = str_eq(list, STR("deny-all"));
    if (!*given || off) {
        /* What was denied before stays so. */
        for (size_t i = 0; i < p->domain_count; i++)
            mem_free(p->domains[i]);
        p->domain_count = 0;
        if (off && (!*given || p->mode == NETWORK_DENY_ALL)) {
            p->mode = NETWORK_DENY_ALL;
            *given = true;
            return 0;
        }
        p->mode = NETWORK_CUSTOM;
    }
    if (p->mode == NETWORK_DENY_ALL)
        return allow_item(p, STR("deny-all"), err);
    if (open_up(p, err) < 0)
        return -1;
    *given = true;
    do {
        if (allow_item(p, next_item(&list), err) < 0)
            return -1;
    } while (list.n);
    close_up(p);
    return 0;
}

int network_policy_deny(struct network_policy *p, struct str list, struct err *err)
{
    if (open_up(p, err) < 0)
        return -1;
    do {
        if (add_range(&p->denied, &p->denied_count, next_item(&list), err) < 0)
            return -1;
    } while (list.n);
    return 0;
}

static int unknown(const char *where, struct str key, struct err *err)
{
    err_set(err, ERR_INVALID, "%s: unknown field \"%.*s\"", where, shown(key),
            key.n ? key.p : "");
    return err_remedy(err,
                      "a network policy is \"allow-all\", \"deny-all\" or {\"allow\": "
                      "[domains], \"subnets\": {\"allow\": [...], \"deny\": [...]}}");
}

static int expect(const char *where, struct json v, enum json_type type,
                  struct err *err)
{
    if (json_type(v) == type)
        return 0;
    return err_set(err, ERR_INVALID, "%s: %s expected, not %s", where,
                   type == JSON_ARRAY    ? "a list"
                   : type == JSON_OBJECT ? "an object"
                                         : "a string",
                   json_type_name(json_type(v)));
}

static int read_domains(struct network_policy *p, struct json list, struct arena *a,
                        struct err *err)
{
    if (expect("allow", list, JSON_ARRAY, err) < 0)
        return -1;
    for (struct json v = json_first(list); json_present(v); v = json_next(v))
        if (expect("allow", v, JSON_STRING, err) < 0 ||
            add_domain(p, json_str(v, a), err) < 0)
            return -1;
    return 0;
}

static int no_rules(struct str domain, struct err *err)
{
    err_set(err, ERR_UNAVAILABLE,
            "%.*s: rules that change, forward or answer requests are not available",
            shown(domain), domain.n ? domain.p : "");
    return err_remedy(err, "allow the domain without rules: {\"allow\": [\"%.*s\"]}",
                      shown(domain), domain.n ? domain.p : "");
}

/* {"github.com": [rules]}: only without rules. */
static int read_domain_rules(struct network_policy *p, struct json map, struct arena *a,
                             struct err *err)
{
    for (struct json k = json_first(map); json_present(k); k = json_next(k)) {
        struct str domain = json_str(k, a);
        if (expect("allow", json_value(k), JSON_ARRAY, err) < 0)
            return -1;
        if (json_len(json_value(k)) > 0)
            return no_rules(domain, err);
        if (add_domain(p, domain, err) < 0)
            return -1;
    }
    return 0;
}

static int read_ranges(const char *where, struct json list, struct address_range **to,
                       size_t *count, struct arena *a, struct err *err)
{
    if (expect(where, list, JSON_ARRAY, err) < 0)
        return -1;
    for (struct json v = json_first(list); json_present(v); v = json_next(v)) {
        if (expect(where, v, JSON_STRING, err) < 0)
            return -1;
        if (add_range(to, count, json_str(v, a), err) < 0) {
            err_prefix(err, "%s", where);
            return -1;
        }
    }
    return 0;
}

static int read_subnets(struct network_policy *p, struct json subnets, struct arena *a,
                        struct err *err)
{
    if (expect("subnets", subnets, JSON_OBJECT, err) < 0)
        return -1;
    for (struct json k = json_first(subnets); json_present(k); k = json_next(k)) {
        struct json list = json_value(k);
        int rc;
        if (json_str_is(k, STR("allow")))
            rc = read_ranges("subnets.allow", list, &p->allowed, &p->allowed_count, a,
                             err);
        else if (json_str_is(k, STR("deny")))
            rc =
                read_ranges("subnets.deny", list, &p->denied, &p->denied_count, a, err);
        else
            rc = unknown("subnets", json_str(k, a), err);
        if (rc < 0)
            return -1;
    }
    return 0;
}

static int read_mode(struct network_policy *p, struct json mode, struct arena *a,
                     struct err *err)
{
    struct str text = json_str(mode, a);
    if (str_eq(text, STR("allow-all")))
        p->mode = NETWORK_ALLOW_ALL;
    else if (str_eq(text, STR("deny-all")))
        p->mode = NETWORK_DENY_ALL;
    else if (str_eq(text, STR("custom")))
        p->mode = NETWORK_CUSTOM;
    else
        return err_set(err, ERR_INVALID, "\"%.*s\" is neither allow-all nor deny-all",
                       shown(text), text.n ? text.p : "");
    return 0;
}

static int read_field(struct network_policy *p, struct json k, struct arena *a,
                      struct err *err)
{
    struct json v = json_value(k);
    if (json_str_is(k, STR("mode")))
        return read_mode(p, v, a, err);
    if (json_str_is(k, STR("allow")) && json_type(v) == JSON_OBJECT)
        return read_domain_rules(p, v, a, err);
    if (json_str_is(k, STR("allow")) || json_str_is(k, STR("allowedDomains")))
        return read_domains(p, v, a, err);
    if (json_str_is(k, STR("subnets")))
        return read_subnets(p, v, a, err);
    if (json_str_is(k, STR("allowedCIDRs")))
        return read_ranges("allowedCIDRs", v, &p->allowed, &p->allowed_count, a, err);
    if (json_str_is(k, STR("deniedCIDRs")))
        return read_ranges("deniedCIDRs", v, &p->denied, &p->denied_count, a, err);
    if (json_str_is(k, STR("injectionRules")) || json_str_is(k, STR("forwardRules")))
        return json_len(v) ? no_rules(json_str(k, a), err) : 0;
    return unknown("network policy", json_str(k, a), err);
}

static int read_request(struct network_policy *p, struct json request, struct arena *a,
                        struct err *err)
{
    if (json_type(request) == JSON_STRING)
        return read_mode(p, request, a, err);
    if (expect("network policy", request, JSON_OBJECT, err) < 0)
        return -1;
    p->mode = NETWORK_CUSTOM;
    for (struct json k = json_first(request); json_present(k); k = json_next(k))
        if (read_field(p, k, a, err) < 0)
            return -1;
    bool listed = p->domain_count || p->allowed_count || p->denied_count;
    if (p->mode == NETWORK_CUSTOM || !listed)
        return 0;
    err_set(err, ERR_INVALID, "allow-all and deny-all take no lists");
    return err_remedy(err, "leave \"mode\" out, or the lists");
}

int network_policy_read(struct network_policy *ret_policy, struct json request,
                        struct err *err)
{
    struct arena a = {0};
    struct network_policy p = {0};
    int rc = read_request(&p, request, &a, err);
    arena_finish(&a);
    if (rc < 0) {
        network_policy_finish(&p);
        return -1;
    }
    settle(&p);
    *ret_policy = p;
    return 0;
}

static void write_ranges(struct json_writer *w, const char *key,
                         const struct address_range *list, size_t count)
{
    char text[ADDRESS_RANGE_TEXT];
    jw_key(w, key);
    jw_array(w);
    for (size_t i = 0; i < count; i++) {
        address_range_format(&list[i], text);
        jw_cstr(w, text);
    }
    jw_end_array(w);
}

void network_policy_write(const struct network_policy *p, struct json_writer *w)
{
    static const char *const modes[] = {"allow-all", "deny-all", "custom"};
    jw_object(w);
    jw_key_cstr(w, "mode", modes[p->mode]);
    if (p->mode == NETWORK_CUSTOM) {
        jw_key(w, "allowedDomains");
        jw_array(w);
        for (size_t i = 0; i < p->domain_count; i++)
            jw_cstr(w, p->domains[i]);
        jw_end_array(w);
        write_ranges(w, "allowedCIDRs", p->allowed, p->allowed_count);
        write_ranges(w, "deniedCIDRs", p->denied, p->denied_count);
    }
    jw_end_object(w);
}

/* A leading "*" stands for one or more labels, any other for exactly one. */
bool network_domain_matches(const char *rule, struct str name)
{
    struct str left = str_of(rule), rest = name;
    if (str_eq(left, STR("*")))
        return true;
    if (str_starts(left, STR("*."))) {
        size_t rule_labels = 1, name_labels = 1;
        for (size_t i = 0; i < left.n; i++)
            rule_labels += left.p[i] == '.';
        for (size_t i = 0; i < name.n; i++)
            name_labels += name.p[i] == '.';
        next_label(&left);
        for (; name_labels >= rule_labels; name_labels--)
            next_label(&rest);
        if (name_labels + 1 != rule_labels || rest.n == name.n)
            return false;
    }
    while (left.n && rest.n) {
        struct str want = next_label(&left), have = next_label(&rest);
        if (!str_eq(want, STR("*")) && !str_eq(want, have))
            return false;
    }
    return left.n == 0 && rest.n == 0;
}

static bool in_any(const struct address_range *list, size_t count,
                   const struct address *a)
{
    for (size_t i = 0; i < count; i++)
        if (address_range_has(&list[i], a))
            return true;
    return false;
}

static bool is_denied(const struct network_policy *p, const struct address *a)
{
    struct address v4;
    return in_any(p->denied, p->denied_count, a) ||
           (address_embedded(a, &v4) && in_any(p->denied, p->denied_count, &v4));
}

enum network_verdict network_policy_name(const struct network_policy *p,
                                         struct str name)
{
    if (p->mode != NETWORK_CUSTOM)
        return p->mode == NETWORK_ALLOW_ALL ? NETWORK_ALLOWED : NETWORK_OFF;
    for (size_t i = 0; i < p->domain_count; i++)
        if (network_domain_matches(p->domains[i], name))
            return NETWORK_ALLOWED;
    return NETWORK_NOT_NAMED;
}

static bool allows_all(const struct network_policy *p)
{
    if (p->mode != NETWORK_CUSTOM)
        return p->mode == NETWORK_ALLOW_ALL;
    for (size_t i = 0; i < p->domain_count; i++)
        if (strcmp(p->domains[i], "*") == 0)
            return true;
    return false;
}

enum network_verdict network_policy_address(const struct network_policy *p,
                                            struct str name, const struct address *a,
                                            bool own)
{
    if (p->mode == NETWORK_DENY_ALL)
        return NETWORK_OFF;
    if (is_denied(p, a))
        return NETWORK_DENIED;
    if (name.n) {
        enum network_verdict v = network_policy_name(p, name);
        if (v != NETWORK_ALLOWED)
            return v;
    }
    if (in_any(p->allowed, p->allowed_count, a))
        return NETWORK_ALLOWED;
    if (address_class(a) != ADDRESS_PUBLIC)
        return NETWORK_NOT_PUBLIC;
    if (own)
        return NETWORK_OWN_ADDRESS;
    return name.n || allows_all(p) ? NETWORK_ALLOWED : NETWORK_NOT_NAMED;
}

void network_verdict_text(enum network_verdict v, const struct address *a, char *to,
                          size_t room)
{
    char text[ADDRESS_TEXT] = "its address";
    if (a)
        address_format(a, text);
    switch (v) {
    case NETWORK_ALLOWED:
        snprintf(to, room, "allowed");
        return;
    case NETWORK_OFF:
        snprintf(to, room, "the network policy is deny-all");
        return;
    case NETWORK_NOT_NAMED:
        snprintf(to, room, "the network policy does not allow it");
        return;
    case NETWORK_DENIED:
        snprintf(to, room, "%s is in a denied network", text);
        return;
    case NETWORK_NOT_PUBLIC:
        snprintf(to, room, "%s is %s, which must be named to be allowed", text,
                 a ? address_class_name(address_class(a)) : "not public");
        return;
    case NETWORK_OWN_ADDRESS:
        snprintf(to, room,
                 "%s belongs to the machine that the sandbox runs on, which must be "
                 "named to be allowed",
                 text);
        return;
    }
}

void network_policy_write_request(const struct network_policy *p, struct json_writer *w)
{
    jw_object(w);
    if (p->mode != NETWORK_CUSTOM) {
        jw_key_cstr(w, "mode", p->mode == NETWORK_DENY_ALL ? "deny-all" : "allow-all");
        jw_end_object(w);
        return;
    }
    jw_key(w, "allow");
    jw_array(w);
    for (size_t i = 0; i < p->domain_count; i++)
        jw_cstr(w, p->domains[i]);
    jw_end_array(w);
    if (p->allowed_count || p->denied_count) {
        jw_key(w, "subnets");
        jw_object(w);
        write_ranges(w, "allow", p->allowed, p->allowed_count);
        write_ranges(w, "deny", p->denied, p->denied_count);
        jw_end_object(w);
    }
    jw_end_object(w);
}
