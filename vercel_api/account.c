/* What the CLI asks about the account when it is not told a team and a project: there
 * is one user with one team here, and every project is there. */
#include "vercel_api/private.h"

#define TEAM "team_sandquay"
#define SLUG "sandquay"

static void write_team(struct json_writer *w)
{
    jw_object(w);
    jw_key_cstr(w, "id", TEAM);
    jw_key_cstr(w, "slug", SLUG);
    jw_key_cstr(w, "name", SLUG);
    jw_key_i64(w, "updatedAt", 1);
    jw_key(w, "membership");
    jw_object(w);
    jw_key_cstr(w, "role", "OWNER");
    jw_end_object(w);
    jw_key(w, "billing");
    jw_object(w);
    jw_key_cstr(w, "plan", "pro");
    jw_end_object(w);
    jw_end_object(w);
}

static void write_project(struct json_writer *w, struct str name)
{
    jw_key_str(w, "id", name);
    jw_key_str(w, "name", name);
    jw_key_cstr(w, "accountId", TEAM);
}

void account_answer(struct request *r)
{
    struct reply reply;
    struct json_writer *w = &reply.w;
    const struct page all = {.count = 1};
    reply_begin(&reply);
    switch (r->route.endpoint) {
    case USER_GET:
        jw_key(w, "user");
        jw_object(w);
        jw_key_cstr(w, "defaultTeamId", TEAM);
        jw_key_cstr(w, "username", SLUG);
        jw_end_object(w);
        break;
    case TEAM_LIST:
        jw_key(w, "teams");
        jw_array(w);
        write_team(w);
        jw_end_array(w);
        api_write_page(w, &all);
        break;
    case TEAM_GET:
        jw_key_cstr(w, "id", TEAM);
        jw_key_cstr(w, "slug", SLUG);
        break;
    case PROJECT_GET:
        write_project(w, r->route.ids[0]);
        break;
    case PROJECT_MAKE:
        write_project(w, json_str(json_get(r->body, STR("name")), &r->arena));
        break;
    default:
        jw_key_cstr(w, "status", "ok");
    }
    reply_end(&reply, r, HTTP_OK);
}
