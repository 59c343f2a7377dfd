/* The same work outside, in a sandbox that is there, through bubblewrap and through
 * runc, in turn. Programs are the machine's own, files are in memory everywhere, and
 * the environment is the least that they need. */
#include "base/mem.h"
#include "tests/bench/client/peer.h"
#include "tests/bench/client/rows.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_BYTES = 64 * 1024, COMMAND_BYTES = 2048, WARM_UP = 2, BESIDE_WARM_UP = 1 };

struct work {
    const char *prepare, *command, *tidy; /* without a single quote */
};

/* 4,000 files of 2,000 bytes; a.tar stays. */
static const struct work untar = {
    .prepare = "mkdir t && head -c 8000000 /dev/zero | split -a 3 -b 2000 - t/f && "
               "tar cf a.tar t && rm -r t",
    .command = "mkdir out && tar xf a.tar -C out",
    .tidy = "rm -r out",
};

static const struct work compile = {
    .prepare = "for i in $(seq 40); do echo \"int f$i(int x, int *y) { for (int i = 0; "
               "i < x; i++) y[i] = y[x - i] * $i + i % 7; return y[x / 2]; }\"; done "
               "> a.c",
    .command = "gcc -O2 -c a.c -o a.o",
    .tidy = "rm a.o",
};

static const struct work python = {"true", "/usr/bin/python3 -c pass", "true"};
static const struct work node = {"true", "/usr/bin/node -e 1", "true"};

struct place {
    char dir[64]; /* of what is outside */
    struct peer server;
    struct buf line;
    unsigned id;
};

static int bare_run(const char *command, double *ret_s, struct err *err)
{
    struct bare bare;
    double start = clock_s();
    if (bare_start(&bare, command, err) < 0 || bare_wait(&bare, err) < 0)
        return -1;
    *ret_s = clock_s() - start;
    return 0;
}

static int outside(const struct place *p, const char *command, double *ret_s,
                   struct err *err)
{
    char text[COMMAND_BYTES];
    snprintf(text, sizeof text, "cd %s && %s", p->dir, command);
    return bare_run(text, ret_s, err);
}

static int inside(struct place *p, const char *command, double *ret_s, struct err *err)
{
    bench_command_line(&p->line, ++p->id, command);
    return bench_ask(&p->server, buf_str(&p->line), STR("\"exitCode\":0"), ret_s, err);
}

/* All that a sandbox has, and the directory of the work. */
static int bubblewrap(const struct place *p, const char *command, double *ret_s,
                      struct err *err)
{
    char text[COMMAND_BYTES];
    snprintf(text, sizeof text,
             "exec bwrap --unshare-all --new-session --die-with-parent --ro-bind /usr "
             "/usr --symlink usr/bin /bin --symlink usr/lib /lib --symlink usr/lib64 "
             "/lib64 --ro-bind /etc/alternatives /etc/alternatives --proc /proc --dev "
             "/dev --tmpfs /tmp --bind %s /work --chdir /work -- /bin/bash -c '%s'",
             p->dir, command);
    return bare_run(text, ret_s, err);
}

static int write_bundle(const struct place *p, const char *command, struct err *err)
{
    static const char format[] =
        "{\"ociVersion\":\"1.0.2\",\"process\":{\"user\":{\"uid\":0,\"gid\":0},"
        "\"args\":[\"/bin/bash\",\"-c\",\"%s\"],\"cwd\":\"/work\","
        "\"env\":[\"PATH=/usr/bin:/bin\",\"HOME=/tmp\"]},"
        "\"root\":{\"path\":\"rootfs\"},\"mounts\":["
        "{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
        "{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"},"
        "{\"destination\":\"/tmp\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"},"
        "{\"destination\":\"/usr\",\"type\":\"bind\",\"source\":\"/usr\","
        "\"options\":[\"rbind\",\"ro\"]},"
        "{\"destination\":\"/etc/alternatives\",\"type\":\"bind\","
        "\"source\":\"/etc/alternatives\",\"options\":[\"bind\",\"ro\"]},"
        "{\"destination\":\"/work\",\"type\":\"bind\",\"source\":\"%s\","
        "\"options\":[\"bind\"]}],"
        "\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"network\"},"
        "{\"type\":\"ipc\"},{\"type\":\"uts\"},{\"type\":\"mount\"}]}}\n";
    char path[128];
    snprintf(path, sizeof path, "%s/bundle/config.json", p->dir);
    FILE *f = fopen(path, "we");
    if (!f || fprintf(f, format, command, p->dir) < 0 || fclose(f) != 0)
        return err_set(err, ERR_IO, "writing runc's bundle");
    return 0;
}

static int runc(const struct place *p, double *ret_s, struct err *err)
{
    char text[COMMAND_BYTES];
    snprintf(text, sizeof text, "exec runc run --bundle %s/bundle sq-bench-%d", p->dir,
             (int)getpid());
    return bare_run(text, ret_s, err);
}

static int prepare(const struct bench *b, struct place *p, const struct work *w,
                   struct err *err)
{
    double took;
    snprintf(p->dir, sizeof p->dir, "/dev/shm/sq-bench-XXXXXX");
    buf_init(&p->line, LINE_BYTES);
    if (!mkdtemp(p->dir))
        return err_set(err, ERR_IO, "no directory in /dev/shm");
    int rc = outside(p,
                     "cd bundle 2>/dev/null || mkdir -p bundle/rootfs && cd "
                     "bundle/rootfs && ln -s usr/bin bin && ln -s usr/lib lib && "
                     "ln -s usr/lib64 lib64",
                     &took, err);
    if (rc == 0)
        rc = outside(p, w->prepare, &took, err);
    if (rc == 0)
        rc = write_bundle(p, w->command, err);
    if (rc == 0)
        rc = bench_open(b, &p->server, err);
    return rc < 0 ? -1 : inside(p, w->prepare, &took, err);
}

static int both(struct place *p, const struct work *w, struct figure *f, bool counts,
                struct err *err)
{
    double floor, ours, tidy;
    if (outside(p, w->command, &floor, err) < 0 ||
        outside(p, w->tidy, &tidy, err) < 0 || inside(p, w->command, &ours, err) < 0 ||
        inside(p, w->tidy, &tidy, err) < 0)
        return -1;
    if (counts) {
        sample_add(&f->floor, floor * 1e3);
        sample_add(&f->ours, ours * 1e3);
    }
    return 0;
}

/* Whoever is not installed is left out. */
static int others(struct place *p, const struct work *w, struct measurement *m,
                  bool counts, struct err *err)
{
    const bool have[] = {access("/usr/bin/bwrap", X_OK) == 0,
                         access("/usr/sbin/runc", X_OK) == 0 && geteuid() == 0};
    for (int i = 0; i < 2; i++) {
        double took, tidy;
        if (!have[i])
            continue;
        if ((i == 0 ? bubblewrap(p, w->command, &took, err) : runc(p, &took, err)) <
                0 ||
            outside(p, w->tidy, &tidy, err) < 0)
            return -1;
        if (counts)
            sample_add(&m->beside[i].ours, took * 1e3);
    }
    return 0;
}

static int measure_work(const struct bench *b, struct measurement *m,
                        const struct work *w, struct err *err)
{
    static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin", home[] = "HOME=/tmp",
                locale[] = "LC_CTYPE=C.UTF-8";
    static char *least[] = {path, home, locale, NULL};
    char **before = environ, text[COMMAND_BYTES];
    struct place p = {0};
    double took;
    environ = least;
    m->beside[0].label = "bubblewrap, made for it";
    m->beside[1].label = "runc, made for it";
    int rc = prepare(b, &p, w, err);
    for (size_t i = 0; rc == 0 && bench_more(b, i, WARM_UP + 31, WARM_UP + 11); i++)
        rc = both(&p, w, &m->main, i >= WARM_UP, err);
    for (size_t i = 0; rc == 0 && b->profile_s <= 0 && i < BESIDE_WARM_UP + 7; i++)
        rc = others(&p, w, m, i >= BESIDE_WARM_UP, err);
    peer_finish(&p.server);
    buf_finish(&p.line);
    snprintf(text, sizeof text, "rm -rf %s", p.dir);
    struct err ignored;
    if (p.dir[0])
        bare_run(text, &took, &ignored);
    environ = before;
    return rc;
}

int measure_python(const struct bench *b, struct measurement *m, struct err *err)
{
    return measure_work(b, m, &python, err);
}

int measure_node(const struct bench *b, struct measurement *m, struct err *err)
{
    return measure_work(b, m, &node, err);
}

int measure_untar(const struct bench *b, struct measurement *m, struct err *err)
{
    return measure_work(b, m, &untar, err);
}

int measure_compile(const struct bench *b, struct measurement *m, struct err *err)
{
    return measure_work(b, m, &compile, err);
}
