/* For programs that work on the files of an ordinary user's sandboxes. */
#pragma once

/* An ordinary user's process becomes root of a user namespace of its own, so that it
 * may look into every directory of that user's, whatever its mode. Where that is not
 * allowed, the modes count; root stays what it is. */
void own_root_enter(void);
