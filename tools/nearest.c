#include "tools/nearest.h"

#include "base/base.h"

#include <string.h>

#define WORD_MAX 32

/* Damerau-Levenshtein with adjacent swaps, three rows. */
static size_t distance(const char *a, size_t n, const char *b, size_t m)
{
	size_t row[3][WORD_MAX + 1];
	for (size_t j = 0; j <= m; j++)
		row[0][j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t *now = row[i % 3], *before = row[(i + 2) % 3], *before2 = row[(i + 1) % 3];
		now[0] = i;
		for (size_t j = 1; j <= m; j++) {
			size_t d = before[j - 1] + (a[i - 1] != b[j - 1]);
			d = min_size(d, min_size(before[j], now[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d = min_size(d, before2[j - 2] + 1);
			now[j] = d;
		}
	}
	return row[n % 3][m];
}

void nearest_word_offer(struct nearest_word *n, const char *candidate)
{
	size_t len = strlen(n->word), other = strlen(candidate);
	if (len > WORD_MAX || other > WORD_MAX)
		return;
	size_t d = distance(n->word, len, candidate, other);
	if (d > (len < 4 ? 1 : len / 3) || (n->best && d >= n->distance))
		return;
	n->best = candidate;
	n->distance = d;
}
