/* The numbers of the subjects of an issuer: who has sandboxes here, for ever.
 *
 * A file in the state directory, one JSON object a line, is only ever added to: a
 * number is never given to another subject. A new subject's line is on the disk before
 * its number is used; the file is locked and read on meanwhile, so that several servers
 * may share it. A line that a crash has cut is not one, and goes when the next is
 * written.
 *
 * The number that is tried first is a part of the SHA-256 of issuer and subject, so
 * that servers which do not share the file nearly always agree; who needs "always",
 * because they share sandboxes (Vercel), shares the file. */
#pragma once
#include "transport/authority.h"

enum {
    SUBJECTS_MAX = 10000,
    SUBJECTS_BYTES_MAX = 16 * 1024 * 1024, /* of the file */
};

struct subjects;

/* taken: numbers that are not given. CONFLICT when one of them is given already; IO,
 * DENIED, PROTOCOL for the file. All is copied but `taken`. */
int subjects_new(struct subjects **ret_subjects, const char *state_dir,
                 const char *issuer, const uint32_t *taken, size_t taken_count,
                 struct err *err);
void subjects_free(struct subjects *subjects); /* accepts NULL */

/* Finds or adds one. LIMIT when there are SUBJECTS_MAX; IO. */
int subjects_find(struct subjects *subjects, struct str subject,
                  struct authority_subject **ret_subject, struct err *err);
