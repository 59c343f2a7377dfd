/* What the model is told before anything else. */
#pragma once
#include "agent/servers.h"
#include "base/buf.h"

/* The default; the bytes are a part of every request, so they never vary. */
extern const char instructions_default[];

/* given: --system, or NULL for the default; then what each server says of its tools. */
void instructions_write(struct buf *to, const char *given, const struct servers *s);
