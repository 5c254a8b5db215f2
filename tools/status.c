#include "tools/command.h"
#include "tools/human.h"
#include "tools/json.h"
#include "tools/metrics.h"
#include "tools/program.h"
#include "tools/rows.h"
#include "tools/say.h"
#include "tools/target.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ATTENTION_MAX 32

struct report {
	struct rows rows;
	const struct ctl_line *s, *anchor;
	int64_t now, wall; /* seconds, as the archive sees them */
	struct attention {
		char what[256], remedy[256];
	} attention[ATTENTION_MAX];
	size_t attentions;
};

static int64_t number(const struct report *r, const char *key)
{
	return ctl_num(r->s, key, 0);
}

/* ---- what needs attention --------------------------------------------------------------------------------------------- */

static void attention(struct report *r, const char *remedy, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void attention(struct report *r, const char *remedy, const char *format, ...)
{
	if (r->attentions == ATTENTION_MAX)
		return;
	struct attention *a = &r->attention[r->attentions++];
	va_list ap;
	va_start(ap, format);
	vsnprintf(a->what, sizeof a->what, format, ap);
	va_end(ap);
	snprintf(a->remedy, sizeof a->remedy, "%s", remedy);
}

static void attention_clock(struct report *r)
{
	char span[HUMAN_BYTES];
	int64_t by = number(r, "doubt-by-ns") / 1000000000;
	human_span(by < 0 ? -by : by, span);
	if (number(r, "doubt") == CLOCK_WALL_AHEAD)
		attention(r,
			"set the machine's clock; if the wall clock is right, see lapse clock status: nothing is destroyed "
			"before the archive follows, or somebody says lapse clock confirm",
			"the wall clock is %s ahead of the archive's clock", span);
	else if (number(r, "doubt") == CLOCK_WALL_BEHIND)
		attention(r, "set the machine's clock; until then files with a deadline are refused, writing goes on",
			"the wall clock is %s behind what the archive has already seen", span);
}

static void attention_files(struct report *r)
{
	char n[HUMAN_BYTES];
	if (number(r, "foreign-files"))
		attention(r,
			"they are not shown in the mount and not encrypted; move them out of the archive, and copy "
			"them in through the mount",
			"foreign plain files in the archive's directory: %s",
			human_count((uint64_t)number(r, "foreign-files"), n));
	if (number(r, "damaged-files"))
		attention(r, "the journal names them; restore them from a copy of the store",
			"damaged or forged files: %s", human_count((uint64_t)number(r, "damaged-files"), n));
	if (number(r, "unknown-classes"))
		attention(r,
			"they keep the deadlines they have; put their class back into the policy, or leave them to "
			"expire",
			"files of a class that the policy no longer has: %s",
			human_count((uint64_t)number(r, "unknown-classes"), n));
}

static void attention_store(struct report *r)
{
	const struct ctl_line *copy;
	char n[HUMAN_BYTES], m[HUMAN_BYTES];
	if (!ctl_num(r->s, "fresh-complete", 1))
		attention(r, "lapse scrub takes what the files are now as the newest, on the record; a snapshot in .lapse/snapshots of a backup of the store is better",
			"older versions of files that were changed cannot be told: the log does not reach back, and its snapshot is lost");
	if (number(r, "log-errno"))
		attention(r, "make room or repair the disk: reads are refused until it can be written",
			"the audit log cannot be written: %s", strerror((int)number(r, "log-errno")));
	if (number(r, "log-reserved") < number(r, "log-reserve"))
		attention(r, "make room: it is for deletions and for what an administrator does when the disk is full",
			"the audit log has %s of the %s in reserve that it should have", human_size((uint64_t)number(r, "log-reserved"), n),
			human_size((uint64_t)number(r, "log-reserve"), m));
	if (number(r, "anchor-errno"))
		attention(r, "repair it: until then expired files are denied but their keys are not destroyed",
			"the anchor cannot be written: %s", strerror((int)number(r, "anchor-errno")));
	for (size_t i = 0; (copy = rows_nth(&r->rows, "copy", i)); i++)
		if (ctl_num(copy, "errno", 0))
			attention(r, "bring it back: until then what expires is not shredded there",
				"degraded: not shredded on %s: %s", ctl_str(copy, "path"),
				strerror((int)ctl_num(copy, "errno", 0)));
	for (size_t i = 0; (copy = rows_nth(&r->rows, "backup", i)); i++)
		if (r->now >= ctl_num(copy, "begins", 0))
			attention(r, "destroy it, wherever it is, and say so: lapse anchor drop", "this backup of the anchor opens what has expired since: %s",
				ctl_str(copy, "path"));
	if (!number(r, "backing-in-place"))
		attention(r, "keep the anchor on ext4 or XFS: here old states of it may survive on the disk",
			"the anchor or store lies on %s, which does not overwrite in place",
			ctl_str(r->s, "backing-type"));
	if (number(r, "unlocked-secrets"))
		attention(r, "raise the limit of locked memory (LimitMEMLOCK=, ulimit -l)",
			"some keys could not be locked in memory and may reach swap");
	int64_t lag = number(r, "shred-lag"), epoch = number(r, "epoch-seconds");
	char span[HUMAN_BYTES];
	if (lag > 3 * epoch + 5)
		attention(r, "see the clock and the anchor above",
			"the oldest expired file has waited %s for its key to be destroyed", human_span(lag, span));
}

static void attention_holds(struct report *r)
{
	const struct ctl_line *h;
	char text[HUMAN_BYTES], n[HUMAN_BYTES];
	for (size_t i = 0; (h = rows_nth(&r->rows, "hold", i)); i++) {
		if (ctl_num(h, "lost", 0))
			attention(r, "restore .lapse/holds from a backup of the store, or add the hold again under another name",
				"the legal hold %s keeps its files, but what it matches is lost", ctl_str(h, "name"));
		if (ctl_num(h, "review", INT64_MAX) <= r->now)
			attention(r, "ask whether it is still needed; lapse hold release ends it", "the legal hold %s was to be reviewed on %s",
				ctl_str(h, "name"), human_time(ctl_num(h, "review", 0), text));
		if (ctl_num(h, "failed", 0))
			attention(r, "they are damaged (the journal names them: restore them), or under four holds already",
				"files that the legal hold %s could not be brought to, or taken from: %s", ctl_str(h, "name"),
				human_count((uint64_t)ctl_num(h, "failed", 0), n));
	}
}

static void attention_plain(struct report *r)
{
	const struct ctl_line *l;
	char when[HUMAN_BYTES];
	if (rows_nth(&r->rows, "import-unfinished", 0))
		attention(r, "unmount it, and begin the same import again; make no backup of the store before",
			"an import in place has not come to its end: plain files lie in .lapse/import");
	for (size_t i = 0; (l = rows_nth(&r->rows, "once-plain", i)); i++)
		attention(r, "sanitise that disk and its backups; then lapse import ARCHIVE --forget-plain --reason TEXT",
			"%s %s in plain (import of %s)", ctl_str(l, "path"),
			!strcmp(ctl_str(l, "how"), "in-place") ? "once held files" : "holds, or held, files",
			human_time(ctl_num(l, "since", 0), when));
}

static void attention_usage(struct report *r)
{
	const struct ctl_line *u;
	for (size_t i = 0; (u = rows_nth(&r->rows, "lockout", i)); i++) {
		char user[HUMAN_BYTES];
		attention(r, "find out what it was reading; it ends by itself, or by lapse guard unlock", "%s is locked out, for exceeding budget %s (%s)",
			human_user((uint32_t)ctl_num(u, "uid", 0), user), ctl_str(u, "budget"), ctl_str(u, "window"));
	}
	for (size_t i = 0; (u = rows_nth(&r->rows, "usage", i)); i++) {
		int64_t used = ctl_num(u, "used", 0), limit = ctl_num(u, "limit", 0), uid = ctl_num(u, "uid", -1);
		char user[HUMAN_BYTES];
		if (used >= limit)
			attention(r, "find out what it is reading; the budget frees by itself",
				"%s has used up budget %s (%s)",
				*ctl_str(u, "payer") ? ctl_str(u, "payer") : uid < 0 ? "everyone together" : human_user((uint32_t)uid, user), ctl_str(u, "budget"),
				ctl_str(u, "window"));
	}
}

/* ---- for people ----------------------------------------------------------------------------------------------------------- */

static void print_place(const struct report *r)
{
	const char *mountpoint = ctl_str(r->s, "mountpoint"), *transport = ctl_str(r->s, "transport");
	char size[HUMAN_BYTES], span[HUMAN_BYTES];
	if (!mountpoint[0])
		printf("%s, not mounted\n", ctl_str(r->s, "archive"));
	else if (!strcmp(mountpoint, ctl_str(r->s, "archive")))
		printf("%s, mounted over itself (pid %" PRId64 ")\n", mountpoint, number(r, "pid"));
	else
		printf("%s, mounted at %s (pid %" PRId64 ")\n", ctl_str(r->s, "archive"), mountpoint, number(r, "pid"));
	if (mountpoint[0])
		printf("  Transport  %s\n", transport);
	printf("  Sealed by  %s, blocks of %s, epochs of %s; %s\n", ctl_str(r->s, "suite"),
		human_size((uint64_t)number(r, "block-size"), size), human_span(number(r, "epoch-seconds"), span),
		ctl_str(r->s, "uuid"));
}

static void print_clock(const struct report *r)
{
	char text[HUMAN_BYTES], span[HUMAN_BYTES] = "";
	int64_t by = r->wall - r->now;
	human_span(by < 0 ? -by : by, span);
	printf("  Clock      %s", human_time(r->now, text));
	if (by == 0)
		printf(", as the wall clock");
	else
		printf(", the wall clock is %s %s", span, by > 0 ? "ahead" : "behind");
	printf("%s\n", number(r, "synchronised") ? "; synchronised" : "; not synchronised");
}

static void print_queue(const struct report *r)
{
	char n[HUMAN_BYTES], when[2 * HUMAN_BYTES], span[HUMAN_BYTES];
	int64_t next = number(r, "next-deadline");
	printf("  Queue      %s files", human_count((uint64_t)number(r, "files"), n));
	if (next == INT64_MAX)
		printf(", none with a deadline ahead\n");
	else
		printf(", the next expires %s\n", human_when(next, r->now, when));
	if (!number(r, "catalogue-complete"))
		printf("             being completed from the files: %s looked at so far\n",
			human_count((uint64_t)number(r, "scanned"), n));
	printf("  Shredding  ");
	if (number(r, "shred-lag"))
		printf("oldest expired file denied for %s, its key goes with its epoch",
			human_span(number(r, "shred-lag"), span));
	else
		printf("nothing waits");
	if (number(r, "last-shred-lag"))
		printf("; last lag %s", human_span(number(r, "last-shred-lag"), span));
	printf("; %s expired in this session\n", human_count((uint64_t)number(r, "expired-total"), n));
}

static void print_guard(const struct report *r)
{
	char a[HUMAN_BYTES], b[HUMAN_BYTES], c[HUMAN_BYTES], user[HUMAN_BYTES], when[2 * HUMAN_BYTES];
	const struct ctl_line *u;
	printf("  Guard      %s reads permitted, %s denied, %s alerted in this session\n",
		human_count((uint64_t)number(r, "reads-permitted"), a),
		human_count((uint64_t)number(r, "reads-denied"), b),
		human_count((uint64_t)number(r, "reads-alerted"), c));
	if ((u = rows_nth(&r->rows, "closed", 0)))
		printf("             closed until %s: %s\n", human_when(ctl_num(u, "until", 0), r->now, when), ctl_str(u, "reason"));
	for (size_t i = 0; i < 3 && (u = rows_nth(&r->rows, "lockout", i)); i++)
		printf("             %s: locked out until %s (budget %s, %s)\n", human_user((uint32_t)ctl_num(u, "uid", 0), user),
			human_when(ctl_num(u, "until", 0), r->now, when), ctl_str(u, "budget"), ctl_str(u, "window"));
	for (size_t i = 0; i < 3 && (u = rows_nth(&r->rows, "usage", i)); i++) {
		int64_t uid = ctl_num(u, "uid", -1);
		printf("             %s: %s of %s %s (budget %s, %s)\n",
			*ctl_str(u, "payer") ? ctl_str(u, "payer") : uid < 0 ? "everyone" : human_user((uint32_t)uid, user),
			human_count((uint64_t)ctl_num(u, "used", 0), a),
			human_count((uint64_t)ctl_num(u, "limit", 0), b), ctl_str(u, "unit"), ctl_str(u, "budget"),
			ctl_str(u, "window"));
	}
}

static void print_holds(const struct report *r)
{
	const struct ctl_line *h;
	char n[HUMAN_BYTES];
	for (size_t i = 0; (h = rows_nth(&r->rows, "hold", i)); i++) {
		int64_t all = ctl_num(h, "to-look", 0), looked = ctl_num(h, "looked", 0);
		printf("  %s      %s, %s files", i ? "     " : "Holds", ctl_str(h, "name"), human_count((uint64_t)ctl_num(h, "files", 0), n));
		if (ctl_num(h, "waits", 0))
			printf("; %s: waits until all files have been looked at%s", ctl_str(h, "state"),
				strcmp(ctl_str(h, "state"), "placing") ? "" : "; no key is destroyed before");
		else if (strcmp(ctl_str(h, "state"), "placed"))
			printf("; %s, %d %%", ctl_str(h, "state"), all <= 0 ? 0 : looked >= all ? 100 : (int)(100 * looked / all));
		printf("\n");
	}
}

static void print_kept(const struct report *r)
{
	char when[HUMAN_BYTES];
	const struct ctl_line *s = r->s;
	if (!ctl_get(s, "log-retain") && !ctl_get(s, "log-begins"))
		return;
	printf("             ");
	printf(ctl_get(s, "log-retain") ? "kept for %s" : "kept for ever from now on", ctl_str(s, "log-retain"));
	if (ctl_get(s, "log-begins"))
		printf("; begins at %s", human_time(ctl_num(s, "log-begins", 0), when));
	if (ctl_get(s, "log-kept-by"))
		printf("; more is needed for %s", ctl_str(s, "log-kept-by"));
	printf("\n");
}

static void print_records(const struct report *r)
{
	char n[HUMAN_BYTES], size[HUMAN_BYTES], when[2 * HUMAN_BYTES];
	printf("  Audit      %s records, %s\n", human_count((uint64_t)number(r, "log-records"), n),
		human_size((uint64_t)number(r, "log-bytes"), size));
	print_kept(r);
	printf("  Policy     generation %" PRId64 ", applied %s\n", number(r, "policy-generation"),
		human_when(number(r, "policy-applied-at"), r->now, when));
	if (number(r, "policy-undo-until"))
		printf("             lapse policy undo takes it back until %s; until then nothing is destroyed by it alone\n",
			human_when(number(r, "policy-undo-until"), r->now, when));
	if (number(r, "reviewing"))
		printf("             files are brought to follow it: %s of %s looked at\n", human_count((uint64_t)number(r, "reviewed"), n),
			human_count((uint64_t)number(r, "files"), size));
	if (number(r, "waiting"))
		printf("             %s files live shorter by it; their keys follow when it cannot be undone any more\n",
			human_count((uint64_t)number(r, "waiting"), n));
	const struct ctl_line *copy;
	for (size_t i = 0; (copy = rows_nth(&r->rows, "copy", i)); i++)
		printf("  %s     %s%s\n", i ? "      " : "Anchor", ctl_str(copy, "path"),
			ctl_num(copy, "errno", 0) ? " (not written)" : "");
	for (size_t i = 0; (copy = rows_nth(&r->rows, "backup", i)); i++)
		printf("  %s     %s, made %s\n", i ? "      " : "Backup", ctl_str(copy, "path"), human_when(ctl_num(copy, "made", 0), r->now, when));
}

static void print_report(const struct report *r)
{
	print_place(r);
	print_clock(r);
	print_queue(r);
	print_holds(r);
	print_guard(r);
	print_records(r);
	if (r->attentions)
		printf("\nneeds attention:\n");
	for (size_t i = 0; i < r->attentions; i++)
		printf("  - %s:\n    %s\n", r->attention[i].what, r->attention[i].remedy);
}

/* ---- for programs ----------------------------------------------------------------------------------------------------------- */

static json_t *json_rows(const struct report *r, const char *kind)
{
	json_t *array = json_array();
	const struct ctl_line *l;
	for (size_t i = 0; (l = rows_nth(&r->rows, kind, i)); i++)
		json_array_append_new(array, json_row(l));
	return array;
}

/* The session's counters by name. */
static json_t *json_stats(const struct report *r)
{
	json_t *o = json_object();
	const struct ctl_line *l;
	for (size_t i = 0; (l = rows_nth(&r->rows, "stat", i)); i++)
		json_object_set_new(o, ctl_str(l, "name"), json_integer(ctl_num(l, "value", 0)));
	return o;
}

static int print_json(const struct report *r)
{
	json_t *root = json_row(r->s), *list = json_array();
	for (size_t i = 0; i < r->attentions; i++)
		json_array_append_new(
			list, json_pack("{s:s,s:s}", "what", r->attention[i].what, "remedy", r->attention[i].remedy));
	json_object_set_new(root, "anchor", json_row(r->anchor));
	json_object_set_new(root, "copies", json_rows(r, "copy"));
	json_object_set_new(root, "backups", json_rows(r, "backup"));
	json_object_set_new(root, "holds", json_rows(r, "hold"));
	json_object_set_new(root, "closed", json_rows(r, "closed"));
	json_object_set_new(root, "lockouts", json_rows(r, "lockout"));
	json_object_set_new(root, "usage", json_rows(r, "usage"));
	json_object_set_new(root, "once-plain", json_rows(r, "once-plain"));
	json_object_set_new(root, "stats", json_stats(r));
	json_object_set_new(root, "attention", list);
	return json_print(root);
}

static void attention_program(void *report, unsigned line, const char *what, const char *remedy)
{
	(void)line;
	attention(report, remedy, "%s", what);
}

/* What rules say of programs, against the files that are there now. */
static void attention_programs(struct report *r, struct target *t)
{
	struct policy *p = NULL;
	if (program_policy(t, true, &p) == EXIT_DONE)
		program_check(p, attention_program, r);
	policy_unref(p);
}

/* ---- the command ---------------------------------------------------------------------------------------------------------- */

static int report(const struct args *a, struct report *r, struct target *t)
{
	r->s = rows_nth(&r->rows, "status", 0);
	r->anchor = rows_nth(&r->rows, "anchor", 0);
	if (!r->s || !r->anchor)
		return say_error("the daemon's answer is incomplete");
	r->now = number(r, "trusted-ns") / 1000000000;
	r->wall = number(r, "wall-ns") / 1000000000;
	attention_clock(r);
	attention_files(r);
	attention_store(r);
	attention_holds(r);
	attention_usage(r);
	attention_plain(r);
	attention_programs(r, t);
	if (args_has(a, "json")) {
		int e = print_json(r);
		if (e != EXIT_DONE)
			return e;
	} else {
		print_report(r);
	}
	return r->attentions ? EXIT_FINDING : EXIT_DONE;
}

static int status_run(const struct args *a)
{
	struct target t;
	if (args_has(a, "metrics"))
		return metrics_run(a);
	int e = target_open(a, args_operand(a, 0), "status", &t);
	if (e != EXIT_DONE)
		return e;
	struct ctl_request q;
	struct report *r = calloc(1, sizeof *r);
	ctl_request_begin(&q, "status");
	e = r ? target_ask(&t, &q, rows_keep, &r->rows) : say_error("out of memory");
	if (e == EXIT_DONE && args_has(a, "json")) {
		ctl_request_begin(&q, "stats");
		e = target_ask(&t, &q, rows_keep, &r->rows);
	}
	if (e == EXIT_DONE)
		e = report(a, r, &t);
	if (r)
		rows_free(&r->rows);
	free(r);
	target_close(&t);
	return e;
}

static const struct option_def options[] = {
	{"json", 'J', NULL, "print JSON"},
	{"metrics", '\0', NULL, "print everything that can be watched, for Prometheus"},
	OPTIONS_END,
};

const struct command command_status = {
	.name = "status",
	.operands = "[ARCHIVE]",
	.max = 1,
	.summary = "Show an archive on one screen: clock, queue, shredding, guard, audit, anchor, and what needs "
		   "attention.",
	.details = "Without ARCHIVE: the one of the working directory, else the only one that is mounted. One that is "
		   "not mounted is\n"
		   "looked at with its key.\n\n"
		   "Exit status: 0 all is well, 1 something needs attention, 2 usage, 3 error.",
	.options = {options, unlock_options},
	.run = status_run,
};
