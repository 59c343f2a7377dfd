#include "net/lookup.h"
#include "base/fd.h"
#include "base/mem.h"
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

enum { STACK_BYTES = 512 * 1024, HOST_MAX = 256 };

/* Shared with the thread; the second of the two that lets go frees it. The thread
 * closes its end of the pipe when the result is there. */
struct question {
    atomic_int owners;
    char host[HOST_MAX];
    int done_fd;
    int result; /* of getaddrinfo */
    struct address list[LOOKUP_ADDRESSES_MAX];
    size_t count;
};

struct lookup {
    struct question *question;
    struct loop_io *done;
    lookup_fn *fn;
    void *ctx;
};

static void let_go(struct question *q)
{
    if (atomic_fetch_sub(&q->owners, 1) == 1)
        mem_free(q);
}

static void take(struct question *q, const struct addrinfo *found)
{
    for (; found && q->count < LOOKUP_ADDRESSES_MAX; found = found->ai_next) {
        struct address *to = &q->list[q->count];
        bool known = !address_from_sockaddr(found->ai_addr, to, NULL);
        for (size_t i = 0; i < q->count && !known; i++)
            known = address_eq(&q->list[i], to);
        q->count += !known;
    }
}

static void *ask(void *ctx)
{
    struct question *q = ctx;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *found = NULL;
    int done = q->done_fd;
    q->result = getaddrinfo(q->host, NULL, &hints, &found);
    if (q->result == 0) {
        take(q, found);
        freeaddrinfo(found);
    }
    let_go(q);
    close(done);
    return NULL;
}

static bool start_thread(struct question *q)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    /* Signals are the loop's. */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&thread, &attr, ask, q);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return rc == 0;
}

static void on_done(void *ctx, unsigned events)
{
    struct lookup *l = ctx;
    const struct question *q = l->question;
    struct address list[LOOKUP_ADDRESSES_MAX];
    struct err err;
    (void)events;
    loop_io_want(l->done, 0);
    size_t count = q->count;
    memcpy(list, q->list, sizeof list);
    bool absent = q->result == EAI_NONAME || q->result == EAI_NODATA ||
                  q->result == EAI_ADDRFAMILY || q->result == 0;
    if (count == 0 && absent)
        err_set(&err, ERR_NOT_FOUND, "%s: there is no such host", q->host);
    else if (count == 0)
        err_set(&err, ERR_UNAVAILABLE, "%s: %s", q->host, gai_strerror(q->result));
    l->fn(l->ctx, list, count, count ? NULL : &err);
}

struct lookup *lookup_new(struct loop *loop, const char *host, lookup_fn *fn, void *ctx)
{
    int ends[2];
    size_t n = strlen(host);
    if (n >= HOST_MAX || pipe2(ends, O_CLOEXEC) < 0)
        return NULL;
    struct question *q = mem_new(struct question);
    memcpy(q->host, host, n);
    q->done_fd = ends[1];
    atomic_init(&q->owners, 2);
    if (!start_thread(q)) {
        mem_free(q);
        fd_close(&ends[0]);
        fd_close(&ends[1]);
        return NULL;
    }
    struct lookup *l = mem_new(struct lookup);
    *l = (struct lookup){.question = q, .fn = fn, .ctx = ctx};
    l->done = loop_io_new(loop, ends[0], on_done, l);
    loop_io_want(l->done, LOOP_READ);
    return l;
}

void lookup_free(struct lookup *l)
{
    if (!l)
        return;
    loop_io_free(l->done);
    let_go(l->question);
    mem_free(l);
}
