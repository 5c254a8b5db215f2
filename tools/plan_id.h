/* plan_id.h - destroying is never an accident: a plan with counts is confirmed by its number, or by its id. */
#pragma once

#include "tools/command.h"

#define PLAN_ID_BYTES 24

/* The id of a plan made at `at`: it stands for everything in `what`. */
void plan_id(int64_t at, const char *what, char out[static PLAN_ID_BYTES]);
/* When the plan of this id was made; -EINVAL: it is none; -ETIME: longer ago than plans live, or later than `now`. */
errint_t plan_made_at(const char *id, int64_t now, int64_t *ret_at);
/* On a terminal the number is typed back. EXIT_DONE, or how to end after a message that names the id. */
int confirm_number(uint64_t number, const char *question, const char *id);
