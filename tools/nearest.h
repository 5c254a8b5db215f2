/* nearest.h - the word that somebody probably meant. */
#pragma once

#include <stddef.h>

struct nearest_word {
	const char *word, *best;
	size_t distance;
};
/* Offer each candidate in turn; `best` is then the nearest one, or NULL if none is near. Start with {.word = w}. */
void nearest_word_offer(struct nearest_word *n, const char *candidate);
