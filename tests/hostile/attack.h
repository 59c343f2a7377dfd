/* What the hostile programs share: each tries one thing, named by its arguments, and
 * prints one word: "done" when it worked, else the name of the error. table.json says
 * which is right. */
#pragma once
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

struct attack {
    const char *name;
    long (*fn)(void); /* -1 with errno when it was refused */
};

static inline void attack_report(long result)
{
    const char *name = result == -1 ? strerrorname_np(errno) : "done";
    printf("%s\n", name ? name : "unknown error");
    fflush(stdout);
}

static inline int attack_run(const struct attack *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i].name, name) != 0)
            continue;
        errno = 0;
        attack_report(list[i].fn());
        return 0;
    }
    fprintf(stderr, "no such attack: %s\n", name);
    return 2;
}
