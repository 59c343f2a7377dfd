/* `sandquay-guest prove`: started inside a sandbox by `sandquay doctor`, it tries to
 * get out of it, in ways that do no harm should they work. */
#pragma once

/* Arguments: a file of the host, a word that is in the host's environment, a TCP port
 * where the host listens on 127.0.0.1, the name of an abstract socket of the host, the
 * pid of doctor, the sandbox's limits (MB of memory, processes, MB of disk). Prints a
 * line for each trial: "held" or "open", a tab, the protection, a tab, what was tried.
 * Returns the exit status. */
int prove_main(int argc, char **argv);
