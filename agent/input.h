/* What comes to the agent from files and pipes, before it begins. */
#pragma once
#include "base/buf.h"
#include "base/err.h"

enum { INPUT_BYTES_MAX = 8 * 1024 * 1024 };

/* All of a descriptor that is no terminal, to its end; says on err_fd when it takes
 * long. LIMIT, IO; INVALID when it is not UTF-8. */
int input_read(struct buf *to, int fd, int err_fd, struct err *err);
/* A JSON object: the text itself, or a file that holds it. */
int input_json(struct buf *to, const char *text_or_file, struct err *err);
