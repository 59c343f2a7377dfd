/* The verbs of the command line: one file each. A verb gets argv from its own name on
 * and returns the process's exit status. */
#pragma once
#include "cli/options.h"
#include "cli/places.h"

enum {
    EXIT_WRONG_USE = 2,
    EXIT_CANNOT = 125, /* exec: sandquay itself could not do it */
};

int serve_main(int argc, char **argv);
int agent_main(int argc, char **argv);
int exec_main(int argc, char **argv);
int shell_main(int argc, char **argv);
int doctor_main(int argc, char **argv);
int sandboxes_main(int argc, char **argv);
int stop_main(int argc, char **argv);
int rm_main(int argc, char **argv);
int cp_main(int argc, char **argv);
int image_main(int argc, char **argv);
int vercel_api_main(int argc, char **argv);

/* One line "sandquay VERB: message; remedy" on stderr; returns status. */
int verb_fail(const char *verb, const struct err *err, int status);

/* Runs one command as exec does; `verb` is for messages. Returns the exit status. */
int exec_run(const char *verb, struct options *o, struct str command);

/* The sandbox layer's configuration from flags and places; both are borrowed. */
int serve_sandbox_config(const struct options *o, const struct places *places,
                         const struct sandbox_backend **ret_backend,
                         struct sandbox_config *ret_config, struct err *err);

/* help.c */
void help_short(void);
void help_verb(enum options_verb verb);
