/* Makes one snapshot out of several that lie upon each other. */
#pragma once

enum { MERGE_FD = 3, MERGE_TREE_FD = 4, MERGE_LAYERS_MAX = 64 };

/* argv: "merge", TARGET, "based" or "whole" (whether the root of the oldest lies upon
 * something), and the names of the snapshots, newest first. The first one may be "/":
 * the files of a sandbox, in MERGE_TREE_FD, which are copied; MERGE_FD is the directory
 * that has all of them. TARGET gets files/, once it is complete. Returns the exit
 * status. */
int merge_main(int argc, char **argv);
