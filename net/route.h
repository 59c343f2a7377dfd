/* What the kernel's routing tables say of an address. */
#pragma once
#include "net/address.h"

/* Is it an address of this machine (of any interface, of loopback, of a local route)?
 * When that cannot be told: true. */
bool route_is_own(const struct address *a);
