/* rows.h - a reply's rows, kept. */
#pragma once

#include "ctl/client.h"

struct rows {
	struct row {
		struct ctl_line *line; /* with as many fields as it has, and no memory for more; its strings lie behind them */
	} * item;
	size_t count, cap;
};

errint_t rows_keep(void *rows, const struct ctl_line *row); /* a ctl_row_cb */
void rows_free(struct rows *r);
/* The next row of a kind from *at on (0 at first), NULL if there is none: what goes through all of them goes through the rows once. */
const struct ctl_line *rows_next(const struct rows *r, const char *kind, size_t *at);
/* The n-th row of a kind, NULL if there is none. */
const struct ctl_line *rows_nth(const struct rows *r, const char *kind, size_t n);
