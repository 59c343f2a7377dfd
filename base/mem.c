#include "base/mem.h"
#include "base/log.h"
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
