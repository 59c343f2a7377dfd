/* The flags of `agent` that no other verb has. */
#pragma once
#include "agent/agent.h"

struct agent_flag { /* a row of the table; value as in struct listening_flag */
    const char *flag, *value, *help;
};
enum { AGENT_FLAG_FIRST = 2000, AGENT_FLAGS_MAX = 32 };
const struct agent_flag *agent_flags(size_t *ret_count);

/* What holds without flags. */
void agent_flags_default(struct agent_config *config);
/* Takes one flag; number: its row, from AGENT_FLAG_FIRST on. INVALID. */
int agent_flags_take(struct agent_config *config, int number, const char *text,
                     struct err *err);
/* What does not go together. */
int agent_flags_check(const struct agent_config *config, struct err *err);
