/* Mounts as one text on their way to the zygote: "rw HOST\tINSIDE\n" or "ro ..." each;
 * "tc ...": read-only, and HOST is a link to it inside. */
#pragma once
#include "sandbox/guest/plan.h"

/* Splits the text in place. -1: it is none of ours. */
int mount_list_read(char *text, struct mount_plan *plan);
