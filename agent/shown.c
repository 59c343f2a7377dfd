#include "agent/shown.h"
#include "base/utf8.h"
#include <stdint.h>

static const char replacement[] = "\xef\xbf\xbd";

/* One character from the start of s (n > 0); invalid bytes are one each. */
static struct str next_char(struct str s, uint32_t *ret_code)
{
    unsigned char first = (unsigned char)s.p[0];
    size_t n = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (n > s.n || utf8_valid_prefix((struct str){s.p, n}) != n) {
        *ret_code = UINT32_MAX;
        return (struct str){s.p, 1};
    }
    uint32_t code = n == 1 ? first : first & (0xffU >> (n + 1));
    for (size_t i = 1; i < n; i++)
        code = code << 6 | ((unsigned char)s.p[i] & 0x3f);
    *ret_code = code;
    return (struct str){s.p, n};
}

/* Overrides and isolates of the Unicode bidirectional algorithm, and its marks. */
static bool turns_direction(uint32_t code)
{
    return (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) ||
           code == 0x200e || code == 0x200f || code == 0x61c;
}

static void add_picture(struct buf *to, unsigned code)
{
    char picture[3] = {(char)0xe2, (char)0x90, (char)(0x80 + code)};
    if (code == 0x7f)
        picture[2] = (char)0xa1;
    buf_add(to, picture, sizeof picture);
}

static void add_char(struct buf *to, struct str c, uint32_t code)
{
    if (code < 0x20 || code == 0x7f)
        add_picture(to, code);
    else if (code == UINT32_MAX || (code >= 0x80 && code < 0xa0) ||
             turns_direction(code))
        buf_addz(to, replacement);
    else
        buf_adds(to, c);
}

void shown_add(struct buf *to, struct str s)
{
    while (s.n) {
        uint32_t code;
        struct str c = next_char(s, &code);
        if (code == '\n' || code == '\t')
            buf_addc(to, (char)code);
        else if (code != '\r')
            add_char(to, c, code);
        s = str_from(s, c.n);
    }
}

/* Columns of a character, near enough: East Asian wide ones and pictographs take two,
 * combining ones none. */
static size_t cells_of(uint32_t code)
{
    static const uint32_t wide[][2] = {
        {0x1100, 0x115f}, {0x2e80, 0xa4cf},   {0xac00, 0xd7a3},
        {0xf900, 0xfaff}, {0xfe30, 0xfe6f},   {0xff00, 0xff60},
        {0xffe0, 0xffe6}, {0x1f300, 0x1faff}, {0x20000, 0x3fffd},
    };
    if ((code >= 0x300 && code <= 0x36f) || code == 0x200b || code == 0x200d ||
        (code >= 0xfe00 && code <= 0xfe0f))
        return 0;
    for (size_t i = 0; i < sizeof wide / sizeof wide[0]; i++)
        if (code >= wide[i][0] && code <= wide[i][1])
            return 2;
    return 1;
}

size_t shown_add_line(struct buf *to, struct str s, size_t cells)
{
    enum { DOTS = 3 };
    size_t used = 0, cut_at = to->n, cut_used = 0;
    while (s.n) {
        uint32_t code;
        struct str c = next_char(s, &code);
        s = str_from(s, c.n);
        if (code == '\r')
            continue;
        bool blank = code == '\n' || code == '\t';
        size_t width = blank ? 1 : cells_of(code);
        if (used + width > cells) {
            to->n = cut_at;
            for (size_t i = 0; i < DOTS && cut_used < cells; i++, cut_used++)
                buf_addc(to, '.');
            return cut_used;
        }
        if (blank)
            buf_addc(to, ' ');
        else
            add_char(to, c, code);
        used += width;
        if (used + DOTS <= cells) {
            cut_at = to->n;
            cut_used = used;
        }
    }
    return used;
}

size_t shown_cells(struct str s)
{
    size_t cells = 0;
    while (s.n) {
        uint32_t code;
        s = str_from(s, next_char(s, &code).n);
        cells += cells_of(code);
    }
    return cells;
}
