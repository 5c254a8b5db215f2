/* user.h - users as people name them: looked up here, where the name service is. */
#pragma once

#include "base/base.h"

/* A name, a number, or `unidentified`. EXIT_DONE, or EXIT_ERROR after a message. */
int user_number(const char *name, int64_t *ret);
