/* The gate: budgets are exact under threads and survive a killed daemon; what the log says was left open is not lost. */
#include "archive_fixture.h"
#include "store/guard_admin.h"
#include "store/internal.h"
#include "store/ofile.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define BUDGET 100

static const char policy[] = "[policy]\nversion = 1\ndefault-class = images\n"
			     "[class short]\nmatch = short/**\nexpire-after = 1h\n"
			     "[class images]\nmatch = **\nexpire-after = 30d\n"
			     "[rule nobody]\neffect = deny\nusers = 4444\n"
			     "[rule all]\neffect = permit\nbudget = reader\n"
			     "[budget reader]\nper = user\nfiles = 100/24h\non-exceed = deny\n";

static void setup(void)
{
	archive_setup();
	make_archive(policy);
}

TestSuite(gate, .init = setup, .fini = place_teardown);

static const struct subject alice = {.uid = 1000, .login_uid = 1000, .real_uid = 1000, .gid = 1000};
static const struct subject bob = {.uid = 1001, .login_uid = 1001, .real_uid = 1001, .gid = 1001};
static const struct subject barred = {.uid = 4444, .login_uid = 4444, .real_uid = 4444, .gid = 4444};

static struct file_header file(uint32_t number)
{
	struct file_header h = {.generation = 1, .expires_at = INT64_MAX, .key_kind = KEY_KIND_ARCHIVE};
	memcpy(h.file_id, &number, sizeof number);
	h.file_id[15] = 1;
	return h;
}

static errint_t read_file(struct archive *a, const struct subject *who, uint32_t number)
{
	struct file_header h = file(number);
	return gate_read(a, who, "x.jpg", &h, 1000, O_RDONLY, &(struct guard_principals){.count = 0}, &(bool){false}, NULL);
}

static uint32_t read_until_refused(struct archive *a, const struct subject *who, uint32_t from)
{
	uint32_t n = 0;
	while (n < 10 * BUDGET && !read_file(a, who, from + n))
		n++;
	return n;
}

/* ---- budgets ------------------------------------------------------------------------------------------------------------------------- */

Test(gate, a_budget_ends_and_what_was_read_may_be_read_again)
{
	struct archive_status *s = malloc(sizeof *s);
	struct archive *a = open_archive();
	cr_assert_eq(read_until_refused(a, &alice, 0), BUDGET);
	cr_assert_eq(read_file(a, &alice, BUDGET), -EDQUOT);
	struct file_header h = file(BUDGET);
	cr_assert_eq(gate_read(a, &alice, "x.jpg", &h, 1000, O_RDWR, &(struct guard_principals){.count = 0}, &(bool){false}, NULL), -EACCES);
	cr_assert_eq(read_file(a, &alice, 5), 0);
	cr_assert_eq(read_file(a, &bob, BUDGET), 0, "another reader");
	cr_assert_eq(read_file(a, &barred, 0), -EACCES);
	archive_get_status(a, s);
	cr_assert_eq(s->reads_permitted, BUDGET + 2);
	cr_assert_eq(s->reads_denied, 4);
	archive_close(a);
	free(s);
}

#define THREADS 8

struct reader {
	struct archive *a;
	uint32_t from;
	unsigned permitted;
};

static void *read_many(void *p)
{
	struct reader *r = p;
	for (uint32_t i = 0; i < BUDGET / 2; i++)
		r->permitted += !read_file(r->a, &alice, r->from + i);
	return NULL;
}

static errint_t count_permits(void *ctx, const struct audit_record *r)
{
	unsigned *n = ctx;
	*n += r->kind == RECORD_OPEN && r->decision == DECISION_PERMIT;
	return 0;
}

Test(gate, a_budget_is_exact_under_eight_threads)
{
	struct archive *a = open_archive();
	struct reader r[THREADS];
	pthread_t t[THREADS];
	unsigned permitted = 0, recorded = 0;
	cr_assert_eq(audit_start(a->audit), 0);
	for (uint32_t i = 0; i < THREADS; i++) {
		r[i] = (struct reader){.a = a, .from = i * BUDGET};
		cr_assert_eq(pthread_create(&t[i], NULL, read_many, &r[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(t[i], NULL);
		permitted += r[i].permitted;
	}
	cr_assert_eq(permitted, BUDGET);
	cr_assert_eq(audit_each(a->audit, 0, count_permits, &recorded), 0);
	cr_assert_eq(recorded, BUDGET);
	archive_close(a);
}

static struct archive *reopen(struct archive *a)
{
	archive_close(a);
	return open_archive();
}

Test(gate, a_restart_refills_nothing)
{
	struct archive *a = open_archive();
	cr_assert_eq(read_until_refused(a, &alice, 0), BUDGET);
	a = reopen(a);
	cr_assert_eq(read_until_refused(a, &alice, 1000), 0);
	cr_assert_eq(read_file(a, &alice, 5), 0);
	cr_assert_eq(read_until_refused(a, &bob, 0), BUDGET);
	archive_close(a);
}

/* Runs `work` in a process that ends like a killed daemon. */
static void in_killed_process(void (*work)(struct archive *a))
{
	pid_t pid = fork();
	cr_assert_geq(pid, 0);
	if (!pid) {
		work(open_archive());
		_exit(0);
	}
	int status;
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status) && !WEXITSTATUS(status));
}

static void use_up(struct archive *a)
{
	if (read_until_refused(a, &alice, 0) != BUDGET)
		_exit(1);
}

Test(gate, a_killed_daemon_refills_nothing)
{
	in_killed_process(use_up);
	struct archive *a = open_archive();
	cr_assert_eq(read_until_refused(a, &alice, 1000), 0);
	archive_close(a);
}

Test(gate, what_a_reader_wrote_is_free_and_stays_so)
{
	struct archive *a = open_archive();
	struct file_header h = file(7777);
	cr_assert_eq(gate_record(a, RECORD_CREATE, &alice, &h, NULL, NULL), 0);
	gate_created(a, &alice, h.file_id, &(struct guard_principals){.count = 0});
	cr_assert_eq(gate_record(a, RECORD_CLOSE, NULL, &h, NULL, NULL), 0);
	cr_assert_eq(read_file(a, &alice, 7777), 0);
	a = reopen(a);
	cr_assert_eq(
		read_until_refused(a, &alice, 0), BUDGET, "reading it was not charged, and is not after a restart");
	cr_assert_eq(read_file(a, &alice, 7777), 0);
	a = reopen(a);
	cr_assert_eq(read_file(a, &alice, 7777), 0);
	cr_assert_eq(read_until_refused(a, &alice, 1000), 0);
	archive_close(a);
}

Test(gate, what_somebody_else_wrote_is_charged_and_stays_so)
{
	struct archive *a = open_archive();
	struct file_header h = file(7777);
	struct guard_principals by;
	uint8_t head[DIGEST_BYTES];
	uint64_t before, after;
	cr_assert_eq(gate_record(a, RECORD_CREATE, &alice, &h, NULL, NULL), 0);
	gate_created(a, &alice, h.file_id, &by);
	audit_head(a->audit, &before, head);
	cr_assert_eq(gate_written(a, &alice, &h, &by), 0);
	audit_head(a->audit, &after, head);
	cr_assert_eq(after, before, "it is still hers");
	cr_assert_eq(gate_written(a, &bob, &h, &by), 0);
	audit_head(a->audit, &after, head);
	cr_assert_eq(after, before + 1);
	cr_assert_eq(gate_record(a, RECORD_CLOSE, NULL, &h, NULL, NULL), 0);
	a = reopen(a);
	cr_assert(a->ended_well);
	cr_assert_eq(read_file(a, &alice, 7777), 0);
	cr_assert_eq(read_until_refused(a, &alice, 0), BUDGET - 1, "reading it was charged");
	a = reopen(a);
	cr_assert_eq(read_until_refused(a, &alice, 1000), 0);
	archive_close(a);
}

Test(gate, what_cannot_be_recorded_is_not_read)
{
	struct rlimit whole, small;
	struct stat st;
	char path[2 * PATH_MAX];
	struct archive *a = open_archive();
	snprintf(path, sizeof path, "%s/.lapse/audit/0000000000000001.seg", root);
	cr_assert_eq(stat(path, &st), 0);
	signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(getrlimit(RLIMIT_FSIZE, &whole), 0);
	small = whole;
	small.rlim_cur = (rlim_t)st.st_size + 10;
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	cr_assert_eq(read_file(a, &alice, 1), -EIO);
	cr_assert_eq(gate_list(a, &alice, "", file(1).dir_id), -EIO);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &whole), 0);
	cr_assert_eq(read_file(a, &alice, 1), 0);
	archive_close(a);
}

/* ---- lockouts and closures: they stand through every end, and end by themselves ------------------------------------------------------ */

static const char locking[] = "[policy]\nversion = 1\ndefault-class = images\n[class images]\nmatch = **\nexpire-after = 30d\n"
			      "[rule keeper]\neffect = permit\nusers = 4444\nbudget = none\n"
			      "[rule all]\neffect = permit\nbudget = reader\n"
			      "[budget reader]\nper = user\nfiles = 100/1h\non-exceed = lockout\nlockout-for = 50d\n";

static void locking_setup(void)
{
	archive_setup();
	make_archive(locking);
}

TestSuite(lockout, .init = locking_setup, .fini = place_teardown);

static void second_person_setup(void)
{
	char text[sizeof locking + 64];
	snprintf(text, sizeof text, "%s[break-glass]\napprove = second-person\n", locking);
	archive_setup();
	make_archive(text);
}

static const char serving[] = "[policy]\nversion = 1\ndefault-class = images\n[class images]\nmatch = **\nexpire-after = 30d\n"
			      "[rule free]\npaths = free/**\neffect = permit\nbudget = none\n"
			      "[rule smb]\nservices = smbd.service\nidentity = uid\neffect = permit\nbudget = reader\n"
			      "[rule all]\neffect = permit\nbudget = reader\n"
			      "[budget reader]\nper = user\nfiles = 100/1h\non-exceed = lockout\n";

static void serving_setup(void)
{
	archive_setup();
	make_archive(serving);
}

/* What the reader opens at the path is shut if one of root, alice, bob is locked out: as bits. */
static unsigned shut_by(struct archive *a, const struct subject *who, const char *path)
{
	struct handle h = {.charged = {.count = 0}};
	struct file_header header = file(1);
	unsigned by = 0;
	cr_assert_eq(gate_read(a, who, path, &header, 1000, O_RDONLY, &h.charged, &(bool){false}, NULL), 0);
	for (unsigned i = 0; i < 3; i++)
		by |= (unsigned)fs_read_by(&h, (uint32_t[]){0, 1000, 1001} + i, 1) << i;
	return by;
}

Test(gate, a_lockout_shuts_what_was_opened_by_those_whom_it_was_charged_to, .init = serving_setup)
{
	struct archive *a = open_archive();
	struct subject client = {.uid = 1000, .login_uid = 1001, .real_uid = 0, .gid = 1000};
	cr_expect_eq(shut_by(a, &client, "x.jpg"), 7);
	client.service = "smbd.service";
	cr_expect_eq(shut_by(a, &client, "x.jpg"), 2, "the file server is not its clients");
	cr_expect_eq(shut_by(a, &client, "free/x.jpg"), 0);
	archive_close(a);
}

static void count_one(void *ctx, const struct guard_lockout *l)
{
	cr_assert_str_eq(l->budget, "reader");
	cr_assert_str_eq(l->window, "100/1h");
	cr_assert_eq(l->until_ms % 1000, 0);
	++*(unsigned *)ctx;
}

static unsigned lockouts(struct archive *a)
{
	unsigned n = 0;
	archive_each_lockout(a, count_one, &n);
	return n;
}

static void keep_end(void *ctx, const struct guard_lockout *l)
{
	*(int64_t *)ctx = l->until_ms;
}

static int64_t end_of(struct archive *a)
{
	int64_t end = 0;
	archive_each_lockout(a, keep_end, &end);
	return end;
}

static void lock_alice(struct archive *a)
{
	if (read_until_refused(a, &alice, 0) != BUDGET || read_file(a, &alice, 5) != -EACCES)
		_exit(1);
}

Test(lockout, stands_through_kill_and_restarts)
{
	in_killed_process(lock_alice);
	struct archive *a = open_archive();
	int64_t end = end_of(a);
	cr_assert_eq(lockouts(a), 1);
	cr_assert_eq(read_file(a, &alice, 5), -EACCES);
	cr_assert_eq(read_file(a, &bob, 5), 0);
	for (int i = 0; i < 3; i++) {
		a = reopen(a);
		cr_assert_eq(end_of(a), end, "carried over as it was");
		cr_assert_eq(read_file(a, &alice, 5), -EACCES);
	}
	archive_close(a);
}

/* How many records of a lockout or closure lie just before a mount's, or a clean end's. */
struct carried {
	unsigned run, mount, end;
};

static errint_t count_carried(void *ctx, const struct audit_record *r)
{
	struct carried *c = ctx;
	if (r->kind == RECORD_MOUNT)
		c->mount += c->run;
	if (r->kind == RECORD_UMOUNT)
		c->end += c->run;
	c->run = r->kind == RECORD_GUARD ? c->run + 1 : 0;
	return 0;
}

Test(lockout, is_recorded_again_so_that_older_sessions_need_not_be_read)
{
	struct carried c = {0};
	in_killed_process(lock_alice);
	struct archive *a = reopen(open_archive());
	cr_assert_eq(audit_each(a->audit, 0, count_carried, &c), 0);
	cr_assert_eq(c.mount, 2, "at the mount after the kill, and at that after the clean end");
	cr_assert_eq(c.end, 1);
	archive_close(a);
}

static errint_t unlock_by(struct archive *a, const struct subject *who)
{
	struct fault f = {0};
	struct anchor_order o = {.who = who, .reason = "it was the nightly report"};
	return archive_unlock(a, 1000, &o, &f);
}

Test(lockout, is_ended_by_another_and_never_by_oneself)
{
	struct archive *a = open_archive();
	const struct subject as_root = {.uid = 0, .login_uid = 1000, .real_uid = 0, .gid = 0},
			     set_uid = {.uid = 0, .login_uid = POLICY_NO_UID, .real_uid = 1000, .gid = 0},
			     nobody_known = {.uid = 7, .login_uid = 7, .real_uid = 7, .unidentified = true},
			     officer = {.uid = 0, .login_uid = 1001, .real_uid = 0, .gid = 0};
	lock_alice(a);
	cr_assert_eq(unlock_by(a, &alice), -EACCES);
	cr_assert_eq(unlock_by(a, &as_root), -EACCES);
	cr_assert_eq(unlock_by(a, &set_uid), -EACCES);
	cr_assert_eq(unlock_by(a, &nobody_known), -EACCES);
	a = reopen(a);
	cr_assert_eq(read_file(a, &alice, 5), -EACCES, "what was refused is not done at the next mount either");
	cr_assert_eq(unlock_by(a, &officer), 0);
	cr_assert_eq(read_file(a, &alice, 5), 0);
	cr_assert_eq(unlock_by(a, &officer), -ENOENT);
	a = reopen(a);
	cr_assert_eq(read_file(a, &alice, 5), 0);
	cr_assert_eq(read_file(a, &alice, BUDGET + 7), -EACCES, "the budget is as full as it was");
	cr_assert_eq(lockouts(a), 1);
	archive_close(a);
}

Test(lockout, is_ended_by_somebody_where_the_policy_asks_for_a_second_person, .init = second_person_setup)
{
	struct archive *a = open_archive();
	const struct subject not_logged_in = {.uid = 0, .login_uid = POLICY_NO_UID, .real_uid = 0, .gid = 0},
			     logged_in_as_root = {.uid = 0, .login_uid = 0, .real_uid = 0, .gid = 0},
			     as_root = {.uid = 0, .login_uid = 1000, .real_uid = 0, .gid = 0},
			     officer = {.uid = 0, .login_uid = 1001, .real_uid = 0, .gid = 0};
	lock_alice(a);
	cr_expect_eq(unlock_by(a, &not_logged_in), -EACCES);
	cr_expect_eq(unlock_by(a, &logged_in_as_root), -EACCES);
	cr_expect_eq(unlock_by(a, &as_root), -EACCES);
	a = reopen(a);
	cr_expect_eq(lockouts(a), 1, "what was refused is not done at the next mount either");
	cr_expect_eq(unlock_by(a, &officer), 0);
	cr_expect_eq(lockouts(a), 0);
	archive_close(a);
}

struct seen {
	unsigned lockouts, denied, before;
};

static errint_t look(void *ctx, const struct audit_record *r)
{
	struct seen *s = ctx;
	if (r->kind == RECORD_GUARD && !strncmp(r->text, "lockout: 100/1h", 15) && r->bytes == 1000 && r->uid == 1000)
		s->lockouts++;
	if (r->kind == RECORD_OPEN && r->error == -EACCES) {
		s->denied++;
		s->before = s->lockouts;
	}
	return 0;
}

Test(lockout, is_on_the_record_before_the_reply)
{
	struct archive *a = open_archive();
	struct seen s = {0};
	cr_assert_eq(read_until_refused(a, &alice, 0), BUDGET);
	cr_assert_eq(audit_each(a->audit, 0, look, &s), 0);
	cr_assert_eq(s.lockouts, 1);
	cr_assert_eq(s.denied, 1);
	cr_assert_eq(s.before, 1);
	archive_close(a);
}

static errint_t close_for(struct archive *a, int64_t seconds, const char *except)
{
	struct fault f = {0};
	struct anchor_order o = {.who = &bob, .reason = "a visit: the vendor"};
	return archive_shut(a, seconds, true, except, &o, &f);
}

static void close_it(struct archive *a)
{
	if (close_for(a, 86400, "keeper"))
		_exit(1);
}

Test(lockout, a_closure_stands_and_can_be_ended)
{
	struct fault f = {0};
	struct anchor_order o = {.who = &bob, .reason = "they have left"};
	struct closure_info c;
	int64_t now;
	in_killed_process(close_it);
	struct archive *a = open_archive();
	for (int i = 0; i < 2; i++) {
		cr_assert(archive_closed(a, &now, &c));
		cr_assert_str_eq(c.reason, "a visit: the vendor");
		cr_assert_str_eq(c.except, "keeper");
		cr_assert_eq(c.until, c.since + 86400);
		cr_assert_eq(read_file(a, &alice, 5), -EACCES);
		cr_assert_eq(read_file(a, &barred, 5), 0, "its rule goes on");
		a = reopen(a);
	}
	cr_assert_eq(close_for(a, 0, ""), -EINVAL);
	cr_assert_eq(close_for(a, 10, "keeper nobody"), -ENOENT);
	cr_assert_eq(archive_reopen(a, &o, &f), 0);
	cr_assert_eq(archive_reopen(a, &o, &f), -ENOENT);
	cr_assert_eq(read_file(a, &alice, 5), 0);
	a = reopen(a);
	cr_assert_eq(read_file(a, &alice, 5), 0);
	archive_close(a);
}

/* ---- files left open ---------------------------------------------------------------------------------------------------------------------- */

static uint8_t place_of(uint32_t number, uint8_t out[static HOME_BYTES])
{
	memset(out, 0x40 + (int)number, HOME_BYTES);
	return out[0];
}

static void record(struct archive *a, enum record_kind kind, uint32_t number)
{
	uint8_t place[HOME_BYTES];
	struct file_header h = file(number);
	place_of(number, place);
	if (gate_record_at(a, kind, &alice, &h, NULL, place, NULL))
		abort();
}

static bool is_unclean(struct archive *a, uint32_t number)
{
	uint8_t place[HOME_BYTES];
	struct file_header h = file(number);
	place_of(number, place);
	bool by_id = a->unclean && open_table_has(a->unclean, h.file_id);
	bool by_place = a->unclean && open_table_has(a->unclean, place);
	cr_assert_eq(by_id, by_place);
	return by_id;
}

static void leave_open(struct archive *a)
{
	for (uint32_t n = 0; n < 6; n++)
		record(a, n % 2 ? RECORD_CREATE : RECORD_WRITE_OPEN, n);
	record(a, RECORD_CLOSE, 0);
	record(a, RECORD_EXPIRE, 1);
	record(a, RECORD_UNLINK, 2);
	record(a, RECORD_CLOSE, 3);
	record(a, RECORD_WRITE_OPEN, 3);
}

static void do_nothing(struct archive *a)
{
}

Test(gate, files_open_at_a_crash_are_found_and_carried_over_until_they_are_resolved)
{
	power_cut = true;
	in_killed_process(leave_open);
	in_killed_process(do_nothing);
	struct archive *a = open_archive();
	/* 0 was closed, 1 and 2 are gone, but so lately that it may not have reached the disk */
	for (uint32_t n = 0; n < 6; n++)
		cr_assert(is_unclean(a, n), "%u", n);
	record(a, RECORD_CLOSE, 4);
	a = reopen(a);
	for (uint32_t n = 0; n < 6; n++)
		cr_assert_eq(is_unclean(a, n), n != 4, "%u", n);
	record(a, RECORD_CLOSE, 0);
	record(a, RECORD_UNLINK, 1);
	record(a, RECORD_EXPIRE, 2);
	record(a, RECORD_CLOSE, 3);
	record(a, RECORD_UNLINK, 5);
	a = reopen(a);
	cr_assert_null(a->unclean);
	archive_close(a);
}

Test(gate, what_was_closed_before_a_kill_is_closed_where_the_machine_went_on)
{
	in_killed_process(leave_open);
	in_killed_process(do_nothing);
	struct archive *a = open_archive();
	for (uint32_t n = 0; n < 6; n++)
		cr_assert_eq(is_unclean(a, n), n > 2, "%u", n);
	archive_close(a);
}

Test(gate, a_file_that_stays_open_at_the_end_makes_it_unclean)
{
	struct archive *a = open_archive();
	record(a, RECORD_CREATE, 1);
	record(a, RECORD_CREATE, 2);
	record(a, RECORD_CLOSE, 2);
	a = reopen(a);
	cr_assert(is_unclean(a, 1));
	cr_assert_not(is_unclean(a, 2));
	/* the scan has seen everything: there is no such file */
	gate_all_seen(a);
	a = reopen(a);
	cr_assert_null(a->unclean);
	archive_close(a);
}

/* ---- the policy ----------------------------------------------------------------------------------------------------------------------------- */

static char plan_id[17];

/* Without a plan, or (`planned`) with one made for it. */
static errint_t apply(struct archive *a, const char *text, bool planned, uint64_t *expiring)
{
	struct policy_diags diags = {0};
	struct policy_plan plan = {0};
	struct fault f = {{0}};
	if (planned) {
		cr_assert_eq(archive_policy_plan(a, text, strlen(text), &plan, &diags, &f), 0);
		memcpy(plan_id, plan.id, sizeof plan_id);
		policy_plan_free(&plan);
		policy_diags_free(&diags);
	}
	const struct policy_change change = {.who = &alice, .plan_id = planned ? plan_id : NULL};
	errint_t r = archive_policy_apply(a, text, strlen(text), &change, &plan, &diags, &f);
	*expiring = plan.total.expiring;
	cr_assert(r == 0 || f.text[0] || diags.errors);
	policy_plan_free(&plan);
	policy_diags_free(&diags);
	return r;
}

static uint64_t generation(struct archive *a)
{
	char *text;
	size_t len;
	uint64_t g;
	int64_t at;
	cr_assert_eq(archive_policy_text(a, &text, &len, &g, &at), 0);
	cr_assert_eq(text[len], 0);
	cr_assert_eq(strlen(text), len);
	free(text);
	return g;
}

static char shut[sizeof policy + 64];

static const char *shut_policy(void)
{
	snprintf(shut, sizeof shut, "%.*s[rule all]\neffect = deny\n", (int)(strstr(policy, "[rule nobody]") - policy),
		policy);
	return shut;
}

Test(gate, a_policy_is_swapped_in_and_stays)
{
	uint64_t expiring;
	struct archive *a = open_archive();
	cr_assert_eq(generation(a), 1);
	cr_assert_eq(read_file(a, &alice, 1), 0);
	cr_assert_eq(apply(a, "[policy]\nversion = 1\nnonsense = 3\n", false, &expiring), -EINVAL);
	cr_assert_eq(apply(a, shut_policy(), false, &expiring), 0);
	cr_assert_eq(generation(a), 2);
	cr_assert_eq(read_file(a, &alice, 1), -EACCES);
	a = reopen(a);
	cr_assert_eq(generation(a), 2);
	cr_assert_eq(read_file(a, &alice, 1), -EACCES);
	cr_assert_eq(apply(a, policy, false, &expiring), 0);
	cr_assert_eq(read_file(a, &alice, 1), 0);
	cr_assert_eq(read_until_refused(a, &alice, 1000), BUDGET - 1, "a policy change refills nothing");
	archive_close(a);
}

Test(gate, every_crash_point_of_an_apply_leaves_a_policy)
{
	uint64_t expiring;
	errint_t r = -1;
	uint64_t last = 1;
	for (long n = 0; r; n++) {
		struct archive *a = open_archive();
		cr_assert_eq(generation(a), last);
		crash_begin(n, n % 2);
		r = apply(a, shut_policy(), false, &expiring);
		cr_assert_eq(generation(a), last + !r);
		archive_close(a);
		crash_end();
		a = open_archive();
		cr_assert(generation(a) == last + 1 || (r && generation(a) == last));
		last = generation(a);
		archive_close(a);
	}
}

Test(gate, a_policy_put_back_from_before_is_refused)
{
	uint64_t expiring;
	char old[PATH_MAX], sealed[2 * PATH_MAX];
	snprintf(sealed, sizeof sealed, "%s/.lapse/policy", root);
	copy_file(sealed, in_dir(old, "old"));
	struct archive *a = open_archive();
	cr_assert_eq(apply(a, shut_policy(), false, &expiring), 0);
	archive_close(a);
	copy_file(old, sealed);
	cr_assert_eq(open_error(key_a), -EBADMSG);
	cr_assert_said("policy");
}

Test(gate, a_policy_that_would_expire_files_asks_first)
{
	uint64_t expiring = 0;
	char short_policy[sizeof policy + 16];
	struct catalogue_row row = {
		.generation = 1, .state = HEADER_CLOSED, .key_kind = KEY_KIND_EPOCH, .backing = "x"};
	struct archive *a = open_archive();
	struct file_header h = {.basis_at = tclock_trusted(a->clock) - 7200, .basis_kind = POLICY_BASIS_CREATED};
	cr_assert_eq(gate_classify(a, "a.jpg", tclock_trusted(a->clock), &h), 0);
	memcpy(row.class_fp, h.class_fp, CLASS_FP_BYTES);
	row.basis_at = h.basis_at;
	row.basis_kind = h.basis_kind;
	row.created_at = h.created_at;
	row.expires_at = h.expires_at;
	for (uint8_t i = 0; i < 3; i++) {
		row.place[0] = row.file_id[0] = (uint8_t)(i + 1);
		catalogue_put(a->catalogue, &row);
	}
	cr_assert_eq(catalogue_flush(a->catalogue), 0);
	const char *at = strstr(policy, "30d");
	snprintf(short_policy, sizeof short_policy, "%.*s1h%s", (int)(at - policy), policy, at + 3);
	cr_assert_eq(apply(a, short_policy, false, &expiring), -EAGAIN, "not every file is known yet");
	cr_assert_eq(expiring, 3);
	cr_assert_eq(generation(a), 1);
	archive_close(a);
}

/* ---- classes --------------------------------------------------------------------------------------------------------------------------------- */

Test(gate, a_file_is_classified_by_its_path_and_its_basis_stays)
{
	char name[64];
	unsigned line;
	struct archive *a = open_archive();
	struct file_header h = {.basis_at = 0};
	int64_t now = tclock_trusted(a->clock);
	cr_assert(gate_needs_path(a));
	cr_assert_eq(gate_classify(a, "a.jpg", now, &h), 0);
	cr_assert_eq(h.created_at, now);
	cr_assert_eq(h.basis_at, now);
	cr_assert_eq(h.basis_kind, POLICY_BASIS_CREATED);
	cr_assert_eq(h.expires_at, now + 30 * 86400);
	cr_assert_eq(h.settles_at, now + 120);
	cr_assert_eq(h.retain_until, INT64_MIN);
	cr_assert_eq(h.key_kind, KEY_KIND_EPOCH);
	cr_assert_eq(h.epoch, (h.expires_at - 1) / 60);
	gate_class_name(a, h.class_fp, name, &line);
	cr_assert_str_eq(name, "images");
	cr_assert_eq(line, 7);
	archive_close(a);
}

Test(gate, a_file_that_is_moved_before_it_settles_is_of_its_new_class)
{
	char name[64];
	struct archive *a = open_archive();
	int64_t now = tclock_trusted(a->clock);
	struct file_header h = {.created_at = now - 100, .basis_at = now - 100, .basis_kind = POLICY_BASIS_CREATED};
	cr_assert_eq(gate_classify(a, "short/a.jpg", now, &h), 0);
	cr_assert_eq(h.created_at, now - 100);
	cr_assert_eq(h.expires_at, now - 100 + 3600);
	gate_class_name(a, h.class_fp, name, NULL);
	cr_assert_str_eq(name, "short");
	memset(h.class_fp, 0, sizeof h.class_fp);
	gate_class_name(a, h.class_fp, name, NULL);
	cr_assert_str_eq(name, "");
	archive_close(a);
}

Test(gate, a_preview_charges_nothing)
{
	struct guard_verdict v;
	struct archive *a = open_archive();
	for (uint32_t i = 0; i < 3 * BUDGET; i++) {
		struct file_header h = file(i);
		gate_preview(a, &alice, "x.jpg", &h, 1000, &v);
		cr_assert_eq(v.error, 0);
	}
	cr_assert_eq(read_until_refused(a, &alice, 0), BUDGET);
	struct file_header h = file(5000);
	gate_preview(a, &alice, "x.jpg", &h, 1000, &v);
	cr_assert_eq(v.error, -EDQUOT);
	cr_assert_str_eq(v.budget, "reader");
	archive_close(a);
}
