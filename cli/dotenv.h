/* .env and .env.local of the working directory, read for the names of credentials only:
 * the directory may be hostile, so nothing else in them counts (no URLs, proxies or
 * CAs), and the environment always wins. */
#pragma once
#include "base/arena.h"

struct dotenv {
    struct arena arena;
    struct dotenv_pair {
        const char *name;
        char *value;
        struct dotenv_pair *next;
    } * pairs;
};

/* Reads directory/.env.local, then directory/.env: the first that names it counts. */
void dotenv_read(struct dotenv *d, const char *directory);
void dotenv_finish(struct dotenv *d); /* wipes; accepts all-zero */

/* The environment's value, else the files'; NULL when neither has one. For names that
 * are on the list; others only ever come from the environment. */
const char *dotenv_get(const struct dotenv *d, const char *name);

/* One text in the files' form: NAME=VALUE lines, "export ", comments, quotes. For
 * dotenv_read() and tests. */
void dotenv_parse(struct dotenv *d, struct str text);
