#include "agent/prompt.h"
#include "base/fd.h"
#include "base/mem.h"
#include "transport/inherit.h"
#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

enum { HISTORY_LINES = 1000 };

struct prompt {
    struct prompt_config config;
    EditLine *edit;
    History *history;
    FILE *in, *out;
    struct inherited keys; /* the same terminal, of our own and without blocking */
    struct loop_io *io;
    struct loop_signal *resized;
    mbstate_t partial; /* of a character whose bytes are still coming */
    bool interrupted, ready, continued;
};

static void on_key(void *ctx, unsigned events)
{
    struct prompt *p = ctx;
    (void)events;
    p->ready = true;
    loop_io_want(p->io, 0);
    loop_stop(p->config.loop);
}

static void wait_for_key(struct prompt *p)
{
    p->ready = false;
    loop_io_want(p->io, LOOP_READ);
    while (!p->ready && !p->interrupted)
        loop_run(p->config.loop);
    loop_io_want(p->io, 0);
}

/* The next character, for libedit: 1; 0 at the end; -1 when interrupted. */
static int next_character(EditLine *edit, wchar_t *ret_char)
{
    struct prompt *p;
    el_get(edit, EL_CLIENTDATA, &p);
    while (!p->interrupted) {
        char byte;
        ssize_t n = read(p->keys.fd, &byte, 1);
        if (n == 0)
            return 0;
        if (n < 0 && errno == EAGAIN) {
            wait_for_key(p);
            continue;
        }
        if (n < 0 && errno != EINTR)
            return 0; /* the terminal is gone */
        size_t made = n == 1 ? mbrtowc(ret_char, &byte, 1, &p->partial) : (size_t)-2;
        if (made == (size_t)-1)
            memset(&p->partial, 0, sizeof p->partial);
        else if (made != (size_t)-2)
            return 1;
    }
    errno = EINTR;
    return -1;
}

static char *prompt_text(EditLine *edit)
{
    static char text[32];
    struct prompt *p;
    el_get(edit, EL_CLIENTDATA, &p);
    snprintf(text, sizeof text, "%s", p->continued ? ". " : p->config.text);
    return text;
}

static void on_resized(void *ctx, int signum)
{
    struct prompt *p = ctx;
    (void)signum;
    el_resize(p->edit);
}

static void open_history(struct prompt *p)
{
    HistEvent event;
    p->history = history_init();
    history(p->history, &event, H_SETSIZE, HISTORY_LINES);
    history(p->history, &event, H_SETUNIQUE, 1);
    history(p->history, &event, H_LOAD, p->config.history);
    el_set(p->edit, EL_HIST, history, p->history);
}

struct prompt *prompt_new(const struct prompt_config *config)
{
    struct prompt *p = mem_new(struct prompt);
    p->config = *config;
    /* libedit counts characters in the locale's encoding; ours is UTF-8. */
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        setlocale(LC_CTYPE, "");
    p->in = fdopen(fcntl(config->in_fd, F_DUPFD_CLOEXEC, 3), "r");
    p->out = fdopen(fcntl(config->out_fd, F_DUPFD_CLOEXEC, 3), "w");
    p->keys = inherited_claim(fcntl(config->in_fd, F_DUPFD_CLOEXEC, 3), O_RDONLY);
    p->io = loop_io_new(config->loop, p->keys.fd, on_key, p);
    p->edit = el_init("sandquay", p->in, p->out, p->out);
    el_set(p->edit, EL_CLIENTDATA, p);
    el_set(p->edit, EL_PROMPT, prompt_text);
    el_set(p->edit, EL_EDITOR, "emacs");
    el_set(p->edit, EL_SIGNAL, 0);
    el_set(p->edit, EL_GETCFN, next_character);
    open_history(p);
    p->resized = loop_signal_new(config->loop, SIGWINCH, on_resized, p);
    return p;
}

void prompt_free(struct prompt *p)
{
    HistEvent event;
    if (!p)
        return;
    mode_t before = umask(077);
    history(p->history, &event, H_SAVE, p->config.history);
    umask(before);
    history_end(p->history);
    el_end(p->edit);
    fclose(p->in);
    fclose(p->out);
    inherited_restore(&p->keys);
    loop_io_free(p->io);
    loop_signal_free(p->resized);
    mem_free(p);
}

void prompt_interrupt(struct prompt *p)
{
    p->interrupted = true;
    loop_stop(p->config.loop);
}

/* Is there more at once? Then it was pasted, and belongs together. */
static bool more_waits(const struct prompt *p)
{
    struct pollfd keys = {.fd = p->keys.fd, .events = POLLIN};
    return poll(&keys, 1, 0) == 1;
}

enum prompt_end prompt_read(struct prompt *p, struct buf *to)
{
    HistEvent event;
    p->interrupted = p->continued = false;
    for (;;) {
        int n = 0;
        const char *line = el_gets(p->edit, &n);
        if (p->interrupted) {
            el_reset(p->edit);
            fputc('\n', p->out);
            fflush(p->out);
            buf_reset(to, 64 * 1024);
            return PROMPT_INTERRUPTED;
        }
        if (!line || n <= 0) {
            fputc('\n', p->out);
            fflush(p->out);
            return to->n ? PROMPT_LINE : PROMPT_EOF;
        }
        history(p->history, &event, H_ENTER, line);
        if (line[n - 1] == '\n')
            n--;
        p->continued = n > 0 && line[n - 1] == '\\';
        buf_add(to, line, p->continued ? (size_t)n - 1 : (size_t)n);
        p->continued |= more_waits(p);
        if (!p->continued)
            return PROMPT_LINE;
        buf_addc(to, '\n');
    }
}
