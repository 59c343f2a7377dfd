/* Datagrams of protocol.h over a SEQPACKET socket; used by both ends. */
#pragma once
#include "base/str.h"
#include "sandbox/guest/protocol.h"
#include <sys/types.h>

struct wire_message {
    uint32_t type, id;
    const char *body; /* the struct of the type; body_bytes long */
    size_t body_bytes;
    struct str tail;
    int fds[GUEST_FDS_MAX]; /* the receiver's: wire_close_fds(), or taken and set to -1
                             */
    int fd_count;
};

struct wire_out {
    uint32_t type, id;
    const void *body;
    size_t body_bytes;
    struct str tail;
    const int *fds; /* borrowed */
    int fd_count;
};

/* 0, or -1 with errno (EAGAIN: the peer reads too slowly). */
int wire_send(int sock, const struct wire_out *m);

/* One datagram into `room` (GUEST_MESSAGE_MAX bytes). 1: a message; 0: the peer has
 * gone; -1: errno (EAGAIN: none now; EBADMSG: not of this protocol). All descriptors
 * are CLOEXEC. */
int wire_recv(int sock, char *room, struct wire_message *m);

void wire_close_fds(struct wire_message *m);
