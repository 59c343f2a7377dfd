/* The synthetic /etc: files that the sandbox gets as its own copies. */
#pragma once

/* Reads the host's files; before the host's root is left. */
void etc_collect(void);
/* Writes them and the made ones below `root`. 0, or -1 with errno. */
int etc_write(const char *root, const char *host_name);
