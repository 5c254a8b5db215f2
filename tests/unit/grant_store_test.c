/* Break-glass in an archive: on the terms of the policy in force when it is recorded, paths only while a grant asks for them, and names that are made. */
#include "store_fixture.h"
#include "store/gate_internal.h"
#include "store/grant_admin.h"

#include <pthread.h>
#include <pwd.h>
#include <stdatomic.h>
#include <unistd.h>

/* The fixture's classes: nothing has to be counted. */
#define HEAD                                                                                              \
	"[policy]\nversion = 1\ndefault-class = keep\n\n[class short]\nmatch = short/**\nexpire-after = 2s\n\n" \
	"[class never]\nmatch = never/**\nexpire-after = never\n\n[class keep]\nmatch = **\nexpire-after = 1d\n\n"
#define FILES HEAD "[rule all]\neffect = permit\nbudget = b\n[budget b]\nfiles = 100/24h\n"
#define NAMES HEAD "[rule all]\npaths = **\neffect = permit\nbudget = n\n[budget n]\nnames = 3/24h\n"

static const struct subject alice = {.uid = 1000, .login_uid = 1000, .real_uid = 1000, .gid = 1000};
static const struct caller by_alice = {.subject = &alice};
static const struct anchor_order order = {.who = &alice, .reason = "why"};

static void setup(void)
{
	archive_make();
	archive_up();
}

TestSuite(grant_store, .init = setup, .fini = archive_drop);

static void apply(const char *text)
{
	struct policy_plan plan;
	struct policy_diags d = {0};
	struct fault f = {{0}};
	const struct policy_change change = {.who = &alice, .reason = "test"};
	cr_assert_eq(archive_policy_apply(a, text, strlen(text), &change, &plan, &d, &f), 0, "%s", f.text);
	policy_diags_free(&d);
}

static errint_t request(struct grant_request q, struct grant_info *ret)
{
	struct fault f = {{0}};
	q.paths = q.paths ? q.paths : "";
	q.ticket = "";
	return archive_grant_request(a, &q, &order, ret, &f);
}

/* ---- the terms ------------------------------------------------------------------------------------------------------------------------- */

static _Atomic pid_t asking;
static struct grant_info asked;

static void *ask(void *p)
{
	asking = gettid();
	return (void *)(intptr_t)request((struct grant_request){.uid = 1001, .files = 1, .bytes = GUARD_ANY_NUMBER}, &asked);
}

static bool sleeps(void *ctx)
{
	char path[64], stat[64] = "";
	snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)asking);
	FILE *f = asking ? fopen(path, "re") : NULL;
	const char *end = f && fgets(stat, sizeof stat, f) ? strchr(stat, ')') : NULL;
	if (f)
		fclose(f);
	return end && end[2] == 'S';
}

Test(grant_store, what_is_asked_for_while_a_policy_is_applied_is_on_its_terms)
{
	static const char text[] = FILES "[break-glass]\napprove = second-person\n";
	struct gate *g = a->gate;
	struct policy_diags d = {0};
	struct policy *next, *old;
	pthread_t t;
	void *r;
	apply(FILES);
	cr_assert_eq(policy_parse(text, sizeof text - 1, archive_names(), &next, &d), 0);
	policy_diags_free(&d);
	pthread_mutex_lock(&g->apply_lock);
	cr_assert_eq(pthread_create(&t, NULL, ask, NULL), 0);
	cr_assert(eventually(sleeps, NULL), "it waits for the apply");
	pthread_mutex_lock(&g->policy_lock);
	old = g->now.policy;
	g->now.policy = next;
	pthread_mutex_unlock(&g->policy_lock);
	pthread_mutex_unlock(&g->apply_lock);
	cr_assert_eq(pthread_join(t, &r), 0);
	cr_assert_eq((intptr_t)r, 0);
	cr_expect(asked.waiting, "in force, and nobody has approved it");
	policy_unref(old);
}

Test(grant_store, where_files_are_bounded_names_are_not_without_end)
{
	const struct grant_request any = {.uid = 1001, .names = GUARD_ANY_NUMBER}, some = {.uid = 1001, .names = 1000};
	struct grant_info t;
	apply(NAMES "[break-glass]\nmax-files = 5\n");
	cr_expect_eq(request(any, &t), -EPERM);
	cr_expect_eq(request(some, &t), 0);
	apply(NAMES "[break-glass]\nmax-files = 5\nmax-names = 999\n");
	cr_expect_eq(request(any, &t), -EPERM);
	cr_expect_eq(request(some, &t), -EPERM);
	apply(NAMES "[break-glass]\nmax-time = 1d\n");
	cr_expect_eq(request(any, &t), 0);
}

/* ---- shown ----------------------------------------------------------------------------------------------------------------------------- */

Test(grant_store, of_one_user_no_others_grants_are_copied)
{
	struct grant_info t, *all;
	int64_t now;
	size_t count;
	apply(NAMES);
	for (uint32_t i = 0; i < 6; i++)
		cr_assert_eq(request((struct grant_request){.uid = 1000 + i % 3, .names = 1 + i}, &t), 0);
	cr_assert_eq(archive_grants(a, -1, &now, &all, &count), 0);
	cr_expect_eq(count, 6);
	free(all);
	cr_assert_eq(archive_grants(a, 1001, &now, &all, &count), 0);
	cr_assert_eq(count, 2);
	cr_expect(all[0].uid == 1001 && all[0].names == 2 && all[1].uid == 1001 && all[1].names == 5);
	free(all);
	cr_assert_eq(archive_grants(a, 1009, &now, &all, &count), 0);
	cr_expect_eq(count, 0);
	free(all);
}

/* ---- paths ----------------------------------------------------------------------------------------------------------------------------- */

/* One that ends by itself, at once. */
static void grant_paths_briefly(void)
{
	const int64_t now_ms = tclock_trusted_ns(a->clock) / 1000000;
	const struct guard_grant t = {.id = 1,
		.uid = 1000,
		.files = 1,
		.bytes = 1,
		.since_ms = now_ms,
		.until_ms = now_ms + 5,
		.seconds = 1,
		.asked = {.uid = 1000, .login_uid = 1000, .real_uid = 1000},
		.approved_by = POLICY_NO_UID,
		.paths = "d/**",
		.ticket = "",
		.reason = "why"};
	pthread_mutex_lock(&a->gate->guard_lock);
	cr_assert_eq(guard_grant(a->gate->guard, &t), 0);
	gate_grants_changed(a);
	pthread_mutex_unlock(&a->gate->guard_lock);
	cr_assert(a->gate->grant_paths);
}

static bool reads_without_paths(void *ctx)
{
	struct file_header h = {.generation = 1, .file_id = {1}, .expires_at = INT64_MAX, .key_kind = KEY_KIND_ARCHIVE};
	gate_read(a, &alice, "x.jpg", &h, 1000, O_RDONLY, &(struct guard_principals){.count = 0}, &(bool){false}, NULL);
	return !a->gate->grant_paths;
}

static bool looks_up_without_paths(void *ctx)
{
	gate_names(a, &alice, &(struct names_asked){.names = 1, .name = 1});
	return !a->gate->grant_paths;
}

static bool ended(void *ctx)
{
	struct grant_info *all;
	int64_t now;
	size_t count;
	cr_assert_eq(archive_grants(a, -1, &now, &all, &count), 0);
	free(all);
	return !count;
}

Test(grant_store, a_grant_that_has_ended_asks_for_no_paths)
{
	apply(FILES);
	grant_paths_briefly();
	cr_assert(eventually(ended, NULL));
	cr_expect(reads_without_paths(NULL));
	apply(NAMES);
	grant_paths_briefly();
	cr_assert(eventually(ended, NULL));
	cr_expect(looks_up_without_paths(NULL));
}

static unsigned look_up(struct inode *dir, const char *name, unsigned most)
{
	unsigned n = 0;
	while (n < most && !fs_may_look_up(a, dir, name, &alice))
		n++;
	return n;
}

Test(grant_store, a_lookup_below_the_paths_of_a_grant_is_known_by_its_path)
{
	struct fs_entry d, e;
	struct grant_info t;
	apply(NAMES);
	make_dir("d");
	cr_assert_eq(find_path("d", &d), 0);
	cr_assert_eq(fs_mkdir(a, d.inode, "e", 0755, &caller, &e), 0);
	cr_assert_eq(look_up(fs_root(a), "d", 9), 3);
	cr_assert_eq(request((struct grant_request){.uid = 1000, .names = 100, .paths = "d/e/*.jpg"}, &t), 0);
	cr_expect_eq(look_up(fs_root(a), "d", 2), 2, "on the way");
	cr_expect_eq(look_up(fs_root(a), "x", 2), 0);
	cr_expect_eq(look_up(d.inode, "e", 2), 2, "on the way");
	cr_expect_eq(look_up(d.inode, "x.jpg", 2), 0);
	cr_expect_eq(look_up(e.inode, "x.jpg", 2), 2);
	cr_expect_eq(look_up(e.inode, "x.png", 2), 0);
	fs_forget(a, e.inode, 1);
	fs_forget(a, d.inode, 1);
}

/* ---- what is made ---------------------------------------------------------------------------------------------------------------------- */

static void rename_by_alice(const char *from, const char *to, unsigned flags)
{
	cr_assert_eq(fs_rename(a, fs_root(a), from, fs_root(a), to, flags, &by_alice), 0);
}

Test(grant_store, only_a_rename_to_a_name_that_was_not_there_takes_its_lookup_back)
{
	apply(NAMES);
	for (unsigned i = 0; i < 3; i++)
		fs_forget(a, make_file(NULL, (const char *[]){"a", "b", "c"}[i], "x", NULL), 1);
	cr_assert_eq(look_up(fs_root(a), "b", 1), 1);
	rename_by_alice("a", "b", RENAME_EXCHANGE);
	cr_assert_eq(look_up(fs_root(a), "b", 1), 1);
	rename_by_alice("a", "b", 0);
	cr_assert_eq(look_up(fs_root(a), "d", 1), 1);
	cr_expect_eq(look_up(fs_root(a), "d", 1), 0, "nothing was taken back");
	rename_by_alice("c", "d", 0);
	cr_expect_eq(look_up(fs_root(a), "d", 2), 1);
}

/* ---- who a record is about ------------------------------------------------------------------------------------------------------------- */

static pthread_mutex_t *watched;
static unsigned asked_for, asked_under_it;

/* In the place of the C library's. */
int getpwuid_r(uid_t uid, struct passwd *pw, char *buf, size_t cap, struct passwd **ret)
{
	*ret = NULL;
	if (!watched)
		return 0;
	asked_for++;
	if (pthread_mutex_trylock(watched))
		asked_under_it++;
	else
		pthread_mutex_unlock(watched);
	return 0;
}

Test(grant_store, no_read_waits_for_the_name_service_while_a_new_budget_catches_up)
{
	struct policy_diags d = {0};
	struct policy *next;
	struct lacking l;
	apply(FILES);
	reads_without_paths(NULL);
	cr_assert_eq(policy_parse(NAMES, strlen(NAMES), archive_names(), &next, &d), 0);
	policy_diags_free(&d);
	cr_assert_eq(gate_lacking_begin(a, next, &l), 0);
	cr_assert_not_null(l.guard);
	reads_without_paths(NULL);
	pthread_mutex_lock(&a->gate->guard_lock);
	guard_set_policy(a->gate->guard, next);
	gate_lacking_adopt(a, &l);
	pthread_mutex_unlock(&a->gate->guard_lock);
	watched = &a->gate->guard_lock;
	gate_lacking_end(a, &l);
	watched = NULL;
	cr_expect_eq(asked_for, 1, "%u", asked_for);
	cr_expect_eq(asked_under_it, 0);
	policy_unref(next);
}
