#include "agent/input.h"
#include "agent/view.h"
#include "base/fd.h"
#include "base/utf8.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

enum { CHUNK = 64 * 1024, PATIENCE_MS = 1000 };

static int read_all(struct buf *to, int fd, const char *what, struct err *err)
{
    for (;;) {
        char *at = buf_reserve(to, CHUNK);
        if (!at)
            return err_set(err, ERR_LIMIT, "%.150s is over %zu MiB", what,
                           to->max >> 20);
        ssize_t n = read(fd, at, CHUNK);
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (n < 0 && errno == EAGAIN)
            poll(&p, 1, -1);
        else if (n < 0 && errno != EINTR)
            return err_sys(err, errno, "%.150s", what);
        if (n == 0)
            return 0;
        to->n += n > 0 ? (size_t)n : 0;
    }
}

int input_read(struct buf *to, int fd, int err_fd, struct err *err)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, PATIENCE_MS) == 0)
        view_write(err_fd, STR("sandquay agent: reading stdin to its end "
                               "(</dev/null: there is nothing)\n"));
    if (read_all(to, fd, "stdin", err) < 0)
        return -1;
    if (utf8_valid(buf_str(to)))
        return 0;
    err_set(err, ERR_INVALID, "stdin is not text in UTF-8");
    return err_remedy(err, "put the file into the sandbox: --workspace, sandquay cp");
}

int input_json(struct buf *to, const char *text_or_file, struct err *err)
{
    struct arena a = {0};
    struct json_doc doc;
    const char *p = text_or_file;
    int rc = 0;
    while (*p == ' ' || *p == '\n' || *p == '\t')
        p++;
    if (*p == '{') {
        buf_addz(to, p);
    } else {
        int fd = open(text_or_file, O_RDONLY | O_CLOEXEC);
        rc = fd < 0 ? err_sys(err, errno, "%.150s", text_or_file)
                    : read_all(to, fd, text_or_file, err);
        fd_close(&fd);
    }
    if (rc == 0 && (rc = json_parse(&doc, &a, buf_str(to), err)) == 0 &&
        json_type(json_root(&doc)) != JSON_OBJECT)
        rc = err_set(err, ERR_INVALID, "it is no JSON object");
    arena_finish(&a);
    return rc;
}
