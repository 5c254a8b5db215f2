/* accounts.h - users and groups of this machine, asked of the name service: by the helper where there is one, since the name service reads files, talks to
 * servers and loads libraries. May take its time. */
#pragma once

#include "base/base.h"

/* -ENOENT: there is none of that name. */
errint_t account_user(const char *name, uint32_t *ret_uid);
errint_t account_group(const char *name, uint32_t *ret_gid);
/* Whether nobody is a member of it, by name or as whose primary group. False if it cannot be told. */
bool account_group_empty(uint32_t gid);
/* The primary and all other groups of a user, malloc'd. -ENOENT: the user is unknown. */
errint_t account_groups(uint32_t uid, uint32_t **ret, size_t *ret_count);
