#include "tools/rows.h"

#include <string.h>

static char *copy(char **at, const char *text)
{
	char *here = *at;
	*at = stpcpy(here, text) + 1;
	return here;
}

errint_t rows_keep(void *ctx, const struct ctl_line *row)
{
	struct rows *r = ctx;
	if (r->count == r->cap) {
		size_t cap = r->cap ? r->cap * 2 : 16;
		struct row *item = realloc(r->item, cap * sizeof *item);
		if (!item)
			return -ENOMEM;
		r->item = item;
		r->cap = cap;
	}
	size_t size = strlen(row->word) + 1;
	for (size_t i = 0; i < row->count; i++)
		size += strlen(row->field[i].key) + strlen(row->field[i].value) + 2;
	struct row *kept = &r->item[r->count];
	kept->text = malloc(size);
	if (!kept->text)
		return -ENOMEM;
	char *at = kept->text;
	kept->line = (struct ctl_line){.word = copy(&at, row->word), .count = row->count};
	for (size_t i = 0; i < row->count; i++) {
		kept->line.field[i].key = copy(&at, row->field[i].key);
		kept->line.field[i].value = copy(&at, row->field[i].value);
	}
	r->count++;
	return 0;
}

void rows_free(struct rows *r)
{
	for (size_t i = 0; i < r->count; i++)
		free(r->item[i].text);
	free(r->item);
	*r = (struct rows){0};
}

const struct ctl_line *rows_nth(const struct rows *r, const char *kind, size_t n)
{
	for (size_t i = 0; i < r->count; i++)
		if (!strcmp(r->item[i].line.word, kind) && n-- == 0)
			return &r->item[i].line;
	return NULL;
}
