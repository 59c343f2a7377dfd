/* The sandbox shows the machine's own /usr: a runtime that the machine lacks cannot be
 * had inside. bash and /usr/bin/env say "NAME: command not found" or "NAME: No such
 * file or directory". */
#include "tools/hint.h"
#include "base/buf.h"

struct program {
    const char *name, *package;
};

static const struct program programs[] = {
    {"node", "nodejs"},       {"nodejs", "nodejs"},
    {"npm", "npm"},           {"npx", "npm"},
    {"python3", "python3"},   {"pip", "python3-pip"},
    {"pip3", "python3-pip"},  {"git", "git"},
    {"gcc", "gcc"},           {"cc", "gcc"},
    {"g++", "g++"},           {"make", "make"},
    {"cmake", "cmake"},       {"clang", "clang"},
    {"ruby", "ruby"},         {"perl", "perl"},
    {"php", "php-cli"},       {"java", "default-jdk"},
    {"javac", "default-jdk"}, {"go", "golang"},
    {"rustc", "rustc"},       {"cargo", "cargo"},
    {"Rscript", "r-base"},    {"lua", "lua5.4"},
    {"sqlite3", "sqlite3"},   {"jq", "jq"},
    {"curl", "curl"},         {"wget", "wget"},
    {"unzip", "unzip"},       {"zip", "zip"},
    {"ffmpeg", "ffmpeg"},     {"convert", "imagemagick"},
    {"rg", "ripgrep"},
};

/* The word before ": command not found": "bash: line 1: node: command not found". */
static struct str missing_name(struct str said, int exit_code)
{
    static const char *const phrases[] = {": command not found",
                                          ": No such file or directory"};
    /* A file that is missing is told in the same words, with another status. */
    for (size_t i = 0; i < (exit_code == 127 ? 2 : 1); i++) {
        const char *at =
            said.n ? memmem(said.p, said.n, phrases[i], strlen(phrases[i])) : NULL;
        if (!at)
            continue;
        const char *from = at;
        while (from > said.p && from[-1] != ' ' && from[-1] != '\n')
            from--;
        struct str name = {from, (size_t)(at - from)};
        /* env writes it in quotation marks: 'node' or, in UTF-8, \u2018node\u2019 */
        if (str_starts(name, STR("\xe2\x80\x98")) && name.n > 6)
            name = (struct str){name.p + 3, name.n - 6};
        else if (name.n > 2 && name.p[0] == '\'')
            name = (struct str){name.p + 1, name.n - 2};
        return name;
    }
    return (struct str){0};
}

struct str hint_missing_program(const struct command_info *info, struct str said,
                                struct arena *a)
{
    if (info->status != COMMAND_EXITED || info->exit_code == 0)
        return (struct str){0};
    struct str name = missing_name(said, info->exit_code);
    if (str_eq(name, STR("python")))
        return STR("There is no `python` here: use `python3`.");
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        if (!str_eq(name, str_of(programs[i].name)))
            continue;
        struct buf text;
        buf_init(&text, 512);
        buf_addf(&text,
                 "%s is not installed: the sandbox has what the machine that runs it "
                 "has in /usr. To have it, install it on that machine (Debian: "
                 "apt-get install %s), or do without it.",
                 programs[i].name, programs[i].package);
        struct str hint = arena_dup(a, buf_str(&text));
        buf_finish(&text);
        return hint;
    }
    return (struct str){0};
}
