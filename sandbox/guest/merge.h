/* Makes one snapshot out of several that lie upon each other. */
#pragma once

enum { MERGE_FD = 3, MERGE_LAYERS_MAX = 64 };

/* argv: "merge", TARGET, "image" or "host" (what the root of the oldest lies upon), and
 * the names of the snapshots, newest first; MERGE_FD is the directory that has all of
 * them. TARGET gets files/, once it is complete. Returns the exit status. */
int merge_main(int argc, char **argv);
