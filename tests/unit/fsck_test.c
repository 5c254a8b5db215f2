/* lapse fsck: what is not of one time is told, and gone on from when that is accepted, on the record. */
#include "archive_fixture.h"

#include "store/internal.h"

#include <ftw.h>

#define SEGMENT ".lapse/audit/0000000000000001.seg"
#define SEALS   ".lapse/audit/seals"

static char saved[PATH_MAX], saved_anchor[PATH_MAX];
static struct archive_check found;

static void setup(void)
{
	archive_setup();
	in_dir(saved, "saved");
	in_dir(saved_anchor, "saved-anchor");
	make_archive(plain_policy);
}

TestSuite(fsck, .init = setup, .fini = place_teardown);

static const char *below(const char *name)
{
	static char path[4][PATH_MAX + NAME_ROOM];
	static unsigned at;
	at = (at + 1) % 4;
	snprintf(path[at], sizeof path[at], "%s/%s", root, name);
	return path[at];
}

/* ---- what happens to an archive -------------------------------------------------------------------------------------------- */

/* Five sessions, each with a record of its own. */
static void live_on(void)
{
	for (int i = 0; i < 5; i++) {
		struct archive *a = open_archive();
		cr_assert_eq(gate_record(a, RECORD_GUARD, NULL, NULL, NULL, "lived on"), 0);
		archive_close(a);
	}
}

static uint32_t add_key(const uint8_t *key)
{
	struct slot_secret secret = key_file(key);
	uint32_t number;
	struct archive *a = open_archive();
	cr_assert_eq(archive_key_add(a, NULL, &secret, "more", NULL, &number, NULL), 0);
	archive_close(a);
	return number;
}

static void apply_policy(const char *comment)
{
	char text[1024];
	struct policy_plan plan;
	struct policy_diags diags = {0};
	struct archive *a = open_archive();
	snprintf(text, sizeof text, "%s# %s\n", plain_policy, comment);
	cr_assert_eq(archive_policy_apply(a, text, strlen(text), &(struct policy_change){.who = NULL}, &plan, &diags, NULL), 0);
	policy_plan_free(&plan);
	archive_close(a);
}

static void flip(const char *path, size_t from_end)
{
	size_t len;
	uint8_t *p = read_whole(path, &len);
	p[len - from_end] ^= 1;
	write_whole(path, p, len);
	free(p);
}

/* ---- looking and accepting -------------------------------------------------------------------------------------------------- */

static void look(void)
{
	struct archive_open o = {.path = root, .secret = key_file(key_a)};
	struct fault f = {{0}};
	errint_t r = archive_check(&o, &found, &f);
	cr_assert_eq(r, 0, "%d: %s", r, f.text);
}

static errint_t accept(struct fault *f)
{
	static const struct subject who = {.uid = 1234, .login_uid = 77, .real_uid = 1234};
	struct archive_open o = {.path = root,
		.secret = key_file(key_a),
		.accept_rollback = "the disk died",
		.accept_by = &who,
		.accept_behind = &found.behind};
	struct archive *a;
	errint_t r = archive_open(&o, &a, f);
	if (!r)
		archive_close(a);
	return r;
}

static bool is_acceptance(void *ctx, const struct audit_record *r)
{
	return r->kind == RECORD_ADMIN && strstr(r->text, "rollback accepted");
}

static struct audit_record acceptance(void)
{
	struct audit_record r;
	struct archive *a = open_archive();
	cr_assert_eq(audit_last(a->audit, is_acceptance, NULL, &r), 0);
	archive_close(a);
	return r;
}

static void all_fine(void)
{
	look();
	for (enum archive_part p = 0; p < ARCHIVE_PARTS; p++)
		cr_assert_eq(found.state[p], PART_FINE, "part %d: %d %s", p, found.state[p], found.why[p].text);
	cr_assert_eq(found.behind.parts, 0);
}

/* What was found, a mount refuses; accepted, it opens and is of one time. */
static struct audit_record accepted(unsigned parts)
{
	struct fault f = {{0}};
	look();
	cr_assert_eq(found.behind.parts, parts, "%x", found.behind.parts);
	for (enum archive_part p = 0; p < ARCHIVE_PARTS; p++)
		cr_assert_eq(found.state[p], parts & 1u << p ? PART_BEHIND : PART_FINE, "part %d", p);
	cr_assert_eq(open_error(key_a), -EBADMSG);
	cr_assert_said("lapse fsck");
	cr_assert_eq(accept(&f), 0, "%s", f.text);
	all_fine();
	struct audit_record r = acceptance();
	cr_assert_not_null(strstr(r.text, "the disk died"), "%s", r.text);
	cr_assert_eq(r.uid, 1234);
	cr_assert_eq(r.login_uid, 77);
	return r;
}

#define ONLY(part) (1u << (part))

static size_t files_with(const char *text)
{
	struct dirent *e;
	size_t n = 0;
	DIR *d = opendir(below(".lapse/audit"));
	while ((e = readdir(d)))
		n += strstr(e->d_name, text) != NULL;
	closedir(d);
	return n;
}

/* ---- healthy --------------------------------------------------------------------------------------------------------------- */

static uint64_t sum;

static int add_print(const char *path, const struct stat *st, int type, struct FTW *f)
{
	sum = sum * 31 + (uint64_t)st->st_mtim.tv_nsec + (uint64_t)st->st_size;
	return 0;
}

Test(fsck, an_archive_of_one_time)
{
	live_on();
	cr_assert_eq(nftw(dir, add_print, 8, FTW_PHYS), 0);
	uint64_t before = sum;
	all_fine();
	sum = 0;
	cr_assert_eq(nftw(dir, add_print, 8, FTW_PHYS), 0);
	cr_assert_eq(sum, before, "nothing is written");
	cr_assert_eq(found.slots, 1);
	cr_assert_eq(found.copies, 1);
	cr_assert_eq(found.log_first, 1);
	cr_assert_eq(found.behind.log, 16, "made; five times mounted, a record, unmounted");
	cr_assert_eq(found.log_segments, 1);
	cr_assert_eq(found.log_rest, 0);
}

Test(fsck, what_leaves_nothing_to_check)
{
	struct archive_open o = {.path = root, .secret = key_file(key_b)};
	struct fault f = {{0}};
	cr_assert_eq(archive_check(&o, &found, &f), -ENOKEY);
	cr_assert(f.text[0]);
	struct archive *a = open_archive();
	o.secret = key_file(key_a);
	f = (struct fault){{0}};
	cr_assert_eq(archive_check(&o, &found, &f), -EBUSY);
	archive_close(a);
	o.path = dir;
	f = (struct fault){{0}};
	cr_assert_eq(archive_check(&o, &found, &f), -ENOENT);
	cr_assert(f.text[0]);
}

/* ---- put back from an earlier time ------------------------------------------------------------------------------------------ */

Test(fsck, an_older_log)
{
	live_on();
	copy_file(below(SEGMENT), saved);
	live_on();
	copy_file(saved, below(SEGMENT));
	struct audit_record r = accepted(ONLY(PART_LOG));
	cr_assert_eq(r.sequence, 17, "behind the log's own last record");
	cr_assert_eq(r.bytes, 31, "the last that the anchor named");
	cr_assert_not_null(strstr(r.text, "records 17 to 31 are lost"), "%s", r.text);
	live_on();
	all_fine();
}

Test(fsck, an_older_anchor_goes_on_above_what_the_log_knows_and_forgets_what_had_expired)
{
	struct anchor_status then, now;
	struct archive *a = open_archive();
	archive_close(a);
	copy_file(anchor_path, saved_anchor);
	for (int i = 0; i < 3; i++)
		live_on();
	a = open_archive();
	archive_anchor_status(a, &then);
	uint32_t next = (uint32_t)(tclock_trusted(a->clock) / 60);
	archive_close(a);
	copy_file(saved_anchor, anchor_path);
	struct audit_record r = accepted(ONLY(PART_ANCHOR));
	cr_assert_not_null(strstr(r.text, "anchor: write"), "%s", r.text);
	cr_assert_eq(r.bytes, 0);
	a = open_archive();
	archive_anchor_status(a, &now);
	cr_assert_geq(now.sequence, then.sequence);
	cr_assert_geq(now.next_epoch, next);
	archive_close(a);
}

Test(fsck, an_older_keyring)
{
	copy_file(below(".lapse/keyring"), saved);
	add_key(key_b);
	copy_file(saved, below(".lapse/keyring"));
	accepted(ONLY(PART_KEYRING));
	cr_assert_eq(found.behind.keyring, 3, "above both");
	cr_assert_eq(open_error(key_b), -ENOKEY);
	add_key(key_c);
	cr_assert_eq(open_error(key_c), 0);
}

Test(fsck, a_keyring_from_before_a_removal_is_not_accepted)
{
	struct fault f = {{0}};
	uint32_t number = add_key(key_b);
	copy_file(below(".lapse/keyring"), saved);
	struct archive *a = open_archive();
	cr_assert_eq(archive_key_remove(a, number, NULL), 0);
	archive_close(a);
	copy_file(saved, below(".lapse/keyring"));
	look();
	cr_assert_eq(found.state[PART_KEYRING], PART_FINE);
	cr_assert_eq(found.state[PART_ANCHOR], PART_DAMAGED);
	cr_assert_not_null(strstr(found.why[PART_ANCHOR].text, "a key was removed"), "%s", found.why[PART_ANCHOR].text);
	cr_assert_eq(found.state[PART_LOG], PART_UNSEEN);
	found.behind.parts = ONLY(PART_KEYRING) | ONLY(PART_ANCHOR) | ONLY(PART_LOG);
	cr_assert_eq(accept(&f), -EBADMSG, "the removed key opens nothing, whatever is accepted");
}

Test(fsck, an_older_policy)
{
	char *text;
	size_t len;
	uint64_t generation;
	int64_t at;
	apply_policy("second");
	copy_file(below(".lapse/policy"), saved);
	apply_policy("third");
	copy_file(saved, below(".lapse/policy"));
	accepted(ONLY(PART_POLICY));
	cr_assert_eq(found.behind.policy, 4, "above both");
	struct archive *a = open_archive();
	cr_assert_eq(archive_policy_text(a, &text, &len, &generation, &at), 0);
	cr_assert_not_null(strstr(text, "# second"));
	cr_assert_eq(generation, 4);
	free(text);
	archive_close(a);
	apply_policy("fourth");
	all_fine();
}

Test(fsck, the_whole_store)
{
	static const char *const files[] = {".lapse/keyring", ".lapse/policy", SEGMENT};
	char copy[3][PATH_MAX];
	for (size_t i = 0; i < 3; i++)
		copy_file(below(files[i]), in_dir(copy[i], i == 0 ? "k" : i == 1 ? "p" : "s"));
	add_key(key_b);
	apply_policy("more");
	live_on();
	for (size_t i = 0; i < 3; i++)
		copy_file(copy[i], below(files[i]));
	accepted(ONLY(PART_KEYRING) | ONLY(PART_POLICY) | ONLY(PART_LOG));
}

Test(fsck, another_history_of_the_log)
{
	live_on();
	char ours[PATH_MAX], seals[PATH_MAX];
	copy_file(below(SEGMENT), saved);
	copy_file(below(SEALS), in_dir(seals, "seals"));
	copy_file(anchor_path, saved_anchor);
	live_on();
	copy_file(anchor_path, in_dir(ours, "ours"));
	copy_file(saved, below(SEGMENT));
	copy_file(seals, below(SEALS));
	copy_file(saved_anchor, anchor_path);
	live_on();
	live_on();
	copy_file(ours, anchor_path);
	look();
	cr_assert(found.log_other);
	accepted(found.behind.parts);
	cr_assert_eq(files_with(".lost-"), 0, "nothing had to go");
}

/* ---- damaged ---------------------------------------------------------------------------------------------------------------- */

static void record_for_ever(struct archive *a, int n)
{
	for (int i = 0; i < n; i++)
		cr_assert_eq(gate_record(a, RECORD_GUARD, NULL, NULL, NULL, "one of many"), 0);
}

static void segments(void)
{
	struct archive *a = open_archive();
	audit_segment_bytes(a->audit, 1024);
	record_for_ever(a, 100);
	archive_close(a);
	cr_assert_geq(files_with(".seg"), 8);
}

static const char *nth_segment(size_t n)
{
	static char path[PATH_MAX + NAME_ROOM];
	struct dirent **list;
	int count = scandir(below(".lapse/audit"), &list, NULL, alphasort);
	path[0] = '\0';
	for (int i = 0; i < count; i++) {
		if (strstr(list[i]->d_name, ".seg") && n-- == 0)
			snprintf(path, sizeof path, "%s/%s", below(".lapse/audit"), list[i]->d_name);
		free(list[i]);
	}
	free(list);
	cr_assert(path[0]);
	return path;
}

Test(fsck, a_changed_record_cuts_the_log_and_what_lay_behind_is_kept)
{
	size_t len, kept;
	live_on();
	flip(below(SEGMENT), 200);
	uint8_t *before = read_whole(below(SEGMENT), &len);
	look();
	uint64_t last = found.behind.log;
	cr_assert_lt(last, 16);
	struct audit_record r = accepted(ONLY(PART_LOG));
	cr_assert_eq(r.sequence, last + 1);
	char lost[PATH_MAX];
	snprintf(lost, sizeof lost, "%.3000s/0000000000000001.seg.lost-%016llx", below(".lapse/audit"),
		(unsigned long long)r.generation);
	uint8_t *after = read_whole(lost, &kept);
	cr_assert_lt(kept, len);
	cr_assert_arr_eq(before + len - kept, after, kept);
	free(before);
	free(after);
}

Test(fsck, a_segment_that_is_gone)
{
	segments();
	cr_assert_eq(unlink(nth_segment(3)), 0);
	size_t before = files_with(".seg");
	accepted(ONLY(PART_LOG));
	cr_assert_gt(files_with(".lost-"), 0);
	cr_assert_geq(files_with(".seg"), before, "none is thrown away");
	live_on();
	all_fine();
}

Test(fsck, the_first_segment_is_gone)
{
	segments();
	cr_assert_eq(unlink(nth_segment(0)), 0);
	struct audit_record r = accepted(ONLY(PART_LOG));
	cr_assert_eq(r.sequence, 1, "what has no beginning is not gone on from");
}

Test(fsck, the_log_is_gone)
{
	live_on();
	cr_assert_eq(unlink(below(SEGMENT)), 0);
	struct audit_record r = accepted(ONLY(PART_LOG));
	cr_assert_eq(r.sequence, 1);
	cr_assert_eq(r.bytes, 16);
}

Test(fsck, what_has_to_be_restored)
{
	static const char *const files[] = {".lapse/keyring", ".lapse/policy"};
	static const enum archive_part parts[] = {PART_KEYRING, PART_POLICY};
	struct fault f = {{0}};
	for (size_t i = 0; i < 2; i++) {
		copy_file(below(files[i]), saved);
		flip(below(files[i]), 1);
		look();
		cr_assert_eq(found.state[parts[i]], PART_DAMAGED);
		cr_assert(found.why[parts[i]].text[0]);
		found.behind.parts = 0xf;
		cr_assert_neq(accept(&f), 0, "%s", files[i]);
		copy_file(saved, below(files[i]));
	}
	copy_file(anchor_path, saved);
	cr_assert_eq(unlink(anchor_path), 0);
	look();
	cr_assert_eq(found.state[PART_ANCHOR], PART_DAMAGED);
	copy_file(saved, anchor_path);
	all_fine();
}

/* ---- accepting -------------------------------------------------------------------------------------------------------------- */

Test(fsck, only_what_was_shown_is_accepted)
{
	struct fault f = {{0}};
	copy_file(below(SEGMENT), saved);
	live_on();
	copy_file(saved, below(SEGMENT));
	look();
	struct archive_check seen = found;
	found.behind.parts = 0;
	cr_assert_eq(accept(&f), -EBADMSG);
	found = seen;
	found.behind.anchor--;
	f = (struct fault){{0}};
	cr_assert_eq(accept(&f), -EAGAIN);
	cr_assert(f.text[0]);
	found = seen;
	cr_assert_eq(accept(&f), 0);
	cr_assert_eq(accept(&f), -EAGAIN, "once");
}

Test(fsck, every_crash_point_of_an_acceptance_can_be_gone_on_from)
{
	static const char *const files[] = {".lapse/keyring", ".lapse/policy", SEGMENT};
	char copy[3][PATH_MAX];
	struct fault f;
	errint_t r = -1;
	for (long n = 0; r; n++) {
		for (size_t i = 0; i < 3; i++)
			copy_file(below(files[i]), in_dir(copy[i], i == 0 ? "k" : i == 1 ? "p" : "s"));
		live_on();
		apply_policy("more");
		struct slot_secret b = key_file(key_b);
		struct archive *a = open_archive();
		uint32_t number;
		cr_assert_eq(archive_key_add(a, NULL, &b, "more", NULL, &number, NULL), 0);
		archive_close(a);
		for (size_t i = 0; i < 3; i++)
			copy_file(copy[i], below(files[i]));
		look();
		crash_begin(n, n % 2);
		f = (struct fault){{0}};
		r = accept(&f);
		crash_end();
		cr_assert(r == 0 || f.text[0]);
		look();
		for (enum archive_part p = 0; p < ARCHIVE_PARTS; p++)
			cr_assert(found.state[p] == PART_FINE || found.state[p] == PART_BEHIND, "%ld: part %d", n, p);
		f = (struct fault){{0}};
		if (found.behind.parts)
			cr_assert_eq(accept(&f), 0, "%ld: %s", n, f.text);
		all_fine();
		acceptance();
	}
}
