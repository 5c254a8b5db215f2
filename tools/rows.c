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
	const size_t fields = offsetof(struct ctl_line, field) + row->count * sizeof row->field[0];
	size_t size = strlen(row->word) + 1;
	for (size_t i = 0; i < row->count; i++)
		size += strlen(row->field[i].key) + strlen(row->field[i].value) + 2;
	char *memory = malloc(fields + size), *at = memory + fields;
	if (!memory)
		return -ENOMEM;
	struct ctl_line *line = (struct ctl_line *)memory;
	line->word = copy(&at, row->word);
	line->count = row->count;
	for (size_t i = 0; i < row->count; i++) {
		line->field[i].key = copy(&at, row->field[i].key);
		line->field[i].value = copy(&at, row->field[i].value);
	}
	r->item[r->count++].line = line;
	return 0;
}

void rows_free(struct rows *r)
{
	for (size_t i = 0; i < r->count; i++)
		free(r->item[i].line);
	free(r->item);
	*r = (struct rows){0};
}

const struct ctl_line *rows_next(const struct rows *r, const char *kind, size_t *at)
{
	while (*at < r->count) {
		const struct ctl_line *l = r->item[(*at)++].line;
		if (!strcmp(l->word, kind))
			return l;
	}
	return NULL;
}

const struct ctl_line *rows_nth(const struct rows *r, const char *kind, size_t n)
{
	const struct ctl_line *l;
	size_t at = 0;
	while ((l = rows_next(r, kind, &at)) && n--)
		;
	return l;
}
