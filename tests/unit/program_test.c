/* Rules on programs, services and origins, and whom a file server's reads are charged to. */
#include "policy/internal.h"
#include "policy_fixture.h"

#define SHA_A    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define SHA_B    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define VIEWER   "/usr/bin/imgview"
#define PROGRAMS "[programs viewer]\npaths = " VIEWER " /opt/v\nsha256 = " SHA_A ", " SHA_B "\n"
#define BUDGET   "[budget b]\nfiles = 2/1h\n"

static struct subject viewer(uint32_t uid)
{
	struct subject s = fixture_subject(uid);

	s.program = (struct subject_program){.state = PROGRAM_VALID, .device = 1, .inode = 2, .known = {VIEWER}};
	return s;
}

static int ask(const char *policy, const struct subject *s)
{
	struct guard *g = fixture_guard(policy);
	struct guard_request r = fixture_request(s, 1, 0);
	struct guard_verdict v;

	guard_check(g, &r, &v);
	guard_free(g);
	return v.error;
}

/* Parses; the first text at `line` has `part`. */
static void says(const char *text, unsigned line, const char *part, bool error)
{
	struct policy *p = NULL;
	struct policy_diags d;
	bool found = false;

	cr_expect_eq(policy_parse(text, strlen(text), &fixture_names, &p, &d), error ? -EINVAL : 0, "%s", text);
	for (size_t i = 0; i < d.count; i++)
		found |= d.item[i].line == line && d.item[i].warning != error && strstr(d.item[i].text, part);
	cr_expect(found, "nothing in line %u of %s says %s", line, text, part);
	policy_diags_free(&d);
	policy_unref(p);
}

Test(program, only_a_valid_one_is_permitted)
{
	static const char policy[] = HEAD "[rule r]\nusers = alice\nprograms = " VIEWER "\neffect = permit\nbudget = none\n";
	struct subject s = viewer(1000);

	cr_expect_eq(ask(policy, &s), 0);
	for (int state = 0; state < PROGRAM_STATES; state++) {
		s.program.state = (enum program_state)state;
		cr_expect_eq(ask(policy, &s), state == PROGRAM_VALID ? 0 : -EACCES, "state %d", state);
	}
	s = viewer(1000);
	s.program.known[0] = "/usr/bin/imgview2";
	cr_expect_eq(ask(policy, &s), -EACCES);
	s.program.known[1] = VIEWER;
	cr_expect_eq(ask(policy, &s), 0);
	s.program.known[0] = s.program.known[1] = NULL;
	s.program.path = VIEWER; /* what a process says of itself */
	cr_expect_eq(ask(policy, &s), -EACCES);
	s = viewer(1001);
	cr_expect_eq(ask(policy, &s), -EACCES);
}

Test(program, one_of_several_digests)
{
	static const char policy[] = HEAD PROGRAMS "[rule r]\nusers = alice\nprograms = viewer\neffect = permit\nbudget = none\n";
	struct subject s = viewer(1000);

	cr_expect_eq(ask(policy, &s), -EACCES);
	s.program.hashed = true;
	cr_expect_eq(ask(policy, &s), -EACCES);
	memset(s.program.sha256, 0xbb, 32);
	cr_expect_eq(ask(policy, &s), 0);
	memset(s.program.sha256, 0xaa, 32);
	cr_expect_eq(ask(policy, &s), 0);
	s.program.hashed = false;
	cr_expect_eq(ask(policy, &s), -EACCES);
	s.program.hashed = true;
	s.program.known[0] = "/opt/v";
	cr_expect_eq(ask(policy, &s), 0);
	s.program.sha256[31] ^= 1;
	cr_expect_eq(ask(policy, &s), -EACCES);
}

Test(program, a_rule_that_denies_is_about_what_is_not_known)
{
	static const char policy[] =
		HEAD PROGRAMS "[rule d]\nusers = *\nprograms = viewer\neffect = deny\n[rule p]\nusers = *\neffect = permit\nbudget = none\n";
	struct subject s = viewer(1000);

	cr_expect_eq(ask(policy, &s), -EACCES); /* whatever its digest */
	s.program.state = PROGRAM_TRACED;
	cr_expect_eq(ask(policy, &s), -EACCES);
	s.program.known[0] = NULL;
	cr_expect_eq(ask(policy, &s), 0);
	s.program = (struct subject_program){.state = PROGRAM_UNREADABLE};
	cr_expect_eq(ask(policy, &s), -EACCES);
}

Test(program, services_and_origins)
{
	static const char permit[] = HEAD "[rule r]\nservices = idx.service other.service\neffect = permit\nbudget = none\n";
	static const char deny[] = HEAD "[rule r]\nservices = idx.service\neffect = deny\n[rule p]\neffect = permit\nbudget = none\n";
	static const char console[] = HEAD "[rule r]\norigin = console\neffect = permit\nbudget = none\n";
	static const char ssh[] = HEAD "[rule r]\norigin = ssh\neffect = deny\n[rule p]\neffect = permit\nbudget = none\n";
	static const struct {
		const char *service;
		int permit, deny;
	} services[] = {{NULL, -EACCES, -EACCES}, {"", -EACCES, 0}, {"idx.service", 0, -EACCES}, {"idx.servic", -EACCES, 0}, {"other.service", 0, 0}};
	struct subject s = fixture_subject(1000);

	for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
		s.service = services[i].service;
		cr_expect_eq(ask(permit, &s), services[i].permit, "%zu", i);
		cr_expect_eq(ask(deny, &s), services[i].deny, "%zu", i);
	}
	for (int o = ORIGIN_UNKNOWN; o <= ORIGIN_OTHER; o++) {
		s.origin = (enum subject_origin)o;
		cr_expect_eq(ask(console, &s), o == ORIGIN_CONSOLE ? 0 : -EACCES);
		cr_expect_eq(ask(ssh, &s), o == ORIGIN_SSH || o == ORIGIN_UNKNOWN ? -EACCES : 0);
	}
}

Test(program, what_a_policy_needs)
{
	static const struct {
		const char *text;
		unsigned needs;
	} cases[] = {
		{"[rule r]\nusers = alice\neffect = permit\nbudget = none\n", 0},
		{PROGRAMS "[rule r]\neffect = permit\nbudget = none\n", 0}, /* in no rule */
		{"[rule r]\nusers = alice\nprograms = /bin/x\neffect = permit\nbudget = none\n", NEED_PROGRAM},
		{PROGRAMS "[rule r]\nusers = alice\nprograms = viewer\neffect = permit\nbudget = none\n", NEED_PROGRAM | NEED_DIGEST},
		{"[rule r]\nservices = a.service\neffect = permit\nbudget = none\n", NEED_SERVICE},
		{"[rule r]\norigin = ssh\neffect = permit\nbudget = none\n", NEED_ORIGIN | NEED_SESSION | NEED_SERVICE},
	};
	char text[4096];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), HEAD "%s", cases[i].text);
		struct policy *p = fixture_policy(text);

		cr_expect_eq(policy_needs(p), cases[i].needs, "%s: %u", cases[i].text, policy_needs(p));
		policy_unref(p);
	}
}

/* alice is 1000, and bob 1001. */
Test(program, what_a_policy_needs_of_one)
{
	static const char viewer[] = HEAD "[rule r]\nusers = 1000\nprograms = /bin/x\neffect = permit\nbudget = none\n";
	static const char group[] = HEAD "[rule r]\ngroups = 50\nprograms = /bin/x\neffect = permit\nbudget = none\n";
	static const char denied[] = HEAD "[rule r]\nusers = 1000\nservices = a.service\neffect = deny\n";
	static const char server[] = HEAD "[rule r]\nusers = 1000\nservices = a.service\nidentity = uid\neffect = permit\nbudget = none\n";
	static const char counted[] = HEAD "[rule r]\neffect = permit\nbudget = b\n[budget b]\nfiles = 5/1h\nper = program\n";
	static const uint32_t fifty[] = {50};
	static const struct {
		const char *text;
		unsigned of_alice, of_bob;
	} cases[] = {{viewer, NEED_PROGRAM, 0}, {group, NEED_PROGRAM, 0}, {denied, NEED_SERVICE, 0}, {server, NEED_SERVICE | NEED_MAKER, NEED_SERVICE | NEED_MAKER},
		{counted, NEED_PROGRAM, NEED_PROGRAM}};
	struct subject alice = fixture_subject(1000), bob = fixture_subject(1001), forged = fixture_subject(1001), nobody = {.unidentified = true, .uid = 1000};

	alice.groups = fifty;
	alice.group_count = 1;
	forged.login_uid = 1000;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct policy *p = fixture_policy(cases[i].text);

		cr_expect_eq(policy_needs_of(p, &alice), cases[i].of_alice, "%zu: %u", i, policy_needs_of(p, &alice));
		cr_expect_eq(policy_needs_of(p, &bob), cases[i].of_bob, "%zu: %u", i, policy_needs_of(p, &bob));
		/* Whose rule it is under any of the uids that are charged. */
		cr_expect_eq(policy_needs_of(p, &forged), i == 1 ? 0 : cases[i].of_alice, "%zu", i);
		cr_expect_eq(policy_needs_of(p, &nobody), i > 2 ? cases[i].of_bob : 0, "%zu: %u", i, policy_needs_of(p, &nobody));
		policy_unref(p);
	}
}

Test(program, what_is_refused_and_warned_of)
{
	says(HEAD "[rule r]\nprograms = /bin/x\neffect = permit\nbudget = none\n", 7, "a program only narrows", true);
	says(HEAD "[programs p]\npaths = bin/sh\n", 7, "no absolute path", true);
	says(HEAD "[programs p]\npaths = /bin/x\nsha256 = 12\n", 8, "64 lower-case", true);
	says(HEAD "[programs p]\nsha256 = " SHA_A "\n", 6, "has no 'paths'", true);
	says(HEAD "[rule r]\nprograms = /bin/x\neffect = deny\n", 7, "a program only narrows", true);
	says(HEAD "[rule r]\nusers = alice\nprograms = viewr\neffect = deny\n" PROGRAMS, 8, "did you mean 'viewer'", true);
	says(HEAD "[rule r]\nusers = alice\nidentity = uid\neffect = permit\nbudget = none\n", 8, "needs 'services'", true);
	says(HEAD "[rule r]\nservices = smbd\neffect = permit\nbudget = none\n", 7, "is no unit", true);
	says(HEAD "[rule r]\nservices = user.slice/x.service\neffect = permit\nbudget = none\n", 7, "is no unit", true);
	says(HEAD "[rule r]\nservices = cron.service\neffect = permit\nbudget = none\n", 7, "whoever may log in", false);
	says(HEAD "[rule r]\nusers = alice\nprograms = /usr/bin/python3.13\neffect = permit\nbudget = none\n", 8, "runs what it is given", false);
	says(HEAD "[programs p]\npaths = /lib64/ld-linux-x86-64.so.2\n[rule r]\nusers = alice\nprograms = p\neffect = permit\nbudget = none\n", 7,
		"runs what it is given", false);
	says(HEAD PROGRAMS "[rule r]\neffect = permit\nbudget = none\n", 6, "is in no rule", false);
	says(HEAD "[rule a]\nusers = alice\neffect = deny\n[rule b]\nusers = alice\nprograms = /bin/x\neffect = permit\nbudget = none\n", 9,
		"can never match", false);
	says(HEAD "[rule a]\nservices = a.service b.service\neffect = deny\n[rule b]\nservices = a.service\neffect = permit\nbudget = none\n", 9,
		"can never match", false);
	says(HEAD "[rule a]\norigin = ssh\neffect = deny\n[rule b]\norigin = ssh\neffect = permit\nbudget = none\n", 9, "can never match", false);
}

/* "can never match" is true: over random pairs of rules, no subject is found that the second is about. */
Test(program, what_is_said_to_be_covered_is)
{
	static const char *const programs[] = {"", "programs = /bin/a\n", "programs = /bin/b\n", "programs = /bin/a /bin/b\n"};
	static const char *const services[] = {"", "services = a.service\n", "services = b.service a.service\n"};
	static const char *const origins[] = {"", "origin = ssh\n", "origin = cron\n"};
	static const char *const effects[] = {"effect = permit\nbudget = none\n", "effect = deny\n"};
	static const char *const known[] = {NULL, "/bin/a", "/bin/b", "/bin/c"}, *const units[] = {NULL, "", "a.service", "b.service"};
	unsigned covered = 0;

	for (unsigned bits = 0; bits < 72 * 72; bits++) {
		unsigned a = bits % 72, b = bits / 72;
		char text[1024];

		snprintf(text, sizeof(text), HEAD "[rule a]\nusers = *\n%s%s%s%s[rule b]\nusers = *\n%s%s%s%s", programs[a % 4], services[a / 4 % 3], origins[a / 12 % 3],
			effects[a / 36], programs[b % 4], services[b / 4 % 3], origins[b / 12 % 3], effects[b / 36]);
		struct policy *p = fixture_policy(text);

		if (asker_covers(p->rule[0], p->rule[1])) {
			covered++;
			for (unsigned k = 0; k < 4 * 4 * 6 * 2; k++) {
				struct subject s = fixture_subject(1);

				s.program = (struct subject_program){.state = k / 96 ? PROGRAM_VALID : PROGRAM_TRACED, .inode = k % 4, .known = {known[k % 4]}};
				s.service = units[k / 4 % 4];
				s.origin = (enum subject_origin)(k / 16 % 6);
				cr_assert(!asker_matches(p->rule[1], &s) || asker_matches(p->rule[0], &s), "%s, subject %u", text, k);
			}
		}
		policy_unref(p);
	}
	cr_expect_gt(covered, 500, "%u", covered);
}

#define SERVER HEAD BUDGET "[rule smb]\nservices = smbd.service\nidentity = uid\nusers = alice bob\neffect = permit\nbudget = b\n"

static struct subject client(uint32_t uid)
{
	return (struct subject){.uid = uid, .login_uid = 1002, .real_uid = 0, .gid = uid, .service = "smbd.service"};
}

static int reads(struct guard *g, struct subject s, uint64_t file)
{
	struct guard_request r = fixture_request(&s, file, 1000);
	struct guard_verdict v;

	guard_check(g, &r, &v);
	return v.error;
}

Test(program, a_file_server_reads_for_its_clients)
{
	struct guard *g = fixture_guard(SERVER);
	struct subject outside = client(1000);

	cr_expect_eq(reads(g, client(1000), 1), 0);
	cr_expect_eq(reads(g, client(1000), 2), 0);
	cr_expect_eq(reads(g, client(1000), 3), -EDQUOT);
	cr_expect_eq(reads(g, client(1001), 3), 0, "another client has a budget of its own");
	cr_expect_eq(reads(g, client(1003), 1), -EACCES, "a client that no rule is about");
	cr_expect_eq(reads(g, client(0), 1), -EACCES, "the server itself");
	outside.service = "";
	cr_expect_eq(reads(g, outside, 1), -EACCES, "who only became alice");
	guard_free(g);
}

Test(program, what_a_client_wrote_is_its_own_and_not_the_servers)
{
	struct guard *g = fixture_guard(SERVER "[rule root]\nusers = root 1002\neffect = permit\nbudget = b\n");
	struct subject alice = client(1000), root = fixture_subject(0);
	uint8_t id[POLICY_FILE_ID_BYTES];

	for (uint64_t i = 1; i <= 5; i++) {
		fixture_id(i, id);
		guard_created(g, &alice, id, 0, &(struct guard_principals){.count = 0});
	}
	for (uint64_t i = 1; i <= 5; i++)
		cr_expect_eq(reads(g, alice, i), 0);
	cr_expect_eq(reads(g, root, 1), 0);
	cr_expect_eq(reads(g, root, 2), 0);
	cr_expect_eq(reads(g, root, 3), -EDQUOT, "root read free what others wrote through the server");
	guard_free(g);
}

/* After a restart: the client is charged again, and nobody else. */
Test(program, a_replayed_read_is_the_clients)
{
	struct guard *g = fixture_guard(SERVER "[rule root]\nusers = root 1002\neffect = permit\nbudget = b\n");
	struct subject alice = client(1000);
	uint8_t id[POLICY_FILE_ID_BYTES];

	alice.service = NULL;
	for (uint64_t i = 1; i <= 2; i++) {
		fixture_id(i, id);
		guard_replay(g, &alice, "smb", id, 100, 500);
	}
	cr_expect_eq(reads(g, client(1000), 3), -EDQUOT);
	cr_expect_eq(reads(g, fixture_subject(0), 3), 0);
	cr_expect_eq(reads(g, fixture_subject(0), 4), 0);
	guard_free(g);
}

Test(program, each_program_that_is_named)
{
	struct policy *p = fixture_policy(HEAD PROGRAMS "[rule r]\nusers = alice\nprograms = viewer /bin/x\neffect = permit\nbudget = none\n");
	struct policy_program at;

	cr_assert(policy_program_at(p, 0, &at));
	cr_expect_str_eq(at.path, VIEWER);
	cr_expect_eq(at.sha256_count, 2);
	cr_expect_eq(at.sha256[1][31], 0xbb);
	cr_expect_str_eq(at.section, "viewer");
	cr_assert(policy_program_at(p, 1, &at));
	cr_expect_str_eq(at.path, "/opt/v");
	cr_assert(policy_program_at(p, 2, &at));
	cr_expect_str_eq(at.path, "/bin/x");
	cr_expect_null(at.section);
	cr_expect_eq(at.sha256_count, 0);
	cr_expect_not(policy_program_at(p, 3, &at));
	policy_unref(p);
}

Test(program, interpreters_by_name)
{
	static const char *const yes[] = {"/usr/bin/python3", "/usr/bin/python3.13", "/bin/sh", "/usr/bin/perl5.40.1", "/lib64/ld-linux-x86-64.so.2", "/bin/busybox",
		"/usr/bin/node", "/usr/bin/qemu-aarch64-static", "/usr/bin/vim.basic", "/usr/bin/lua5.4", "/usr/bin/env"};
	static const char *const no[] = {"/usr/bin/imgview", "/usr/bin/shotwell", "/usr/sbin/smbd", "/usr/bin/rsync", "/usr/bin/cat", "/usr/bin/makeplates"};

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		cr_expect(policy_program_interprets(yes[i]), "%s", yes[i]);
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		cr_expect_not(policy_program_interprets(no[i]), "%s", no[i]);
}
