/* The scanning kernel against bytes looked at one by one, at every place relative to
 * its blocks. Also built with SCAN_PORTABLE. */
#include "base/scan.h"
#include "tests/unit/check.h"

enum { LENGTH = 70, GUARD = 32 };

static size_t slowly(const char *p, size_t i, size_t n, unsigned at)
{
    while (i < n && !scan_stops((unsigned char)p[i], at))
        i++;
    return i;
}

/* `at` is a constant in each, as in the callers. */
static void check_one(const char *p, size_t i, size_t n, unsigned at, size_t found,
                      size_t copied, const char *copy)
{
    size_t right = slowly(p, i, n, at);
    if (found != right || copied != right - i)
        fail_msg("set %u from %zu of %zu: %zu and %zu, not %zu", at, i, n, found,
                 copied, right);
    assert_memory_equal(copy, p + i, copied);
}

#define CHECK(p, i, n, at)                                                             \
    do {                                                                               \
        char copy[LENGTH + SCAN_BLOCK];                                                \
        size_t found = scan(p, i, n, at);                                              \
        size_t copied = scan_copy(copy, (p) + (i), (n) - (i), at);                     \
        check_one(p, i, n, at, found, copied, copy);                                   \
    } while (0)

static void check_all(const char *p, size_t n)
{
    for (size_t i = 0; i <= n && i < 20; i += 3) {
        CHECK(p, i, n, SCAN_BACKSLASH);
        CHECK(p, i, n, SCAN_QUOTE);
        CHECK(p, i, n, SCAN_CONTROL);
        CHECK(p, i, n, SCAN_HIGH);
        CHECK(p, i, n, SCAN_STRING);
        CHECK(p, i, n, SCAN_STRING | SCAN_HIGH);
    }
}

/* Every byte value at every place; behind the end stands what would be a hit. */
static void one_byte(void **state)
{
    (void)state;
    char text[LENGTH + GUARD];
    static const size_t lengths[] = {0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, LENGTH};
    for (size_t k = 0; k < sizeof lengths / sizeof lengths[0]; k++)
        for (size_t place = 0; place < lengths[k]; place += place < 20 ? 1 : 7)
            for (int value = 0; value < 256; value++) {
                memset(text, 'a', sizeof text);
                memset(text + lengths[k], '\\', GUARD);
                text[place] = (char)value;
                check_all(text, lengths[k]);
            }
}

/* Neighbours of hits: a borrow in a word must not be taken for the first one. */
static void neighbours(void **state)
{
    (void)state;
    static const unsigned char values[] = {0,    1,   0x1f, 0x20, 0x21, '"',  '#', '[',
                                           '\\', ']', 0x7f, 0x80, 0xa2, 0xdc, 0xff};
    enum { VALUES = sizeof values };
    char text[LENGTH];
    uint32_t random = 1;
    for (int round = 0; round < 2000; round++) {
        for (size_t i = 0; i < LENGTH; i++) {
            random = random * 1664525 + 1013904223;
            text[i] = random >> 30 ? 'a' : (char)values[(random >> 8) % VALUES];
        }
        check_all(text, LENGTH);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_byte),
        cmocka_unit_test(neighbours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
