/* Private to sandbox/: errors about a path, in the same words on every backend. */
#pragma once
#include "base/err.h"
#include "base/str.h"

/* By errno. Returns -1. */
int file_error(int sys, const char *path, struct err *err);
int file_error_directory(const char *path, struct err *err); /* a file was wanted */
int file_error_not_regular(const char *path, struct err *err);

/* The errno whose text (of the C locale) is in what a program said; 0: none. */
int file_error_in_text(struct str said);
