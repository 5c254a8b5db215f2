/* Counters from a snapshot and what came after it: whatever is done to the snapshot, and whenever the daemon is killed, a budget goes on exactly where it was. */
#include "archive_fixture.h"
#include "base/io.h"
#include "store/fresh.h"
#include "store/gate_internal.h"
#include "store/grant_admin.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#define HEAD   "[policy]\nversion = 1\ndefault-class = images\n[class images]\nmatch = **\nexpire-after = 30d\n"
#define BUDGET 100

static const char policy[] = HEAD "[rule all]\neffect = permit\nbudget = reader\n[budget reader]\nfiles = 100/24h\n";
static const char other[] = HEAD "[rule all]\neffect = permit\nbudget = other\n[budget other]\nfiles = 1000/1h\n";
static const char sessions[] = HEAD "[rule all]\neffect = permit\nbudget = s\n[budget s]\nper = session\nfiles = 100/24h\n";

static const struct subject alice = {.uid = 1000, .login_uid = 1000, .real_uid = 1000, .gid = 1000, .session = 3};
static char snapshot[PATH_MAX + 64], kept[PATH_MAX];

static void setup(void)
{
	archive_setup();
	make_archive(policy);
	snprintf(snapshot, sizeof snapshot, "%s/.lapse/snapshots/guard", root);
	in_dir(kept, "kept");
}

TestSuite(gate_snapshot, .init = setup, .fini = place_teardown);

static struct file_header file(uint32_t number)
{
	struct file_header h = {.generation = 1, .expires_at = INT64_MAX, .key_kind = KEY_KIND_ARCHIVE};
	memcpy(h.file_id, &number, sizeof number);
	h.file_id[15] = 1;
	return h;
}

static errint_t read_file(struct archive *a, uint32_t number)
{
	struct file_header h = file(number);
	return gate_read(a, &alice, "x.jpg", &h, 1000, O_RDONLY, &(struct guard_principals){.count = 0}, &(bool){false}, NULL);
}

static void read_files(struct archive *a, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++)
		cr_assert_eq(read_file(a, i), 0, "%u", i);
}

/* Files from 0 to `used` count, and no more and no less. */
static void expect_used(struct archive *a, uint32_t used)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < used; i++)
		cr_assert_eq(read_file(a, i), 0);
	while (n < BUDGET && !read_file(a, 10000 + n))
		n++;
	cr_assert_eq(used + n, BUDGET, "%u, then %u more", used, n);
}

static void copy(const char *from, const char *to)
{
	cleanup_free uint8_t *bytes = NULL;
	size_t len;
	cr_assert_eq(io_read_file(AT_FDCWD, from, 1u << 28, &bytes, &len), 0);
	FILE *f = fopen(to, "we");
	cr_assert(f && fwrite(bytes, 1, len, f) == len);
	fclose(f);
}

/* As a daemon that is killed. */
static void killed(void (*work)(struct archive *a))
{
	pid_t pid = fork();
	cr_assert_geq(pid, 0);
	if (!pid) {
		work(open_archive());
		kill(getpid(), SIGKILL);
	}
	int status;
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static uint64_t loaded; /* up to which record the counters of an open archive came from a snapshot */

static struct archive *open_told(void)
{
	struct archive *a = open_archive();
	struct audit_place at;
	struct snapshot_reader *r;
	loaded = 0;
	if (!snapshot_open(a, SNAPSHOT_GUARD, GUARD_COPY_VERSION, &at, &r)) {
		loaded = a->gate->snapshot_used ? at.sequence : 0;
		snapshot_end(r);
	}
	return a;
}

static void read_thirty(struct archive *a)
{
	read_files(a, 0, 30);
}

static void read_forty(struct archive *a)
{
	read_files(a, 30, 70);
}

Test(gate_snapshot, a_clean_end_leaves_one_and_the_next_mount_uses_it)
{
	struct archive *a = open_archive();
	read_files(a, 0, 30);
	archive_close(a);
	a = open_told();
	cr_assert_gt(loaded, 30);
	read_files(a, 30, 70);
	archive_close(a);
	a = open_told();
	expect_used(a, 70);
	archive_close(a);
}

Test(gate_snapshot, killed_after_one)
{
	struct archive *a = open_archive();
	read_files(a, 0, 30);
	archive_close(a);
	killed(read_forty);
	a = open_told();
	cr_assert_gt(loaded, 0);
	expect_used(a, 70);
	archive_close(a);
}

static void write_between(struct archive *a)
{
	struct audit_place at;
	read_files(a, 0, 20);
	audit_place(a->audit, &at);
	read_files(a, 20, 30);
	cr_assert_eq(gate_snapshot_write(a, &at, false), 0); /* has ten more than its record says */
	read_files(a, 30, 40);
}

Test(gate_snapshot, killed_after_one_that_is_newer_than_its_place)
{
	killed(write_between);
	struct archive *a = open_told();
	cr_assert_gt(loaded, 20);
	expect_used(a, 40);
	archive_close(a);
}

static void half_written(struct archive *a)
{
	struct audit_place at;
	struct snapshot_writer *w;
	read_files(a, 30, 70);
	audit_place(a->audit, &at);
	snapshot_begin(a, SNAPSHOT_GUARD, GUARD_COPY_VERSION, &at, &w);
	for (int i = 0; i < 100000; i++)
		snapshot_put(w, "half", 4);
}

Test(gate_snapshot, killed_while_one_was_written)
{
	killed(read_thirty);
	killed(half_written);
	struct archive *a = open_told();
	expect_used(a, 70);
	archive_close(a);
	a = open_told();
	cr_assert_gt(loaded, 0);
	archive_close(a);
}

/* ---- other snapshots -------------------------------------------------------------------------------------------------------------- */

Test(gate_snapshot, of_an_older_day)
{
	struct archive *a = open_archive();
	read_files(a, 0, 5);
	archive_close(a);
	copy(snapshot, kept);
	for (uint32_t i = 0; i < 4; i++) {
		a = open_archive();
		read_files(a, 5 + i * 10, 15 + i * 10);
		archive_close(a);
	}
	copy(kept, snapshot);
	a = open_told();
	cr_assert(loaded > 0 && loaded < 20, "%d", (int)loaded);
	expect_used(a, 45);
	archive_close(a);
}

static void expect_counted_anyhow(void)
{
	struct archive *a = open_told();
	cr_assert_eq(loaded, 0);
	expect_used(a, 30);
	archive_close(a);
}

static void thirty(void)
{
	struct archive *a = open_archive();
	read_files(a, 0, 30);
	archive_close(a);
}

Test(gate_snapshot, deleted)
{
	thirty();
	cr_assert_eq(unlink(snapshot), 0);
	expect_counted_anyhow();
}

Test(gate_snapshot, truncated)
{
	thirty();
	cr_assert_eq(truncate(snapshot, 300), 0);
	expect_counted_anyhow();
}

Test(gate_snapshot, changed)
{
	thirty();
	FILE *f = fopen(snapshot, "r+e");
	cr_assert_not_null(f);
	fseek(f, 700, SEEK_SET);
	int c = fgetc(f);
	fseek(f, 700, SEEK_SET);
	fputc(c ^ 4, f);
	fclose(f);
	expect_counted_anyhow();
}

Test(gate_snapshot, a_directory_in_its_place)
{
	thirty();
	cr_assert_eq(unlink(snapshot), 0);
	cr_assert_eq(mkdir(snapshot, 0700), 0);
	expect_counted_anyhow();
}

Test(gate_snapshot, of_another_archive)
{
	char first[PATH_MAX];
	thirty();
	copy(snapshot, kept);
	strcpy(first, root);
	in_dir(root, "second");
	in_dir(anchor_path, "anchors/second");
	make_archive(policy);
	snprintf(snapshot, sizeof snapshot, "%s/.lapse/snapshots/guard", root);
	thirty();
	copy(kept, snapshot);
	expect_counted_anyhow();
}

/* ---- another policy ---------------------------------------------------------------------------------------------------------------- */

static void apply(struct archive *a, const char *text)
{
	struct policy_plan plan;
	struct policy_diags d = {0};
	struct fault f = {{0}};
	const struct policy_change change = {.who = &alice, .reason = "test"};
	cr_assert_eq(archive_policy_apply(a, text, strlen(text), &change, &plan, &d, &f), 0, "%s", f.text);
	policy_diags_free(&d);
}

Test(gate_snapshot, a_budget_that_is_new_counts_what_was_read)
{
	struct archive *a = open_archive();
	apply(a, other);
	read_files(a, 0, 30);
	apply(a, policy);
	expect_used(a, 30);
	archive_close(a);
}

Test(gate_snapshot, a_budget_that_is_new_counts_once_what_is_read_meanwhile)
{
	struct archive *a = open_archive();
	apply(a, other);
	read_files(a, 0, 30);
	archive_close(a);
	a = open_archive();
	read_files(a, 20, 50);
	apply(a, policy);
	read_files(a, 40, 60);
	archive_close(a);
	a = open_told();
	cr_assert_gt(loaded, 0);
	expect_used(a, 60);
	archive_close(a);
}

static void other_policy(struct archive *a)
{
	apply(a, other);
	read_files(a, 30, 40);
}

static void first_policy(struct archive *a)
{
	read_files(a, 40, 50);
	apply(a, policy);
}

Test(gate_snapshot, removed_and_put_back)
{
	thirty();
	for (int clean = 0; clean < 2; clean++) {
		killed(other_policy);
		if (clean)
			archive_close(open_archive());
		killed(first_policy);
	}
	struct archive *a = open_archive();
	expect_used(a, 50);
	archive_close(a);
}

Test(gate_snapshot, a_longer_window)
{
	static const char hour[] = HEAD "[rule all]\neffect = permit\nbudget = reader\n[budget reader]\nfiles = 100/1s\n";
	struct archive *a = open_archive();
	apply(a, hour);
	read_files(a, 0, 30);
	archive_close(a);
	usleep(1100000); /* they leave the window */
	a = open_told();
	cr_assert_gt(loaded, 0);
	apply(a, policy);
	expect_used(a, 30);
	archive_close(a);
}

static void mounted_at(struct archive *a, const char *boot)
{
	struct audit_record r;
	gate_fill(a, &r, RECORD_MOUNT, NULL, NULL, NULL, NULL, boot);
	cr_assert_eq(audit_append(a->audit, &r), 0);
}

static void other_boot(struct archive *a)
{
	mounted_at(a, "0.1.0 boot 00112233445566778899aabbccddeeff");
	read_files(a, 0, 30);
}

Test(gate_snapshot, sessions_end_with_the_boot)
{
	struct archive *a = open_archive();
	apply(a, sessions);
	read_files(a, 0, 30);
	archive_close(a);
	a = open_told();
	expect_used(a, 30);
	archive_close(a);
	killed(other_boot);
	a = open_told();
	expect_used(a, 0);
	archive_close(a);
	cr_assert_eq(unlink(snapshot), 0);
	a = open_told();
	cr_assert_eq(loaded, 0);
	cr_assert_eq(read_file(a, 5000), -EDQUOT, "of this boot");
	archive_close(a);
}

/* ---- names by way of a file server --------------------------------------------------------------------------------------------------- */

static const char served[] = HEAD "[rule first]\nusers = 1000 1500\neffect = permit\nbudget = n\n"
				  "[rule server]\nservices = smbd.service\nidentity = uid\neffect = permit\nbudget = n\n"
				  "[budget n]\nnames = 10/1h\n";

Test(gate_snapshot, names_shown_by_a_server_are_charged_to_its_client_only)
{
	static const uint8_t dir_id[DIR_ID_BYTES] = {1};
	const struct subject client = {.uid = 1000, .login_uid = 1500, .real_uid = 1000, .service = "smbd.service"}, starter = {.uid = 1500, .login_uid = 1500, .real_uid = 1500};
	struct archive *a = open_archive();
	apply(a, served);
	cr_assert_eq(gate_names(a, &client, &(struct names_asked){.dir_id = dir_id, .names = 10}), 0);
	archive_close(a);
	for (int i = 0; i < 2; i++) {
		a = open_archive();
		cr_expect_neq(gate_names(a, &client, &(struct names_asked){.dir_id = dir_id, .names = 1}), 0, "%d", i);
		cr_expect_eq(gate_names(a, &starter, &(struct names_asked){.dir_id = dir_id, .names = i ? 4 : 5}), 0, "%d", i);
		archive_close(a);
		cr_assert_eq(unlink(snapshot), 0);
	}
}

/* ---- names under a grant ------------------------------------------------------------------------------------------------------------- */

static const char narrow[] = HEAD "[rule all]\neffect = permit\nbudget = n\n[budget n]\nnames = 10/24h\n";

static errint_t names(struct archive *a, uint64_t count, uint64_t lookup)
{
	static const uint8_t dir_id[DIR_ID_BYTES] = {1};
	return gate_names(a, &alice, &(struct names_asked){.dir_id = lookup ? NULL : dir_id, .names = count, .name = lookup});
}

/* 17 of 30 names, three of them behind the snapshot. */
static void show_under_a_grant(struct archive *a)
{
	const struct grant_request q = {.uid = 1000, .names = 30, .paths = "", .ticket = ""};
	const struct anchor_order o = {.who = &alice, .reason = "why"};
	struct audit_place at;
	struct grant_info t;
	struct fault f = {0};
	apply(a, narrow);
	cr_assert_eq(archive_grant_request(a, &q, &o, &t, &f), 0);
	cr_assert_eq(names(a, 10, 0), 0);
	cr_assert_eq(names(a, 9, 0), 0);
	for (uint64_t i = 1; i <= 5; i++)
		cr_assert_eq(names(a, 1, i), 0);
	audit_place(a->audit, &at);
	cr_assert_eq(gate_snapshot_write(a, &at, false), 0);
	cr_assert_eq(names(a, 2, 0), 0);
	cr_assert_eq(names(a, 1, 6), 0);
	cr_assert_eq(audit_sync(a->audit), 0);
}

static uint64_t shown(struct archive *a)
{
	struct grant_info *t;
	int64_t now;
	size_t count;
	cr_assert_eq(archive_grants(a, -1, &now, &t, &count), 0);
	cr_assert_eq(count, 1);
	cr_assert(t->names == 30 && !t->files && !t->bytes);
	const uint64_t n = t->used_names;
	free(t);
	return n;
}

Test(gate_snapshot, names_under_a_grant_go_on_where_they_were)
{
	killed(show_under_a_grant);
	struct archive *a = open_told();
	cr_assert_gt(loaded, 0);
	cr_expect_eq(shown(a), 17);
	cr_expect_eq(names(a, 14, 0), -EDQUOT);
	cr_expect_eq(names(a, 3, 0), 0);
	archive_close(a);
	cr_assert_eq(unlink(snapshot), 0);
	a = open_told();
	cr_assert_eq(loaded, 0);
	cr_expect_eq(shown(a), 20);
	cr_expect_eq(names(a, 10, 0), 0);
	cr_expect_eq(names(a, 1, 9), -EDQUOT);
	archive_close(a);
	a = open_told();
	cr_expect_eq(shown(a), 30);
	cr_expect_eq(names(a, 1, 0), -EDQUOT);
	archive_close(a);
}

/* ---- files that are open ------------------------------------------------------------------------------------------------------------ */

static const uint8_t place[HOME_BYTES] = {9, 9};

static void open_and_close(struct archive *a)
{
	struct audit_place at;
	struct file_header one = file(1), two = file(2), three = file(3);
	gate_record_at(a, RECORD_WRITE_OPEN, &alice, &one, NULL, place, NULL);
	gate_record_at(a, RECORD_WRITE_OPEN, &alice, &two, NULL, place, NULL);
	audit_place(a->audit, &at);
	gate_record_at(a, RECORD_CLOSE, &alice, &two, NULL, place, NULL);
	cr_assert_eq(gate_snapshot_write(a, &at, false), 0);
	gate_record_at(a, RECORD_WRITE_OPEN, &alice, &three, NULL, place, NULL);
}

Test(gate_snapshot, files_that_were_left_open)
{
	killed(open_and_close);
	for (int i = 0; i < 2; i++) {
		struct archive *a = open_told();
		cr_assert_gt(loaded, 0);
		cr_assert(!a->ended_well && a->unclean);
		for (uint32_t n = 1; n <= 3; n++)
			cr_assert_eq(open_table_has(a->unclean, file(n).file_id), n != 2 || !fresh_session_kept(a), "file %u, mount %d: one that was closed only counts if the machine went on", n, i);
		cr_assert(open_table_has(a->unclean, place));
		cr_assert(!open_table_has(a->unclean, file(4).file_id));
		archive_close(a);
	}
}

/* ---- while it is used ------------------------------------------------------------------------------------------------------------- */

static struct archive *busy;
static atomic_bool stop;

static void *write_many(void *written)
{
	struct audit_place at, before;
	audit_place(busy->audit, &before);
	while (!atomic_load(&stop)) {
		audit_place(busy->audit, &at);
		if (!gate_snapshot_write(busy, &before, false))
			++*(unsigned *)written;
		before = at;
	}
	return NULL;
}

static void work_while_written(struct archive *a)
{
	pthread_t t;
	unsigned written = 0;
	busy = a;
	cr_assert_eq(pthread_create(&t, NULL, write_many, &written), 0);
	for (uint32_t n = 0; n < 70; n++) {
		read_files(a, n, n + 1);
		gate_names(a, &alice, &(struct names_asked){.names = 1, .name = n + 1});
	}
	while (__atomic_load_n(&written, __ATOMIC_RELAXED) < 3)
		sched_yield();
	atomic_store(&stop, true);
	pthread_join(t, NULL);
}

Test(gate_snapshot, killed_while_many_are_written)
{
	killed(work_while_written);
	struct archive *a = open_told();
	cr_assert_gt(loaded, 0);
	expect_used(a, 70);
	archive_close(a);
}
