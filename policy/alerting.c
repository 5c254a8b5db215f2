/* alerting.c - the section [alert]: to whom an archive tells what happens to it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/internal.h"

#define ARGUMENTS_MAX 32u
#define RATE_MAX      1000u
#define RATE_MS_MAX   (INT64_C(86400) * 1000)

/* One argument, of which the first byte is at *text; `out` has room for all of it. */
static int argument_parse(const char **text, char *out, struct complaint *why)
{
	const char *s = *text;
	bool quoted = false;

	for (; *s && (quoted || !strchr(" \t", *s)); s++) {
		if (*s == '"') {
			quoted = !quoted;
			continue;
		}
		if (*s == '\\' && s[1])
			s++;
		*out++ = *s;
	}
	*out = '\0';
	*text = s;
	return quoted ? complain(why, "a quotation mark is not closed") : 0;
}

int command_parse(const char *text, struct strlist *ret, struct complaint *why)
{
	if (text[0] != '/' || !text[1])
		return complain(why, "the command must begin with an absolute path");
	for (text += strspn(text, " \t"); *text; text += strspn(text, " \t")) {
		char **item = ret->count < ARGUMENTS_MAX ? realloc(ret->item, (ret->count + 1) * sizeof(*item)) : NULL;

		if (ret->count == ARGUMENTS_MAX)
			return complain(why, "more than %u arguments", ARGUMENTS_MAX - 1);
		if (!item)
			return -ENOMEM;
		ret->item = item;
		char *copy = malloc(strlen(text) + 1);
		if (!copy)
			return -ENOMEM;
		item[ret->count++] = copy;
		if (argument_parse(&text, copy, why))
			return -EINVAL;
	}
	return 0;
}

static void check_user(const struct alert_section *a, const char *user, const struct policy_names *names, struct policy_diags *d)
{
	unsigned line = section_key_line(&a->s, "user");
	uint32_t uid = 0;
	int e = names ? names->user(names->ctx, user, &uid) : -EAGAIN;

	if (e == -ENOENT)
		diag_warn(d, line, "user: this machine knows no user %s: the command of 'exec' will not be run", user);
	else if (!strcmp(user, "root") || (!e && !uid))
		diag_error(d, line, "user = %s: the command of 'exec' is not run as root; let it write to something that root reads", user);
}

static void check_rate(const struct alert_section *a, struct policy_alerting *to, struct policy_diags *d)
{
	const struct rate *r = a->rate.item;

	if (!a->rate.count)
		return;
	if (a->rate.count > 1 || r->limit > RATE_MAX || r->ms > RATE_MS_MAX)
		diag_error(d, section_key_line(&a->s, "rate"), "rate is one limit of at most %u in at most a day: rate = 10/1min", RATE_MAX);
	to->rate = r->limit;
	to->rate_ms = r->ms;
}

static int link_section(struct alert_section *a, struct policy_alerting *to, const struct policy_names *names, struct policy_diags *d)
{
	if (section_has(&a->s, "journal"))
		to->journal = a->journal;
	if (section_has(&a->s, "syslog"))
		to->syslog = a->syslog ? POLICY_SYSLOG_ALWAYS : POLICY_SYSLOG_NEVER;
	to->user = a->user ? a->user : to->user;
	check_rate(a, to, d);
	if (!a->exec.count) {
		static const char *const needs[] = {"user", "rate"};

		for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]) && !section_has(&a->s, "exec"); i++)
			if (section_has(&a->s, needs[i]))
				diag_error(d, section_key_line(&a->s, needs[i]), "%s is about exec; add that, or take it out", needs[i]);
		return 0;
	}
	check_user(a, to->user, names, d);
	a->argument = calloc(a->exec.count + 1, sizeof(*a->argument));
	if (!a->argument)
		return -ENOMEM;
	for (size_t i = 0; i < a->exec.count; i++)
		a->argument[i] = a->exec.item[i];
	to->exec = a->argument;
	return 0;
}

int alert_link(struct policy *p, const struct policy_names *names, struct policy_diags *diags)
{
	struct policy_alerting *to = &p->settings.alerting;
	int e = 0;

	*to = (struct policy_alerting){.journal = true, .user = "nobody", .rate = 10, .rate_ms = 60000};
	for (size_t i = 0; !e && i < p->section_count; i++)
		if (p->section[i]->kind->id == S_ALERT)
			e = link_section((struct alert_section *)p->section[i], to, names, diags);
	return e;
}
