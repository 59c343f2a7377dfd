/* Whose Vercel account: the token, the team and the project, found without the network
 * in the order of docs/vercel.md ("Credentials"). */
#pragma once
#include "base/err.h"
#include "base/secret.h"
#include <limits.h>
#include <stdint.h>

/* Where to look. Absent or empty values are not set; strings are borrowed. */
struct vercel_offer {
    const char *oidc_token; /* VERCEL_OIDC_TOKEN */
    const char *token;      /* VERCEL_TOKEN */
    const char *api_key;    /* VERCEL_SANDBOX_API_KEY */
    const char *auth_token; /* VERCEL_AUTH_TOKEN */
    const char *team, *project;
    const char *auth_file;    /* auth.json of Vercel's CLI */
    const char *project_file; /* .vercel/project.json */
};

enum { VERCEL_SCOPE_MAX = 128 };

struct vercel_credentials {
    const char *source, *scope_source; /* "VERCEL_TOKEN", ...: for people */
    struct secret *token;
    bool oidc;                        /* the token is an OIDC one */
    struct secret *cli_token;         /* of the CLI, also when it is not `token` */
    struct secret *refresh_token;     /* gives a new cli_token */
    int64_t expires_s, cli_expires_s; /* unix time; 0: not known */
    char team[VERCEL_SCOPE_MAX];      /* "": to be asked for */
    char project[VERCEL_SCOPE_MAX];
    char auth_file[PATH_MAX]; /* where a refreshed cli_token is kept */
};

/* 1: found. 0: there is nothing at all. -1: something is there, but it is not enough,
 * wrong or expired: err names the part and the remedy. now_s: unix time. */
int vercel_credentials_find(struct vercel_credentials *ret_credentials,
                            const struct vercel_offer *offer, int64_t now_s,
                            struct err *err);
void vercel_credentials_finish(struct vercel_credentials *c); /* accepts all-zero */

/* The claims of an OIDC token that matter; INVALID when it is none. The signature is
 * for the API to check. */
int vercel_oidc_claims(struct str jwt, char team[VERCEL_SCOPE_MAX],
                       char project[VERCEL_SCOPE_MAX], int64_t *ret_expires_s,
                       struct err *err);
