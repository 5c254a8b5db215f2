/* tree.h - states of the disk as directories. */
#pragma once

#include "state.h"

/* Where all of this is done: nothing outside of this directory is ever removed. */
void tree_scratch(const char *dir);
/* Builds it below `root` of each volume, which must not be there yet. */
void tree_build(const struct state *s, const char *const root[VOLUMES]);
/* Whether two trees are the same; if not, says where. Times are not compared, nor what SQLite maps (-shm). */
bool tree_same(const char *a, const char *b, char *why, size_t cap);
void tree_remove(const char *path);
