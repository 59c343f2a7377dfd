#include "sandbox/egress/dns.h"
#include "base/mem.h"
#include "sandbox/guest/protocol.h"

enum {
    HEADER = 12,
    CLASS_IN = 1,
    BUCKETS = 1024,
    NONE = UINT16_MAX,
    POOL_ADDRESSES = 1 << (32 - GUEST_POOL_BITS),
    GENERATIONS = POOL_ADDRESSES / DNS_NAMES_MAX,
};

static unsigned u16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

static uint8_t *put16(uint8_t *to, unsigned value)
{
    to[0] = (uint8_t)(value >> 8);
    to[1] = (uint8_t)value;
    return to + 2;
}

/* The labels from `at` on as a name with dots; returns where they end, 0 if they do
 * not. Compression has no place in a question. */
static size_t read_name(const uint8_t *b, size_t n, size_t at, struct dns_question *q)
{
    char name[NETWORK_HOST_MAX + 2];
    size_t used = 0;
    while (at < n && b[at]) {
        size_t label = b[at];
        if (label > 63 || at + 1 + label >= n ||
            used + label + 1 > NETWORK_HOST_MAX + 1)
            return 0;
        memcpy(name + used, b + at + 1, label);
        used += label;
        name[used++] = '.';
        at += 1 + label;
    }
    if (at >= n)
        return 0;
    struct str text = {name, used ? used - 1 : 0};
    if (network_is_name(text)) {
        for (size_t i = 0; i < text.n; i++)
            q->name[i] =
                (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]);
        q->name[text.n] = '\0';
    }
    return at + 1;
}

bool dns_parse(struct str message, struct dns_question *ret_question)
{
    const uint8_t *b = (const uint8_t *)message.p;
    struct dns_question q = {.head_bytes = HEADER};
    if (message.n < HEADER || message.n > DNS_MESSAGE_MAX || b[2] & 0x80)
        return false;
    if (b[2] & 0x78) {
        q.rcode = DNS_NOT_IMPLEMENTED;
    } else if (u16(b + 4) != 1) {
        q.rcode = DNS_FORMAT_ERROR;
    } else {
        size_t end = read_name(b, message.n, HEADER, &q);
        if (!end || end + 4 > message.n) {
            q.rcode = DNS_FORMAT_ERROR;
        } else {
            q.type = (uint16_t)u16(b + end);
            q.head_bytes = end + 4;
            if (u16(b + end + 2) != CLASS_IN)
                q.rcode = DNS_NOT_IMPLEMENTED;
            else if (!q.name[0])
                q.rcode = DNS_NO_SUCH_NAME;
        }
    }
    *ret_question = q;
    return true;
}

size_t dns_answer(struct str message, const struct dns_question *q, uint8_t rcode,
                  const struct address *a, uint32_t ttl_s, uint8_t to[DNS_MESSAGE_MAX])
{
    enum { RECORD = 16, NAME_OF_QUESTION = 0xc000 | HEADER };
    const uint8_t *b = (const uint8_t *)message.p;
    bool with_address = a && q->head_bytes + RECORD <= DNS_MESSAGE_MAX;
    memcpy(to, b, q->head_bytes);
    /* An answer, recursion as desired and available. */
    to[2] = (uint8_t)(0x80 | (b[2] & 0x79));
    to[3] = (uint8_t)(0x80 | rcode);
    put16(to + 4, q->head_bytes > HEADER);
    put16(to + 6, with_address);
    put16(to + 8, 0);
    put16(to + 10, 0);
    if (!with_address)
        return q->head_bytes;
    uint8_t *at = put16(to + q->head_bytes, NAME_OF_QUESTION);
    at = put16(at, DNS_TYPE_A);
    at = put16(at, CLASS_IN);
    at = put16(at, ttl_s >> 16);
    at = put16(at, ttl_s & 0xffff);
    at = put16(at, 4);
    memcpy(at, a->b + 12, 4);
    return q->head_bytes + RECORD;
}

struct dns_name {
    char *name;    /* NULL: not given yet */
    uint16_t next; /* in its bucket */
    uint8_t generation;
};

void dns_names_finish(struct dns_names *n)
{
    for (size_t i = 0; i < n->count; i++)
        mem_free(n->entry[i].name);
    mem_free(n->entry);
    mem_free(n->bucket);
    *n = (struct dns_names){0};
}

/* FNV-1a */
static unsigned bucket_of(const char *name)
{
    uint32_t hash = 2166136261U;
    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * 16777619U;
    return hash % BUCKETS;
}

/* Addresses of one slot lie NAMES_MAX apart, one a generation. */
static struct address address_of(const struct dns_names *n, size_t slot)
{
    uint32_t value = GUEST_POOL + (uint32_t)n->entry[slot].generation * DNS_NAMES_MAX +
                     (uint32_t)slot;
    struct address a = {.b = {[10] = 0xff, [11] = 0xff}};
    for (int i = 0; i < 4; i++)
        a.b[12 + i] = (uint8_t)(value >> (24 - 8 * i));
    return a;
}

static void unlink_name(struct dns_names *n, uint16_t slot)
{
    uint16_t *at = &n->bucket[bucket_of(n->entry[slot].name)];
    while (*at != slot)
        at = &n->entry[*at].next;
    *at = n->entry[slot].next;
}

static void grow(struct dns_names *n)
{
    if (!n->bucket) {
        n->bucket = mem_alloc(BUCKETS * sizeof *n->bucket);
        for (size_t i = 0; i < BUCKETS; i++)
            n->bucket[i] = NONE;
    }
    if (n->count < n->room)
        return;
    n->room = n->room ? 2 * n->room : 64;
    n->entry = mem_realloc(n->entry, n->room * sizeof *n->entry);
}

/* The next slot in turn: an unused one, or that of the oldest name. */
static uint16_t take_slot(struct dns_names *n)
{
    uint16_t slot = (uint16_t)(n->next++ % DNS_NAMES_MAX);
    if (slot == n->count) {
        grow(n);
        n->entry[n->count++] = (struct dns_name){0};
        /* The first address of a network looks odd to programs. */
        n->entry[slot].generation = slot == 0;
        return slot;
    }
    struct dns_name *old = &n->entry[slot];
    unlink_name(n, slot);
    mem_free(old->name);
    old->name = NULL;
    old->generation = (uint8_t)((old->generation + 1) % GENERATIONS);
    return slot;
}

struct address dns_names_give(struct dns_names *n, const char *name)
{
    unsigned bucket = bucket_of(name);
    if (n->bucket)
        for (uint16_t i = n->bucket[bucket]; i != NONE; i = n->entry[i].next)
            if (strcmp(n->entry[i].name, name) == 0)
                return address_of(n, i);
    uint16_t slot = take_slot(n);
    struct dns_name *e = &n->entry[slot];
    e->name = mem_strndup(name, strlen(name));
    e->next = n->bucket[bucket];
    n->bucket[bucket] = slot;
    return address_of(n, slot);
}

const char *dns_names_find(const struct dns_names *n, const struct address *a)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++)
        value = value << 8 | a->b[12 + i];
    if (!address_is_v4(a) || value < GUEST_POOL || value - GUEST_POOL >= POOL_ADDRESSES)
        return NULL;
    size_t slot = (value - GUEST_POOL) % DNS_NAMES_MAX;
    if (slot >= n->count)
        return NULL;
    struct address now = address_of(n, slot);
    return address_eq(&now, a) ? n->entry[slot].name : NULL;
}
