/* Directories of a user's own, where things are kept. */
#pragma once
#include "base/err.h"

/* Makes the directory and those above it that are not there, for this user only (0700).
 * `path` is shorter than PATH_MAX. 0, or -1. */
int dirs_make(const char *path, struct err *err);
/* The same, opened: a descriptor, or -1. */
int dirs_open(const char *path, struct err *err);
/* DENIED when what is behind fd is somebody else's, or others may write to it. */
int dirs_check_own(int fd, const char *path, struct err *err);
