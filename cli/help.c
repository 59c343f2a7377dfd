/* What the command line says: --help, and why it cannot do something. */
#include "cli/agent_flags.h"
#include "cli/verbs.h"
#include "tools/tools.h"
#include <stdio.h>
#include <string.h>

static const char limits[] =
    "  --workspace DIR         this directory of yours is /workspace inside; what "
    "runs\n"
    "                          there can change and delete what is in it\n"
    "  --workspace-mode MODE   write (default); readonly; overlay: what is written "
    "there\n"
    "                          waits until the changes are committed\n"
    "  --workspace-readonly    the same as --workspace-mode readonly\n"
    "  --mount HOST:INSIDE[:ro]  a further directory of yours, e.g. "
    "~/data:/mnt/data:ro;\n"
    "                          repeatable\n"
    "  --bind-toolchain DIR    programs of yours that are not below /usr, e.g.\n"
    "                          ~/.nvm/versions/node/v22.1.0: read-only, first in "
    "PATH; repeatable\n"
    "  --image FILE|DIR|NAME   the system that sandboxes have as their root instead of "
    "this\n"
    "                          machine's: a tar, a squashfs, a directory, or one of\n"
    "                          `sandquay image`; on Vercel, its image or runtime "
    "(node24)\n"
    "  --sandbox NAME          a named sandbox: its files are kept\n"
    "  --memory SIZE           of a sandbox, e.g. 512m (default 2g)\n"
    "  --pids N                processes and threads of a sandbox (default 512)\n"
    "  --cpus N                e.g. 0.5 (default: all)\n"
    "  --disk SIZE             of a sandbox (default 1g, of a named one 8g)\n"
    "  --max-sandboxes N       at the same time (default 16)\n"
    "  --max-commands N        running in a sandbox (default 64)\n"
    "  --keep-output SIZE      kept of each command's output (default 64m)\n"
    "  --network LIST          what sandboxes may reach: allow-all (default: every "
    "public\n"
    "                          address), deny-all, or names and networks such as\n"
    "                          github.com,*.npmjs.org,10.1.0.0/16; repeatable. "
    "Private\n"
    "                          addresses only when a network names them\n"
    "  --network-deny LIST     addresses and networks that stay refused\n"
    "  --backend NAME          where sandboxes live: local, vercel, or auto (default): "
    "vercel\n"
    "                          where there are credentials for it, else local\n"
    "  --require-level N       refuse to run below isolation level N (1: full)\n"
    "  --allow-weak-isolation  allow level 4 (no namespaces) where nothing better "
    "works\n"
    "  -v, --verbose           say on stderr what happens\n"
    "  -h, --help              this text\n";

static void help_listening(void)
{
    size_t count;
    const struct listening_flag *flags = listening_flags(&count);
    printf("  --log-format FORMAT     text or json, one object a line\n");
    printf("\nOver the network (docs/serve.md):\n");
    for (size_t i = 0; i < count; i++) {
        const char *value = flags[i].value ? flags[i].value : "";
        int room = 22 - (int)strlen(flags[i].flag);
        printf("  %s %-*s %s\n", flags[i].flag, room, value, flags[i].help);
    }
}

void help_short(void)
{
    printf(
        "sandquay %s: sandboxes for running code, as an MCP server\n"
        "\n"
        "  sandquay exec 'COMMAND'   run a command in a sandbox\n"
        "  sandquay shell            a shell in one\n"
        "  sandquay agent 'TASK'     a model works in one until the task is done\n"
        "  sandquay serve            the MCP server on stdin and stdout; in a client:\n"
        "                            claude mcp add sandquay -- /path/to/sandquay "
        "serve\n"
        "  sandquay doctor           what this machine can protect, tried\n"
        "  sandquay sandboxes        named sandboxes; also: stop, rm, cp\n"
        "  sandquay image            other systems as the root of sandboxes\n"
        "\n"
        "sandquay VERB --help tells more; sandquay --version the version.\n",
        SANDQUAY_VERSION);
}

static const char common[] =
    "  --backend NAME          where sandboxes live: local, vercel, or auto "
    "(default):\n"
    "                          vercel where there are credentials for it, else local\n"
    "  -v, --verbose           say on stderr what happens\n"
    "  -h, --help              this text\n";

static void help_aftercare(enum options_verb verb)
{
    if (verb == OPTIONS_SANDBOXES)
        printf(
            "sandquay sandboxes [flags]\n\n"
            "Lists the named sandboxes, which are kept between runs, and the process\n"
            "that runs each.\n\n"
            "  --json                  as the tool sandbox_list gives it\n%s",
            common);
    else if (verb == OPTIONS_STOP)
        printf("sandquay stop [flags] NAME...\n\n"
               "Ends the processes of named sandboxes; their files stay. One that "
               "another\n"
               "server runs ends with that server: its pid is told.\n\n%s",
               common);
    else if (verb == OPTIONS_RM)
        printf("sandquay rm [flags] NAME...\n\n"
               "Deletes named sandboxes with their files.\n\n%s",
               common);
    else
        printf(
            "sandquay cp [flags] FROM TO\n\n"
            "Copies a file, or a directory with all that is in it. One side (or both) "
            "is\n"
            "NAME:PATH, in the sandbox NAME; a relative PATH starts at its "
            "/workspace. As\n"
            "with cp, what goes to a directory that exists is put into it.\n\n"
            "- is a tar of a directory, on stdin or stdout.\n\n"
            "  sandquay cp dev:/ - >all.tar      sandquay cp - new:/ <all.tar\n"
            "  sandquay cp data.csv dev:         sandquay cp dev:out/report.pdf .\n"
            "  sandquay cp ./project dev:src     sandquay cp dev:/root/logs ./logs\n\n"
            "%s",
            common);
}

static void help_image(void)
{
    printf(
        "sandquay image build [--suite SUITE] [--include PACKAGES] NAME\n"
        "sandquay image add FILE NAME\n"
        "sandquay image list [--json]\n"
        "sandquay image rm NAME\n\n"
        "Systems for --image, kept with the sandboxes. `build` makes a Debian with\n"
        "python, node, git and a compiler (mmdebstrap does it); `add` unpacks a tar\n"
        "or a squashfs. Named sandboxes go on with the image they began with: what\n"
        "is removed is missing for them.\n\n"
        "  --suite SUITE           of Debian (default bookworm)\n"
        "  --include PACKAGES      more of its packages, with commas\n"
        "  --json                  the list as JSON\n"
        "  -h, --help              this text\n");
}

static void help_vercel_api(void)
{
    printf(
        "sandquay vercel-api --listen ADDRESS [flags]\n\n"
        "Serves the REST API of Vercel Sandbox from sandboxes of this machine: the\n"
        "official SDK and CLI run against it (docs/vercel.md tells how).\n\n"
        "  --listen ADDRESS        127.0.0.1:7777, unix:/path, ...; repeatable\n"
        "  --token TOKEN           what clients must show; --token-env VAR keeps it\n"
        "                          out of process lists. Without one any is good, and\n"
        "                          only this machine may connect\n"
        "  --state-dir DIR         where sandboxes, snapshots and drives are kept\n"
        "  --allow-host NAME       a further name of this server; repeatable\n"
        "  --tls-cert, --tls-key   PEM files; read again on SIGHUP\n"
        "  --pids N                processes and threads of a sandbox (default 512)\n"
        "  --max-sandboxes N       running at the same time (default 16)\n"
        "  --max-commands N        running in a sandbox (default 64)\n"
        "  --keep-output SIZE      kept of each command's output (default 64m)\n"
        "  --network LIST          what all sandboxes may reach at most\n"
        "  -v, --verbose           say on stderr what happens\n"
        "  -h, --help              this text\n");
}

static void help_agent(void)
{
    size_t count;
    const struct agent_flag *flags = agent_flags(&count);
    printf("sandquay agent [flags] [TASK...]\n\n"
           "A model does the task: it writes, runs and debugs code in a sandbox, and "
           "answers.\n"
           "What is piped in goes along; without a task on a terminal it is a "
           "conversation.\n"
           "It needs ANTHROPIC_API_KEY, or another way to a model: docs/agent.md.\n\n");
    for (size_t i = 0; i < count; i++)
        printf("  %s %-*s %s\n", flags[i].flag, 22 - (int)strlen(flags[i].flag),
               flags[i].value ? flags[i].value : "", flags[i].help);
    printf(
        "  --connect URL           a running server instead of one of its own; with\n"
        "                          --token-file FILE or --token-env VAR\n"
        "  --toolsets LIST         tools beside the default ones\n"
        "\nThe sandbox:\n%s"
        "\nExit status: 0 done; 2 wrong use; 3 cut off at --max-tokens; 4 the model "
        "declined;\n5 the API failed; 6 --max-turns; 7 --max-budget-usd; 8 not as "
        "--json-schema asks;\n9 the conversation is too long; 125 it could not begin; "
        "128+n by signal n.\n",
        limits);
}

void help_verb(enum options_verb verb)
{
    if (verb == OPTIONS_AGENT) {
        help_agent();
        return;
    }
    if (verb == OPTIONS_SERVE) {
        printf("sandquay serve [flags]\n"
               "sandquay serve --listen ADDRESS [flags]\n\n"
               "Serves the Model Context Protocol on stdin and stdout until EOF. A "
               "client\n"
               "starts it; its commands run in a sandbox that ends with it. With "
               "--listen, to\n"
               "whoever has a token, over Streamable HTTP and WebSocket.\n\n"
               "  --toolsets LIST         tools beside the default ones: " TOOLSET_NAMES
               "\n%s",
               limits);
        help_listening();
    } else if (verb == OPTIONS_EXEC) {
        printf(
            "sandquay exec [flags] COMMAND...\n\n"
            "Runs COMMAND with bash in a sandbox: its output and exit status are the\n"
            "command's, stdin is forwarded, Ctrl-C reaches it (twice within 2 s: "
            "end).\n"
            "One word is given to bash as it is, several are joined with spaces.\n"
            "Exit status: the command's; 128+n by signal n; 137 when the time is "
            "over;\n"
            "125 when sandquay could not run it; 141 when nobody reads its output.\n\n"
            "  --timeout TIME          e.g. 500ms, 60s, 5m (default 24h)\n"
            "  --env NAME=VALUE        a variable for the command; repeatable\n"
            "  --cwd DIR               directory inside (default /workspace)\n"
            "  --tty                   in a terminal of its own, on ours; Enter ~ . "
            "leaves\n"
            "  --commit                with --workspace-mode overlay, after a command "
            "that\n"
            "                          succeeds: its changes go to the directory\n"
            "  --connect URL           a running server (ws: wss: http: https:) "
            "instead\n"
            "                          of one of its own; with --sandbox and these:\n"
            "  --token-file FILE       its token (or the variable SANDQUAY_TOKEN)\n"
            "  --token-env VAR         its token is in that variable\n%s",
            limits);
    } else if (verb == OPTIONS_SHELL) {
        printf(
            "sandquay shell [flags] [NAME]\n\n"
            "A shell in a sandbox, on this terminal; with NAME in the named sandbox, "
            "whose\n"
            "files are kept. Ends with the shell; Enter ~ . leaves one that hangs.\n\n"
            "  --timeout TIME          then it ends (default 24h)\n"
            "  --env NAME=VALUE        a variable; repeatable\n"
            "  --cwd DIR               where it starts (default /workspace)\n%s",
            limits);
    } else if (verb == OPTIONS_VERCEL_API) {
        help_vercel_api();
    } else if (verb == OPTIONS_IMAGE) {
        help_image();
    } else if (verb != OPTIONS_DOCTOR) {
        help_aftercare(verb);
    } else {
        printf(
            "sandquay doctor [flags]\n\n"
            "Tries what this machine offers for isolation, one line a probe, then "
            "tries "
            "to\n"
            "break out of a sandbox, harmlessly, one line a protection: held, weaker "
            "than\n"
            "possible (why, and what to do), or missing. Exit status 0 when the "
            "configured\n"
            "level holds, else 1.\n\n"
            "  --json                  all of it as one JSON object\n"
            "  --require-level N       the level that must hold (1: full)\n"
            "  --allow-weak-isolation  level 4 will do where nothing better works\n"
            "  -h, --help              this text\n");
    }
}

int verb_fail(const char *verb, const struct err *err, int status)
{
    fprintf(stderr, "sandquay %s: %s%s%s\n", verb, err->msg, err->remedy[0] ? "; " : "",
            err->remedy);
    return status;
}
