#include "tools/metrics.h"

#include "tools/rows.h"
#include "tools/say.h"
#include "tools/target.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct metrics {
	struct rows rows;
	char archive[CTL_PATH_MAX];
	const char *named; /* the metric whose HELP and TYPE were printed last */
};

/* ---- writing ------------------------------------------------------------------------------------------------------------------- */

static void put_escaped(const char *text)
{
	for (; *text; text++)
		if (*text == '\n')
			fputs("\\n", stdout);
		else if (*text == '"' || *text == '\\')
			printf("\\%c", *text);
		else
			putchar(*text);
}

static void label(const char *key, const char *value)
{
	printf(",%s=\"", key);
	put_escaped(value);
	putchar('"');
}

/* Once for each metric; then the beginning of a sample, up to its first label. */
static void begin(struct metrics *m, const char *name, const char *type, const char *help)
{
	if (!m->named || strcmp(m->named, name))
		printf("# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
	m->named = name;
	printf("%s{archive=\"", name);
	put_escaped(m->archive);
	putchar('"');
}

static void end(int64_t value) { printf("} %" PRId64 "\n", value); }

/* Microseconds of our time, too. */
static void end_real(double value) { printf("} %.16g\n", value); }

/* ---- numbers that are there once --------------------------------------------------------------------------------------------------- */

static const struct single {
	const char *name, *type, *help, *row, *key;
	double unit; /* 0: whole numbers */
} singles[] = {
	{"lapse_files", "gauge", "Files in the catalogue.", "status", "files", 0},
	{"lapse_files_overdue", "gauge", "Files past their deadline that are not unlinked yet.", "status", "overdue", 0},
	{"lapse_files_expired_total", "counter", "Files unlinked because they had expired, since the mount.", "status", "expired-total", 0},
	{"lapse_files_foreign", "gauge", "Plain files found in the store.", "status", "foreign-files", 0},
	{"lapse_files_damaged_total", "counter", "Damaged or forged files and blocks found, since the mount.", "status", "damaged-files", 0},
	{"lapse_files_unknown_class", "gauge", "Files of a class that the policy no longer has.", "status", "unknown-classes", 0},
	{"lapse_files_open", "gauge", "Files that are open.", "status", "open-files", 0},
	{"lapse_catalogue_complete", "gauge", "1 if the catalogue is known to have every file.", "status", "catalogue-complete", 0},
	{"lapse_shred_lag_seconds", "gauge", "For how long the oldest expired file has waited for its key to be destroyed.", "status", "shred-lag", 0},
	{"lapse_shred_last_lag_seconds", "gauge", "The same, when keys were destroyed last.", "status", "last-shred-lag", 0},
	{"lapse_trusted_timestamp_seconds", "gauge", "The archive's own clock.", "status", "trusted-ns", 1e-9},
	{"lapse_clock_synchronised", "gauge", "1 if the kernel says that the machine's clock is.", "status", "synchronised", 0},
	{"lapse_policy_generation", "gauge", "The policy in force.", "status", "policy-generation", 0},
	{"lapse_policy_applied_timestamp_seconds", "gauge", "Since when it is.", "status", "policy-applied-at", 0},
	{"lapse_log_records", "gauge", "Records in the audit log.", "status", "log-records", 0},
	{"lapse_log_bytes", "gauge", "What the audit log takes.", "space", "log-bytes", 0},
	{"lapse_log_reserved_bytes", "gauge", "What it has reserved for a full disk.", "space", "log-reserved", 0},
	{"lapse_store_free_bytes", "gauge", "What is free in the store's filesystem.", "space", "free-bytes", 0},
	{"lapse_inodes", "gauge", "Files and directories that the daemon has in memory.", "status", "inodes", 0},
	{"lapse_directories_open", "gauge", "Directories of the store that it has open.", "status", "directories-open", 0},
	{"lapse_secrets_unlocked", "gauge", "Keys that could not be locked in memory.", "status", "unlocked-secrets", 0},
	{"lapse_anchor_sequence", "counter", "Writes of the anchor.", "anchor", "sequence", 0},
	{"lapse_anchor_last_write_timestamp_seconds", "gauge", "When every copy of it was written last.", "anchor", "last-write-ns", 1e-9},
	{"lapse_alerts_lost_total", "counter", "Alerts that found no room.", "alerts", "lost", 0},
	{"lapse_alerts_suppressed_total", "counter", "Alerts that the command was not given, by the policy's rate.", "alerts", "suppressed", 0},
	{"lapse_alerts_waiting", "gauge", "Alerts that are not delivered yet.", "alerts", "waiting", 0},
};

static void put_singles(struct metrics *m)
{
	for (size_t i = 0; i < ARRAY_SIZE(singles); i++) {
		const struct single *s = &singles[i];
		const struct ctl_line *row = rows_nth(&m->rows, s->row, 0);
		if (!row || !ctl_get(row, s->key))
			continue;
		begin(m, s->name, s->type, s->help);
		if (s->unit > 0)
			end_real((double)ctl_num(row, s->key, 0) * s->unit);
		else
			end(ctl_num(row, s->key, 0));
	}
}

static int64_t count_rows(const struct metrics *m, const char *kind)
{
	int64_t n = 0;
	while (rows_nth(&m->rows, kind, (size_t)n))
		n++;
	return n;
}

/* ---- the rest -------------------------------------------------------------------------------------------------------------------------- */

static void put_state(struct metrics *m, const struct ctl_line *s)
{
	static const char *const clock[] = {[CLOCK_FINE] = "fine", [CLOCK_WALL_AHEAD] = "wall-ahead", [CLOCK_WALL_BEHIND] = "wall-behind"};
	const struct ctl_line *copy;
	int64_t failed = 0;
	begin(m, "lapse_info", "gauge", "What it is.");
	label("version", LAPSE_VERSION);
	label("uuid", ctl_str(s, "uuid"));
	label("suite", ctl_str(s, "suite"));
	label("transport", ctl_str(s, "transport"));
	label("backing", ctl_str(s, "backing-type"));
	end(1);
	for (size_t i = 0; (copy = rows_nth(&m->rows, "copy", i)); i++)
		failed += ctl_num(copy, "errno", 0) != 0;
	begin(m, "lapse_degraded", "gauge", "1 if a copy of the anchor cannot be written: what expires is not shredded there.");
	end(failed > 0 || ctl_num(s, "anchor-errno", 0));
	begin(m, "lapse_anchor_copies", "gauge", "Copies of the anchor.");
	end(count_rows(m, "copy"));
	begin(m, "lapse_anchor_copies_failed", "gauge", "Copies of the anchor that could not be written.");
	end(failed);
	begin(m, "lapse_log_failed", "gauge", "1 if the audit log cannot be written: reads and deletions are refused, records of new files wait.");
	end(ctl_num(s, "log-errno", 0) != 0);
	for (size_t i = 0; i < ARRAY_SIZE(clock); i++) {
		begin(m, "lapse_clock_state", "gauge", "1 for what the wall clock is to the archive's clock.");
		label("state", clock[i]);
		end(ctl_num(s, "doubt", 0) == (int64_t)i);
	}
	begin(m, "lapse_clock_difference_seconds", "gauge", "How far the wall clock is ahead of the archive's clock.");
	end_real((double)(ctl_num(s, "wall-ns", 0) - ctl_num(s, "trusted-ns", 0)) * 1e-9);
	if (ctl_num(s, "next-deadline", INT64_MAX) != INT64_MAX) {
		begin(m, "lapse_next_deadline_timestamp_seconds", "gauge", "When the next file expires.");
		end(ctl_num(s, "next-deadline", 0));
	}
	begin(m, "lapse_holds", "gauge", "Legal holds in force.");
	end(count_rows(m, "hold"));
}

static void put_guard(struct metrics *m, const struct ctl_line *s)
{
	static const char *const decision[] = {"permitted", "denied", "alerted"};
	const struct ctl_line *r;
	for (size_t i = 0; i < ARRAY_SIZE(decision); i++) {
		char key[32];
		snprintf(key, sizeof key, "reads-%s", decision[i]);
		begin(m, "lapse_opens_total", "counter", "Opens for reading, since the mount, by what was decided.");
		label("decision", decision[i]);
		end(ctl_num(s, key, 0));
	}
	for (size_t i = 0; (r = rows_nth(&m->rows, "refusals", i)); i++) {
		begin(m, "lapse_refusals_total", "counter", "Opens refused, since the mount, by rule and reason; from the 65th pair on the rule is other.");
		label("rule", ctl_str(r, "rule"));
		label("reason", ctl_str(r, "reason"));
		end(ctl_num(r, "count", 0));
	}
	begin(m, "lapse_lockouts", "gauge", "Readers that are locked out.");
	end(count_rows(m, "lockout"));
	begin(m, "lapse_closed", "gauge", "1 if the archive is closed to readers.");
	end(count_rows(m, "closed") > 0);
}

/* Of the fullest windows. */
static void put_usage(struct metrics *m, const char *name, const char *help, const char *key)
{
	const struct ctl_line *u;
	for (size_t i = 0; (u = rows_nth(&m->rows, "usage", i)); i++) {
		begin(m, name, "gauge", help);
		label("budget", ctl_str(u, "budget"));
		label("window", ctl_str(u, "window"));
		label("unit", ctl_str(u, "unit"));
		label("reader", ctl_get(u, "uid") ? ctl_str(u, "uid") : "everyone");
		end(ctl_num(u, key, 0));
	}
}

static void put_alerts(struct metrics *m)
{
	const struct ctl_line *r;
	for (size_t i = 0; (r = rows_nth(&m->rows, "alert", i)); i++) {
		begin(m, "lapse_alerts_total", "counter", "Alerts raised, since the mount, by event.");
		label("event", ctl_str(r, "event"));
		end(ctl_num(r, "count", 0));
	}
}

/* ---- requests ---------------------------------------------------------------------------------------------------------------------------- */

static int64_t stat_of(const struct metrics *m, const char *name)
{
	const struct ctl_line *r;
	for (size_t i = 0; (r = rows_nth(&m->rows, "stat", i)); i++)
		if (!strcmp(ctl_str(r, "name"), name))
			return ctl_num(r, "value", 0);
	return 0;
}

static void put_requests(struct metrics *m)
{
	static const struct {
		const char *stat, *name, *type, *help;
	} one[] = {
		{"handed-off", "lapse_requests_handed_off_total", "counter", "Requests of io_uring that a worker did."},
		{"waiting", "lapse_requests_waiting", "gauge", "Requests that wait for a worker."},
		{"workers", "lapse_workers", "gauge", "Workers for requests of io_uring."},
		{"read-bytes", "lapse_read_bytes_total", "counter", "Bytes read by programs, since the mount."},
		{"written-bytes", "lapse_written_bytes_total", "counter", "Bytes written by programs, since the mount."},
	};
	const struct ctl_line *r;
	for (size_t i = 0; (r = rows_nth(&m->rows, "latency", i)); i++) {
		begin(m, "lapse_requests_total", "counter", "Requests, since the mount, by operation.");
		label("operation", ctl_str(r, "operation"));
		end(stat_of(m, ctl_str(r, "operation")));
	}
	for (int uring = 0; uring < 2; uring++) {
		begin(m, "lapse_transport_requests_total", "counter", "Requests, since the mount, by what carried them.");
		label("transport", uring ? "io_uring" : "/dev/fuse");
		end(stat_of(m, uring ? "by-uring" : "by-device"));
	}
	for (size_t i = 0; i < ARRAY_SIZE(one); i++) {
		begin(m, one[i].name, one[i].type, one[i].help);
		end(stat_of(m, one[i].stat));
	}
}

#define LATENCY "lapse_request_seconds"

static void sample(struct metrics *m, const char *suffix, const struct ctl_line *r, const char *le)
{
	printf(LATENCY "%s{archive=\"", suffix);
	put_escaped(m->archive);
	putchar('"');
	label("operation", ctl_str(r, "operation"));
	if (le)
		label("le", le);
}

static void put_histogram(struct metrics *m, const struct ctl_line *r)
{
	const char *at = ctl_str(r, "buckets");
	uint64_t count = 0;
	double bound = 1e-6;
	for (bool last = false; !last; bound *= 4) {
		char *rest, le[32];
		count += strtoull(at, &rest, 10);
		last = *rest != ',';
		snprintf(le, sizeof le, "%.9g", bound);
		sample(m, "_bucket", r, last ? "+Inf" : le);
		end((int64_t)count);
		at = rest + 1;
	}
	sample(m, "_sum", r, NULL);
	end_real((double)ctl_num(r, "sum-ns", 0) * 1e-9);
	sample(m, "_count", r, NULL);
	end((int64_t)count);
}

static void put_latency(struct metrics *m)
{
	const struct ctl_line *r;
	if (!rows_nth(&m->rows, "latency", 0))
		return;
	printf("# HELP " LATENCY " From a request's arrival to its reply; of frequent operations every eighth is looked at and counts for eight.\n"
	       "# TYPE " LATENCY " histogram\n");
	for (size_t i = 0; (r = rows_nth(&m->rows, "latency", i)); i++)
		put_histogram(m, r);
}

/* ---- the command --------------------------------------------------------------------------------------------------------------------------- */

static int ask_all(struct target *t, struct rows *rows)
{
	static const char *const verb[] = {"status", "stats", "metrics"};
	int e = EXIT_DONE;
	for (size_t i = 0; e == EXIT_DONE && i < ARRAY_SIZE(verb); i++) {
		struct ctl_request q;
		ctl_request_begin(&q, verb[i]);
		e = target_ask(t, &q, rows_keep, rows);
	}
	return e;
}

static int print_all(struct metrics *m)
{
	const struct ctl_line *s = rows_nth(&m->rows, "status", 0);
	if (!s)
		return say_error("the daemon's answer is incomplete");
	begin(m, "lapse_mounted", "gauge", "1 if it is mounted.");
	end(ctl_str(s, "mountpoint")[0] != '\0');
	put_state(m, s);
	put_singles(m);
	put_guard(m, s);
	put_usage(m, "lapse_budget_used", "What the fullest windows of budgets hold, by reader (uid, or everyone).", "used");
	put_usage(m, "lapse_budget_limit", "What they may hold.", "limit");
	put_alerts(m);
	put_requests(m);
	put_latency(m);
	return fflush(stdout) ? say_error("cannot write: %s", strerror(errno)) : EXIT_DONE;
}

/* One that is not mounted needs no key to say so. */
static bool is_not_mounted(struct metrics *m, const char *operand)
{
	struct ctl_daemon *d = calloc(1, sizeof *d);
	bool not_there = d && operand && path_resolve(operand, m->archive) && ctl_find(m->archive, d, NULL, NULL) == -ENOENT;
	free(d);
	return not_there;
}

int metrics_run(const struct args *a)
{
	struct metrics *m = calloc(1, sizeof *m);
	struct target t;
	if (!m)
		return say_error("out of memory");
	if (is_not_mounted(m, args_operand(a, 0))) {
		begin(m, "lapse_mounted", "gauge", "1 if it is mounted.");
		end(0);
		free(m);
		return EXIT_DONE;
	}
	int e = target_open(a, args_operand(a, 0), "status", &t);
	if (e == EXIT_DONE) {
		snprintf(m->archive, sizeof m->archive, "%s", t.daemon.archive);
		e = ask_all(&t, &m->rows);
		if (e == EXIT_DONE)
			e = print_all(m);
		target_close(&t);
	}
	rows_free(&m->rows);
	free(m);
	return e;
}
