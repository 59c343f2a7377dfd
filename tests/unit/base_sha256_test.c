/* SHA-256 against FIPS 180-4's examples, HMAC against RFC 4231. */
#include "base/buf.h"
#include "base/sha256.h"
#include "tests/unit/check.h"
#include <stdio.h>

static void same(const unsigned char *digest, size_t n, const char *hex)
{
    char text[2 * SHA256_SIZE + 1];
    for (size_t i = 0; i < n; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    assert_string_equal(text, hex);
}

static void digests(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int times;
        const char *digest;
    } rows[] = {
        {"", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmn"
         "opqklmnopqrlmnopqrsmnopqrstnopqrstu",
         1, "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 20000,
         "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsigned char digest[SHA256_SIZE];
        struct sha256 h;
        sha256_init(&h);
        for (int k = 0; k < rows[i].times; k++)
            sha256_add(&h, str_of(rows[i].text));
        sha256_end(&h, digest);
        same(digest, sizeof digest, rows[i].digest);
    }
}

/* Every length around the block's size, in pieces of every size. */
static void pieces(void **state)
{
    (void)state;
    char text[200];
    memset(text, 'x', sizeof text);
    for (size_t n = 0; n <= sizeof text; n++) {
        unsigned char whole[SHA256_SIZE], parts[SHA256_SIZE];
        struct sha256 h;
        sha256_init(&h);
        sha256_add(&h, (struct str){text, n});
        sha256_end(&h, whole);
        size_t step = n % 7 + 1;
        sha256_init(&h);
        for (size_t at = 0; at < n; at += step)
            sha256_add(&h, (struct str){text + at, n - at < step ? n - at : step});
        sha256_end(&h, parts);
        assert_true(sha256_same(whole, parts, sizeof whole));
    }
}

static struct str repeated(char *to, int c, size_t n)
{
    memset(to, c, n);
    return (struct str){to, n};
}

static void macs(void **state)
{
    (void)state;
    char a[200], b[200], counting[25];
    for (int i = 0; i < 25; i++)
        counting[i] = (char)(i + 1);
    const struct {
        struct str key, data;
        size_t n;
        const char *mac;
    } rows[] = {
        {repeated(a, 0x0b, 20), STR("Hi There"), 32,
         "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {STR("Jefe"), STR("what do ya want for nothing?"), 32,
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {{counting, 25},
         repeated(b, 0xcd, 50),
         32,
         "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
        {repeated(a + 20, 0x0c, 20), STR("Test With Truncation"), 16,
         "a3b6167473100ee06e0c796c2955552b"},
        {repeated(a + 40, 0xaa, 131),
         STR("Test Using Larger Than Block-Size Key - Hash Key First"), 32,
         "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
        {repeated(a + 40, 0xaa, 131),
         STR("This is a test using a larger than block-size key and a larger than "
             "block-size data. The key needs to be hashed before being used by the "
             "HMAC "
             "algorithm."),
         32, "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsigned char mac[SHA256_SIZE];
        struct hmac256 m;
        hmac256_init(&m, rows[i].key);
        hmac256_add(&m, rows[i].data);
        hmac256_end(&m, mac);
        same(mac, rows[i].n, rows[i].mac);
    }
    char data[50];
    unsigned char mac[SHA256_SIZE];
    struct hmac256 m;
    char key[20];
    hmac256_init(&m, repeated(key, 0xaa, 20));
    hmac256_add(&m, repeated(data, 0xdd, 50));
    hmac256_end(&m, mac);
    same(mac, 32, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
}

static void comparing(void **state)
{
    (void)state;
    const unsigned char a[4] = {1, 2, 3, 4}, b[4] = {1, 2, 3, 5};
    assert_true(sha256_same(a, a, 4) && sha256_same(a, b, 3) && sha256_same(a, b, 0));
    assert_false(sha256_same(a, b, 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests),
        cmocka_unit_test(pieces),
        cmocka_unit_test(macs),
        cmocka_unit_test(comparing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
