/* sandquay serve: one MCP session on stdin and stdout, or with --listen as many as come
 * over the network. Nothing of the sandboxes is touched before the first tool call
 * needs one. */
#include "base/log.h"
#include "base/mem.h"
#include "cli/backend.h"
#include "cli/host_network.h"
#include "cli/images.h"
#include "cli/serve_web.h"
#include "cli/verbs.h"
#include "mcp/server.h"
#include "tools/offer.h"
#include "tools/tools.h"
#include "transport/stdio.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OWNER_STDIO = 1, MEMORY_KEPT = 32 * 1024 * 1024 };

/* Of the default sandbox of a principal, which never goes away by itself. */
enum { IDLE_STOP_MS = 30 * 60 * 1000, IDLE_DELETE_MS = 24 * 3600 * 1000 };

struct serve {
    struct loop *loop;
    struct tools_ctx tools;
    struct mcp_server *server;
    struct stdio *stdio; /* one of these two */
    struct serve_web *web;
};

static int check_workspace(const char *path, struct err *err)
{
    struct stat st;
    if (!path || (stat(path, &st) == 0 && S_ISDIR(st.st_mode)))
        return 0;
    err_set(err, ERR_INVALID, "--workspace %s: %s", path,
            errno == ENOENT ? "there is no such directory" : "not a directory");
    return err_remedy(err, "make it, or name another");
}

int serve_sandbox_config(const struct options *o, const struct places *places,
                         const struct sandbox_backend **ret_backend,
                         struct sandbox_config *ret_config, struct err *err)
{
    if (check_workspace(o->workspace, err) < 0)
        return -1;
    if ((o->workspace_readonly || o->workspace_overlay) && !o->workspace) {
        err_set(err, ERR_INVALID, "--workspace-%s without --workspace",
                o->workspace_overlay ? "mode overlay" : "readonly");
        return err_remedy(err, "say which directory: --workspace DIR");
    }
    static char image[PATH_MAX]; /* one server is all that a process has */
    bool vercel = o->backend && strcmp(o->backend, "vercel") == 0;
    if ((o->mount_count || o->toolchain_count) && vercel) {
        err_set(err, ERR_INVALID, "--%s is for sandboxes of this machine",
                o->mount_count ? "mount" : "bind-toolchain");
        return err_remedy(err, "leave it out, or --backend local");
    }
    if (o->image && !vercel && images_find(places, o->image, image, err) < 0)
        return -1;
    *ret_config = (struct sandbox_config){
        .limits = o->limits,
        .toolchains = o->toolchains,
        .toolchain_count = o->toolchain_count,
        .mounts = o->mounts,
        .mount_count = o->mount_count,
        .image = o->image && !vercel ? image : o->image,
        .workspace = o->workspace,
        .workspace_readonly = o->workspace_readonly,
        .workspace_overlay = o->workspace_overlay,
        .default_name = o->sandbox,
        .state_dir = places->state,
        .temp_dir = places->temp,
        .idle_stop_ms = IDLE_STOP_MS,
        .idle_delete_ms = IDLE_DELETE_MS,
        .guest_path = places->guest,
        .network = &o->network,
        .host_network = host_network_find,
        .require_level = o->require_level,
        .allow_weak = o->allow_weak,
#ifdef SANDQUAY_SANITIZED
        .relaxed = true,
#endif
    };
    if (backend_choose(o, places, ret_backend, ret_config, err) < 0)
        return -1;
    /* A server without Vercel has nothing to say about it. */
    if (ret_config->vercel)
        fprintf(stderr, "sandquay: backend %s\n", ret_config->backend_why);
    else
        log_info("backend %s", ret_config->backend_why);
    return 0;
}

static void on_done(void *ctx)
{
    struct serve *s = ctx;
    loop_stop(s->loop);
}

static int start_web(struct serve *s, const struct options *o,
                     const struct places *places,
                     const struct mcp_server_config *offered, struct err *err)
{
    struct serve_web_config config = {
        .options = o,
        .places = places,
        .tools = &s->tools,
        .mcp = s->server,
        .table = offered->tools,
        .tool_count = offered->tool_count,
        .stopped = on_done,
        .ctx = s,
    };
    return serve_web_new(&s->web, &config, err);
}

/* fds: of stdio, taken; NULL: over the network. */
static int start(struct serve *s, const struct options *o, const struct places *places,
                 const struct stdio_fds *fds, struct err *err)
{
    const struct sandbox_backend *backend;
    struct sandbox_config config;
    if (serve_sandbox_config(o, places, &backend, &config, err) < 0 ||
        loop_new(&s->loop, err) < 0)
        return -1;
    s->tools.loop = s->loop;
    if (sandboxes_new(&s->tools.sandboxes, s->loop, backend, &config, err) < 0)
        return -1;
    sandboxes_on_doing(s->tools.sandboxes, tools_doing, &s->tools);
    struct mcp_server_config offered = {
        .name = "sandquay",
        .title = "sandquay",
        .version = SANDQUAY_VERSION,
        .instructions = tools_instructions,
        .ctx = &s->tools,
    };
    offered.tools =
        tools_table(o->toolsets | (o->workspace_overlay ? TOOLSET_WORKSPACE : 0),
                    &offered.tool_count);
    offer_fill(&offered);
    s->server = mcp_server_new(&offered);
    offer_serve(&s->tools, s->server);
    if (!fds)
        return start_web(s, o, places, &offered, err);
    return stdio_new(&s->stdio, s->loop, s->server, *fds, OWNER_STDIO, on_done, s, err);
}

/* The session first: its calls end, then the sandboxes. */
static void finish(struct serve *s)
{
    stdio_free(s->stdio);
    serve_web_free(s->web);
    sandboxes_free(s->tools.sandboxes);
    tools_finish(&s->tools);
    mcp_server_free(s->server);
    loop_free(s->loop);
}

/* It ends already: a client's next signal (many send two) must not cut that short. */
static void end_undisturbed(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

int serve_main(int argc, char **argv)
{
    static struct options o; /* for the life of the process, with what it holds */
    struct places places;
    struct stdio_fds fds;
    struct err err;
    struct serve s = {0};
    if (options_parse(&o, OPTIONS_SERVE, argc, argv, &err) < 0)
        return verb_fail("serve", &err, EXIT_WRONG_USE);
    if (o.help) {
        help_verb(OPTIONS_SERVE);
        return 0;
    }
    if (o.first < argc) {
        err_set(&err, ERR_INVALID, "unknown argument %s", argv[o.first]);
        err_remedy(&err, "see sandquay serve --help");
        return verb_fail("serve", &err, EXIT_WRONG_USE);
    }
    mem_keep(MEMORY_KEPT);
    bool over_network = o.listening.address_count > 0;
    bool terminal = isatty(0) && !over_network;
    if (!over_network && stdio_claim(&fds, &err) < 0)
        return verb_fail("serve", &err, 1);
    if (o.verbose || o.log_json)
        log_set_level(LOG_INFO);
    if (o.log_json)
        log_set_format(LOG_JSON);
    if (terminal)
        fprintf(stderr, "sandquay: an MCP server waits for a client here (Ctrl-D ends "
                        "it); to run a command: sandquay exec 'COMMAND'\n");
    int rc = places_find(&places, &err);
    if (rc == 0)
        rc = start(&s, &o, &places, over_network ? NULL : &fds, &err);
    if (rc == 0)
        loop_run(s.loop);
    end_undisturbed();
    finish(&s);
    return rc == 0 ? 0 : verb_fail("serve", &err, EXIT_WRONG_USE);
}
