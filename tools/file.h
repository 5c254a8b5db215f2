/* file.h - reading a file that a person named. */
#pragma once

#include "base/base.h"

/* The whole of a policy file, malloc'd. EXIT_DONE, or EXIT_ERROR after a message. */
int policy_file_read(const char *path, char **ret, size_t *ret_len);
