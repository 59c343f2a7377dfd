/* What a file's first bytes say that it is. */
#pragma once
#include "base/str.h"
#include <stdbool.h>

/* A MIME type; "application/octet-stream" when nothing is recognised. */
const char *filetype_mime(struct str head);
/* png, jpeg, gif, webp: what models can look at. */
bool filetype_is_image(struct str head);
