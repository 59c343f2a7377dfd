/* The host sets out what the sandbox must not see: a file, a word in our environment, a
 * listener on 127.0.0.1, an abstract socket; and afterwards looks for a process that
 * was to outlive its sandbox. */
#include "cli/prove.h"
#include "base/fd.h"
#include "base/mem.h"
#include "cli/session.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    MEMORY_MB = 128,
    DISK_MB = 32,
    PIDS = 64,
    TIMEOUT_MS = 60000,
    PROGRAM_BYTES = 32 * 1024 * 1024,
    OUTPUT_BYTES = 64 * 1024,
};

struct bait {
    char file[300], word[40], name[60], mark[24];
    int listener, abstract;
    unsigned port;
};

static void bait_clear(struct bait *b)
{
    if (b->file[0])
        unlink(b->file);
    fd_close(&b->listener);
    fd_close(&b->abstract);
}

static int listen_tcp(struct bait *b)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    b->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (b->listener < 0 || bind(b->listener, (struct sockaddr *)&at, n) < 0 ||
        listen(b->listener, 8) < 0 ||
        getsockname(b->listener, (struct sockaddr *)&at, &n) < 0)
        return -1;
    b->port = ntohs(at.sin_port);
    return 0;
}

static int listen_abstract(struct bait *b)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t n = strlen(b->name);
    memcpy(at.sun_path + 1, b->name, n);
    b->abstract = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return b->abstract < 0 ||
                   bind(b->abstract, (struct sockaddr *)&at,
                        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n)) < 0
               ? -1
               : listen(b->abstract, 8);
}

static int bait_set(struct bait *b, const char *temp, struct err *err)
{
    uint64_t random = 0;
    *b = (struct bait){.listener = -1, .abstract = -1};
    if (getrandom(&random, sizeof random, 0) != sizeof random)
        random = (uint64_t)getpid();
    snprintf(b->word, sizeof b->word, "canary-%016llx", (unsigned long long)random);
    snprintf(b->name, sizeof b->name, "sandquay-doctor-%016llx",
             (unsigned long long)random);
    snprintf(b->mark, sizeof b->mark, "7%09u.25", (unsigned)(random % 1000000000));
    snprintf(b->file, sizeof b->file, "%.200s/%s", temp, b->word);
    int fd = open(b->file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 || setenv("SANDQUAY_CANARY", b->word, 1) < 0 || listen_tcp(b) < 0 ||
        listen_abstract(b) < 0) {
        err_sys(err, errno, "setting out what a sandbox must not see");
        fd_close(&fd);
        bait_clear(b);
        return -1;
    }
    fd_close(&fd);
    return 0;
}

static int read_program(const char *path, struct buf *to, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = 1;
    buf_init(to, PROGRAM_BYTES);
    while (fd >= 0 && n > 0) {
        char *at = buf_reserve(to, 1 << 20);
        n = at ? read(fd, at, 1 << 20) : -1;
        if (n > 0)
            to->n += (size_t)n;
    }
    int sys = errno;
    bool bad = fd < 0 || n < 0;
    fd_close(&fd);
    return bad ? err_sys(err, sys, "reading %s", path) : 0;
}

/* What a weaker level does not promise, and why. */
static const struct {
    int from;
    const char *protection, *why;
} exceptions[] = {
    {4, "host processes", "level 4 cannot hide them"},
    {4, "process limit", "level 4, with other processes of this user"},
};

static const char *fix_for(int level)
{
    return level == 4 ? "allow user namespaces, or install bubblewrap"
                      : "run it as root: only root has cgroups for its limits";
}

static bool tell(struct report *r, const struct session *s, const char *protection,
                 const char *open, unsigned tried)
{
    char text[200];
    if (!open[0]) {
        snprintf(text, sizeof text, "%u %s refused", tried,
                 tried == 1 ? "attempt" : "attempts");
        bool soft = strcmp(protection, "memory limit") == 0 &&
                    !strstr(s->limited_by, "memory: cgroup");
        if (soft)
            snprintf(text, sizeof text,
                     "bounded for each process, the sum is only watched");
        report_row(r, "protection", soft ? REPORT_WEAKER : REPORT_HELD, protection,
                   text, soft ? fix_for(s->level) : "");
        return true;
    }
    for (size_t i = 0; i < sizeof exceptions / sizeof exceptions[0]; i++)
        if (s->level >= exceptions[i].from &&
            strcmp(protection, exceptions[i].protection) == 0) {
            report_row(r, "protection", REPORT_WEAKER, protection, exceptions[i].why,
                       fix_for(s->level));
            return true;
        }
    snprintf(text, sizeof text, "not refused: %s", open);
    report_row(r, "protection", REPORT_MISSING, protection, text,
               "do not run code here that you do not trust, and report this");
    return false;
}

/* Lines of one protection stand together. */
static bool tell_trials(struct report *r, const struct session *s, char *output)
{
    char protection[64] = "", open[128] = "";
    unsigned tried = 0, lines = 0;
    bool holds = true;
    for (char *save, *row = strtok_r(output, "\n", &save); row;
         row = strtok_r(NULL, "\n", &save)) {
        char *rest, *verdict = strtok_r(row, "\t", &rest);
        char *name = strtok_r(NULL, "\t", &rest), *what = strtok_r(NULL, "\t", &rest);
        if (!what)
            continue;
        if (tried && strcmp(name, protection) != 0) {
            holds &= tell(r, s, protection, open, tried);
            tried = 0;
            open[0] = '\0';
        }
        snprintf(protection, sizeof protection, "%s", name);
        if (strcmp(verdict, "held") != 0)
            snprintf(open, sizeof open, "%s", what);
        tried++;
        lines++;
    }
    if (tried)
        holds &= tell(r, s, protection, open, tried);
    if (lines == 0)
        report_row(r, "protection", REPORT_MISSING, "trials", "none could be made", "");
    return holds && lines > 0;
}

/* Is a process with that argument alive? */
static bool marked_lives(const char *mark)
{
    DIR *d = opendir("/proc");
    bool found = false;
    for (struct dirent *e; d && !found && (e = readdir(d));) {
        char path[300], text[4096];
        if (e->d_name[0] < '1' || e->d_name[0] > '9')
            continue;
        snprintf(path, sizeof path, "/proc/%s/cmdline", e->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);
        fd_close(&fd);
        found = n > 0 && memmem(text, (size_t)n, mark, strlen(mark));
    }
    if (d)
        closedir(d);
    return found;
}

static int try_inside(struct session *s, const struct bait *b, const char *guest,
                      struct buf *output, struct err *err)
{
    char command[1000];
    struct buf program;
    int code = 0;
    int rc = read_program(guest, &program, err);
    if (rc == 0)
        rc = session_write(s, "prove-program", buf_str(&program), err);
    buf_finish(&program);
    snprintf(command, sizeof command,
             "chmod 755 prove-program; (setsid sleep %s > /dev/null 2>&1 &); "
             "./prove-program prove %s %s %u %s %d %d %d %d",
             b->mark, b->file, b->word, b->port, b->name, (int)getpid(), MEMORY_MB,
             PIDS, DISK_MB);
    return rc < 0 ? -1
                  : session_run(s, str_of(command), TIMEOUT_MS, output, &code, err);
}

bool prove_protections(struct report *r, const struct sandbox_backend *backend,
                       const struct sandbox_config *config, const char *guest)
{
    struct sandbox_config small = *config;
    struct session s = {0};
    struct bait b;
    struct buf output;
    struct err err;
    small.default_name = NULL;
    small.workspace = NULL;
    small.workspace_readonly = false;
    small.limits.memory_bytes = (uint64_t)MEMORY_MB << 20;
    small.limits.disk_bytes = (uint64_t)DISK_MB << 20;
    small.limits.pids = PIDS;
    if (bait_set(&b, config->temp_dir, &err) < 0) {
        report_row(r, "protection", REPORT_MISSING, "trials", err.msg, err.remedy);
        return false;
    }
    buf_init(&output, OUTPUT_BYTES);
    int rc = session_start(&s, backend, &small, &err);
    if (rc == 0)
        rc = session_open(&s, &err);
    struct session was = s; /* its level and limits */
    if (rc == 0)
        rc = try_inside(&s, &b, guest, &output, &err);
    bool lived = rc == 0 && marked_lives(b.mark);
    session_close(&s);
    bool left = marked_lives(b.mark);
    bait_clear(&b);
    bool holds = false;
    if (rc < 0) {
        report_row(r, "protection", REPORT_MISSING, "trials", err.msg, err.remedy);
    } else if (buf_cstr(&output)) {
        holds = tell_trials(r, &was, output.p);
        report_row(r, "protection", left || !lived ? REPORT_MISSING : REPORT_HELD,
                   "daemons",
                   left     ? "a process outlived its sandbox"
                   : !lived ? "none could be started"
                            : "a process that tried to outlive its sandbox is gone",
                   "");
        holds &= !left && lived;
    }
    buf_finish(&output);
    return holds;
}
