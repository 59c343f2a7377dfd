#include "cli/host_network.h"
#include <stdlib.h>

/* The lower-case name goes before, as with curl; empty is as good as not set. */
static const char *first_of(const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *value = getenv(names[i]);
        if (value && value[0])
            return value;
    }
    return NULL;
}

void host_network_find(struct host_proxy_config *ret_proxy)
{
    static const char *const http[] = {"http_proxy", "HTTP_PROXY", "all_proxy",
                                       "ALL_PROXY"};
    static const char *const https[] = {"https_proxy", "HTTPS_PROXY", "all_proxy",
                                        "ALL_PROXY"};
    static const char *const except[] = {"no_proxy", "NO_PROXY"};
    *ret_proxy = (struct host_proxy_config){
        .http = first_of(http, 4),
        .https = first_of(https, 4),
        .no_proxy = first_of(except, 2),
    };
}
