/* A server that speaks the Messages API byte by byte, as a script tells it: one thread,
 * real sockets. */
#pragma once
#include "base/str.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/* One step a request. */
struct model_step {
    const char *head; /* status line and headers, without the empty line; NULL: 200 with
                         a stream of events */
    struct str body;
    size_t piece; /* bytes a write; 0: all at once */
    bool cut;     /* close without ending the body: the client sees a broken transfer */
    bool swallow; /* close without an answer */
    bool hang;    /* after the body nothing comes, until the client goes away */
    struct str expect; /* must be in the request; empty: anything */
};

enum { MODEL_SERVER_REQUESTS = 16, MODEL_SERVER_REQUEST_MAX = 256 * 1024 };

struct model_server {
    int listener, port;
    const struct model_step *steps;
    size_t count;
    pthread_t thread;
    atomic_size_t requests;              /* that came */
    atomic_bool unexpected;              /* one was not as expected, or one too many */
    char last[MODEL_SERVER_REQUEST_MAX]; /* read it when the thread stands still */
    size_t last_n;
};

void model_server_start(struct model_server *s, const struct model_step *steps,
                        size_t count);
void model_server_stop(struct model_server *s);
