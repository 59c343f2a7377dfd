/* The log: one line per event on stderr, control characters escaped, never a secret.
 * The only I/O in base. */
#pragma once
#include "base/str.h"
#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

/* Lines above this level are dropped. Default LOG_WARNING. */
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);

/* Text for people (default), or one JSON object a line: time, level, message, and the
 * fields of an event. */
enum log_format { LOG_TEXT, LOG_JSON };
void log_set_format(enum log_format format);

/* Something that happened, with what belongs to it: `request method=POST status=200`.
 * A field without text is the number; one with neither is left out. Keys are plain
 * ASCII. */
struct log_field {
    const char *key;
    struct str text;
    uint64_t number;
};
void log_event(enum log_level level, const char *what, const struct log_field *fields,
               size_t count);

void log_line(enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)
