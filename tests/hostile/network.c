/* Ways out by socket: hostile_network tcp|udp ADDRESS PORT | abstract NAME | path FILE
 * | vsock | raw | packet | netlink PROTOCOL | family NUMBER. And to a local listener:
 * say PORT (stdin, then what comes back) | hold PORT COUNT (connections) */
#include "tests/hostile/attack.h"
#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/vm_sockets.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static long inet_connect(int type, const char *address, const char *port)
{
    struct timeval limit = {.tv_sec = 2};
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)strtoul(port, NULL, 10))};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (fd == -1 || inet_pton(AF_INET, address, &to.sin_addr) != 1)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == -1)
        return -1;
    return type == SOCK_DGRAM ? send(fd, "x", 1, 0) : 0;
}

static long unix_connect(const char *name, bool abstract)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t length = strlen(name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd == -1 || length + 2 > sizeof to.sun_path)
        return -1;
    memcpy(to.sun_path + (abstract ? 1 : 0), name, length);
    length += offsetof(struct sockaddr_un, sun_path) + 1;
    return connect(fd, (struct sockaddr *)&to, (socklen_t)length);
}

static long vsock_connect(void)
{
    struct sockaddr_vm to = {
        .svm_family = AF_VSOCK, .svm_port = 52, .svm_cid = VMADDR_CID_HOST};
    struct timeval limit = {.tv_sec = 2};
    int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd == -1)
        return -1;
    setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &limit, sizeof limit);
    return connect(fd, (struct sockaddr *)&to, sizeof to);
}

static int local_connect(const char *port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval limit = {.tv_sec = 5};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return connect(fd, (struct sockaddr *)&to, sizeof to) == -1 ? -1 : fd;
}

static void say(const char *port)
{
    static char text[200000];
    int fd = local_connect(port);
    ssize_t n;
    while ((n = read(0, text, sizeof text)) > 0)
        if (send(fd, text, (size_t)n, MSG_NOSIGNAL) < 0)
            break;
    while ((n = recv(fd, text, sizeof text, 0)) > 0)
        fwrite(text, 1, (size_t)n, stdout);
}

static void hold(const char *port, const char *count)
{
    long held = 0;
    while (held < strtol(count, NULL, 10) && local_connect(port) >= 0)
        held++;
    printf("held %ld\n", held);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (argc == 4 && strcmp(what, "tcp") == 0)
        attack_report(inet_connect(SOCK_STREAM, argv[2], argv[3]));
    else if (argc == 4 && strcmp(what, "udp") == 0)
        attack_report(inet_connect(SOCK_DGRAM, argv[2], argv[3]));
    else if (argc == 3 && strcmp(what, "abstract") == 0)
        attack_report(unix_connect(argv[2], true));
    else if (argc == 3 && strcmp(what, "path") == 0)
        attack_report(unix_connect(argv[2], false));
    else if (argc == 2 && strcmp(what, "vsock") == 0)
        attack_report(vsock_connect());
    else if (argc == 2 && strcmp(what, "raw") == 0)
        attack_report(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
    else if (argc == 2 && strcmp(what, "packet") == 0)
        attack_report(socket(AF_PACKET, SOCK_RAW, 0));
    else if (argc == 3 && strcmp(what, "netlink") == 0)
        attack_report(socket(AF_NETLINK, SOCK_RAW, (int)strtol(argv[2], NULL, 10)));
    else if (argc == 3 && strcmp(what, "family") == 0)
        attack_report(socket((int)strtol(argv[2], NULL, 10), SOCK_SEQPACKET, 0));
    else if (argc == 3 && strcmp(what, "say") == 0)
        say(argv[2]);
    else if (argc == 4 && strcmp(what, "hold") == 0)
        hold(argv[2], argv[3]);
    else
        return 2;
    return 0;
}
