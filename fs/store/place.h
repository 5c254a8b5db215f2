/* place.h - the paths of an archive's anchor copies. Private to the store. */
#pragma once

#include "store/anchor.h"
#include "store/archive.h"

struct anchor_paths {
	char *path[ANCHOR_COPIES_MAX];
	size_t count;
};
void anchor_paths_free(struct anchor_paths *p);
/* Those given (NULL-terminated), else those remembered beside the default anchor, else the default place. */
errint_t anchor_paths_find(const uint8_t uuid[static UUID_BYTES], const char *const *given, struct anchor_paths *ret);
/* Notes paths other than the default one, so that a mount finds them. One that cannot be reached has to be absolute. */
errint_t anchor_paths_remember(const uint8_t uuid[static UUID_BYTES], const struct anchor_paths *p);
void anchor_paths_forget(const uint8_t uuid[static UUID_BYTES]);
