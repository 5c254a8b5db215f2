/* diag.c - what is wrong with a policy file, all of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/internal.h"

__attribute__((format(printf, 4, 0))) static void append(
	struct policy_diags *d, unsigned line, bool warning, const char *fmt, va_list ap)
{
	char text[512];

	if (!warning)
		d->errors++;
	if (d->count >= POLICY_MAX_DIAGS)
		return;
	if (d->count + 1 == POLICY_MAX_DIAGS)
		snprintf(text, sizeof(text), "more errors follow; they are not shown");
	else
		vsnprintf(text, sizeof(text), fmt, ap);
	for (char *c = text; (c = strchr(c, '\t'));)
		*c = ' ';

	struct policy_diag *item = realloc(d->item, (d->count + 1) * sizeof(*item));
	if (!item)
		return;
	d->item = item;
	char *copy = strdup(text);
	if (!copy)
		return;
	d->item[d->count++] = (struct policy_diag){.line = line, .warning = warning, .text = copy};
}

void diag_error(struct policy_diags *d, unsigned line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	append(d, line, false, fmt, ap);
	va_end(ap);
}

void diag_warn(struct policy_diags *d, unsigned line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	append(d, line, true, fmt, ap);
	va_end(ap);
}

/* Insertion, so that equal lines keep their order. */
void diag_sort(struct policy_diags *d)
{
	for (size_t i = 1; i < d->count; i++) {
		struct policy_diag x = d->item[i];
		size_t j = i;

		for (; j > 0 && d->item[j - 1].line > x.line; j--)
			d->item[j] = d->item[j - 1];
		d->item[j] = x;
	}
}

void policy_diags_free(struct policy_diags *d)
{
	for (size_t i = 0; i < d->count; i++)
		free(d->item[i].text);
	free(d->item);
	*d = (struct policy_diags){0};
}
