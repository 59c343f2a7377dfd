/* The floor of the measurements: reads lines from stdin and answers each with one
 * canned response, without looking at it. What a server cannot beat on this machine:
 * exec, the loader, libc, two pipes. With an argument N each response is padded to N
 * bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { IN_BYTES = 64 * 1024, OUT_BYTES = 128 * 1024 };

static const char head[] = "{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{";
static const char tail[] = "}}\n";
static char in[IN_BYTES];
static char out[OUT_BYTES];

static int write_all(const char *p, size_t n)
{
    while (n > 0) {
        ssize_t done = write(STDOUT_FILENO, p, n);
        if (done < 0)
            return -1;
        p += done;
        n -= (size_t)done;
    }
    return 0;
}

/* `"text":"xxx..."` between head and tail, so that the response has size_bytes. */
static char *make_response(size_t size_bytes, size_t *ret_size_bytes)
{
    static const char open[] = "\"text\":\"";
    size_t least = sizeof(head) + sizeof(open) + sizeof(tail) - 2;
    size_t pad = size_bytes > least ? size_bytes - least : 0;
    char *p = malloc(least + pad + 1);
    if (!p)
        return NULL;
    char *to = p;
    to = mempcpy(to, head, sizeof(head) - 1);
    if (pad > 0) {
        to = mempcpy(to, open, sizeof(open) - 1);
        to = (char *)memset(to, 'x', pad) + pad;
        *to++ = '"';
    }
    to = mempcpy(to, tail, sizeof(tail) - 1);
    *ret_size_bytes = (size_t)(to - p);
    return p;
}

/* One answer for each newline in the n bytes of `in`; short ones leave in one write. */
static int answer(size_t n, const char *response, size_t response_bytes)
{
    size_t filled = 0;
    const char *end = in + n;
    for (const char *p = in; (p = memchr(p, '\n', (size_t)(end - p))); p++) {
        if (response_bytes > OUT_BYTES) {
            if (write_all(response, response_bytes) < 0)
                return -1;
            continue;
        }
        if (filled + response_bytes > OUT_BYTES) {
            if (write_all(out, filled) < 0)
                return -1;
            filled = 0;
        }
        memcpy(out + filled, response, response_bytes);
        filled += response_bytes;
    }
    return write_all(out, filled);
}

int main(int argc, char **argv)
{
    size_t response_bytes = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
    char *response = make_response(response_bytes, &response_bytes);
    if (!response)
        return 1;
    ssize_t n;
    while ((n = read(STDIN_FILENO, in, sizeof(in))) > 0)
        if (answer((size_t)n, response, response_bytes) < 0)
            break;
    free(response);
    return 0;
}
