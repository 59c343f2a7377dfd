/* A guest that lies, byte by byte: the input is a list of steps, of ours (ask for a
 * command, a file, a kill) and of the guest's (messages of every kind, with every kind
 * of descriptor). Whatever it says, everybody who asked is answered exactly once. */
#include "base/fd.h"
#include "base/mem.h"
#include "tests/common/false_guest.h"
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { IDS = 8, ASKED_MAX = 200, BODY_MAX = 64, TAIL_MAX = 40 };

/* One question of ours. */
struct asked {
    bool answered;
};

struct run {
    const uint8_t *p;
    size_t n;
    uint64_t owner, sandbox, command;
    struct asked asked[ASKED_MAX];
    int asked_count;
    uint32_t ids[IDS]; /* of the last requests that the guest has heard */
    unsigned heard;
    int out; /* stdout of the last command, as the guest has it */
};

static struct false_guest guest;
static struct run *now;

static void require(bool holds)
{
    if (!holds)
        abort();
}

static unsigned next(struct run *r)
{
    if (r->n == 0)
        return 0;
    r->n--;
    return *r->p++;
}

static struct asked *ask(struct run *r)
{
    return &r->asked[r->asked_count++];
}

static void answered(struct asked *a)
{
    require(!a->answered);
    a->answered = true;
}

static void on_open(void *ctx, const struct sandbox_info *info, const struct err *err)
{
    answered(ctx);
    require(!info == !!err);
    now->sandbox = info ? info->id : 0;
}

static void on_start(void *ctx, uint64_t command, const struct err *err)
{
    answered(ctx);
    require(!command == !!err);
    if (command)
        now->command = command;
}

static void on_file(void *ctx, int fd, uint64_t size_bytes, const struct err *err)
{
    (void)size_bytes;
    answered(ctx);
    require((fd < 0) == !!err);
}

static void on_written(void *ctx, bool existed, const struct err *err)
{
    (void)existed;
    (void)err;
    answered(ctx);
}

/* What the guest is asked: its id, and the command's stdout. */
static void hear(struct run *r)
{
    struct wire_message m;
    while (false_guest_hear(&guest, &m)) {
        r->ids[r->heard++ % IDS] = m.id;
        if (m.type == GUEST_EXEC && m.fd_count == 3) {
            fd_close(&r->out);
            r->out = m.fds[1];
            m.fds[1] = -1;
        }
        wire_close_fds(&m);
    }
}

/* Descriptors of a kind; how many. */
static int make_fds(unsigned kind, int fds[GUEST_FDS_MAX + 1])
{
    int pair[2] = {-1, -1}, n = 1;
    switch (kind % 8) {
    case 0:
        fds[0] = memfd_create("file", MFD_CLOEXEC);
        require(write(fds[0], "content", 7) == 7);
        break;
    case 1:
        require(pipe2(pair, O_CLOEXEC) == 0);
        fds[0] = pair[kind & 8 ? 1 : 0];
        fd_close(&pair[kind & 8 ? 0 : 1]);
        break;
    case 2:
        fds[0] = open(kind & 8 ? "/" : "/proc/self/exe", O_RDONLY | O_CLOEXEC);
        break;
    case 3:
        fds[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        break;
    case 4:
        n = kind & 8 ? GUEST_FDS_MAX + 1 : 2;
        for (int i = 0; i < n; i++)
            fds[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
        break;
    default:
        return 0;
    }
    return n;
}

static size_t right_size(uint32_t type)
{
    switch (type) {
    case GUEST_READY:
        return sizeof(struct guest_ready);
    case GUEST_STARTED:
        return sizeof(struct guest_started);
    case GUEST_EXITED:
        return sizeof(struct guest_exited);
    case GUEST_OPENED:
        return sizeof(struct guest_opened);
    case GUEST_FAILED:
        return sizeof(struct guest_failed);
    default:
        return 0;
    }
}

/* A datagram of the guest: mostly what it should be, bytes of the input where not. */
static void say(struct run *r)
{
    char bytes[sizeof(struct guest_header) + BODY_MAX + TAIL_MAX];
    unsigned how = next(r), kind = next(r), number = next(r);
    uint32_t type = how & 1 ? GUEST_READY + kind % 6 : kind;
    uint32_t id = how & 2 ? number : r->ids[number % IDS];
    size_t body = how & 4 ? next(r) % BODY_MAX : right_size(type);
    size_t tail = how & 8 ? next(r) % TAIL_MAX : 0;
    struct guest_header head = {
        .type = type, .id = id, .tail_bytes = (uint32_t)(tail + (how & 16 ? 1 : 0))};
    memcpy(bytes, &head, sizeof head);
    for (size_t i = 0; i < body + tail; i++)
        bytes[sizeof head + i] = (char)next(r);
    if (type == GUEST_READY && !(how & 4))
        bytes[sizeof head] = GUEST_PROTOCOL_VERSION;
    size_t n = sizeof head + body + tail;
    if (how & 32)
        n = next(r) % (n + 1);
    int fds[GUEST_FDS_MAX + 1];
    bool with_fd = type == GUEST_OPENED || type == GUEST_READY;
    int count = with_fd != !!(how & 64) ? make_fds(next(r), fds) : 0;
    if (n > 0)
        false_guest_say_raw(&guest, bytes, n, fds, count);
    for (int i = 0; i < count; i++)
        fd_close(&fds[i]);
}

static void ask_something(struct run *r, unsigned what)
{
    struct command_spec spec = {.command = STR("command"), .keep_stdin = what & 8};
    size_t taken;
    struct err err;
    if (r->asked_count == ASKED_MAX)
        return;
    switch (what % 8) {
    case 0:
        sandbox_open(guest.set, r->owner, STR(""), on_open, ask(r));
        break;
    case 1:
        command_start(guest.set, r->sandbox, &spec, on_start, ask(r));
        break;
    case 2:
        file_open(guest.set, r->sandbox, STR("f"), on_file, ask(r));
        break;
    case 3:
        file_write(guest.set, r->sandbox, STR("f"), STR("content"), on_written, ask(r));
        break;
    case 4:
        command_kill(guest.set, r->command, COMMAND_KILLED);
        break;
    case 5:
        command_signal(guest.set, r->command, SIGINT, &err);
        break;
    case 6:
        command_input(guest.set, r->command, STR("input"), what & 8, &taken, &err);
        break;
    default:
        command_hold(guest.set, r->command, what & 8, (uint64_t[2]){0, 0});
        break;
    }
}

static void step(struct run *r)
{
    unsigned op = next(r);
    switch (op % 8) {
    case 0:
        false_guest_create(&guest);
        break;
    case 1:
        false_guest_ready(&guest);
        break;
    case 2:
    case 3:
        ask_something(r, op / 8);
        break;
    case 4:
        if (r->out >= 0 && write(r->out, "output\n", 7) < 0)
            fd_close(&r->out);
        break;
    case 5:
        if (op / 8 == 31)
            fd_close(&guest.guest);
        else if (op / 8 > 24)
            fd_close(&r->out);
        break;
    default:
        if (guest.guest >= 0)
            say(r);
        break;
    }
    hear(r);
    if (op < 128)
        false_guest_turn(&guest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint64_t owners;
    struct run r = {.p = data, .n = size, .owner = ++owners, .out = -1};
    if (owners == 1) {
        struct sigaction ignore = {.sa_handler = SIG_IGN};
        sigaction(SIGPIPE, &ignore, NULL);
        false_guest_init(&guest);
    }
    now = &r;
    ask_something(&r, 0);
    while (r.n > 0)
        step(&r);
    false_guest_turn(&guest);
    sandboxes_drop_owner(guest.set, r.owner);
    for (int i = 0; i < r.asked_count; i++)
        require(r.asked[i].answered);
    require(command_list(guest.set, r.owner, NULL, 0) == 0);
    fd_close(&guest.guest);
    fd_close(&r.out);
    false_guest_turn(&guest);
    false_guest_turn(&guest);
    return 0;
}
