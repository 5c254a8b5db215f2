/* paths.h - paths as people are told them, and where they lie. */
#pragma once

#include "base/base.h"

#include <stdio.h>

/* "WORD: PATH: WHY" on standard error: names may hold anything, and what a terminal would act on is shown as a number. */
void path_told(const char *word, const char *path, const char *why);
/* The same of a path alone, without an end of line. */
void path_put(FILE *out, const char *path);
/* How many bytes of text, that has not ended, a terminal would act on as one: 0, 1, or 2 in UTF-8. */
size_t path_control(const char *at);
/* Is an absolute path this directory's, or below it? A directory of "" has nothing. */
bool path_below(const char *path, const char *dir);
