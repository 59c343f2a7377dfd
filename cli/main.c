/* sandquay: which verb, and nothing else. */
#include "cli/verbs.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct verb {
    const char *name;
    enum options_verb options;
    int (*main)(int argc, char **argv);
};

static const struct verb verbs[] = {
    {"serve", OPTIONS_SERVE, serve_main},
    {"agent", OPTIONS_AGENT, agent_main},
    {"exec", OPTIONS_EXEC, exec_main},
    {"shell", OPTIONS_SHELL, shell_main},
    {"doctor", OPTIONS_DOCTOR, doctor_main},
    {"sandboxes", OPTIONS_SANDBOXES, sandboxes_main},
    {"stop", OPTIONS_STOP, stop_main},
    {"rm", OPTIONS_RM, rm_main},
    {"cp", OPTIONS_CP, cp_main},
    {"image", OPTIONS_IMAGE, image_main},
    {"vercel-api", OPTIONS_VERCEL_API, vercel_api_main},
};

static bool is_any(const char *arg, const char *a, const char *b, const char *c)
{
    return strcmp(arg, a) == 0 || strcmp(arg, b) == 0 || strcmp(arg, c) == 0;
}

/* sandquay --help, sandquay help VERB, sandquay --version. -1: none of these. */
static int information(int argc, char **argv)
{
    if (is_any(argv[1], "--version", "-V", "version")) {
        printf("sandquay %s\n", SANDQUAY_VERSION);
        return 0;
    }
    if (!is_any(argv[1], "--help", "-h", "help"))
        return -1;
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (argc > 2 && strcmp(argv[2], verbs[i].name) == 0) {
            help_verb(verbs[i].options);
            return 0;
        }
    help_short();
    return 0;
}

int main(int argc, char **argv)
{
    /* Nothing that is opened later may become descriptor 0, 1 or 2. */
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
            return 1;
    char serve[] = "serve", *alone[] = {serve, NULL};
    if (argc < 2 && isatty(0)) {
        help_short();
        return 0;
    }
    if (argc < 2)
        return serve_main(1, alone);
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(argv[1], verbs[i].name) == 0)
            return verbs[i].main(argc - 1, argv + 1);
    int status = information(argc, argv);
    if (status >= 0)
        return status;
    if (argv[1][0] == '-') { /* flags without a verb are the server's */
        argv[0] = serve;
        return serve_main(argc, argv);
    }
    fprintf(stderr, "sandquay: there is no verb %s; there are", argv[1]);
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        fprintf(stderr, " %s", verbs[i].name);
    fprintf(stderr, "\n");
    return EXIT_WRONG_USE;
}
