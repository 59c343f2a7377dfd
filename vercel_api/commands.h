/* Private to vercel_api/: commands and those that read their output. */
#pragma once
#include "vercel_api/private.h"

/* What a request wants of a command: its stream with or without output, its output
 * alone, or its end. */
enum reader_kind { READ_RUN, READ_RUN_QUIET, READ_LOGS, READ_WAIT };

/* Answers r from now on, until the command has ended and everything was read. */
void reader_new(struct api_command *c, struct request *r, enum reader_kind kind);
/* There is news: all that is there goes out, as fast as each client takes it. */
void readers_pump(struct api_command *c);
/* The command goes away, before its end if it has not ended: its readers are told. */
void readers_close(struct api_command *c);

/* `path` of a request, absolute: relative ones start at `base`, and that at the
 * session's directory. -1: answered. */
int session_path(struct request *r, const struct session *s, struct str base,
                 struct str path, struct str *ret_path);
