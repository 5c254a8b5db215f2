/* rows.h - a reply's rows, kept. */
#pragma once

#include "ctl/client.h"

struct rows {
	struct row {
		char *text; /* its strings' memory */
		struct ctl_line line;
	} * item;
	size_t count, cap;
};

errint_t rows_keep(void *rows, const struct ctl_line *row); /* a ctl_row_cb */
void rows_free(struct rows *r);
/* The n-th row of a kind, NULL if there is none. */
const struct ctl_line *rows_nth(const struct rows *r, const char *kind, size_t n);
