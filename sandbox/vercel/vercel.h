/* The Vercel backend: sandboxes that are microVMs in a Vercel account, over its REST
 * API. A module (base/module.h) named "vercel", because of libcurl; its entries are a
 * struct vercel_entries. docs/vercel.md says how it behaves. */
#pragma once
#include "sandbox/vercel_credentials.h"

struct sandbox_backend;
struct tar_entries; /* sandbox/tar/tar.h */

#define VERCEL_API_URL "https://vercel.com/api"
#define VERCEL_ACCOUNT_URL "https://api.vercel.com"

/* Strings and credentials are borrowed for the life of the sandboxes. */
struct vercel_config {
    const struct vercel_credentials *credentials;
    const char *api_url;     /* below it /v2/sandboxes and so on */
    const char *account_url; /* where logins are refreshed */
    const char *ca_file;     /* see net/http/client.h; or NULL */
    /* The module "tar", which is opened when the first file is written; NULL: it cannot
     * be. */
    const struct tar_entries *(*tar)(struct err *err);
};

struct vercel_entries {
    const struct sandbox_backend *backend; /* sandbox_config.vercel is its own */
};
