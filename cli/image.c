/* sandquay image: the root directories that --image knows by a name. */
#include "base/fd.h"
#include "base/json_write.h"
#include "cli/child.h"
#include "cli/images.h"
#include "cli/verbs.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SUITE "bookworm"
#define PACKAGES                                                                       \
    "build-essential,ca-certificates,curl,git,less,nodejs,npm,procps,"                 \
    "python3,python3-pip,python3-venv"

struct listing {
    bool json;
    struct buf rows;
    int count;
};

static void on_row(void *ctx, const struct image_row *row)
{
    struct listing *l = ctx;
    struct json_writer w;
    char made[32];
    struct tm tm;
    time_t t = row->made_s;
    gmtime_r(&t, &tm);
    strftime(made, sizeof made, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (!l->json && l->count++ == 0)
        printf("%-24s  %-20s  %s\n", "NAME", "MADE", "FROM");
    if (!l->json) {
        printf("%-24s  %-20s  %s\n", row->name, made, row->source);
        return;
    }
    if (l->count++)
        buf_addc(&l->rows, ',');
    jw_init(&w, &l->rows);
    jw_object(&w);
    jw_key_cstr(&w, "name", row->name);
    jw_key_cstr(&w, "path", row->path);
    jw_key_cstr(&w, "source", row->source);
    jw_key_cstr(&w, "madeAt", made);
    jw_end_object(&w);
}

static int list(const struct options *o, const struct places *places, struct err *err)
{
    struct listing l = {.json = o->json};
    buf_init(&l.rows, 16 << 20);
    int rc = images_each(places, on_row, &l, err);
    if (rc == 0 && o->json)
        printf("{\"images\":[%.*s]}\n", STR_FMT(buf_str(&l.rows)));
    else if (rc == 0 && l.count == 0)
        fprintf(stderr, "sandquay: there is no image (sandquay image build NAME makes "
                        "one)\n");
    buf_finish(&l.rows);
    return rc;
}

/* Debian's mirrors as this machine has them, if it is a Debian of that suite. */
static const char *own_sources(const char *suite)
{
    static const char *const lists[] = {"/etc/apt/sources.list.d/debian.sources",
                                        "/etc/apt/sources.list"};
    static char text[16384];
    for (size_t i = 0; i < 2; i++) {
        FILE *f = fopen(lists[i], "re");
        size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
        if (f)
            fclose(f);
        text[n] = '\0';
        if (strstr(text, suite))
            return lists[i];
    }
    return NULL;
}

static int run_mmdebstrap(const struct options *o, const char *to, struct err *err)
{
    const char *suite = o->suite ? o->suite : SUITE, *sources = own_sources(suite);
    char packages[4096];
    snprintf(packages, sizeof packages, "--include=%s%s%.3000s", PACKAGES,
             o->include ? "," : "", o->include ? o->include : "");
    const char *const argv[] = {
        "mmdebstrap", "--variant=minbase", packages, "--", suite, to, sources, NULL};
    fprintf(stderr,
            "sandquay: building Debian %s with mmdebstrap; this takes minutes\n",
            suite);
    int status = child_wait(child_start(argv, -1, fcntl(2, F_DUPFD_CLOEXEC, 3)));
    if (status == 0)
        return 0;
    if (status == 127 || status == EXIT_CANNOT) {
        err_set(err, ERR_UNAVAILABLE, "mmdebstrap is missing");
        return err_remedy(err, "apt-get install mmdebstrap");
    }
    err_set(err, ERR_IO, "mmdebstrap failed with status %d", status);
    return err_remedy(err, "what is above says why");
}

static int build(const struct options *o, const struct places *places, const char *name,
                 struct err *err)
{
    char directory[PATH_MAX], tar[PATH_MAX + 16], source[256];
    snprintf(directory, sizeof directory, "%.4000s/sandquay-image-XXXXXX",
             places->temp);
    if (!mkdtemp(directory))
        return err_sys(err, errno, "making a directory in %.200s", places->temp);
    /* where mmdebstrap is not root, other ids of ours write there */
    chmod(directory, 0711);
    snprintf(tar, sizeof tar, "%s/root.tar", directory);
    snprintf(source, sizeof source, "mmdebstrap %.100s", o->suite ? o->suite : SUITE);
    int rc = run_mmdebstrap(o, tar, err);
    if (rc == 0)
        rc = images_add(places, name, tar, source, err);
    unlink(tar);
    rmdir(directory);
    return rc;
}

static int add(const struct places *places, const char *file, const char *name,
               struct err *err)
{
    char full[PATH_MAX];
    if (!realpath(file, full))
        return err_sys(err, errno, "the image %.200s", file);
    return images_add(places, name, full, full, err);
}

static int act(const struct options *o, const struct places *places, const char *what,
               int count, char **words, struct err *err)
{
    if (strcmp(what, "list") == 0 && count == 0)
        return list(o, places, err);
    if (strcmp(what, "build") == 0 && count == 1)
        return build(o, places, words[0], err);
    if (strcmp(what, "add") == 0 && count == 2)
        return add(places, words[0], words[1], err);
    if (strcmp(what, "rm") == 0 && count == 1)
        return images_remove(places, words[0], err);
    err_set(err, ERR_INVALID, "build NAME, add FILE NAME, list or rm NAME is wanted");
    return err_remedy(err, "`sandquay image --help` tells more");
}

int image_main(int argc, char **argv)
{
    struct options o;
    struct err err;
    struct places places;
    /* sandquay image build [flags] NAME */
    const char *what = argc > 1 && argv[1][0] != '-' ? argv[1] : "";
    argv += what[0] != '\0';
    argc -= what[0] != '\0';
    if (options_parse(&o, OPTIONS_IMAGE, argc, argv, &err) < 0)
        return verb_fail("image", &err, EXIT_WRONG_USE);
    if (o.help) {
        help_verb(OPTIONS_IMAGE);
        return 0;
    }
    int rc = places_find(&places, &err);
    if (rc == 0)
        rc = act(&o, &places, what, argc - o.first, argv + o.first, &err);
    options_finish(&o);
    if (rc == 0)
        return 0;
    return verb_fail("image", &err, err.kind == ERR_INVALID ? EXIT_WRONG_USE : 1);
}
