/* Text for people's eyes that others wrote: models, tools, servers. None of it reaches
 * a terminal as it is: escape sequences would let it move the cursor, hide what
 * happened, or make the terminal answer. */
#pragma once
#include "base/buf.h"

/* Appends s with control characters as pictures (U+2400 on); newlines and tabs stay,
 * carriage returns are left out. What turns the direction of writing around is
 * replaced, too. Invalid UTF-8 becomes U+FFFD. */
void shown_add(struct buf *to, struct str s);
/* The same on one line (newlines become spaces), cut to at most `cells` columns of a
 * terminal, with "..." where something is missing. Returns the columns it takes. */
size_t shown_add_line(struct buf *to, struct str s, size_t cells);
/* The columns that s takes, newlines and tabs as one. */
size_t shown_cells(struct str s);
