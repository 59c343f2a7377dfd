/* How this host reaches the network, as its user's environment says. */
#pragma once
#include "sandbox/host_proxy.h"

/* From http_proxy, https_proxy, all_proxy, no_proxy and their upper-case forms. The
 * strings are the environment's. */
void host_network_find(struct host_proxy_config *ret_proxy);
