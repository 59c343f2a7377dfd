#include "tools/filetype.h"

struct magic {
    size_t at;
    struct str bytes;
    const char *mime;
};

static const struct magic table[] = {
    {0, {"\x89PNG\r\n\x1a\n", 8}, "image/png"},
    {0, {"\xff\xd8\xff", 3}, "image/jpeg"},
    {0, {"GIF87a", 6}, "image/gif"},
    {0, {"GIF89a", 6}, "image/gif"},
    {8, {"WEBP", 4}, "image/webp"}, /* RIFF....WEBP */
    {8, {"WAVE", 4}, "audio/wav"},
    {0, {"BM", 2}, "image/bmp"},
    {0, {"II*\0", 4}, "image/tiff"},
    {0, {"MM\0*", 4}, "image/tiff"},
    {0, {"%PDF-", 5}, "application/pdf"},
    {0, {"PK\x03\x04", 4}, "application/zip"},
    {0, {"PK\x05\x06", 4}, "application/zip"},
    {0, {"\x1f\x8b", 2}, "application/gzip"},
    {0, {"BZh", 3}, "application/x-bzip2"},
    {0,
     {"\xfd"
      "7zXZ\0",
      6},
     "application/x-xz"},
    {0, {"\x28\xb5\x2f\xfd", 4}, "application/zstd"},
    {257, {"ustar", 5}, "application/x-tar"},
    {0,
     {"\x7f"
      "ELF",
      4},
     "application/x-executable"},
    {0, {"SQLite format 3\0", 16}, "application/vnd.sqlite3"},
    {0, {"OggS", 4}, "audio/ogg"},
    {0, {"fLaC", 4}, "audio/flac"},
    {0, {"ID3", 3}, "audio/mpeg"},
    {4, {"ftyp", 4}, "video/mp4"},
    {0, {"\x1a\x45\xdf\xa3", 4}, "video/webm"},
    {0, {"\0asm", 4}, "application/wasm"},
    {0, {"PAR1", 4}, "application/vnd.apache.parquet"},
    {0, {"\xff\xfe", 2}, "text/plain; charset=utf-16le"},
    {0, {"\xfe\xff", 2}, "text/plain; charset=utf-16be"},
};

const char *filetype_mime(struct str head)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const struct magic *m = &table[i];
        if (head.n >= m->at + m->bytes.n &&
            memcmp(head.p + m->at, m->bytes.p, m->bytes.n) == 0)
            return m->mime;
    }
    return "application/octet-stream";
}

bool filetype_is_image(struct str head)
{
    static const char *const seen[] = {"image/png", "image/jpeg", "image/gif",
                                       "image/webp"};
    const char *mime = filetype_mime(head);
    for (size_t i = 0; i < sizeof seen / sizeof seen[0]; i++)
        if (strcmp(mime, seen[i]) == 0)
            return true;
    return false;
}
