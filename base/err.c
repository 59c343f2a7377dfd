#include "base/err.h"
#include "base/utf8.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* snprintf may have cut in the middle of a character. */
static void trim(char *text)
{
    text[utf8_valid_prefix(str_of(text))] = '\0';
}

int err_set(struct err *err, enum err_kind kind, const char *fmt, ...)
{
    err->kind = kind;
    err->sys = 0;
    err->remedy[0] = '\0';
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    trim(err->msg);
    return -1;
}

int err_sys(struct err *err, int sys, const char *fmt, ...)
{
    err->kind = ERR_IO;
    err->sys = sys;
    err->remedy[0] = '\0';
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    size_t n = strlen(err->msg);
    snprintf(err->msg + n, sizeof err->msg - n, ": %s", strerror(sys));
    trim(err->msg);
    return -1;
}

int err_remedy(struct err *err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->remedy, sizeof err->remedy, fmt, ap);
    va_end(ap);
    trim(err->remedy);
    return -1;
}

int err_prefix(struct err *err, const char *fmt, ...)
{
    char old[sizeof err->msg];
    memcpy(old, err->msg, sizeof old);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    size_t n = strlen(err->msg);
    snprintf(err->msg + n, sizeof err->msg - n, ": %s", old);
    trim(err->msg);
    return -1;
}

const char *err_kind_name(enum err_kind kind)
{
    static const char *const names[] = {
        [ERR_NONE] = "NONE",
        [ERR_INVALID] = "INVALID",
        [ERR_NOT_FOUND] = "NOT_FOUND",
        [ERR_CONFLICT] = "CONFLICT",
        [ERR_DENIED] = "DENIED",
        [ERR_LIMIT] = "LIMIT",
        [ERR_TIMEOUT] = "TIMEOUT",
        [ERR_CANCELLED] = "CANCELLED",
        [ERR_UNAVAILABLE] = "UNAVAILABLE",
        [ERR_PROTOCOL] = "PROTOCOL",
        [ERR_IO] = "IO",
        [ERR_INTERNAL] = "INTERNAL",
    };
    if ((unsigned)kind >= sizeof names / sizeof names[0])
        return "INTERNAL";
    return names[kind];
}
