#include "policy_fixture.h"

#define H INT64_C(3600000)

static struct guard *guard_per(const char *per)
{
	char text[400];

	snprintf(text, sizeof(text), HEAD "[rule all]\neffect = permit\nbudget = b\n[budget b]\nper = %s\nfiles = 2/1h\nnames = 10/1h\n", per);
	return fixture_guard(text);
}

static int reads(struct guard *g, const struct subject *s, uint64_t file)
{
	struct guard_request r = fixture_request(s, file, H);
	struct guard_verdict v;

	guard_check(g, &r, &v);
	return v.error;
}

static struct subject in_program(uint64_t inode, enum program_state state)
{
	struct subject s = fixture_subject(1000);

	s.program = (struct subject_program){.state = state, .device = 8, .inode = inode};
	return s;
}

static struct subject in_service(uint32_t uid, const char *name)
{
	struct subject s = fixture_subject(uid);

	s.service = name;
	return s;
}

static struct subject in_session(uint32_t uid, uint32_t session)
{
	struct subject s = fixture_subject(uid);

	s.session = session;
	return s;
}

Test(payer, sessions_are_counted_whoever_is_in_them)
{
	struct guard *g = guard_per("session");
	struct subject a = in_session(1000, 7), b = in_session(1001, 7), c = in_session(1000, 8);

	b.login_uid = 1000; /* su */
	cr_expect_eq(reads(g, &a, 1), 0);
	cr_expect_eq(reads(g, &b, 2), 0);
	cr_expect_eq(reads(g, &b, 3), -EDQUOT);
	cr_expect_eq(reads(g, &a, 3), -EDQUOT);
	cr_expect_eq(reads(g, &c, 3), 0, "another session");
	guard_free(g);
}

Test(payer, what_has_no_session_is_one)
{
	struct guard *g = guard_per("session");
	struct subject none = in_session(1000, POLICY_NO_UID), unknown = in_session(1001, 0), odd = in_session(1002, 9);

	odd.unidentified = true;
	struct guard *h = fixture_guard(HEAD "[rule odd]\nusers = unidentified everyone\neffect = permit\nbudget = b\n[budget b]\nper = session\nfiles = 2/1h\n");
	cr_expect_eq(reads(g, &none, 1), 0);
	cr_expect_eq(reads(g, &unknown, 2), 0);
	cr_expect_eq(reads(g, &none, 3), -EDQUOT);
	cr_expect_eq(reads(h, &none, 1), 0);
	cr_expect_eq(reads(h, &odd, 2), 0);
	cr_expect_eq(reads(h, &odd, 3), -EDQUOT);
	guard_free(g);
	guard_free(h);
}

Test(payer, a_program_that_is_not_believed_is_not_another_one)
{
	struct guard *g = guard_per("program");
	struct subject a = in_program(1, PROGRAM_VALID), b = in_program(2, PROGRAM_VALID);
	struct subject copy = in_program(3, PROGRAM_WRITABLE), copies = in_program(4, PROGRAM_DELETED), script = in_program(5, PROGRAM_SCRIPT);

	cr_expect_eq(reads(g, &a, 1), 0);
	cr_expect_eq(reads(g, &a, 2), 0);
	cr_expect_eq(reads(g, &a, 3), -EDQUOT);
	cr_expect_eq(reads(g, &b, 3), 0);
	cr_expect_eq(reads(g, &copy, 4), 0);
	cr_expect_eq(reads(g, &copies, 5), 0);
	cr_expect_eq(reads(g, &script, 6), -EDQUOT);
	guard_free(g);
}

Test(payer, services_by_name)
{
	struct guard *g = guard_per("service");
	struct subject a = in_service(1000, "a.service"), a2 = in_service(1001, "a.service"), b = in_service(1000, "b.service");
	struct subject none = in_service(1000, ""), unknown = in_service(1001, NULL);

	cr_expect_eq(reads(g, &a, 1), 0);
	cr_expect_eq(reads(g, &a2, 2), 0);
	cr_expect_eq(reads(g, &a, 3), -EDQUOT);
	cr_expect_eq(reads(g, &b, 3), 0);
	cr_expect_eq(reads(g, &none, 1), 0);
	cr_expect_eq(reads(g, &unknown, 2), 0);
	cr_expect_eq(reads(g, &none, 3), -EDQUOT);
	guard_free(g);
}

static void take_label(void *ctx, const struct guard_usage *u)
{
	snprintf(ctx, 64, "%s", u->label ? u->label : "-");
}

Test(payer, is_told_by_name_and_counts_names_too)
{
	struct guard *g = guard_per("service");
	struct subject a = in_service(1000, "a.service");
	struct guard_names n = {.who = &a, .dir = "d", .count = 8, .now_ms = H, .wall_ms = H};
	struct guard_names_verdict v;
	char label[64] = "";

	guard_names(g, &n, &v);
	cr_expect_eq(v.verdict.error, 0);
	guard_each_usage(g, H, take_label, label);
	cr_expect_str_eq(label, "a.service");
	a.uid = 1001;
	guard_names(g, &n, &v);
	cr_expect_eq(v.verdict.error, -EDQUOT);
	guard_free(g);
}

Test(payer, what_is_replayed_is_counted_for_the_same_one)
{
	static const char *const per[] = {"session", "program", "service", "user", "everyone"};

	for (size_t i = 0; i < sizeof(per) / sizeof(per[0]); i++) {
		struct guard *g = guard_per(per[i]);
		struct subject s = in_service(1000, "a.service");
		uint8_t id[POLICY_FILE_ID_BYTES];

		s.session = 4;
		s.program = (struct subject_program){.state = PROGRAM_VALID, .device = 8, .inode = 1};
		for (uint64_t n = 1; n <= 2; n++) {
			fixture_id(n, id);
			guard_replay(g, &s, "all", id, 100, H);
		}
		s.program.path = "/usr/bin/viewer";
		s.program.known[0] = "/usr/bin/viewer";
		cr_expect_eq(reads(g, &s, 3), -EDQUOT, "%s", per[i]);
		cr_expect_eq(reads(g, &s, 2), 0, "%s", per[i]);
		guard_free(g);
	}
}
