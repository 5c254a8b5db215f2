/* audit_ask.c - filters, rows and cells of the commands that ask the log. */
#include "tools/audit.h"
#include "tools/say.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>

#define SECOND INT64_C(1000000000)

/* ---- what is asked ------------------------------------------------------------------------------------------------------------------ */

/* As args_value, also for options that the command does not have. */
static const char *given(const struct args *a, const char *name)
{
	const char *value = NULL;
	for (size_t i = 0; i < a->given_count; i++)
		if (!strcmp(a->given[i].option->name, name))
			value = a->given[i].value;
	return value;
}

bool audit_digits(const char *text, uint64_t most, uint64_t *ret)
{
	char *end;
	if (!*text || strlen(text) > 10 || strspn(text, "0123456789") != strlen(text))
		return false;
	*ret = strtoull(text, &end, 10);
	return *ret <= most;
}

static int put_user(const struct args *a, struct ctl_request *q)
{
	const char *user = given(a, "user");
	uint64_t uid;
	if (!user)
		return EXIT_DONE;
	struct passwd *pw = getpwnam(user);
	if (pw)
		uid = pw->pw_uid;
	else if (!audit_digits(user, UINT32_MAX - 1, &uid))
		return say_usage("there is no user '%s'; --user takes a name or a uid", user);
	ctl_put_u64(&q->line, "user", uid);
	return EXIT_DONE;
}

int audit_put_filters(const struct args *a, struct ctl_request *q)
{
	int e = audit_put_times(a, q);
	if (e == EXIT_DONE)
		e = put_user(a, q);
	if (e == EXIT_DONE && given(a, "kind"))
		ctl_put(&q->line, "kinds", given(a, "kind"));
	if (e == EXIT_DONE && given(a, "decision"))
		ctl_put(&q->line, "decisions", given(a, "decision"));
	return e;
}

static errint_t hand_over(struct ctl_session *s, const char *word, int fd)
{
	char line[64];
	int n = snprintf(line, sizeof line, "%s\tfd=1\n", word);
	return ctl_stream_send(ctl_session_socket(s), line, (size_t)n, &fd, 1) == n ? 0 : -EPIPE;
}

errint_t audit_ask(struct target *t, struct ctl_request *q, const char *fd_word, int fd, ctl_row_cb row, void *ctx, struct fault *f)
{
	struct ctl_session *s;
	struct ctl_line l;
	errint_t r = ctl_session_open(t->fd, t->archive, q, &s, f);
	ctl_request_free(q);
	if (r)
		return r;
	if (fd >= 0)
		r = hand_over(s, fd_word, fd);
	while (!r && !(r = ctl_session_row(s, &l, f)) && strcmp(l.word, "ok"))
		r = row(ctx, &l);
	ctl_session_close(s);
	return r;
}

/* ---- cells ---------------------------------------------------------------------------------------------------------------------------- */

static void seconds_cell(struct table *t, size_t column, int64_t seconds)
{
	char when[HUMAN_BYTES];
	if (seconds == INT64_MAX)
		table_text(t, column, table_for_programs(t) ? NULL : "never");
	else
		table_number(t, column, seconds, table_for_programs(t) ? NULL : human_time(seconds, when));
}

void audit_time_cell(struct table *t, size_t column, const struct ctl_line *l, const char *key)
{
	if (ctl_get(l, key))
		seconds_cell(t, column, ctl_num(l, key, 0) / SECOND);
}

void audit_seconds_cell(struct table *t, size_t column, const struct ctl_line *l, const char *key)
{
	if (ctl_get(l, key))
		seconds_cell(t, column, ctl_num(l, key, 0));
}

void audit_user_cell(struct table *t, size_t column, const struct ctl_line *l, const char *key)
{
	char name[HUMAN_BYTES];
	if (ctl_get(l, key))
		table_number(t, column, ctl_num(l, key, 0), human_user_name((uint32_t)ctl_num(l, key, 0), name));
}

void audit_text_cell(struct table *t, size_t column, const struct ctl_line *l, const char *key)
{
	if (ctl_str(l, key)[0])
		table_text(t, column, ctl_str(l, key));
}

void audit_number_cell(struct table *t, size_t column, const struct ctl_line *l, const char *key)
{
	if (ctl_get(l, key))
		table_number(t, column, ctl_num(l, key, 0), NULL);
}

void audit_size_cell(struct table *t, size_t column, const struct ctl_line *l, const char *key)
{
	char size[HUMAN_BYTES];
	if (ctl_get(l, key))
		table_number(t, column, ctl_num(l, key, 0), human_size((uint64_t)ctl_num(l, key, 0), size));
}
