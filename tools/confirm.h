/* confirm.h - what destroys is asked for twice: the plan is shown, and its number is typed back, or its id is named. */
#pragma once

#include "tools/rows.h"
#include "tools/target.h"

extern const struct option_def confirm_options[]; /* --reason, --plan */

/* EXIT_DONE, or after a message EXIT_USAGE: there is no --reason, or it is not one line. */
int confirm_reason(const struct args *a);
/* Asks the daemon for what needs a reason and no plan. */
int order_ask(const struct args *a, struct target *t, const char *verb, void (*build)(struct ctl_request *q, void *ctx), void *ctx, struct rows *rows);
/* Asks the daemon; if it answers with a plan, `show` prints it, and once it is confirmed the request is sent again with its id. `build` fills the request
 * (reason and plan are put here). *rows: of what was done. `what` ends the question "Type N, the number of …". EXIT_DONE: done; EXIT_FINDING: only the
 * plan was shown. */
int confirm_ask(const struct args *a, struct target *t, const char *verb, void (*build)(struct ctl_request *q, void *ctx),
	void (*show)(const struct rows *rows, const struct ctl_line *plan, void *ctx), void *ctx, const char *what, struct rows *rows);
