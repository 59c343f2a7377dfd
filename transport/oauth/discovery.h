/* Where an authorization server's keys are: its metadata (RFC 8414, OpenID Connect
 * Discovery 1.0) at the places where the MCP specification has clients look for it, and
 * the metadata of this server itself (RFC 9728). Sans I/O. */
#pragma once
#include "base/buf.h"
#include "base/err.h"

enum {
    DISCOVERY_URL_MAX = 1024,
    DISCOVERY_BYTES_MAX = 256 * 1024, /* of a metadata document */
};

/* An issuer, a resource or a jwks_uri: an absolute https URL without query and
 * fragment; http for a host that is this machine. INVALID, naming `what`. */
int discovery_check_url(const char *url, const char *what, struct err *err);

/* The i-th place to look, as a NUL-terminated URL; false: there is none (any more). */
bool discovery_place(const char *issuer, size_t i, char ret_url[DISCOVERY_URL_MAX]);

/* The jwks_uri of a metadata document. PROTOCOL when it is not one, or another
 * issuer's (RFC 8414 3.3); a server that calls itself otherwise is named. */
int discovery_parse(struct str text, const char *issuer,
                    char ret_jwks_uri[DISCOVERY_URL_MAX], struct err *err);

/* Where the metadata of a resource is (RFC 9728 3): its origin, then
 * /.well-known/oauth-protected-resource, then its path. */
void discovery_resource_place(const char *resource, char ret_url[DISCOVERY_URL_MAX]);
/* The path of a URL; "" when it has none. */
const char *discovery_path(const char *url);
/* The document. scope: words, or NULL. */
void discovery_write_resource(struct buf *to, const char *resource, const char *issuer,
                              const char *scope);
