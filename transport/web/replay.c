#include "transport/web/replay.h"
#include "base/mem.h"
#include <stdio.h>

struct replay_event {
    struct replay_event *next;
    uint64_t stream, number;
    size_t n;
    char text[];
};

void replay_init(struct replay *r, uint64_t *all_bytes)
{
    *r = (struct replay){.end = &r->oldest, .all_bytes = all_bytes};
}

static uint64_t size_of(const struct replay_event *e)
{
    return sizeof *e + e->n;
}

static void drop_oldest(struct replay *r)
{
    struct replay_event *e = r->oldest;
    r->oldest = e->next;
    if (!r->oldest)
        r->end = &r->oldest;
    r->dropped = e->number;
    r->bytes -= size_of(e);
    *r->all_bytes -= size_of(e);
    mem_free(e);
}

void replay_finish(struct replay *r)
{
    while (r->oldest)
        drop_oldest(r);
}

uint64_t replay_add(struct replay *r, uint64_t stream, struct str text)
{
    struct replay_event *e = mem_alloc(sizeof *e + text.n);
    *e = (struct replay_event){.stream = stream, .number = ++r->last, .n = text.n};
    if (text.n)
        memcpy(e->text, text.p, text.n);
    *r->end = e;
    r->end = &e->next;
    r->bytes += size_of(e);
    *r->all_bytes += size_of(e);
    while (r->oldest &&
           (r->bytes > REPLAY_BYTES_MAX || *r->all_bytes > REPLAY_ALL_BYTES_MAX))
        drop_oldest(r);
    return r->last;
}

bool replay_has(const struct replay *r, uint64_t stream)
{
    for (const struct replay_event *e = r->oldest; e; e = e->next)
        if (e->stream == stream)
            return true;
    return false;
}

void replay_id(uint64_t stream, uint64_t number, char ret_id[REPLAY_ID_MAX])
{
    snprintf(ret_id, REPLAY_ID_MAX, "%llu-%llu", (unsigned long long)stream,
             (unsigned long long)number);
}

/* Digits, as replay_id() writes them, up to `end`. */
static bool take_number(struct str *s, char end, uint64_t *ret_number)
{
    uint64_t number = 0;
    size_t n = 0;
    for (; n < s->n && s->p[n] >= '0' && s->p[n] <= '9'; n++)
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(s->p[n] - '0'), &number))
            return false;
    bool ends = end ? n < s->n && s->p[n] == end : n == s->n;
    if (n == 0 || !ends)
        return false;
    *s = str_from(*s, n + 1);
    *ret_number = number;
    return true;
}

int replay_find(const struct replay *r, struct str id, uint64_t *ret_stream,
                uint64_t *ret_number)
{
    uint64_t stream, number;
    if (!take_number(&id, '-', &stream) || !take_number(&id, '\0', &number))
        return -1;
    for (const struct replay_event *e = r->oldest; e; e = e->next)
        if (e->stream == stream && e->number == number) {
            *ret_stream = stream;
            *ret_number = number;
            return 0;
        }
    return number && number <= r->dropped ? 1 : -1;
}

void replay_each(const struct replay *r, uint64_t stream, uint64_t number,
                 void (*fn)(void *ctx, uint64_t number, struct str text), void *ctx)
{
    for (const struct replay_event *e = r->oldest; e; e = e->next)
        if (e->stream == stream && e->number > number && e->n)
            fn(ctx, e->number, (struct str){e->text, e->n});
}
