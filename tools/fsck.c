#include "tools/command.h"
#include "tools/human.h"
#include "tools/prompt.h"
#include "tools/say.h"
#include "tools/table.h"
#include "tools/target.h"
#include "tools/unlock.h"

#include "base/io.h"
#include "store/archive.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SECOND     INT64_C(1000000000)
#define LINE_BYTES 1024
#define END_BYTES  160
#define WORD       "accept"

/* ---- what was found ------------------------------------------------------------------------------------------------------- */

enum { C_PART, C_STATE, C_DETAIL };

static const struct column columns[] = {
	[C_PART] = {"PART", .help = "keyring, anchor, policy or log"},
	[C_STATE] = {"STATE", .help = "ok, flawed, behind, damaged, unseen"},
	[C_DETAIL] = {"DETAIL", .help = "what it is, or what is wrong with it"},
};

static const char *const part_words[] = {
	[PART_KEYRING] = "keyring", [PART_ANCHOR] = "anchor", [PART_POLICY] = "policy", [PART_LOG] = "log"};
static const char *const state_words[] = {[PART_UNSEEN] = "unseen",
	[PART_FINE] = "ok",
	[PART_FLAWED] = "flawed",
	[PART_BEHIND] = "behind",
	[PART_DAMAGED] = "damaged"};

static const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

static void keyring_detail(const struct archive_check *c, char out[static LINE_BYTES])
{
	const struct archive_behind *b = &c->behind;
	if (c->state[PART_KEYRING] == PART_BEHIND && b->keyring > b->keyring_named)
		snprintf(out, LINE_BYTES,
			"generation %" PRIu64 "; the anchor names %" PRIu64 ": the anchor is the older one", b->keyring,
			b->keyring_named);
	else if (c->state[PART_KEYRING] == PART_BEHIND)
		snprintf(out, LINE_BYTES, "generation %" PRIu64 "; the anchor names another one, generation %" PRIu64,
			b->keyring, b->keyring_named);
	else
		snprintf(out, LINE_BYTES, "generation %" PRIu64 ", %zu key%s", b->keyring, c->slots, plural(c->slots));
}

static void anchor_detail(const struct archive_check *c, char out[static LINE_BYTES])
{
	char when[HUMAN_BYTES];
	const struct archive_behind *b = &c->behind;
	human_time(c->anchor_ns / SECOND, when);
	if (c->state[PART_ANCHOR] == PART_BEHIND)
		snprintf(out, LINE_BYTES, "write %" PRIu64 " of %s; the log knows of write %" PRIu64, b->anchor, when,
			b->anchor_named);
	else
		snprintf(out, LINE_BYTES, "write %" PRIu64 " of %s, %zu cop%s", b->anchor, when, c->copies,
			c->copies == 1 ? "y" : "ies");
}

static void policy_detail(const struct archive_check *c, char out[static LINE_BYTES])
{
	char when[HUMAN_BYTES];
	const struct archive_behind *b = &c->behind;
	int n = snprintf(out, LINE_BYTES, "generation %" PRIu64 ", applied %s", b->policy,
		human_time(c->policy_applied_at, when));
	if (c->state[PART_POLICY] == PART_BEHIND)
		snprintf(out + n, LINE_BYTES - (size_t)n, "; the anchor names %sgeneration %" PRIu64,
			b->policy == b->policy_named ? "another " : "", b->policy_named);
}

static void log_end(const struct archive_check *c, char out[static END_BYTES])
{
	char when[HUMAN_BYTES];
	if (c->behind.log >= c->log_first && c->log_ns)
		snprintf(out, END_BYTES, "ends with record %" PRIu64 " of %s", c->behind.log,
			human_time(c->log_ns / SECOND, when));
	else
		snprintf(out, END_BYTES, "has no record that can be gone on from");
}

static void log_behind(const struct archive_check *c, char out[static LINE_BYTES])
{
	char end[END_BYTES], when[HUMAN_BYTES], span[HUMAN_BYTES], size[HUMAN_BYTES], rest[2 * HUMAN_BYTES] = "";
	const struct archive_behind *b = &c->behind;
	uint64_t missing = b->log_named > b->log ? b->log_named - b->log : 0;
	int64_t seconds = c->log_ns ? (c->anchor_ns - c->log_ns) / SECOND : 0;
	log_end(c, end);
	human_time(c->anchor_ns / SECOND, when);
	if (c->log_rest)
		snprintf(rest, sizeof rest, "; %s behind it cannot be read", human_size(c->log_rest, size));
	if (c->log_other)
		snprintf(out, LINE_BYTES, "%s, but its record %" PRIu64 " is not the one that the anchor names (%s)%s",
			end, b->log_named, when, rest);
	else if (missing)
		snprintf(out, LINE_BYTES,
			"%s; the anchor names record %" PRIu64 " (%s): %" PRIu64 " record%s, %s, %s missing%s", end,
			b->log_named, when, missing, plural(missing), human_span(seconds > 0 ? seconds : 0, span),
			missing == 1 ? "is" : "are", rest);
	else
		snprintf(out, LINE_BYTES, "%s, and is damaged where a mount counts the budgets from it%s", end, rest);
}

static void log_detail(const struct archive_check *c, char out[static LINE_BYTES])
{
	char when[HUMAN_BYTES];
	const struct archive_behind *b = &c->behind;
	if (c->state[PART_LOG] == PART_BEHIND) {
		log_behind(c, out);
		return;
	}
	int n = snprintf(out, LINE_BYTES,
		"complete, records %" PRIu64 " to %" PRIu64 " in %" PRIu64 " segment%s, to %s", c->log_first, b->log,
		c->log_segments, plural(c->log_segments), human_time(c->log_ns / SECOND, when));
	if (c->log_rest)
		snprintf(out + n, LINE_BYTES - (size_t)n, "; %" PRIu64 " bytes behind were torn by a crash",
			c->log_rest);
}

static void detail(const struct archive_check *c, enum archive_part part, char out[static LINE_BYTES])
{
	static void (*const by_part[])(const struct archive_check *, char *) = {
		keyring_detail, anchor_detail, policy_detail, log_detail};
	out[0] = '\0';
	if (c->why[part].text[0])
		snprintf(out, LINE_BYTES, "%s", c->why[part].text);
	else if (c->state[part] != PART_UNSEEN)
		by_part[part](c, out);
}

static int show(struct table *t, const struct archive_check *c)
{
	char line[LINE_BYTES];
	for (enum archive_part p = 0; p < ARCHIVE_PARTS; p++) {
		detail(c, p, line);
		table_row(t);
		table_text(t, C_PART, part_words[p]);
		table_text(t, C_STATE, state_words[c->state[p]]);
		table_text(t, C_DETAIL, line[0] ? line : NULL);
	}
	return table_print(t);
}

static bool has(const struct archive_check *c, enum part_state state)
{
	for (enum archive_part p = 0; p < ARCHIVE_PARTS; p++)
		if (c->state[p] == state)
			return true;
	return false;
}

/* ---- accepting it --------------------------------------------------------------------------------------------------------- */

static void warn(const struct archive_check *c)
{
	const struct archive_behind *b = &c->behind;
	unsigned parts = b->parts;
	if (parts & 1u << PART_LOG)
		say_warning("what was read in the lost records no longer counts against any budget, and nobody will be "
			    "able "
			    "to say who read it");
	if (parts & 1u << PART_ANCHOR)
		say_warning("the older anchor could open files that have expired since; their keys are destroyed in it "
			    "now, "
			    "up to the log's last record. Find out who had it");
	if (parts & 1u << PART_POLICY && b->policy <= b->policy_named)
		say_warning("the older policy will be in force; look at it with lapse policy show");
	if (parts & 1u << PART_KEYRING && b->keyring <= b->keyring_named)
		say_warning("the key slots will be those of this keyring; look at them with lapse key list");
}

/* Never by accident: the word is typed, or the command line says --yes. */
static int confirm(const struct args *a)
{
	char answer[16];
	if (args_has(a, "yes"))
		return EXIT_DONE;
	if (!prompt_possible())
		return say_error("there is no terminal to ask at: if this is what you want, add --yes");
	if (prompt_line("What was lost stays lost, and the archive goes on from what is there.\nType " WORD
			" to go on: ",
		    answer, sizeof answer) ||
		strcmp(answer, WORD))
		return say_error("not confirmed; nothing was changed");
	return EXIT_DONE;
}

static uint32_t login_uid(void)
{
	char digits[16] = "";
	cleanup_fd int fd = open("/proc/self/loginuid", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || io_pread(fd, digits, sizeof digits - 1, 0) <= 0)
		return UINT32_MAX;
	return (uint32_t)strtoul(digits, NULL, 10);
}

static int accept(const struct args *a, struct archive_open *o, const struct archive_check *c)
{
	struct subject who = {
		.uid = getuid(), .login_uid = login_uid(), .real_uid = getuid(), .gid = getgid(), .pid = getpid()};
	struct archive *archive;
	struct fault f = {0};
	warn(c);
	int e = confirm(a);
	if (e != EXIT_DONE)
		return e;
	o->accept_rollback = args_value(a, "reason");
	o->accept_by = &who;
	o->accept_behind = &c->behind;
	errint_t r = archive_open(o, &archive, &f);
	if (r)
		return say_open_fault(&f, r, o->path);
	archive_close(archive);
	fprintf(stderr, "Accepted, on the record, for this reason: %s\n%s can be mounted.\n", o->accept_rollback,
		o->path);
	return EXIT_DONE;
}

/* ---- the command ---------------------------------------------------------------------------------------------------------- */

static int check_usage(const struct args *a)
{
	const char *reason = args_value(a, "reason");
	if (args_has(a, "accept-rollback") != (reason != NULL))
		return say_usage(reason ? "--reason goes with --accept-rollback"
					: "--accept-rollback needs a --reason, which goes on the record");
	if (args_has(a, "yes") && !reason)
		return say_usage("--yes goes with --accept-rollback");
	if (reason && (!*reason || strlen(reason) > ROLLBACK_REASON_MAX))
		return say_usage("a reason has 1 to %d bytes", ROLLBACK_REASON_MAX);
	return EXIT_DONE;
}

/* An archive that nobody serves. */
static int find(const char *operand, char path[static CTL_PATH_MAX])
{
	struct key_slot_info slot[KEYRING_SLOTS];
	struct fault f = {0};
	size_t count;
	const char *below;
	if (!path_resolve(operand, path))
		return say_error("%s: %s", operand, strerror(errno ? errno : ENAMETOOLONG));
	struct ctl_daemon *d = calloc(1, sizeof *d);
	if (!d)
		return say_error("out of memory");
	bool mounted = ctl_find(path, d, &below, NULL) == 0;
	int e = mounted ? say_error("%s is mounted, at %s; lapse umount it first", d->archive, d->mountpoint)
			: EXIT_DONE;
	free(d);
	if (e != EXIT_DONE)
		return e;
	errint_t r = archive_keys_offline(path, slot, &count, NULL, &f);
	/* A damaged keyring is for the check to say. */
	return r == -ENOENT || r == -ENOTDIR || r == -ENOTCONN ? say_fault(&f, r, path) : EXIT_DONE;
}

static int conclude(const struct args *a, struct archive_open *o, const struct archive_check *c)
{
	bool wanted = args_has(a, "accept-rollback");
	int found = has(c, PART_FLAWED) || has(c, PART_UNSEEN) ? EXIT_FINDING : EXIT_DONE;
	if (has(c, PART_DAMAGED))
		return wanted ? say_error("what is damaged has to be restored first; nothing was accepted")
			      : EXIT_FINDING;
	if (!c->behind.parts && !wanted)
		return found;
	if (!c->behind.parts)
		say("keyring, anchor, policy and log are of one time: what is accepted is files of the store that are older than they were");
	if (wanted)
		return accept(a, o, c);
	fflush(stdout);
	fprintf(stderr,
		"Something was put back from an earlier time. Put the newer one in its place; only if it is lost:\n"
		"  lapse fsck %s --accept-rollback --reason TEXT\n",
		o->path);
	return EXIT_FINDING;
}

static int fsck_run(const struct args *a)
{
	char path[CTL_PATH_MAX];
	struct unlock unlock = {0};
	struct fault f = {0};
	int e = check_usage(a);
	if (e != EXIT_DONE)
		return e;
	struct table *t = table_new(a, "parts", columns, ARRAY_SIZE(columns));
	struct archive_check *c = calloc(1, sizeof *c);
	if (!t || !c) {
		table_free(t);
		free(c);
		return t ? say_error("out of memory") : EXIT_USAGE;
	}
	e = find(a->operand[0], path);
	if (e == EXIT_DONE)
		e = unlock_get(path, args_value(a, "key-file"), args_value(a, "passphrase-fd"), UNLOCK_OPEN, &unlock);
	struct archive_open o = {.path = path, .secret = unlock.secret};
	if (e == EXIT_DONE) {
		errint_t r = archive_check(&o, c, &f);
		e = r ? say_open_fault(&f, r, path) : show(t, c);
		if (e == EXIT_DONE)
			e = conclude(a, &o, c);
	}
	unlock_free(&unlock);
	table_free(t);
	free(c);
	return e;
}

static const struct option_def fsck_options[] = {
	{"accept-rollback", '\0', NULL, "go on although a part, or files, were put back from an earlier time; asks first"},
	{"reason", '\0', "TEXT", "why, for the audit log"},
	{"yes", 'y', NULL, "do not ask"},
	OPTIONS_END,
};

const struct command command_fsck = {
	.name = "fsck",
	.operands = "ARCHIVE",
	.min = 1,
	.max = 1,
	.summary = "Check that keyring, anchor, policy and audit log of an archive that is not mounted are whole and "
		   "of one "
		   "time.",
	.details =
		"It checks no more than that. Damage to a file is found by lapse scrub, and when it is read.\n"
		"--accept-rollback is the only way on when one of them was put back from an earlier time and the "
		"newer\n"
		"one is lost. What had expired stays unreadable.\n\n"
		"Columns: PART STATE DETAIL. Exit status: 1 if there is anything but ok.",
	.options = {fsck_options, unlock_options, output_options},
	.run = fsck_run,
};
