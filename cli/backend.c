#include "cli/backend.h"
#include "cli/dotenv.h"
#include "cli/module.h"
#include "sandbox/vercel/vercel.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* One choice a process. */
static struct {
    struct vercel_credentials credentials;
    struct vercel_config config;
    struct places places; /* where its modules are */
    char why[600];
} chosen;

static const char *from_environment(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] ? value : NULL;
}

/* auth.json of Vercel's CLI: $VERCEL_AUTH_CONFIG_DIR, or below the data directory. */
static void find_auth_file(char to[PATH_MAX])
{
    const char *dir = from_environment("VERCEL_AUTH_CONFIG_DIR");
    const char *data = from_environment("XDG_DATA_HOME");
    const char *home = from_environment("HOME");
    int n = 0;
    if (dir)
        n = snprintf(to, PATH_MAX, "%s/auth.json", dir);
    else if (data && data[0] == '/')
        n = snprintf(to, PATH_MAX, "%s/com.vercel.cli/auth.json", data);
    else if (home && home[0] == '/')
        n = snprintf(to, PATH_MAX, "%s/.local/share/com.vercel.cli/auth.json", home);
    if (n <= 0 || n >= PATH_MAX)
        to[0] = '\0';
}

static int find_credentials(struct err *err)
{
    struct dotenv files = {0};
    char auth_file[PATH_MAX] = "", project_file[PATH_MAX] = "", directory[PATH_MAX];
    if (getcwd(directory, sizeof directory)) {
        dotenv_read(&files, directory);
        int n = snprintf(project_file, sizeof project_file, "%s/.vercel/project.json",
                         directory);
        if (n < 0 || (size_t)n >= sizeof project_file)
            project_file[0] = '\0';
    }
    find_auth_file(auth_file);
    struct vercel_offer offer = {
        .oidc_token = dotenv_get(&files, "VERCEL_OIDC_TOKEN"),
        .token = dotenv_get(&files, "VERCEL_TOKEN"),
        .api_key = dotenv_get(&files, "VERCEL_SANDBOX_API_KEY"),
        .auth_token = dotenv_get(&files, "VERCEL_AUTH_TOKEN"),
        .team = dotenv_get(&files, "VERCEL_TEAM_ID"),
        .project = dotenv_get(&files, "VERCEL_PROJECT_ID"),
        .auth_file = auth_file,
        .project_file = project_file,
    };
    int rc = vercel_credentials_find(&chosen.credentials, &offer, time(NULL), err);
    dotenv_finish(&files);
    return rc;
}

/* A token must not cross a network in the clear: http is for this machine, and what
 * looks like it must not be a user name before another host. */
static int check_url(const char *url, struct err *err)
{
    static const char *const allowed[] = {"https://", "http://127.0.0.1",
                                          "http://localhost", "http://[::1]"};
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++) {
        size_t n = strlen(allowed[i]);
        if (strncmp(url, allowed[i], n) == 0 && !strchr(url, '@') &&
            (i == 0 ? url[n] != '\0' : strchr(":/", url[n]) != NULL))
            return 0;
    }
    err_set(err, ERR_INVALID,
            "VERCEL_SANDBOX_API_URL %.100s: neither https:// nor http:// on this "
            "machine",
            url);
    return err_remedy(err, "for example http://127.0.0.1:PORT/api, or unset it");
}

static void set_why(void)
{
    const struct vercel_credentials *c = &chosen.credentials;
    snprintf(chosen.why, sizeof chosen.why, "vercel: %s; %s%s%s%s%s", c->source,
             c->project[0] ? "project " : "project to be asked for", c->project,
             c->team[0] ? " of team " : "", c->team,
             strcmp(chosen.config.api_url, VERCEL_API_URL) != 0
                 ? "; at VERCEL_SANDBOX_API_URL"
                 : "");
}

static const struct tar_entries *open_tar(struct err *err)
{
    const void *entries;
    return module_open(&chosen.places, "tar", &entries, err) == 0 ? entries : NULL;
}

static int use_vercel(const struct places *places,
                      const struct sandbox_backend **ret_backend,
                      struct sandbox_config *config, struct err *err)
{
    const void *entries;
    const char *url = from_environment("VERCEL_SANDBOX_API_URL");
    if (url && check_url(url, err) < 0)
        return -1;
    chosen.config = (struct vercel_config){
        .credentials = &chosen.credentials,
        .api_url = url ? url : VERCEL_API_URL,
        .account_url = url ? url : VERCEL_ACCOUNT_URL,
        .ca_file = places_ca_file(),
        .tar = open_tar,
    };
    chosen.places = *places;
    if (module_open(places, "vercel", &entries, err) < 0)
        return -1;
    config->vercel = &chosen.config;
    *ret_backend = ((const struct vercel_entries *)entries)->backend;
    set_why();
    return 0;
}

static int no_credentials(struct err *err)
{
    err_set(err, ERR_DENIED,
            "--backend vercel: there are no Vercel credentials: "
            "neither VERCEL_OIDC_TOKEN, VERCEL_TOKEN nor a login of "
            "Vercel's CLI");
    return err_remedy(err, "`vercel link && vercel env pull`, or set VERCEL_TOKEN, "
                           "VERCEL_TEAM_ID and VERCEL_PROJECT_ID");
}

int backend_choose(const struct options *o, const struct places *places,
                   const struct sandbox_backend **ret_backend,
                   struct sandbox_config *config, struct err *err)
{
    const char *name = o->backend ? o->backend : "auto";
    config->backend_why = chosen.why;
    *ret_backend = strcmp(name, "null") == 0 ? &sandbox_null : &sandbox_local;
    if (strcmp(name, "null") == 0 || strcmp(name, "local") == 0) {
        snprintf(chosen.why, sizeof chosen.why, "%s: asked for by --backend", name);
        return 0;
    }
    bool automatic = strcmp(name, "auto") == 0;
    if (automatic && o->workspace) {
        snprintf(chosen.why, sizeof chosen.why,
                 "local: --workspace is a directory of this machine");
        return 0;
    }
    if (automatic && (o->image || o->mount_count || o->toolchain_count)) {
        snprintf(chosen.why, sizeof chosen.why,
                 "local: --image, --mount and --bind-toolchain are of this machine");
        return 0;
    }
    int found = find_credentials(err);
    if (found < 0)
        return -1;
    if (found > 0)
        return use_vercel(places, ret_backend, config, err);
    if (!automatic)
        return no_credentials(err);
    snprintf(chosen.why, sizeof chosen.why, "local: there are no Vercel credentials");
    return 0;
}
