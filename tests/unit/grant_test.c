#include "policy_fixture.h"

#define H INT64_C(3600000)
#define SMALL                                                                                  \
	HEAD "[rule no]\npaths = secret/**\neffect = deny\n[rule a]\neffect = permit\nbudget = b\n" \
	     "[budget b]\nfiles = 3/24h\nbytes = 1000/24h\n"

static struct guard_grant grant_for(uint32_t uid, uint64_t id, uint64_t files)
{
	return (struct guard_grant){.id = id,
		.uid = uid,
		.files = files,
		.bytes = GUARD_ANY_NUMBER,
		.until_ms = 4 * H,
		.seconds = 4 * 3600,
		.asked = {.uid = 0, .login_uid = 1001, .real_uid = 0},
		.approved_by = POLICY_NO_UID,
		.paths = "",
		.ticket = "T-1",
		.reason = "audit of the week"};
}

static void put(struct guard *g, struct guard_grant t)
{
	cr_assert_eq(guard_grant(g, &t), 0);
}

static struct guard_verdict read_at(struct guard *g, uint32_t uid, uint64_t file, const char *path, int64_t now_ms)
{
	struct subject s = fixture_subject(uid);
	struct guard_request r = fixture_request(&s, file, now_ms);
	struct guard_verdict v;

	r.path = path;
	guard_check(g, &r, &v);
	return v;
}

/* Reads files from..to; how many came out. */
static unsigned read_many(struct guard *g, uint32_t uid, uint64_t from, uint64_t to, int64_t now_ms)
{
	unsigned n = 0;

	for (uint64_t i = from; i <= to; i++)
		n += fixture_read(g, uid, i, now_ms).error == 0;
	return n;
}

Test(grant, so_many_files_more_and_no_further)
{
	struct guard *g = fixture_guard(SMALL);
	struct guard_verdict v;

	put(g, grant_for(1000, 7, 2));
	cr_expect_eq(read_many(g, 1000, 1, 3, 0), 3);
	v = fixture_read(g, 1000, 4, 0);
	cr_expect_eq(v.error, 0);
	cr_expect_eq(v.effect, GUARD_PERMIT);
	cr_assert_eq(v.grant_count, 1);
	cr_expect_eq(v.grant[0], 7);
	cr_expect_str_eq(v.budget, "b");
	cr_expect_eq(fixture_read(g, 1000, 4, 0).error, 0, "again is free");
	cr_expect_eq(fixture_read(g, 1000, 5, 0).error, 0);
	v = fixture_read(g, 1000, 6, 0);
	cr_expect_eq(v.error, -EDQUOT);
	cr_expect_eq(v.grant_count, 0);
	cr_expect_eq(fixture_read(g, 1000, 1, 0).grant_count, 0, "what the budget lets through is not read under it");
	cr_expect_eq(read_many(g, 1001, 1, 9, 0), 3, "another's budget is as it was");
	guard_free(g);
}

Test(grant, its_end_and_its_revocation_leave_the_budget_as_it_was)
{
	struct guard *g = fixture_guard(SMALL);

	put(g, grant_for(1000, 7, 100));
	put(g, grant_for(1001, 8, 100));
	cr_expect_eq(read_many(g, 1000, 1, 9, 0), 9);
	cr_expect_eq(read_many(g, 1001, 1, 9, 0), 9);
	cr_expect(guard_revoke(g, 8, H));
	cr_expect_not(guard_revoke(g, 8, H));
	cr_expect_eq(read_many(g, 1001, 1, 9, H), 3);
	cr_expect_eq(read_many(g, 1000, 1, 9, 4 * H - 1), 9);
	cr_expect_eq(read_many(g, 1000, 1, 9, 4 * H), 3);
	cr_expect_eq(read_many(g, 1000, 1, 9, 3 * H), 3, "time does not go back");
	guard_free(g);
}

Test(grant, bytes_count_once_per_file_and_growth)
{
	struct guard *g = fixture_guard(HEAD "[rule a]\neffect = permit\nbudget = b\n[budget b]\nbytes = 100/24h\n");
	struct guard_grant t = grant_for(1000, 7, GUARD_ANY_NUMBER);
	struct subject s = fixture_subject(1000);
	struct guard_request r = fixture_request(&s, 2, 0);
	struct guard_verdict v;

	t.bytes = 250;
	put(g, t);
	cr_expect_eq(read_many(g, 1000, 1, 9, 0), 3, "100 of the budget, 200 of the grant");
	guard_check(g, &r, &v);
	cr_expect_eq(v.error, 0);
	r.bytes = 150;
	guard_check(g, &r, &v);
	cr_expect_eq(v.error, 0, "it has grown by what is left");
	r.bytes = 151;
	guard_check(g, &r, &v);
	cr_expect_eq(v.error, -EDQUOT);
	cr_assert(guard_grant_find(g, 7, 0, &t));
	cr_expect_eq(t.used_files, 2);
	cr_expect_eq(t.used_bytes, 250);
	guard_free(g);
}

Test(grant, a_rule_a_lockout_and_a_closure_stand)
{
	struct guard *g = fixture_guard(SMALL);
	struct guard_lockout l = {.uid = 1000, .since_ms = 0, .until_ms = 2 * H, .budget = "b", .window = "3/24h"};
	struct guard_closure c = {.since_ms = 0, .until_ms = 3 * H, .reason = "visit", .except = ""};

	put(g, grant_for(1000, 7, GUARD_ANY_NUMBER));
	cr_expect_eq(read_at(g, 1000, 1, "secret/1.jpg", 0).error, -EACCES);
	cr_expect_eq(read_at(g, 1000, 1, "secret/1.jpg", 0).effect, GUARD_DENY_RULE);
	cr_assert_eq(guard_lock(g, &l), 0);
	cr_expect_eq(fixture_read(g, 1000, 1, H).effect, GUARD_DENY_LOCKOUT);
	cr_assert_eq(guard_close(g, &c), 0);
	cr_expect_eq(fixture_read(g, 1000, 1, 2 * H).effect, GUARD_DENY_CLOSED);
	cr_expect_eq(read_many(g, 1000, 1, 9, 3 * H), 9);
	guard_free(g);
}

Test(grant, it_keeps_a_budget_from_locking_out)
{
	struct guard *g = fixture_guard(HEAD "[rule a]\neffect = permit\nbudget = b\n[budget b]\nfiles = 2/24h\non-exceed = lockout\n");

	put(g, grant_for(1000, 7, 2));
	cr_expect_eq(read_many(g, 1000, 1, 4, 0), 4);
	cr_expect_eq(fixture_read(g, 1000, 5, 0).effect, GUARD_DENY_LOCKOUT);
	cr_expect_eq(fixture_read(g, 1000, 3, 0).effect, GUARD_DENY_LOCKOUT, "then it stands before the grant");
	guard_free(g);
}

Test(grant, one_that_waits_lets_nothing_through)
{
	struct guard *g = fixture_guard(SMALL);
	struct guard_grant t = grant_for(1000, 7, 5);

	t.waiting = true;
	put(g, t);
	cr_expect_eq(read_many(g, 1000, 1, 9, 0), 3);
	t.waiting = false;
	put(g, t);
	cr_expect_eq(read_many(g, 1000, 1, 9, 0), 8);
	guard_free(g);
}

Test(grant, replacing_keeps_what_was_read)
{
	struct guard *g = fixture_guard(SMALL);

	put(g, grant_for(1000, 7, 2));
	cr_expect_eq(read_many(g, 1000, 1, 5, 0), 5);
	put(g, grant_for(1000, 7, 3));
	cr_expect_eq(read_many(g, 1000, 6, 9, 0), 1);
	guard_free(g);
}

Test(grant, only_its_paths)
{
	struct guard *g = fixture_guard(SMALL);
	struct guard_grant t = grant_for(1000, 7, 50);

	t.paths = "north/** east/*.jpg";
	put(g, t);
	cr_expect(guard_grants_need_path(g));
	read_many(g, 1000, 1, 3, 0);
	cr_expect_eq(read_at(g, 1000, 10, "north/a/b.jpg", 0).error, 0);
	cr_expect_eq(read_at(g, 1000, 11, "east/b.jpg", 0).error, 0);
	cr_expect_eq(read_at(g, 1000, 12, "east/a/b.jpg", 0).error, -EDQUOT);
	cr_expect_eq(read_at(g, 1000, 13, "south/b.jpg", 0).error, -EDQUOT);
	cr_expect_eq(read_at(g, 1000, 10, "south/b.jpg", 0).error, -EDQUOT, "not by another name either");
	cr_expect_neq(read_at(g, 1000, 14, NULL, 0).error, 0, "no path, no grant");
	guard_free(g);
}

Test(grant, nothing_is_moved_under_its_paths)
{
	struct guard *g = fixture_guard(SMALL);
	struct guard_grant t = grant_for(1000, 7, 50);
	struct subject alice = fixture_subject(1000), bob = fixture_subject(1001);
	uint8_t id[POLICY_FILE_ID_BYTES];

	fixture_id(1, id);
	t.paths = "north/**";
	t.waiting = true;
	put(g, t);
	cr_expect_not(guard_may_move(g, &alice, id, "all", "south/1.jpg", "north/1.jpg", 0), "while it waits, too");
	cr_expect(guard_may_move(g, &alice, id, "all", "north/1.jpg", "south/1.jpg", 0));
	cr_expect(guard_may_move(g, &alice, id, "all", "north/1.jpg", "north/2/1.jpg", 0));
	cr_expect_not(guard_may_move(g, &alice, NULL, "all", "south", "north/south", 0));
	cr_expect(guard_may_move(g, &bob, id, "all", "south/1.jpg", "north/1.jpg", 0));
	bob.login_uid = 1000;
	cr_expect_not(guard_may_move(g, &bob, id, "all", "south/1.jpg", "north/1.jpg", 0), "any principal's");
	guard_created(g, &alice, id, 0, &(struct guard_principals){.count = 0});
	cr_expect(guard_may_move(g, &alice, id, "all", "south/1.jpg", "north/1.jpg", 0), "what one has made goes anywhere");
	guard_free(g);
}

Test(grant, every_principal_needs_its_own)
{
	struct guard *g = fixture_guard(SMALL);
	struct subject s = fixture_subject(0);
	struct guard_verdict v;

	s.login_uid = 1000;
	put(g, grant_for(1000, 7, 50));
	for (uint64_t i = 1; i <= 3; i++) {
		struct guard_request r = fixture_request(&s, i, 0);

		guard_check(g, &r, &v);
	}
	struct guard_request r = fixture_request(&s, 4, 0);

	guard_check(g, &r, &v);
	cr_expect_eq(v.error, -EDQUOT, "root's budget is used up, and nobody raised that");
	put(g, grant_for(0, 8, 50));
	guard_check(g, &r, &v);
	cr_expect_eq(v.error, 0);
	cr_expect_eq(v.grant_count, 2);
	guard_free(g);
}

#define SERVER                                                                                                            \
	HEAD "[rule smb]\nservices = smbd.service\nidentity = uid\neffect = permit\nbudget = b\n[rule a]\neffect = permit\nbudget = b\n" \
	     "[budget b]\nfiles = 99/24h\n[budget all]\nfiles = 1/24h\nper = everyone\n"

/* smbd is root and takes the uid of each of its clients. */
Test(grant, one_for_a_file_server_is_not_its_clients)
{
	struct guard *g = fixture_guard(SERVER);
	struct subject client = {.uid = 1000, .login_uid = POLICY_NO_UID, .real_uid = 0, .gid = 1000, .service = "smbd.service"};
	struct guard_request r = fixture_request(&client, 1, 0);
	struct guard_grant t = grant_for(0, 7, 50);
	struct guard_verdict v;

	put(g, t);
	guard_check(g, &r, &v);
	cr_expect_eq(v.error, 0);
	r = fixture_request(&client, 2, 0);
	guard_check(g, &r, &v);
	cr_expect_eq(v.error, -EDQUOT);
	put(g, grant_for(1000, 8, 50));
	guard_check(g, &r, &v);
	cr_expect_eq(v.error, 0);
	cr_assert_eq(v.grant_count, 1);
	cr_expect_eq(v.grant[0], 8);
	t.paths = "north/**";
	put(g, t);
	cr_expect(guard_may_move(g, &client, r.file_id, "all", "south/1.jpg", "north/1.jpg", 0));
	cr_assert_eq(v.charged.count, 1);
	cr_expect_eq(v.charged.uid[0], 1000);
	client.service = NULL;
	cr_expect_not(guard_may_move(g, &client, r.file_id, "all", "south/1.jpg", "north/1.jpg", 0));
	guard_free(g);
}

Test(grant, what_everybody_shares_is_raised_and_reports_count_on)
{
	struct guard *g = fixture_guard(HEAD "[rule a]\neffect = permit\nbudget = b\n[budget b]\nfiles = 99/24h\n"
					     "[budget all]\nfiles = 3/24h\nper = everyone\n[budget seen]\nfiles = 5/24h\nper = everyone\nmode = alert\n");
	struct guard_verdict v;

	put(g, grant_for(1000, 7, 50));
	cr_expect_eq(read_many(g, 1001, 1, 5, 0), 3);
	cr_expect_eq(read_many(g, 1000, 11, 13, 0), 3);
	v = fixture_read(g, 1002, 21, 0);
	cr_expect_eq(v.error, -EDQUOT);
	v = fixture_read(g, 1000, 14, 0);
	cr_expect_eq(v.error, 0);
	cr_expect_eq(v.effect, GUARD_ALERT);
	cr_expect_str_eq(v.budget, "seen");
	guard_free(g);
	g = fixture_guard(HEAD "[rule a]\neffect = permit\nbudget = b seen\n[budget b]\nfiles = 1/24h\n[budget seen]\nfiles = 3/24h\nmode = alert\n");
	put(g, grant_for(1000, 7, 2));
	cr_expect_eq(read_many(g, 1000, 1, 3, 0), 3);
	cr_expect(guard_revoke(g, 7, 0));
	cr_expect_eq(fixture_read(g, 1000, 4, 25 * H).effect, GUARD_PERMIT);
	guard_free(g);
}

Test(grant, replayed_it_counts_the_same)
{
	struct guard *g = fixture_guard(SMALL);
	struct subject s = fixture_subject(1000);
	const uint64_t ids[] = {7};
	uint8_t id[POLICY_FILE_ID_BYTES];

	put(g, grant_for(1000, 7, 2));
	for (uint64_t i = 1; i <= 3; i++) {
		fixture_id(i, id);
		guard_replay(g, &s, "a", id, 100, 0);
	}
	fixture_id(4, id);
	guard_replay_granted(g, &s, "a", ids, 1, id, 100, 0);
	guard_replay_granted(g, &s, "a", ids, 1, id, 100, 0);
	cr_expect_eq(read_many(g, 1000, 5, 9, 0), 1);
	cr_expect_eq(fixture_read(g, 1000, 4, 0).error, 0);
	cr_expect(guard_revoke(g, 7, 0));
	guard_replay_granted(g, &s, "a", ids, 1, id, 100, 0); /* nothing to count it for */
	cr_expect_eq(read_many(g, 1000, 1, 9, 0), 3);
	guard_free(g);
}

/* What the log has beyond a limit fills it. */
Test(grant, more_on_the_record_than_it_allows_leaves_no_room)
{
	struct guard *g = fixture_guard(SMALL);
	struct subject s = fixture_subject(1000);
	struct guard_grant t = grant_for(1000, 7, 2);
	const uint64_t ids[] = {7};
	uint8_t id[POLICY_FILE_ID_BYTES];

	t.bytes = 250;
	put(g, t);
	for (uint64_t i = 1; i <= 3; i++) {
		fixture_id(i + 10, id);
		guard_replay_granted(g, &s, "a", ids, 1, id, 200, 0);
	}
	cr_expect_eq(read_many(g, 1000, 1, 9, 0), 3, "what the budget lets through");
	t.id = 8;
	t.files = 9;
	put(g, t);
	fixture_id(20, id);
	const uint64_t more[] = {8};
	guard_replay_granted(g, &s, "a", more, 1, id, 300, 0);
	cr_expect_eq(read_many(g, 1000, 1, 9, 0), 3);
	cr_expect_eq(fixture_read(g, 1000, 20, 0).error, 0, "what it has counted is read again");
	guard_free(g);
}

Test(grant, a_preview_counts_nothing)
{
	struct guard *g = fixture_guard(SMALL);
	struct subject s = fixture_subject(1000);
	struct guard_request r = fixture_request(&s, 4, 0);
	struct guard_verdict v;
	struct guard_grant t;

	put(g, grant_for(1000, 7, 1));
	read_many(g, 1000, 1, 3, 0);
	guard_preview(g, &r, &v);
	cr_expect_eq(v.error, 0);
	cr_expect_eq(v.grant_count, 1);
	cr_assert(guard_grant_find(g, 7, 0, &t));
	cr_expect_eq(t.used_files, 0);
	cr_expect_eq(t.reads, 0);
	guard_free(g);
}

Test(grant, the_table_is_bounded_and_forgets)
{
	struct guard *g = fixture_guard(SMALL);
	struct guard_grant t;

	for (uint64_t i = 1; i <= GUARD_MAX_GRANTS; i++) {
		t = grant_for(1000 + (uint32_t)i, i, 1);
		t.since_ms = (int64_t)i * 1000;
		t.until_ms = (i % 2 ? 2 : 4) * H;
		put(g, t);
	}
	t.id = GUARD_MAX_GRANTS + 1;
	cr_expect_eq(guard_grant(g, &t), -ENOSPC);
	cr_expect_eq(guard_grants_since_ms(g, H), 1000);
	cr_expect_eq(guard_grants_since_ms(g, 3 * H), 2000);
	t.since_ms = 3 * H;
	cr_expect_eq(guard_grant(g, &t), 0);
	guard_free(g);
}

Test(grant, what_is_none)
{
	struct guard *g = fixture_guard(SMALL);
	struct guard_grant t = grant_for(1000, 7, 1);
	char paths[400] = "";

	t.files = 0;
	cr_expect_eq(guard_grant(g, &t), -EINVAL);
	t.files = GUARD_MAX_GRANT_FILES + 1;
	cr_expect_eq(guard_grant(g, &t), -EINVAL);
	t.files = 1;
	t.id = 0;
	cr_expect_eq(guard_grant(g, &t), -EINVAL);
	t.id = 1;
	t.uid = POLICY_UID_UNIDENTIFIED;
	cr_expect_eq(guard_grant(g, &t), -EINVAL);
	t.uid = 1;
	t.seconds = GUARD_GRANT_SECONDS_MAX + 1;
	cr_expect_eq(guard_grant(g, &t), -EINVAL);
	guard_free(g);

	static const char *const none[] = {"a", "a/b.jpg", "a/** ", " a/**", "a/**  b/**", "a:/**", "a/**,b/**", "/a/**", "a/[", "../**", "a/../**", "a/** b/c.jpg", "a/*\x7f", "a/*\n", "a/\033[2J*", "a/*\t"};
	static const char *const fine[] = {"", "**", "a/**", "a/** b/**", "a/?.jpg", "a/[ab]/x"};

	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		cr_expect(guard_grant_paths_fault(none[i]) != NULL, "'%s'", none[i]);
	for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
		cr_expect_null(guard_grant_paths_fault(fine[i]), "'%s'", fine[i]);
	for (int i = 0; i < 9; i++)
		snprintf(paths + strlen(paths), sizeof(paths) - strlen(paths), "%sd%d/**", i ? " " : "", i);
	cr_expect(guard_grant_paths_fault(paths) != NULL, "nine");
	*strrchr(paths, ' ') = '\0';
	cr_expect_null(guard_grant_paths_fault(paths), "eight");
}

/* ---- who may approve ------------------------------------------------------------------------------------------------- */

static enum grant_objection may(const char *policy, struct approve_person asked, uint32_t for_uid, struct subject by)
{
	struct policy *p = fixture_policy(policy);
	struct guard_grant t = grant_for(for_uid, 7, 1);

	t.asked = asked;
	enum grant_objection why = guard_may_approve(p, &t, &by);

	policy_unref(p);
	return why;
}

static struct subject by(uint32_t login, uint32_t uid, uint32_t real)
{
	struct subject s = fixture_subject(uid);

	s.login_uid = login;
	s.real_uid = real;
	return s;
}

Test(grant, nobody_approves_their_own)
{
	const char *glass = SMALL "[break-glass]\napprove = second-person\n";
	struct approve_person bob = {.uid = 0, .login_uid = 1001, .real_uid = 0}, root = {.uid = 0, .login_uid = 0, .real_uid = 0};

	cr_expect_eq(may(glass, bob, 1000, by(1002, 0, 0)), GRANT_FINE);
	cr_expect_eq(may(glass, bob, 1000, by(1001, 0, 0)), GRANT_OWN, "both are root, and the same login");
	cr_expect_eq(may(glass, bob, 1000, by(1002, 0, 1001)), GRANT_OWN, "by the real uid");
	cr_expect_eq(may(glass, bob, 1000, by(1002, 1001, 1002)), GRANT_OWN);
	cr_expect_eq(may(glass, bob, 1000, by(1000, 0, 0)), GRANT_OWN, "whom it is for");
	cr_expect_eq(may(glass, bob, 1000, by(1002, 1000, 0)), GRANT_OWN);
	cr_expect_eq(may(glass, bob, 1000, by(POLICY_NO_UID, 0, 0)), GRANT_NOBODY);
	cr_expect_eq(may(glass, root, 1000, by(1001, 0, 0)), GRANT_NOBODY, "many may be root");
	cr_expect_eq(may(glass, bob, 1000, by(0, 0, 0)), GRANT_NOBODY);
	cr_expect_eq(may(glass, bob, 0, by(1002, 0, 0)), GRANT_FINE, "acting as root is not being root");
	struct subject nobody = by(1002, 0, 0);

	nobody.unidentified = true;
	cr_expect_eq(may(glass, bob, 1000, nobody), GRANT_NOBODY);
	bob.login_uid = POLICY_NO_UID;
	cr_expect_eq(may(glass, bob, 1000, by(1002, 0, 0)), GRANT_NOBODY);
}

Test(grant, approvers_are_those_whom_the_policy_names)
{
	const char *glass = SMALL "[break-glass]\napprove = second-person\napprovers = carol 7\n";
	struct approve_person bob = {.uid = 0, .login_uid = 1001, .real_uid = 0};

	cr_expect_eq(may(glass, bob, 1000, by(1002, 0, 0)), GRANT_FINE);
	cr_expect_eq(may(glass, bob, 1000, by(7, 0, 0)), GRANT_FINE);
	cr_expect_eq(may(glass, bob, 1000, by(1003, 0, 0)), GRANT_NOT_APPROVER);
	cr_expect_eq(may(glass, bob, 1000, by(1003, 1002, 1002)), GRANT_NOT_APPROVER, "by login uid only");
}

Test(grant, a_budget_that_only_reports_does_so_under_a_grant_too)
{
	struct guard *g = fixture_guard(HEAD "[rule a]\neffect = permit\nbudget = b r\n[budget b]\nfiles = 3/24h\n"
					     "[budget r]\nfiles = 4/24h\nmode = alert\n");
	struct guard_verdict v;

	put(g, grant_for(1000, 7, 5));
	cr_expect_eq(read_many(g, 1000, 1, 3, 0), 3);
	v = fixture_read(g, 1000, 4, 0);
	cr_expect_eq(v.effect, GUARD_PERMIT);
	cr_expect_eq(v.grant_count, 1);
	v = fixture_read(g, 1000, 5, 0);
	cr_expect_eq(v.effect, GUARD_ALERT);
	cr_expect_eq(v.error, 0);
	cr_expect_str_eq(v.budget, "r");
	cr_expect_eq(v.used, 4);
	cr_assert_eq(v.grant_count, 1);
	cr_expect_eq(v.grant[0], 7);
	guard_free(g);
}
