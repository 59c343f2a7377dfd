/* Heap memory. Out of memory aborts the process: every size that a peer controls is
 * checked against a limit before it gets here, so it is never an input error. */
#pragma once
#include <stddef.h>

void *mem_alloc(size_t size_bytes);            /* uninitialised */
void *mem_zalloc(size_t size_bytes);           /* all zero */
void *mem_realloc(void *p, size_t size_bytes); /* p may be NULL */
void mem_free(void *p);                        /* p may be NULL */
char *mem_strndup(const char *p, size_t n);    /* NUL-terminated copy of n bytes */

/* For a process that handles one large message after the other: of memory that is given
 * back, about size_bytes stay in hand, so that the next message does not fetch (and the
 * kernel does not clear) the same pages again. Once, at the start. */
void mem_keep(size_t size_bytes);
/* Gives back what is kept: when nothing is going on any more. */
void mem_give_back(void);

/* mem_new(struct foo): one zeroed object. */
#define mem_new(type) ((type *)mem_zalloc(sizeof(type)))
