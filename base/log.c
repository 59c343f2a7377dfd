#include "base/log.h"
#include "base/buf.h"
#include "base/json_write.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 2048 };

static enum log_level threshold = LOG_WARNING;
static enum log_format format;
static const char *const names[] = {"error", "warning", "info", "debug"};

void log_set_level(enum log_level level)
{
    threshold = level;
}

void log_set_format(enum log_format to)
{
    format = to;
}

bool log_enabled(enum log_level level)
{
    return level <= threshold;
}

/* Control characters become \xNN, so that one event is one line and a terminal is safe.
 */
static size_t escape(char *to, size_t room, const char *from)
{
    static const char hex[] = "0123456789abcdef";
    size_t n = 0;
    for (; *from && n + 5 < room; from++) {
        unsigned char c = (unsigned char)*from;
        if (c >= 0x20 && c != 0x7f) {
            to[n++] = *from;
            continue;
        }
        to[n++] = '\\';
        to[n++] = 'x';
        to[n++] = hex[c >> 4];
        to[n++] = hex[c & 15];
    }
    to[n++] = '\n';
    return n;
}

/* A log that cannot be written is nobody's error. */
static void put(const char *line, size_t n)
{
    ssize_t ignored = write(STDERR_FILENO, line, n);
    (void)ignored;
}

static void put_text(const char *text)
{
    char line[LINE_MAX_BYTES + 64];
    put(line, escape(line, sizeof line, text));
}

static void write_time(struct json_writer *w)
{
    struct timespec now;
    struct tm utc;
    char text[40];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text + n, sizeof text - n, ".%03dZ", (int)(now.tv_nsec / 1000000));
    jw_key_cstr(w, "time", text);
}

static void put_json(enum log_level level, const char *message,
                     const struct log_field *fields, size_t count)
{
    struct buf line;
    struct json_writer w;
    buf_init(&line, (size_t)8 * LINE_MAX_BYTES);
    jw_init(&w, &line);
    jw_object(&w);
    write_time(&w);
    jw_key_cstr(&w, "level", names[level]);
    jw_key_cstr(&w, "message", message);
    for (size_t i = 0; i < count; i++) {
        if (fields[i].text.p) {
            jw_key_str(&w, fields[i].key, fields[i].text);
        } else if (fields[i].number) {
            jw_key(&w, fields[i].key);
            jw_u64(&w, fields[i].number);
        }
    }
    jw_end_object(&w);
    buf_addc(&line, '\n');
    if (!line.overflow)
        put(line.p, line.n);
    buf_finish(&line);
}

void log_event(enum log_level level, const char *what, const struct log_field *fields,
               size_t count)
{
    if (!log_enabled(level))
        return;
    int saved = errno;
    char text[LINE_MAX_BYTES];
    size_t n =
        (size_t)snprintf(text, sizeof text, "sandquay: %s: %s", names[level], what);
    for (size_t i = 0; i < count && n < sizeof text; i++) {
        if (fields[i].text.p)
            n += (size_t)snprintf(text + n, sizeof text - n, " %s=%.*s", fields[i].key,
                                  STR_FMT(fields[i].text));
        else if (fields[i].number)
            n += (size_t)snprintf(text + n, sizeof text - n, " %s=%llu", fields[i].key,
                                  (unsigned long long)fields[i].number);
    }
    if (format == LOG_JSON)
        put_json(level, what, fields, count);
    else
        put_text(text);
    errno = saved;
}

void log_line(enum log_level level, const char *fmt, ...)
{
    if (!log_enabled(level))
        return;
    int saved = errno;
    char text[LINE_MAX_BYTES];
    int head = snprintf(text, sizeof text, "sandquay: %s: ", names[level]);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text + head, sizeof text - (size_t)head, fmt, ap);
    va_end(ap);
    if (format == LOG_JSON)
        put_json(level, text + head, NULL, 0);
    else
        put_text(text);
    errno = saved;
}
