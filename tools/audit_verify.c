/* audit_verify.c - lapse audit verify: is the log whole, and if not, from where on is nothing proven. */
#include "tools/audit.h"
#include "tools/json.h"
#include "tools/rows.h"
#include "tools/say.h"

#include "store/audit_seals.h"
#include "store/checkpoint.h"
#include "store/trail.h"

#include "policy/policy.h"

#include <ctype.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SECOND       INT64_C(1000000000)
#define PUBLIC_KEYS_MAX 16
#define UNSEALED_MAX (3600 * SECOND) /* that records wait for their seal */

/* ---- what was found -------------------------------------------------------------------------------------------------------------------- */

static const struct {
	const char *what, *says; /* record, count */
} sayings[] = {
	{"edited", "record %" PRIu64 " was changed: what lies there does not open"},
	{"removed", "record %" PRIu64 " is not there, and its segment has %" PRIu64 " fewer than it should: removed"},
	{"inserted", "record %" PRIu64 " is not there, and its segment has %" PRIu64 " more than it should: something was inserted"},
	{"duplicated", "where record %" PRIu64 " should be lies a copy of an earlier one"},
	{"reordered", "record %" PRIu64 " lies further back than it should: reordered, or something was inserted before it"},
	{"cut", "record %" PRIu64 " is cut off in the middle"},
	{"missing", "from record %" PRIu64 " on, %" PRIu64 " records are in no segment: a segment was removed, or its end cut off"},
	{"repeated", "a segment begins again with record %" PRIu64 ": %" PRIu64 " records came before; an old tail was appended, or two logs mixed"},
	{"unlinked", "the segment that begins with record %" PRIu64 " does not follow the one before it: it is of another history"},
	{"head", "the head of the segment of record %" PRIu64 " does not open: changed, or of another archive"},
	{"misplaced", "the file of record %" PRIu64 "'s segment is that of record %" PRIu64 ": renamed or swapped"},
	{"started-over", "the segment of record %" PRIu64 " is of another log of this archive: the log was started over"},
	{"short", "the log ends before record %" PRIu64 ", and %" PRIu64 " more are known to have been there: cut off"},
	{"other", "record %" PRIu64 " is not the one that the anchor names: the log was started over, or put back from another time"},
	{"rollback", "before record %" PRIu64 ", %" PRIu64 " records were lost; that was accepted with lapse fsck, and the reason is in this record"},
	{"unsealed", "from record %" PRIu64 " on these are not the records that the seal of anchor write %" PRIu64 " is of: changed, removed, put in another order or written anew since"},
	{"seal-forged", "what seals record %" PRIu64 " and later, that of anchor write %" PRIu64 ", is not signed with the key that was to sign it: forged, or sealed later"},
	{"seal-gap", "from record %" PRIu64 " on seals are missing, doubled or in another order: that of anchor write %" PRIu64 " does not follow"},
	{"seal-lost", "from record %" PRIu64 " on seals are missing: the anchor has one more, that of its write %" PRIu64},
	{"seal-again", "from record %" PRIu64 " on the log was sealed before as another one: it was cut off there and went on (anchor write %" PRIu64 "); lapse fsck --accept-rollback does that"},
	{"seal-fork", "from record %" PRIu64 " on it is sealed with the key of an earlier time (anchor write %" PRIu64 "): the anchor was put back, or somebody had a copy of it"},
	{"seal-key", "from record %" PRIu64 " on it is sealed anew with another first key (anchor write %" PRIu64 "): the anchor was restored from a backup, or the log sealed later by somebody else"},
	{"unsigned", "from record %" PRIu64 " on nothing is signed: the log has no seal at all, and there were some; they were removed, or the log was started over"},
	{"tombstone", "the tombstone that begins with record %" PRIu64 " (%" PRIu64 " records) is not signed with the key of its time, or does not fit to the log: what it says is gone is missing"},
	{"pruned-early", "from record %" PRIu64 " on %" PRIu64 " records were dropped that were not as old as their tombstone says that they had to be"},
	{"pruned-beyond", "from record %" PRIu64 " on %" PRIu64 " records were dropped sooner than the log had to be kept"},
	{"checkpoint", "the log has not the seal of record %" PRIu64 " and anchor write %" PRIu64 " that a checkpoint has: it is another history"},
};

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* from the table above */
void audit_flaw_text(const struct ctl_line *flaw, char out[static AUDIT_FLAW_BYTES])
{
	snprintf(out, AUDIT_FLAW_BYTES, "%s at record %" PRId64, ctl_str(flaw, "what"), ctl_num(flaw, "record", 0));
	for (size_t i = 0; i < ARRAY_SIZE(sayings); i++)
		if (!strcmp(sayings[i].what, ctl_str(flaw, "what")))
			snprintf(out, AUDIT_FLAW_BYTES, sayings[i].says, (uint64_t)ctl_num(flaw, "record", 0), (uint64_t)ctl_num(flaw, "count", 0));
}
#pragma GCC diagnostic pop

static void print_seals(const struct ctl_line *v, int64_t last)
{
	char n[HUMAN_BYTES], at[HUMAN_BYTES];
	const int64_t seals = ctl_num(v, "seals", 0), sealed = ctl_num(v, "sealed", 0), first_ns = ctl_num(v, "first-sealed-ns", 0);
	if (!seals) {
		printf("  Not signed: there are no seals that the public key proves. Who has had the archive's key could have written another log.\n");
		return;
	}
	printf("  %s seal%s, by the line of keys that begins with %s.\n", human_count((uint64_t)seals, n), seals == 1 ? "" : "s", ctl_str(v, "public-key"));
	if (sealed)
		printf("  Sealed up to record %" PRId64 ", the last time at %s: who took the machine later could not have changed them.\n", sealed,
			human_time(ctl_num(v, "sealed-ns", 0) / SECOND, at));
	if (sealed < last)
		printf("  Records %" PRId64 " to %" PRId64 " are not sealed: who has the archive's key could have written them.\n", sealed + 1, last);
	if (last >= ctl_num(v, "first", 1) && first_ns - ctl_num(v, "first-ns", first_ns) > UNSEALED_MAX)
		printf("  Records 1 to %" PRId64 " were first sealed at %s, long after the first of them: an archive made before lapse wrote seals.\n",
			ctl_num(v, "first-sealed", 0), human_time(first_ns / SECOND, at));
}

static const char *retain_text(const struct ctl_line *v, char out[static HUMAN_BYTES])
{
	char span[HUMAN_BYTES];
	const int64_t months = ctl_num(v, "retain-months", 0), seconds = ctl_num(v, "retain-seconds", 0);
	if (months)
		snprintf(out, HUMAN_BYTES, "%" PRId64 "mo", months);
	else
		snprintf(out, HUMAN_BYTES, "%s", human_span(seconds, span));
	return out;
}

static void print_pruned(const struct ctl_line *v)
{
	char n[HUMAN_BYTES], to[HUMAN_BYTES], at[HUMAN_BYTES], kept[HUMAN_BYTES];
	const int64_t last = ctl_num(v, "pruned", 0);
	if (!last)
		return;
	printf("  The log begins at record %" PRId64 ": those before, all of %s or earlier, were dropped, the last time at %s, since the policy (generation %" PRId64
	       ") keeps them for %s.\n",
		last + 1, human_time(ctl_num(v, "pruned-upto-ns", 0) / SECOND, to), human_time(ctl_num(v, "pruned-ns", 0) / SECOND, at),
		ctl_num(v, "retain-generation", 0), retain_text(v, kept));
	printf("  That is on the record, and signed: %s tombstone%s.\n", human_count((uint64_t)ctl_num(v, "tombstones", 0), n), ctl_num(v, "tombstones", 0) == 1 ? "" : "s");
	if (ctl_num(v, "unchecked", 0))
		printf("  Of %s of them it was not checked whether the policy said so: its text is not here, or sealed.\n", human_count((uint64_t)ctl_num(v, "unchecked", 0), n));
	if (ctl_num(v, "left", 0))
		printf("  %s segments of them are still there: they go at the next mount.\n", human_count((uint64_t)ctl_num(v, "left", 0), n));
}

void audit_print_verdict(const struct ctl_line *v, const char *what)
{
	char a[HUMAN_BYTES], b[HUMAN_BYTES], from[HUMAN_BYTES], to[HUMAN_BYTES];
	int64_t first = ctl_num(v, "first", 1), last = ctl_num(v, "last", 0);
	if (last < first)
		printf("%s: nothing is proven.\n", what);
	else
		printf("%s: records %" PRId64 " to %" PRId64 " (%s) are proven by their chain, from %s to %s.\n  Head %s\n", what, first, last,
			human_count((uint64_t)(last - first + 1), a), human_time(ctl_num(v, "first-ns", 0) / SECOND, from),
			human_time(ctl_num(v, "last-ns", 0) / SECOND, to), ctl_str(v, "head"));
	printf(ctl_num(v, "named", 0) ? "  %s segment%s; held against record %" PRId64 ".\n" : "  %s segment%s.\n", human_count((uint64_t)ctl_num(v, "segments", 0), b),
		ctl_num(v, "segments", 0) == 1 ? "" : "s", ctl_num(v, "named", 0));
	print_pruned(v);
	if (ctl_num(v, "beyond", 0))
		printf("  From record %" PRId64 " on nothing is proven; %s records behind it can be read, each segment for itself.\n", last + 1,
			human_count((uint64_t)ctl_num(v, "beyond", 0), a));
	if (ctl_num(v, "torn", 0))
		printf("  %s bytes behind the last record were torn by a crash, as far as can be told: the anchor names nothing there.\n",
			human_count((uint64_t)ctl_num(v, "torn", 0), a));
	print_seals(v, last);
}

static int print(const struct args *a, const struct rows *rows, const char *what)
{
	char text[AUDIT_FLAW_BYTES], n[HUMAN_BYTES];
	const struct ctl_line *v = rows_nth(rows, "verdict", 0), *f;
	if (!v)
		return say_error("the answer is incomplete");
	uint64_t flaws = (uint64_t)ctl_num(v, "flaws", 0);
	int done = flaws ? EXIT_FINDING : EXIT_DONE;
	if (args_has(a, "json")) {
		json_t *root = json_row(v), *list = json_array();
		for (size_t at = 0; (f = rows_next(rows, "flaw", &at));)
			json_array_append_new(list, json_row(f));
		json_object_set_new(root, "findings", list);
		json_object_set_new(root, "signed", json_boolean(ctl_num(v, "seals", 0) > 0));
		int e = json_print(root);
		return e == EXIT_DONE ? done : e;
	}
	for (size_t at = 0; (f = rows_next(rows, "flaw", &at));) {
		audit_flaw_text(f, text);
		printf("FOUND  %s (segment %016" PRIx64 ", byte %" PRId64 ")\n", text, (uint64_t)ctl_num(f, "segment", 0), ctl_num(f, "offset", 0));
	}
	audit_print_verdict(v, what);
	printf(flaws ? "%s findings.\n" : "%s findings: the log is whole.\n", human_count(flaws, n));
	if (!flaws && args_has(a, "public-key") && !args_has(a, "checkpoint"))
		printf("That is so up to its last seal: whether it was cut off behind that one, with its seals, the archive's anchor tells, or a checkpoint (--checkpoint FILE).\n");
	return done;
}

/* ---- an archive that nobody has open, even one that could not be mounted ----------------------------------------------------------------- */

static void hex_text(const uint8_t *bytes, size_t len, char *out)
{
	for (size_t i = 0; i < len; i++)
		snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

static errint_t keep_verdict(struct rows *rows, const struct audit_verdict *v, uint64_t named)
{
	char head[2 * DIGEST_BYTES + 1], public_key[2 * LOG_PUBLIC_BYTES + 1], number[24][24];
	errint_t r = 0;
	for (size_t i = 0; !r && i < v->flaws && i < AUDIT_FLAWS_MAX; i++) {
		const struct audit_flaw *f = &v->flaw[i];
		const uint64_t n[] = {f->record, f->count, f->segment, f->offset};
		for (size_t k = 0; k < ARRAY_SIZE(n); k++)
			snprintf(number[k], sizeof number[k], "%" PRIu64, n[k]);
		const struct ctl_line l = {.word = "flaw",
			.count = 5,
			.field = {{"what", trail_flaw_word(f->kind)}, {"record", number[0]}, {"count", number[1]}, {"segment", number[2]}, {"offset", number[3]}}};
		r = rows_keep(rows, &l);
	}
	const int64_t n[] = {(int64_t)v->flaws, (int64_t)v->first, (int64_t)v->last, v->first_ns, v->last_ns, (int64_t)v->segments, (int64_t)named,
		(int64_t)v->beyond, (int64_t)v->torn, (int64_t)v->seals, (int64_t)v->sealed, v->sealed_ns, (int64_t)v->first_sealed, v->first_sealed_ns,
		(int64_t)v->pruned, (int64_t)v->tombstones, (int64_t)v->unchecked, (int64_t)v->left, v->tombstone.sealed_ns, v->tombstone.pruned_ns,
		v->tombstone.retain_seconds, v->tombstone.retain_months, (int64_t)v->tombstone.policy_generation};
	static const char *const key[] = {"flaws", "first", "last", "first-ns", "last-ns", "segments", "named", "beyond", "torn", "seals",
		"sealed", "sealed-ns", "first-sealed", "first-sealed-ns", "pruned", "tombstones", "unchecked", "left", "pruned-upto-ns", "pruned-ns", "retain-seconds",
		"retain-months", "retain-generation"};
	struct ctl_line l = {.word = "verdict", .count = ARRAY_SIZE(n) + 2, .field[ARRAY_SIZE(n)] = {"head", head}, .field[ARRAY_SIZE(n) + 1] = {"public-key", public_key}};
	for (size_t k = 0; k < ARRAY_SIZE(n); k++) {
		snprintf(number[k], sizeof number[k], "%" PRId64, n[k]);
		l.field[k] = (struct ctl_field){key[k], number[k]};
	}
	hex_text(v->head, DIGEST_BYTES, head);
	hex_text(v->public_key, LOG_PUBLIC_BYTES, public_key);
	return r ? r : rows_keep(rows, &l);
}

static int offline(const struct args *a, const char *path, int log_fd, struct rows *rows)
{
	struct unlock unlock = {0};
	struct fault f = {0};
	uint64_t named;
	const char *anchor[2] = {args_value(a, "anchor"), NULL};
	cleanup_free struct audit_verdict *v = malloc(sizeof *v);
	if (!v)
		return say_error("out of memory");
	int e = unlock_get(path, args_value(a, "key-file"), args_value(a, "passphrase-fd"), UNLOCK_OPEN, &unlock);
	if (e != EXIT_DONE)
		return e;
	struct archive_open o = {.path = path, .secret = unlock.secret, .anchor = anchor[0] ? anchor : NULL};
	errint_t r = archive_verify_log_offline(&o, log_fd, v, &named, &f);
	unlock_free(&unlock);
	if (r)
		return say_open_fault(&f, r, path);
	return keep_verdict(rows, v, named) ? say_error("out of memory") : EXIT_DONE;
}

/* ---- a copy, with the public key alone -------------------------------------------------------------------------------------------------- */

static bool hex_of(const char *text, uint8_t out[static LOG_PUBLIC_BYTES])
{
	if (strlen(text) != 2 * LOG_PUBLIC_BYTES)
		return false;
	for (size_t i = 0; i < 2 * LOG_PUBLIC_BYTES; i++) {
		const char *digits = "0123456789abcdef", *d = strchr(digits, tolower((unsigned char)text[i]));
		if (!d)
			return false;
		out[i / 2] = (uint8_t)(out[i / 2] << 4 | (uint8_t)(d - digits));
	}
	return true;
}

/* What checkpoint files hold the log against; of another archive or log they say nothing. */
struct points {
	struct checkpoint *item;
	size_t count;
	struct log_seal *seal;
};

static int points_read(const struct args *a, struct points *p)
{
	struct fault f = {0};
	const char *path;
	for (size_t i = 0; (path = args_nth(a, "checkpoint", i)); i++) {
		cleanup_free struct checkpoint *some = NULL;
		size_t count;
		errint_t r = checkpoint_read(path, &some, &count, &f);
		if (r)
			return say_fault(&f, r, path);
		struct checkpoint *more = reallocarray(p->item, p->count + count, sizeof *more);
		if (!more)
			return say_error("out of memory");
		memcpy(more + p->count, some, count * sizeof *some);
		p->item = more;
		p->count += count;
	}
	p->seal = calloc(p->count + 1, sizeof *p->seal);
	return p->seal ? EXIT_DONE : say_error("out of memory");
}

static void points_free(struct points *p)
{
	free(p->item);
	free(p->seal);
}

static int keys_given(const struct args *a, uint8_t (*key)[LOG_PUBLIC_BYTES], struct audit_proof *p)
{
	for (const char *k; (k = args_nth(a, "public-key", p->public_keys)); p->public_keys++)
		if (p->public_keys == PUBLIC_KEYS_MAX || !hex_of(k, key[p->public_keys]))
			return say_usage("--public-key takes the 64 hexadecimal digits of a log key, as lapse init and lapse anchor status print it, at most %d times",
				PUBLIC_KEYS_MAX);
	return EXIT_DONE;
}

/* Without the log key the policy cannot be read: who knows how long the log had to be kept says so. */
static int kept_for(void *ctx, const struct log_tombstone *t)
{
	const struct policy_duration *least = ctx, kept = {.seconds = t->retain_seconds, .months = (int32_t)t->retain_months};
	return policy_duration_add(t->sealed_ns / SECOND, &kept) >= policy_duration_add(t->sealed_ns / SECOND, least);
}

static int verify_copy(struct audit_proof *p, struct points *points, const struct policy_duration *least, const char *path, struct rows *rows)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int within = fd < 0 ? -1 : openat(fd, ".lapse/audit", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const int log = within >= 0 ? within : fd;
	struct seals_head h;
	if (fd < 0)
		return say_error("%s: %s", path, strerror(errno));
	cleanup_free struct audit_verdict *v = malloc(sizeof *v);
	errint_t r = v ? audit_seals_head(log, &h) : -ENOMEM;
	for (size_t i = 0; !r && i < points->count; i++)
		if (!memcmp(points->item[i].uuid, h.uuid, sizeof h.uuid) && !memcmp(points->item[i].log_id, h.log_id, sizeof h.log_id))
			points->seal[p->checkpoints++] = points->item[i].seal;
	if (!r && points->count && !p->checkpoints)
		return say_error("%s: the checkpoints are of other logs than this one", path);
	p->checkpoint = points->seal;
	if (least) {
		p->allowed = kept_for;
		p->allowed_ctx = (void *)least;
	}
	if (!r)
		r = audit_verify(log, p, v);
	if (r == -ENOENT)
		return say_error("%s: there is no file 'seals' in it: this is no copy of an audit log, or one from before its first seal", path);
	if (r)
		return say_error("%s: the log cannot be read: %s", path, strerror(-r));
	return keep_verdict(rows, v, 0) ? say_error("out of memory") : EXIT_DONE;
}

static int by_public_key(const struct args *a, const char *path, struct rows *rows)
{
	uint8_t key[PUBLIC_KEYS_MAX][LOG_PUBLIC_BYTES] = {{0}};
	struct audit_proof p = {.public_key = (const uint8_t(*)[LOG_PUBLIC_BYTES])key};
	struct points points = {0};
	struct policy_duration least = {0};
	const char *kept = args_value(a, "retain-for"), *why = "";
	if (kept && (policy_duration_parse(kept, &least, &why) || least.never))
		return say_usage("--retain-for takes how long the log had to be kept, such as 365d or 2y, not '%s': %s", kept, least.never ? "that is no time" : why);
	int e = keys_given(a, key, &p);
	if (e == EXIT_DONE)
		e = points_read(a, &points);
	if (e == EXIT_DONE)
		e = verify_copy(&p, &points, kept ? &least : NULL, path, rows);
	points_free(&points);
	return e;
}

/* ---- the command --------------------------------------------------------------------------------------------------------------------------- */

static bool served(const char *operand, char path[static CTL_PATH_MAX])
{
	const char *below;
	struct ctl_daemon *d = calloc(1, sizeof *d);
	bool yes = !operand || !d || !path_resolve(operand, path) || ctl_find(path, d, &below, NULL) != -ENOENT;
	free(d);
	return yes;
}

static int online(const struct args *a, int log_fd, struct rows *rows)
{
	struct target t;
	struct ctl_request q;
	struct fault f = {0};
	int e = target_open(a, args_operand(a, 0), "audit-verify", &t);
	if (e != EXIT_DONE)
		return e;
	ctl_request_begin(&q, "audit-verify");
	if (log_fd >= 0)
		ctl_put(&q.line, "log", "1");
	errint_t r = audit_ask(&t, &q, "log", log_fd, rows_keep, rows, &f);
	if (r)
		e = say_fault(&f, r, t.daemon.archive);
	target_close(&t);
	return e;
}

static int verify_run(const struct args *a)
{
	char path[CTL_PATH_MAX];
	struct rows rows = {0};
	const char *copy = args_value(a, "log");
	cleanup_fd int fd = copy ? open(copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (copy && fd < 0)
		return say_error("%s: %s", copy, strerror(errno));
	const bool keyless = args_has(a, "public-key") || args_has(a, "checkpoint");
	if (keyless && (copy || !args_operand(a, 0)))
		return say_usage("with --public-key or --checkpoint, say which copy of the log's directory: lapse audit verify --public-key KEY COPY");
	if (args_has(a, "retain-for") && !keyless)
		return say_usage("--retain-for goes with --public-key or --checkpoint; otherwise the policy of the time is asked");
	int e = keyless ? by_public_key(a, args_operand(a, 0), &rows) : served(args_operand(a, 0), path) ? online(a, fd, &rows) : offline(a, path, fd, &rows);
	if (e == EXIT_DONE)
		e = print(a, &rows, copy ? copy : keyless ? args_operand(a, 0) : "The log");
	rows_free(&rows);
	return e;
}

static const struct option_def options[] = {
	{"log", 'l', "DIR", "a copy of the log's directory (.lapse/audit) instead, with the archive's key and anchor"},
	{"public-key", 'k', "KEY", "no other key: prove by the log's first public key what it proves, on a copy of the log's directory. Again for each key that it was begun again with"},
	{"checkpoint", 'c', "FILE", "hold the copy against the checkpoints in a file (or a text that the journal gave) as well; without --public-key, against them alone"},
	{"retain-for", '\0', "TIME", "how long the log had to be kept (with --public-key or --checkpoint, where the policy cannot be read): what was dropped sooner is a finding"},
	{"anchor", '\0', "FILE", "the anchor, of an archive that is not mounted, where it is not at its own place"},
	{"json", 'J', NULL, "print JSON"},
	OPTIONS_END,
};

const struct command command_audit_verify = {
	.name = "audit verify",
	.operands = "[ARCHIVE | COPY]",
	.max = 1,
	.summary = "Verify the audit log: its whole chain, held against the record that the anchor names.",
	.details = "It finds records that were changed, removed, put in another order, doubled or cut off, and a log that was started over, and says from\n"
		   "which record on nothing is proven. The archive may be mounted, or be one that cannot be mounted because of its log.\n"
		   "Every minute, and with each change of the anchor, the log is sealed: signed with a key that is destroyed by it. So who takes the machine, with all its keys,\n"
		   "cannot change what was sealed before. With --public-key, which lapse init prints and which is no secret, that is checked without any other key, on any machine.\n\n"
		   "Exit status: 1 if something was found.",
	.options = {options, unlock_options},
	.run = verify_run,
};
