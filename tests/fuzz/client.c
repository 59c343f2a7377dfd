/* A client whose server says anything: every line of the input is a message; a line
 * that begins with '!' sends, lists, cancels, answers or loses the connection, by its
 * second byte. The first byte of all chooses the era and what is offered. Whatever
 * comes, what goes out is JSON on one line, and every request ends exactly once. */
#include "mcp/client.h"
#include "base/mem.h"
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct client *client;
static int sent, ended;
static uint64_t last_request, last_question;

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void on_result(void *ctx, struct json result, const struct err *err)
{
    (void)ctx;
    require(!err == json_present(result));
    ended++;
}

static void on_page(void *ctx, struct json items, const struct err *err)
{
    (void)ctx;
    if (!json_present(items))
        ended++;
    else
        require(!err);
}

static void on_progress(void *ctx, double progress, double total, struct str message)
{
    (void)ctx;
    (void)progress;
    (void)total;
    (void)message;
}

static void on_asked(void *ctx, uint64_t question, struct str method,
                     struct json params)
{
    (void)ctx;
    (void)params;
    last_question = question;
    if (method.n % 2)
        client_answer(client, question, STR("{\"action\":\"cancel\"}"));
}

static void on_withdrawn(void *ctx, uint64_t question)
{
    (void)ctx;
    (void)question;
}

static void act(char what)
{
    struct err err;
    switch (what) {
    case 's':
        sent++;
        last_request =
            client_send(client, &(struct client_request){.method = "tools/call",
                                                         .params = STR("{\"a\":1}"),
                                                         .progress = true,
                                                         .on_progress = on_progress,
                                                         .fn = on_result});
        break;
    case 'l':
        sent++;
        client_list(client, "tools/list", "tools", on_page, NULL);
        break;
    case 'c':
        client_cancel(client, last_request);
        break;
    case 'a':
        client_answer(client, last_question, STR("{\"action\":\"accept\"}"));
        break;
    case 'x':
        err_set(&err, ERR_UNAVAILABLE, "lost");
        client_lost(client, &err);
        break;
    default:
        client_answer(client, (uint64_t)what, STR("{}"));
    }
}

static void drain(void)
{
    struct arena a = {0};
    struct json_doc doc;
    struct err err;
    struct str out = client_output(client);
    for (ptrdiff_t lf; (lf = str_find(out, '\n')) >= 0;
         out = str_from(out, (size_t)lf + 1))
        require(json_parse(&doc, &a, (struct str){out.p, (size_t)lf}, &err) == 0);
    require(out.n == 0);
    client_sent(client);
    arena_finish(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct client_root roots[] = {{"file:///a", NULL}};
    if (size == 0)
        return 0;
    client = client_new(&(struct client_config){.name = "f",
                                                .version = "1",
                                                .era = data[0] % 3,
                                                .roots = data[0] & 4 ? roots : NULL,
                                                .root_count = 1,
                                                .asks = data[0] >> 3 & 3,
                                                .on_asked = on_asked,
                                                .on_withdrawn = on_withdrawn});
    struct str rest = {(const char *)data + 1, size - 1};
    sent = 1;
    ended = 0;
    client_open(client, on_result, NULL);
    while (rest.n) {
        ptrdiff_t end = str_find(rest, '\n');
        struct str line = {rest.p, end < 0 ? rest.n : (size_t)end};
        char *copy = mem_strndup(line.p, line.n); /* gone after the call */
        struct err err;
        if (line.n && line.p[0] == '!')
            act(line.n > 1 ? line.p[1] : 0);
        else
            client_recv(client, (struct str){copy, line.n}, &err);
        mem_free(copy);
        drain();
        rest = str_from(rest, line.n + 1);
    }
    client_free(client);
    require(ended == sent);
    return 0;
}
