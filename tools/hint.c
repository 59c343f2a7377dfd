/* The sandbox shows the machine's own /usr: a program that the machine lacks is not
 * inside. Where /usr is writable, it can be installed there. bash and /usr/bin/env say
 * "NAME: command not found" or "NAME: No such file or directory". */
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

static struct str how_to_have(const struct program *p, bool installs, struct arena *a)
{
    struct buf text;
    buf_init(&text, 512);
    if (installs)
        buf_addf(
            &text,
            "%s is not installed. To have it: apt-get update && apt-get install -y "
            "%s.",
            p->name, p->package);
    else
        buf_addf(&text,
                 "%s is not installed: the sandbox has what the machine that runs it "
                 "has in /usr. To have it, install it on that machine (Debian: "
                 "apt-get install %s), or do without it.",
                 p->name, p->package);
    struct str hint = arena_dup(a, buf_str(&text));
    buf_finish(&text);
    return hint;
}

/* What apt, dpkg and others say of a /usr that is the machine's and read-only. */
static bool cannot_install(struct str said)
{
    static const char *const phrases[] = {"/var/lib/dpkg", "are you root?",
                                          "requires superuser privilege"};
    for (size_t i = 0; i < sizeof phrases / sizeof phrases[0]; i++)
        if (said.n && memmem(said.p, said.n, phrases[i], strlen(phrases[i])))
            return true;
    return false;
}

struct str hint_failed(const struct command_info *info,
                       const struct sandbox_info *sandbox, struct str said,
                       struct arena *a)
{
    if (info->status != COMMAND_EXITED || info->exit_code == 0)
        return (struct str){0};
    if (!sandbox->installs && cannot_install(said))
        return STR("System packages cannot be installed in this sandbox: its /usr is "
                   "that of the machine, read-only, unless the server is run by root. "
                   "Use pip, npm, a venv or a download below the home directory.");
    struct str name = missing_name(said, info->exit_code);
    if (str_eq(name, STR("python")))
        return STR("There is no `python` here: use `python3`.");
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        if (!str_eq(name, str_of(programs[i].name)))
            continue;
        return how_to_have(&programs[i], sandbox->installs, a);
    }
    return (struct str){0};
}
