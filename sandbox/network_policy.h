/* Where a sandbox may connect to, as a value. The forms and their meaning are those of
 * Vercel's sandboxes (`networkPolicy`), with two differences that docs/network.md
 * tells: "all" means public addresses, and a network in `allowed` admits addresses, not
 * the look-up of names.
 *
 *   a name      is allowed by a domain rule: "github.com"; "*.github.com" (any depth
 *               below, not github.com itself); "www.*.com" (one label); "*" (all).
 *   an address  that is not public, or is this machine's own, is refused unless a
 *               network in `allowed` has it. `denied` wins over everything.
 *
 * A connection to a name is checked twice: the name before it is looked up, each
 * address that it has before it is connected to. */
#pragma once
#include "base/json.h"
#include "base/json_write.h"
#include "net/address.h"

enum network_mode { NETWORK_ALLOW_ALL, NETWORK_DENY_ALL, NETWORK_CUSTOM };

enum { NETWORK_RULES_MAX = 1000 /* of each kind */, NETWORK_HOST_MAX = 253 };

struct network_policy {
    enum network_mode mode; /* CUSTOM: the lists count; all zero is allow-all */
    char **domains;         /* lower case */
    struct address_range *allowed, *denied;
    size_t domain_count, allowed_count, denied_count;
};

void network_policy_finish(struct network_policy *p); /* accepts all-zero */
void network_policy_copy(struct network_policy *to, const struct network_policy *from);
/* A copy in the arena, which needs no finish. */
const struct network_policy *network_policy_dup(struct arena *a,
                                                const struct network_policy *from);

/* From flags: comma-separated "allow-all", "deny-all" (alone), domains, addresses and
 * networks; each call adds to what earlier calls gave. *given says whether there was
 * one, so that the first replaces the default. */
int network_policy_allow(struct network_policy *p, bool *given, struct str list,
                         struct err *err);
/* Comma-separated addresses and networks that are denied. */
int network_policy_deny(struct network_policy *p, struct str list, struct err *err);

/* From a request: "allow-all", {"mode": ...}, {"allow": ..., "subnets": ...} or the
 * flat form {"mode": "custom", "allowedDomains": ...}. Rules that change requests are
 * refused (UNAVAILABLE). *ret_policy is written only on success. */
int network_policy_read(struct network_policy *ret_policy, struct json request,
                        struct err *err);
/* The form of answers: {"mode": "custom", "allowedDomains": [...], ...}. */
void network_policy_write(const struct network_policy *p, struct json_writer *w);
/* The form of requests, which network_policy_read() reads. */
void network_policy_write_request(const struct network_policy *p,
                                  struct json_writer *w);

enum network_verdict {
    NETWORK_ALLOWED,
    NETWORK_OFF,         /* deny-all */
    NETWORK_NOT_NAMED,   /* no rule allows this host */
    NETWORK_DENIED,      /* a denied network */
    NETWORK_NOT_PUBLIC,  /* private, loopback, metadata, ... */
    NETWORK_OWN_ADDRESS, /* of the machine that sandquay runs on */
};

/* May this name (lower case, no final dot) be looked up? */
enum network_verdict network_policy_name(const struct network_policy *p,
                                         struct str name);
/* May this address be connected to? name: what it was looked up for, empty for a
 * literal address. own: it is an address of this machine. */
enum network_verdict network_policy_address(const struct network_policy *p,
                                            struct str name, const struct address *a,
                                            bool own);
/* "10.0.0.1 is a private address, ..."; a: may be NULL. */
void network_verdict_text(enum network_verdict v, const struct address *a, char *to,
                          size_t room);

/* Is it a host name that can be looked up: letters, digits, "-", "_", labels of 1 to
 * 63, 253 in all, and not a number in disguise ("0x7f.1", "127.1")? */
bool network_is_name(struct str s);
bool network_domain_matches(const char *rule, struct str name);
