#include "net/http_server/hello.h"
#include <stdbool.h>
#include <stdint.h>

enum {
    RECORD_HANDSHAKE = 22,
    RECORD_HEAD = 5,
    CLIENT_HELLO = 1,
    VERSION_AND_RANDOM = 2 + 32,
    EXTENSION_SERVER_NAME = 0,
    NAME_HOST = 0,
    NAME_MAX_BYTES = 255,
};

/* Takes a number of n bytes off the front; false when there are fewer. */
static bool number(struct str *from, unsigned n, uint32_t *ret_value)
{
    uint32_t value = 0;
    if (from->n < n)
        return false;
    for (unsigned i = 0; i < n; i++)
        value = value << 8 | (uint8_t)from->p[i];
    *from = str_from(*from, n);
    *ret_value = value;
    return true;
}

/* Takes what a length of n bytes stands before. */
static bool vector(struct str *from, unsigned n, struct str *ret_bytes)
{
    uint32_t length;
    if (!number(from, n, &length) || from->n < length)
        return false;
    *ret_bytes = (struct str){from->p, length};
    *from = str_from(*from, length);
    return true;
}

static bool skip(struct str *from, size_t n)
{
    if (from->n < n)
        return false;
    *from = str_from(*from, n);
    return true;
}

static bool server_name(struct str extension, struct str *ret_host)
{
    struct str list, name;
    uint32_t type;
    if (!vector(&extension, 2, &list))
        return false;
    while (number(&list, 1, &type) && vector(&list, 2, &name)) {
        if (type != NAME_HOST || name.n == 0 || name.n > NAME_MAX_BYTES)
            continue;
        *ret_host = name;
        return true;
    }
    return false;
}

static bool client_hello(struct str message, struct str *ret_host)
{
    struct str session, ciphers, compression, extensions, extension;
    uint32_t type;
    if (!skip(&message, VERSION_AND_RANDOM) || !vector(&message, 1, &session) ||
        !vector(&message, 2, &ciphers) || !vector(&message, 1, &compression) ||
        !vector(&message, 2, &extensions))
        return false;
    while (number(&extensions, 2, &type) && vector(&extensions, 2, &extension))
        if (type == EXTENSION_SERVER_NAME)
            return server_name(extension, ret_host);
    return false;
}

enum hello_verdict hello_read(struct str bytes, struct str *ret_host)
{
    struct str rest = bytes, record, message;
    uint32_t type, version, length;
    if (bytes.n && (uint8_t)bytes.p[0] != RECORD_HANDSHAKE)
        return HELLO_NO_HOST;
    if (!number(&rest, 1, &type) || !number(&rest, 2, &version) ||
        !number(&rest, 2, &length))
        return HELLO_MORE;
    if (length > HELLO_MAX - RECORD_HEAD)
        return HELLO_NO_HOST;
    if (rest.n < length)
        return HELLO_MORE;
    record = (struct str){rest.p, length};
    if (!number(&record, 1, &type) || type != CLIENT_HELLO ||
        !vector(&record, 3, &message) || !client_hello(message, ret_host))
        return HELLO_NO_HOST;
    return HELLO_HOST;
}
