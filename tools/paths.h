/* paths.h - paths as people are told them, and where they lie. */
#pragma once

#include "base/base.h"

#include <stdio.h>

/* "WORD: PATH: WHY" on standard error: names may hold anything, and what a terminal would act on is shown as a number. */
void path_told(const char *word, const char *path, const char *why);
/* The same of a path alone, without an end of line. */
void path_put(FILE *out, const char *path);
/* The character at the head of text, that has not ended, and its bytes; 0: that is no UTF-8. */
size_t path_char(const char *at, uint32_t *ret);
/* Whether it changes the direction or the lines of what is shown around it. */
bool path_turns(uint32_t c);
/* How many bytes of text, that has not ended, are to be shown as numbers together: of what a terminal would act on, and of what is no UTF-8. 0: none. */
size_t path_control(const char *at);
/* Puts a character of text that has not ended, as numbers if it is to be, or with `escape`. What follows it. */
const char *path_next(FILE *out, const char *at, bool escape);
/* "\x": in text in which such bytes are shown as numbers it is one itself. */
bool path_like_escape(const char *at);
/* Is an absolute path this directory's, or below it? A directory of "" has nothing. */
bool path_below(const char *path, const char *dir);
