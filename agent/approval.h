/* Who may call which tool: those of the agent's own server and those of --allowed-tools
 * run by themselves; others ask on the terminal, or are refused where there is none. */
#pragma once
#include "agent/catalog.h"
#include "agent/view.h"
#include "net/loop.h"

enum approval_mode { APPROVAL_ASK, APPROVAL_AUTO, APPROVAL_NEVER };

struct approval_config { /* borrowed */
    enum approval_mode mode;
    const char *allowed; /* names with * in them, between commas; or NULL */
    int in_fd, err_fd;   /* the terminal; in_fd -1: there is none to ask on */
    struct loop *loop;
};

struct approval;
struct approval *approval_new(const struct approval_config *config);
void approval_free(struct approval *a); /* accepts NULL */

enum approval_verdict { APPROVAL_GIVEN, APPROVAL_REFUSED, APPROVAL_OPEN };
/* own: of the server that the agent started. OPEN: approval_ask() knows more. */
enum approval_verdict approval_of(const struct approval *a, struct str tool, bool own);
/* Asks about a call; answered once, never before it returns, unless withdrawn. One
 * question at a time. "always" is remembered for the tool. */
void approval_ask(struct approval *a, const struct view_call *call,
                  void (*answered)(void *ctx, bool given), void *ctx);
void approval_withdraw(struct approval *a);

/* Does the name match the pattern, in which * stands for any text? */
bool approval_matches(struct str pattern, struct str name);
