/* Where people type in a conversation: a line with editing and history (libedit). The
 * loop runs on while somebody types. */
#pragma once
#include "base/buf.h"
#include "net/loop.h"

struct prompt;

struct prompt_config { /* borrowed */
    struct loop *loop;
    int in_fd, out_fd;   /* the terminal */
    const char *text;    /* "> " */
    const char *history; /* a file of the user's, 0600 */
};

struct prompt *prompt_new(const struct prompt_config *config);
void prompt_free(struct prompt *p); /* writes the history; accepts NULL */

enum prompt_end { PROMPT_LINE, PROMPT_INTERRUPTED, PROMPT_EOF };
/* Reads what the user says into *to: a line, more of them where one ends with a
 * backslash or several were pasted at once. */
enum prompt_end prompt_read(struct prompt *p, struct buf *to);
/* From a callback of the loop: what is being typed is given up. */
void prompt_interrupt(struct prompt *p);
