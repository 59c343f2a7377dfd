#include "base/secret.h"
#include "base/mem.h"

struct secret {
    size_t n;
    char bytes[];
};

struct secret *secret_new(struct str s)
{
    struct secret *secret = mem_alloc(sizeof *secret + s.n + 1);
    secret->n = s.n;
    if (s.n)
        memcpy(secret->bytes, s.p, s.n);
    secret->bytes[s.n] = '\0';
    return secret;
}

struct secret *secret_dup(const struct secret *secret)
{
    return secret ? secret_new(secret_reveal(secret)) : NULL;
}

void secret_free(struct secret *secret)
{
    if (!secret)
        return;
    secret_wipe(secret->bytes, secret->n);
    mem_free(secret);
}

struct str secret_reveal(const struct secret *secret)
{
    return (struct str){secret->bytes, secret->n};
}

bool secret_equals(const struct secret *secret, struct str s)
{
    unsigned char differs = secret->n != s.n;
    for (size_t i = 0; i < secret->n; i++)
        differs |= (unsigned char)(secret->bytes[i] ^ (i < s.n ? s.p[i] : 0));
    return !differs;
}

void secret_wipe(void *p, size_t size_bytes)
{
    explicit_bzero(p, size_bytes);
}
