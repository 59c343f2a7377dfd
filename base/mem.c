#include "base/mem.h"
#include "base/log.h"
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

static void *checked(void *p)
{
    if (!p) {
        log_error("out of memory");
        abort();
    }
    return p;
}

void *mem_alloc(size_t size_bytes)
{
    return checked(malloc(size_bytes ? size_bytes : 1));
}

void *mem_zalloc(size_t size_bytes)
{
    return checked(calloc(1, size_bytes ? size_bytes : 1));
}

void *mem_realloc(void *p, size_t size_bytes)
{
    return checked(realloc(p, size_bytes ? size_bytes : 1));
}

void mem_free(void *p)
{
    free(p);
}

char *mem_strndup(const char *p, size_t n)
{
    char *copy = mem_alloc(n + 1);
    if (n)
        memcpy(copy, p, n);
    copy[n] = '\0';
    return copy;
}

void mem_keep(size_t size_bytes)
{
    /* glibc: blocks below the one come from the heap, whose end is given back above the
     * other. Other libraries keep what they like. */
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, (int)size_bytes);
    mallopt(M_TRIM_THRESHOLD, (int)size_bytes);
#else
    (void)size_bytes;
#endif
}

void mem_give_back(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}
