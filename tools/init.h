/* init.h - making an archive by the options of `lapse init`, for it and for an import in place. */
#pragma once

#include "tools/command.h"
#include "tools/unlock.h"

extern const struct option_def init_options[];

struct init_plan;
/* What the options say, of the directory that is the first operand; nothing is made yet. `filled`: there may be plain files in it. EXIT_DONE, or how to end,
 * after a message. */
int init_plan_new(const struct args *a, bool filled, struct init_plan **ret);
void init_plan_free(struct init_plan *p);
const char *init_plan_policy(const struct init_plan *p, size_t *ret_len); /* already parsed without errors */
/* Asks for a key, makes the archive, tells about it. */
int init_plan_make(struct init_plan *p);
/* What opens it, the caller's to free. */
void init_plan_take_key(struct init_plan *p, struct unlock *ret);
