#include "agent/approval.h"
#include "agent/shown.h"
#include "base/fd.h"
#include "base/mem.h"
#include "transport/inherit.h"
#include <errno.h>
#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

enum { ANSWER_MAX = 256, QUESTION_MAX = 4096 };

struct approval {
    struct approval_config config;
    struct buf always; /* names, each behind a comma */
    struct inherited in;
    struct loop_io *io; /* while a question is open */
    struct buf answer;
    char tool[CATALOG_NAME_MAX + 1];
    void (*answered)(void *ctx, bool given);
    void *ctx;
};

struct approval *approval_new(const struct approval_config *config)
{
    struct approval *a = mem_new(struct approval);
    a->config = *config;
    buf_init(&a->always, 1024 * 1024);
    buf_init(&a->answer, 4096);
    return a;
}

static void close_keyboard(struct approval *a)
{
    if (!a->io)
        return;
    inherited_restore(&a->in);
    loop_io_free(a->io);
    a->io = NULL;
}

void approval_free(struct approval *a)
{
    if (!a)
        return;
    close_keyboard(a);
    buf_finish(&a->always);
    buf_finish(&a->answer);
    mem_free(a);
}

bool approval_matches(struct str pattern, struct str name)
{
    /* The last * takes one more character each time that the rest does not fit. */
    size_t p = 0, n = 0, star = SIZE_MAX, taken = 0;
    while (n < name.n) {
        if (p < pattern.n && pattern.p[p] == '*') {
            star = p++;
            taken = n;
        } else if (p < pattern.n && pattern.p[p] == name.p[n]) {
            p++;
            n++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            n = ++taken;
        } else {
            return false;
        }
    }
    while (p < pattern.n && pattern.p[p] == '*')
        p++;
    return p == pattern.n;
}

static bool in_list(struct str list, struct str name)
{
    while (list.n) {
        ptrdiff_t comma = str_find(list, ',');
        struct str one = {list.p, comma < 0 ? list.n : (size_t)comma};
        list = str_from(list, one.n + 1);
        while (one.n && one.p[0] == ' ')
            one = str_from(one, 1);
        while (one.n && one.p[one.n - 1] == ' ')
            one.n--;
        if (one.n && approval_matches(one, name))
            return true;
    }
    return false;
}

enum approval_verdict approval_of(const struct approval *a, struct str tool, bool own)
{
    if (own || a->config.mode == APPROVAL_AUTO ||
        in_list(str_of(a->config.allowed), tool) || in_list(buf_str(&a->always), tool))
        return APPROVAL_GIVEN;
    if (a->config.mode == APPROVAL_NEVER || a->config.in_fd < 0)
        return APPROVAL_REFUSED;
    return APPROVAL_OPEN;
}

static void settle(struct approval *a, char first)
{
    bool always = first == 'a' || first == 'A';
    close_keyboard(a);
    if (always)
        buf_addf(&a->always, ",%s", a->tool);
    a->answered(a->ctx, always || first == 'y' || first == 'Y');
}

static void ask_again(struct approval *a)
{
    view_write(a->config.err_fd, STR("  please answer y, n or a: "));
}

static void on_typed(void *ctx, unsigned events)
{
    struct approval *a = ctx;
    char typed[ANSWER_MAX];
    (void)events;
    ssize_t n = read(a->in.fd, typed, sizeof typed);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) { /* the terminal is gone: no */
        settle(a, 'n');
        return;
    }
    buf_add(&a->answer, typed, (size_t)n);
    ptrdiff_t end = str_find(buf_str(&a->answer), '\n');
    if (end < 0)
        return;
    char first = 0;
    for (ptrdiff_t i = 0; i < end && !first; i++)
        if (a->answer.p[i] != ' ')
            first = a->answer.p[i];
    buf_reset(&a->answer, ANSWER_MAX);
    if (first && strchr("yYnNaA", first))
        settle(a, first);
    else
        ask_again(a);
}

static void put_question(const struct approval *a, const struct view_call *call)
{
    struct buf text;
    buf_init(&text, 4 * QUESTION_MAX);
    buf_addz(&text, "The model wants to call ");
    shown_add_line(&text, call->name, CATALOG_NAME_MAX);
    buf_addc(&text, ' ');
    shown_add_line(&text, call->input, QUESTION_MAX / 4);
    buf_addz(&text, "\n  run it? [y]es, [n]o, [a]lways this tool: ");
    view_write(a->config.err_fd, buf_str(&text));
    buf_finish(&text);
}

void approval_ask(struct approval *a, const struct view_call *call,
                  void (*answered)(void *ctx, bool given), void *ctx)
{
    size_t n = call->name.n < sizeof a->tool ? call->name.n : sizeof a->tool - 1;
    memcpy(a->tool, call->name.p, n);
    a->tool[n] = '\0';
    a->answered = answered;
    a->ctx = ctx;
    /* What was typed before the question cannot be its answer. */
    tcflush(a->config.in_fd, TCIFLUSH);
    put_question(a, call);
    a->in = inherited_claim(fcntl(a->config.in_fd, F_DUPFD_CLOEXEC, 3), O_RDONLY);
    a->io = loop_io_new(a->config.loop, a->in.fd, on_typed, a);
    loop_io_want(a->io, LOOP_READ);
}

void approval_withdraw(struct approval *a)
{
    close_keyboard(a);
    buf_reset(&a->answer, ANSWER_MAX);
}
