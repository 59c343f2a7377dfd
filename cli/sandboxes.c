/* sandquay sandboxes, stop, rm: looking after kept sandboxes from a shell. */
#include "base/json_write.h"
#include "base/mem.h"
#include "cli/ask.h"
#include "cli/verbs.h"
#include <stdio.h>
#include <string.h>

static void print_text(struct json row, const char *key, int width)
{
    struct arena a = {0};
    struct str text = json_str(json_get(row, str_of(key)), &a);
    printf("%-*.*s  ", width, STR_FMT(text));
    arena_finish(&a);
}

static void print_table(struct json list)
{
    printf("%-24s  %-8s  %-24s  %s\n", "NAME", "STATUS", "CREATED", "RUN BY PID");
    for (struct json row = json_first(list); json_present(row); row = json_next(row)) {
        int64_t pid = 0;
        print_text(row, "sandbox", 24);
        print_text(row, "status", 8);
        print_text(row, "createdAt", 24);
        if (json_i64(json_get(row, STR("heldByPid")), &pid))
            printf("%lld", (long long)pid);
        printf("\n");
    }
}

struct listing {
    const struct options *o;
    int status;
};

static void on_list(void *ctx, size_t call, struct json content, const struct err *err)
{
    struct listing *l = ctx;
    (void)call;
    struct json list = json_get(content, STR("sandboxes"));
    if (err)
        l->status = verb_fail("sandboxes", err, 1);
    else if (l->o->json)
        printf("%.*s\n", STR_FMT(json_raw(content)));
    else if (json_len(list))
        print_table(list);
    else
        fprintf(stderr, "sandquay: there is no named sandbox (sandquay exec --sandbox "
                        "NAME COMMAND makes one)\n");
}

/* Parses the flags; -1: go on, else the exit status. */
static int begin(struct options *o, const char *verb, enum options_verb which, int argc,
                 char **argv)
{
    struct err err;
    if (options_parse(o, which, argc, argv, &err) < 0)
        return verb_fail(verb, &err, EXIT_WRONG_USE);
    if (!o->help)
        return -1;
    help_verb(which);
    return 0;
}

int sandboxes_main(int argc, char **argv)
{
    struct options o;
    struct err err;
    struct listing listing = {.o = &o};
    struct ask_call call = {.tool = "sandbox_list"};
    int status = begin(&o, "sandboxes", OPTIONS_SANDBOXES, argc, argv);
    if (status >= 0)
        return status;
    if (o.first < argc) {
        err_set(&err, ERR_INVALID, "unknown argument %s", argv[o.first]);
        return verb_fail("sandboxes", &err, EXIT_WRONG_USE);
    }
    buf_init(&call.arguments, 16);
    buf_addz(&call.arguments, "{}");
    if (ask(&o, &call, 1, on_list, &listing, &err) < 0)
        listing.status = verb_fail("sandboxes", &err, 1);
    buf_finish(&call.arguments);
    return listing.status;
}

struct stopping {
    const char *verb;
    char **names;
    int status;
};

static void on_stopped(void *ctx, size_t call, struct json content,
                       const struct err *err)
{
    struct stopping *s = ctx;
    (void)content;
    if (err)
        s->status = verb_fail(s->verb, err, 1);
    else
        printf("%s\n", s->names[call]);
}

static int stop_all(struct options *o, const char *verb, char **names, size_t count,
                    bool deletes)
{
    struct stopping s = {.verb = verb, .names = names};
    struct ask_call *calls = mem_zalloc(count * sizeof *calls);
    struct err err;
    for (size_t i = 0; i < count; i++) {
        struct json_writer w;
        calls[i].tool = "sandbox_stop";
        buf_init(&calls[i].arguments, 64 * 1024);
        jw_init(&w, &calls[i].arguments);
        jw_object(&w);
        jw_key_cstr(&w, "sandbox", names[i]);
        if (deletes)
            jw_key_bool(&w, "delete", true);
        jw_end_object(&w);
    }
    if (ask(o, calls, count, on_stopped, &s, &err) < 0)
        s.status = verb_fail(verb, &err, 1);
    for (size_t i = 0; i < count; i++)
        buf_finish(&calls[i].arguments);
    mem_free(calls);
    return s.status;
}

static int stop_or_rm(const char *verb, enum options_verb which, bool deletes, int argc,
                      char **argv)
{
    struct options o;
    struct err err;
    int status = begin(&o, verb, which, argc, argv);
    if (status >= 0)
        return status;
    if (o.first >= argc) {
        err_set(&err, ERR_INVALID, "which sandbox?");
        err_remedy(&err, "`sandquay sandboxes` lists them");
        return verb_fail(verb, &err, EXIT_WRONG_USE);
    }
    return stop_all(&o, verb, argv + o.first, (size_t)(argc - o.first), deletes);
}

int stop_main(int argc, char **argv)
{
    return stop_or_rm("stop", OPTIONS_STOP, false, argc, argv);
}

int rm_main(int argc, char **argv)
{
    return stop_or_rm("rm", OPTIONS_RM, true, argc, argv);
}
