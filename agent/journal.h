/* A conversation on disk: DIR/sessions/ID.jsonl, one JSON object a line, for its user
 * only (0600). Each line is one write at the file's end, so a crash costs at most the
 * line that was being written; a torn line at the end is ignored, then overwritten.
 *
 *   {"type":"session", "version":1, "id", "created", "directory", "model", "kept",
 *    "system", "tools"}
 *   {"type":"message", "time", "message":{"role","content"}, "model"?, "usage"?}
 *   {"type":"rewind", "time", "messages"}   only so many of the messages before count
 *   {"type":"end", "time", "outcome"}       of a task
 */
#pragma once
#include "agent/conversation.h"
#include "agent/model/usage.h"

enum { JOURNAL_ID_MAX = 40 };

/* What a conversation began with. */
struct journal_head {
    struct str directory, model, system, tools; /* tools: a JSON array */
    struct str kept; /* what --sandbox or --keep keeps its files in; may be empty */
};

struct journal;

/* A new id: the time, and what makes it unique. */
void journal_new_id(char to[JOURNAL_ID_MAX]);
/* The newest conversation that began in this directory. NOT_FOUND. */
int journal_latest(const char *state_dir, struct str directory,
                   char ret_id[JOURNAL_ID_MAX], struct err *err);

int journal_create(struct journal **ret_journal, const char *state_dir, const char *id,
                   const struct journal_head *head, struct err *err);
/* Goes on with one: its messages become the history; calls of tools that have no result
 * get one that says so. Texts of ret_head live as long as the journal. fork_id: go on
 * in a copy of that id; or NULL. NOT_FOUND; CONFLICT when another process has it;
 * PROTOCOL when it cannot be read. */
int journal_resume(struct journal **ret_journal, const char *state_dir, const char *id,
                   const char *fork_id, struct conversation *conversation,
                   struct journal_head *ret_head, struct err *err);
void journal_close(struct journal *j); /* accepts NULL */
const char *journal_id(const struct journal *j);

/* One message; blocks: a JSON array. A disk that takes nothing any more is logged once,
 * and the conversation goes on. All accept NULL. */
void journal_user(struct journal *j, struct str blocks);
void journal_assistant(struct journal *j, struct str blocks, struct str model,
                       const struct usage *usage);
/* How many messages there are; back to so many. */
size_t journal_count(const struct journal *j);
void journal_rewind(struct journal *j, size_t messages);
void journal_end(struct journal *j, const char *outcome);

/* The members of a usage object, as the API names them. */
struct json_writer;
void journal_write_usage(struct json_writer *w, const struct usage *usage);
