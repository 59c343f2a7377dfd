#include "base/arena.h"
#include "base/mem.h"
#include <assert.h>
#include <stdint.h>

enum { BLOCK_BYTES = 8 * 1024, KEEP_BYTES = 64 * 1024, ALIGN = 16 };

struct arena_block {
    struct arena_block *next;
    size_t size, used; /* of data */
    _Alignas(ALIGN) char data[];
};

void arena_init(struct arena *a)
{
    a->head = NULL;
}

void arena_finish(struct arena *a)
{
    while (a->head) {
        struct arena_block *next = a->head->next;
        mem_free(a->head);
        a->head = next;
    }
}

void arena_reset(struct arena *a)
{
    struct arena_block *keep = NULL;
    while (a->head) {
        struct arena_block *block = a->head;
        a->head = block->next;
        if (!keep && block->size <= KEEP_BYTES)
            keep = block;
        else
            mem_free(block);
    }
    if (keep) {
        keep->next = NULL;
        keep->used = 0;
        a->head = keep;
    }
}

void *arena_alloc(struct arena *a, size_t size_bytes)
{
    assert(size_bytes < SIZE_MAX / 2);
    size_t want = (size_bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    struct arena_block *block = a->head;
    if (!block || block->size - block->used < want) {
        size_t size = want > BLOCK_BYTES ? want : BLOCK_BYTES;
        block = mem_alloc(sizeof *block + size);
        block->next = a->head;
        block->size = size;
        block->used = 0;
        a->head = block;
    }
    void *p = block->data + block->used;
    block->used += want;
    return p;
}

void *arena_zalloc(struct arena *a, size_t size_bytes)
{
    return memset(arena_alloc(a, size_bytes), 0, size_bytes);
}

struct str arena_dup(struct arena *a, struct str s)
{
    char *copy = arena_alloc(a, s.n + 1);
    if (s.n)
        memcpy(copy, s.p, s.n);
    copy[s.n] = '\0';
    return (struct str){copy, s.n};
}
