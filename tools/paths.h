/* paths.h - paths as people are told them, and where they lie. */
#pragma once

#include "base/base.h"

/* "WORD: PATH: WHY" on standard error: names may hold anything, and what a terminal would act on is shown as a number. */
void path_told(const char *word, const char *path, const char *why);
/* The same of a path alone, on standard output, without an end of line. */
void path_put(const char *path);
/* Is an absolute path this directory's, or below it? A directory of "" has nothing. */
bool path_below(const char *path, const char *dir);
