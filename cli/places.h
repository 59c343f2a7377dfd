/* Where things are on this machine: found from the executable and the environment. */
#pragma once
#include "base/err.h"
#include <limits.h>

struct places {
    char executable[PATH_MAX];
    char directory[PATH_MAX]; /* that it is in */
    char guest[PATH_MAX];
    char state[PATH_MAX]; /* $XDG_STATE_HOME or ~/.local/state, and /sandquay */
    char temp[PATH_MAX];  /* $TMPDIR or /tmp */
};

int places_find(struct places *places, struct err *err);
/* The path of a part that is installed with the executable: beside it, or else in
 * ../libexec/sandquay. That it is there is not promised. */
int places_beside(const struct places *places, const char *file,
                  char ret_path[PATH_MAX], struct err *err);
/* A file of certificates to trust instead of the system's, as OpenSSL and curl are told
 * of one: $SSL_CERT_FILE or $CURL_CA_BUNDLE; NULL: neither. */
const char *places_ca_file(void);
