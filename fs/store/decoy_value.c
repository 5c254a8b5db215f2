/* decoy_value.c - a further value of some, which nothing tells from them. */
#include "store/decoy.h"

#include <math.h>
#include <stdlib.h>

#define BEYOND_MOST 2.0
#define EDGE	    4 /* gaps at either end by which it is judged how far beyond it another value may be */
#define TOGETHER    4 /* gaps among which one of a rank near them is chosen */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Above 0, up to 1. */
static double unit_random(struct decoy_rng *rng)
{
	return (double)(decoy_below(rng, 1u << 30) + 1) / (double)(1u << 30);
}

/* Between two of them, near the rank-th. Of many values a further one falls into wide gaps more often than into narrow ones, and that shows: but widths vary with the density as well, and what
 * follows them too far is more often far out than values are. So one of few that lie together, by its width against what is usual at its place: of the logistic distribution 1 / (i (count - i)). */
static double between_some(const double *v, size_t count, size_t rank, struct decoy_rng *rng)
{
	size_t shift = decoy_below(rng, TOGETHER), back = (rank + shift) % TOGETHER, low = rank > back ? rank - back : 1, high = low + TOGETHER - 1 - (low + shift) % TOGETHER;
	double width[TOGETHER], sum = 0, u = unit_random(rng);
	high = high < count - 1 ? high : count - 1;
	for (size_t i = low; i <= high; i++) {
		double w = (v[i] - v[i - 1]) * (double)(i * (count - i));
		sum += width[i - low] = w * w * w;
	}
	size_t i = low;
	for (double left = sum * unit_random(rng); i < high && left > width[i - low]; i++)
		left -= width[i - low];
	return v[i - 1] + u * (v[i] - v[i - 1]);
}

double decoy_like(double *v, size_t count, struct decoy_rng *rng)
{
	size_t rank = decoy_below(rng, count + 1), near = count - 1 < EDGE ? count - 1 : EDGE;
	double beyond = fmin(-log(unit_random(rng)), BEYOND_MOST);
	if (count == 1)
		return v[0];
	qsort(v, count, sizeof *v, by_value);
	if (!rank)
		return v[0] - beyond * (v[near] - v[0]) / (double)near;
	if (rank == count)
		return v[count - 1] + beyond * (v[count - 1] - v[count - 1 - near]) / (double)near;
	return between_some(v, count, rank, rng);
}
