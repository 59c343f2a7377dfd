#include "cli/report.h"
#include "base/json_write.h"
#include <stdio.h>

enum { ROWS_BYTES = 256 * 1024 };

void report_init(struct report *r, bool json)
{
    *r = (struct report){.json = json};
    buf_init(&r->rows, ROWS_BYTES);
}

void report_finish(struct report *r)
{
    buf_finish(&r->rows);
}

void report_row(struct report *r, const char *group, enum report_verdict verdict,
                const char *name, const char *text, const char *fix)
{
    static const char *const words[] = {"ok", "held", "weaker", "missing", "info"};
    struct json_writer w;
    if (!r->json)
        printf("%-8s %s: %s%s%s\n", words[verdict], name, text, fix[0] ? "; " : "",
               fix);
    if (r->rows.n)
        buf_addc(&r->rows, ',');
    jw_init(&w, &r->rows);
    jw_object(&w);
    jw_key_cstr(&w, "group", group);
    jw_key_cstr(&w, "name", name);
    jw_key_cstr(&w, "verdict", words[verdict]);
    jw_key_cstr(&w, "text", text);
    if (fix[0])
        jw_key_cstr(&w, "fix", fix);
    jw_end_object(&w);
}
