/* How this host reaches the network, as the settings of its user say: the environment's
 * proxies and certificates, npm's, pip's and apt's configuration. Nothing secret goes
 * into what programs inside are told: URLs lose their user and password. */
#pragma once
#include "sandbox/egress/host_proxy.h"

/* Found once; valid for the life of the process. */
const struct host_network *host_network_find(void);
