#include "policy/internal.h"
#include "policy_fixture.h"

#include <time.h>

static struct policy_diags diags;
static struct policy *policy;

static int parse_bytes(const char *text, size_t len, const struct policy_names *names)
{
	policy_diags_free(&diags);
	policy_unref(policy);
	policy = NULL;
	return policy_parse(text, len, names, &policy, &diags);
}

static int parse(const char *text)
{
	return parse_bytes(text, strlen(text), &fixture_names);
}

static bool said(unsigned line, bool warning, const char *part)
{
	for (size_t i = 0; i < diags.count; i++)
		if (diags.item[i].line == line && diags.item[i].warning == warning && strstr(diags.item[i].text, part))
			return true;
	for (size_t i = 0; i < diags.count; i++)
		fprintf(stderr, "  said %u: %s%s\n", diags.item[i].line, diags.item[i].warning ? "warning: " : "",
			diags.item[i].text);
	return false;
}

#define ERROR(line, part)   cr_expect(said(line, false, part), "no error in line %d: %s", line, part)
#define WARNING(line, part) cr_expect(said(line, true, part), "no warning in line %d: %s", line, part)

static void clean(void)
{
	policy_diags_free(&diags);
	policy_unref(policy);
}

TestSuite(parse, .fini = clean);

/* HEAD has 5 lines: what follows begins in line 6. */
#define REFUSED(line, part, text)                                                      \
	do {                                                                           \
		cr_expect_eq(parse(text), -EINVAL, "%s", text);                        \
		ERROR(line, part);                                                     \
		cr_expect_eq(diags.errors, 1, "%zu errors in %s", diags.errors, text); \
	} while (0)

#define PERMIT "[rule p]\neffect = permit\nbudget = none\n"

Test(parse, smallest)
{
	cr_expect_eq(parse(HEAD PERMIT), 0);
	cr_expect_eq(diags.count, 0);
	const struct policy_settings *s = policy_settings(policy);
	cr_expect_eq(s->settle_seconds, 120);
	cr_expect(s->hard_links);
	cr_expect_not(s->acl);
	cr_expect_eq(s->max_step_seconds, 86400);
	cr_expect_eq(s->max_offline_seconds, 30 * 86400);
	cr_expect(s->require_sync);
	cr_expect_eq(s->audit_fsync_ms, 200);
	cr_expect_str_eq(s->contact, "");
}

Test(parse, settings)
{
	cr_expect_eq(parse("[policy]\nversion=1\ndefault-class = all\nsettle = 5min\nhard-links = no\nacl = yes\n"
			   "contact = records office: room 5, ext. 12\n"
			   "[clock]\nmax-step = 2h\nmax-offline = 2w\nrequire-sync = no\n[audit]\nfsync = always\n"
			   "[class all]\nexpire-after = never\n" PERMIT),
		0);
	const struct policy_settings *s = policy_settings(policy);
	cr_expect_eq(s->settle_seconds, 300);
	cr_expect_not(s->hard_links);
	cr_expect(s->acl);
	cr_expect_eq(s->max_step_seconds, 7200);
	cr_expect_eq(s->max_offline_seconds, 14 * 86400);
	cr_expect_not(s->require_sync);
	cr_expect_eq(s->audit_fsync_ms, 0);
}

Test(parse, comments_after_values)
{
	REFUSED(6, "a comment needs a line of its own",
		"[policy]\nversion = 1\ndefault-class = a\n[class a]\n"
		"expire-after = 1d\nmatch = ** # all\n" PERMIT);
	REFUSED(6, "a comment needs a line of its own",
		"[policy]\nversion = 1\ndefault-class = a\n[class a]\n"
		"expire-after = 1d\nmatch =; x\n" PERMIT);
}

Test(parse, every_error_at_once_with_its_line)
{
	cr_expect_eq(parse("stray = 1\n[policy]\nversion = 2\ndefault-class = imags\nhard-link = yes\n"
			   "[clas x]\na = b\n[class images]\nexpire-afer = 5d\nmatch = **\n[budget b]\nfiles = 500\n"
			   "[rule r]\neffect = permt\nbudget = bb\n"),
		-EINVAL);
	ERROR(1, "'stray' stands before the first section");
	ERROR(3, "version 1");
	ERROR(4, "no [class imags]; did you mean 'images'?");
	ERROR(5, "unknown key 'hard-link' in [policy]; did you mean 'hard-links'?");
	ERROR(6, "unknown section [clas]; did you mean 'class'?");
	ERROR(8, "has no 'expire-after'");
	ERROR(9, "unknown key 'expire-afer' in [class images]; did you mean 'expire-after'?");
	ERROR(12, "no limit per time");
	ERROR(14, "permit|deny");
	ERROR(15, "no [budget bb]; did you mean 'b'?");
	for (size_t i = 1; i < diags.count; i++)
		cr_expect_leq(diags.item[i - 1].line, diags.item[i].line);
}

Test(parse, units)
{
	REFUSED(6, "write min or mo",
		"[policy]\nversion = 1\ndefault-class = a\n[class a]\nmatch = **\n"
		"expire-after = 5m\n" PERMIT);
	REFUSED(5, "the unit is missing",
		"[policy]\nversion = 1\ndefault-class = a\n[class a]\nexpire-after = 5\n" PERMIT);
	REFUSED(5, "0 is refused", "[policy]\nversion = 1\ndefault-class = a\n[class a]\nexpire-after = 0d\n" PERMIT);
	REFUSED(5, "9999 years", "[policy]\nversion = 1\ndefault-class = a\n[class a]\nexpire-after = 99999y\n" PERMIT);
	REFUSED(5, "value is missing", "[policy]\nversion = 1\ndefault-class = a\n[class a]\nexpire-after =\n" PERMIT);
	REFUSED(7, "months, years and never", HEAD "[clock]\nmax-step = 1mo\n" PERMIT);
	REFUSED(7, "above max-offline", HEAD "[clock]\nmax-step = 31d\n" PERMIT);
	REFUSED(7, "between 1ms and 10s", HEAD "[audit]\nfsync = 0ms\n" PERMIT);
	REFUSED(7, "between 1ms and 10s", HEAD "[audit]\nfsync = 1min\n" PERMIT);
	REFUSED(7, "yes or no", HEAD "[clock]\nrequire-sync = true\n" PERMIT);
}

Test(parse, missing_and_twice)
{
	REFUSED(0, "no [policy]", "[class all]\nmatch = **\nexpire-after = 1y\n" PERMIT);
	REFUSED(1, "[policy] has no 'version'", "[policy]\ndefault-class = a\n[class a]\nexpire-after = 1d\n" PERMIT);
	REFUSED(1, "[policy] has no 'default-class'",
		"[policy]\nversion = 1\n[class a]\nmatch = **\nexpire-after = 1d\n" PERMIT);
	REFUSED(6, "[class b] has no 'match'", HEAD "[class b]\nexpire-after = 1d\n" PERMIT);
	REFUSED(6, "[rule a] has no 'effect'", HEAD "[rule a]\nusers = alice\n" PERMIT);
	REFUSED(6, "write budget = none", HEAD "[rule a]\nusers = alice\neffect = permit\n" PERMIT);
	REFUSED(8, "can have no budget", HEAD "[rule a]\neffect = deny\nbudget = none\n");
	REFUSED(6, "limits nothing", HEAD "[budget a]\nper = everyone\n" PERMIT);
	REFUSED(6, "is empty", HEAD "[users a]\n[rule a]\nusers = a\neffect = permit\nbudget = none\n");
	REFUSED(6, "first in line 1", HEAD "[policy]\nversion = 1\ndefault-class = all\n" PERMIT);
	REFUSED(6, "first in line 4", HEAD "[class all]\nmatch = x\nexpire-after = 1d\n" PERMIT);
	REFUSED(6, "'expire-after' is given twice; first in line 5", HEAD "expire-after = 1d\n" PERMIT);
	REFUSED(0, "no [policy]", "");
}

Test(parse, sections)
{
	REFUSED(6, "needs a name", HEAD "[class]\n" PERMIT);
	REFUSED(6, "needs a name", HEAD "[class 1st]\n" PERMIT);
	REFUSED(6, "needs a name", HEAD "[class two words]\n" PERMIT);
	REFUSED(6, "needs a name", HEAD "[class aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]\n" PERMIT);
	REFUSED(6, "49 bytes", HEAD "[class aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]\n" PERMIT);
	REFUSED(6, "has no name", HEAD "[clock x]\n" PERMIT);
	REFUSED(6, "']' is missing", HEAD "[clock\n" PERMIT);
	REFUSED(6, "nothing may follow", HEAD "[clock] ; x\n" PERMIT);
	REFUSED(6, "unknown section []", HEAD "[]\n" PERMIT);
	REFUSED(6, "did you mean 'budget'", HEAD "[budgets x]\n" PERMIT);
}

Test(parse, lines)
{
	REFUSED(6, "begins with a blank", HEAD "  match = x\n" PERMIT);
	REFUSED(6, "begins with a blank", HEAD "\tmatch = x\n" PERMIT);
	REFUSED(6, "expected key = value", HEAD "match: **\n" PERMIT);
	REFUSED(6, "expected key = value", HEAD "match\n" PERMIT);
	REFUSED(6, "expected key = value", HEAD "= x\n" PERMIT);
	REFUSED(6, "is no key", HEAD "Match = x\n" PERMIT);
	REFUSED(6, "control character 0x1b in column 9", HEAD "match = \033[2J\n" PERMIT);
	REFUSED(6, "control character 0xc2",
		HEAD "match = \xc2\x9b"
		     "2J\n" PERMIT);
	/* In a comment, too: whoever looks at the text has to see all of it. */
	REFUSED(6, "control character 0x1b in column 3", HEAD "# \033[8m\n" PERMIT);
	REFUSED(6, "control character 0xe2 in column 3", HEAD "; \xe2\x80\xae\n" PERMIT);
	REFUSED(6, "control character 0xe2 in column 11", HEAD "match = a/\xe2\x81\xa6**\n" PERMIT);
	REFUSED(6, "control character 0xe2", HEAD "# a\xe2\x80\xa8[rule b]\n" PERMIT);
	cr_expect_eq(parse(HEAD "# \xe2\x80\x93 \xe2\x80\xaf\xe2\x82\xac\n" PERMIT), 0); /* a dash, a narrow blank, euro */
	REFUSED(6, "'a b = c'", HEAD "a\tb = c\n" PERMIT); /* found by fuzzing: a tab in the message */
	cr_expect_eq(parse(HEAD "match = \xc3\xa4/**\n" PERMIT), 0);
	cr_expect_eq(parse(HEAD "\n  \n; x\n# y\n\t\nmatch = **\n" PERMIT), 0);
	cr_expect_eq(parse(HEAD "match\t=\t**  \t\n" PERMIT), 0);
	cr_expect_eq(parse(HEAD "match=**"), 0);
}

Test(parse, line_ends_marks_and_size)
{
	static char large[POLICY_MAX_BYTES + 2];

	REFUSED(1, "CR LF",
		"[policy]\r\nversion = 1\r\ndefault-class = a\r\n[class a]\r\nexpire-after = 1d\r\n" PERMIT);
	REFUSED(1, "byte-order mark", "\xef\xbb\xbf" HEAD PERMIT);
	cr_expect_eq(parse_bytes("[policy]\0", 9, NULL), -EINVAL);
	ERROR(0, "NUL byte at offset 8");
	memset(large, '\n', sizeof(large));
	cr_expect_eq(parse_bytes(large, sizeof(large), NULL), -EINVAL);
	ERROR(0, "larger than");
	memcpy(large, HEAD, strlen(HEAD));
	cr_expect_eq(parse_bytes(large, POLICY_MAX_BYTES, NULL), 0);
}

/* Longer than inih's own 200 bytes: handed over in pieces. */
Test(parse, long_lines)
{
	char text[POLICY_MAX_LINE + 1000], path[300];
	size_t n = (size_t)snprintf(text, sizeof(text), HEAD "[class many]\nexpire-after = 1d\nmatch =");

	for (int i = 0; n < strlen(HEAD) + POLICY_MAX_LINE - 100; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, " d%03d/**%s", i, i % 3 ? "" : ",  \t");
	snprintf(text + n, sizeof(text) - n, " a\\ b/*\n" PERMIT);
	cr_expect_eq(parse(text), 0);
	cr_expect_eq(diags.count, 0);
	for (int i = 0; i < 300; i++) {
		snprintf(path, sizeof(path), "d%03d/x", i);
		cr_expect_str_eq(policy_class_for(policy, path)->name, "many", "%s", path);
	}
	cr_expect_str_eq(policy_class_for(policy, "a b/x")->name, "many");
	cr_expect_str_eq(policy_class_for(policy, "a/x")->name, "all");

	n = (size_t)snprintf(text, sizeof(text), HEAD "match = ");
	memset(text + n, 'x', 200);
	snprintf(text + n + 200, sizeof(text) - n - 200, " y\n" PERMIT);
	REFUSED(6, "a single word of more than", text);
	memset(text + n, 'x', POLICY_MAX_LINE);
	snprintf(text + n + POLICY_MAX_LINE, sizeof(text) - n - POLICY_MAX_LINE, "\n" PERMIT);
	REFUSED(6, "longer than 4096 bytes", text);
	snprintf(text, sizeof(text),
		"[policy]\nversion = 1\ndefault-class = a\ncontact = %0180d %0180d\n"
		"[class a]\nexpire-after = 1d\n" PERMIT,
		1, 2);
	cr_expect_eq(parse(text), 0);
	cr_expect_eq(strlen(policy_settings(policy)->contact), 361);
}

Test(parse, floors)
{
	const struct policy_class *c;
	int64_t least, most;

	cr_assert_eq(parse(HEAD "retain-for = 30d\nmode = compliance\ncommit-after = close\nretain-bounds = 30d..1y\nbasis = modified\n"
				"prune-empty = yes\n" PERMIT),
		0);
	c = policy_class_at(policy, 0);
	cr_expect(c->floor && c->extensible && c->prune_empty);
	cr_expect_eq(c->mode, POLICY_COMPLIANCE);
	cr_expect_eq(c->basis, POLICY_BASIS_MODIFIED);
	cr_expect_eq(policy_retain_until(c, 1000), 1000 + 30 * 86400);
	cr_expect_eq(policy_commits_at(c, 1000), 1000);
	cr_assert(policy_retain_bounds(c, 0, &least, &most));
	cr_expect_eq(least, 30 * 86400);
	cr_expect_eq(most, 365 * 86400);
	cr_assert_eq(parse(HEAD "retain-for = 1d\n" PERMIT), 0);
	c = policy_class_at(policy, 0);
	cr_expect_eq(c->mode, POLICY_GOVERNANCE);
	cr_expect_eq(policy_commits_at(c, 1000), 1300);
	cr_expect_not(policy_retain_bounds(c, 0, &least, &most));
	cr_assert_eq(parse(HEAD PERMIT), 0);
	cr_expect_eq(policy_commits_at(policy_class_at(policy, 0), 1000), 0);
	REFUSED(6, "mode needs a floor", HEAD "mode = compliance\n" PERMIT);
	REFUSED(6, "commit-after needs a floor", HEAD "commit-after = 1h\n" PERMIT);
	REFUSED(6, "or write close", HEAD "commit-after = soon\nretain-for = 1d\n" PERMIT);
	REFUSED(6, "first bound is above the second", HEAD "retain-bounds = 1y..30d\n" PERMIT);
}

Test(parse, capture_dates)
{
	static const char *const bad[] = {"../etc", "/etc/localtime", "Europe//Berlin", "Europe/", "Europe/.x", "+1", "Europe Berlin", "-Europe",
		"Aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
	char text[512];

	cr_assert_eq(parse(HEAD "basis = captured\ntimezone = Europe/Berlin\n" PERMIT), 0);
	cr_expect_eq(diags.count, 0);
	cr_expect_str_eq(policy_timezone(policy_class_at(policy, 0)), "Europe/Berlin");
	cr_assert_eq(parse(HEAD "basis = captured\ntimezone = Etc/GMT+5\ncaptured-max-age = 2d\n" PERMIT), 0);
	cr_assert_eq(parse(HEAD PERMIT), 0);
	cr_expect_null(policy_timezone(policy_class_at(policy, 0)));
	cr_assert_eq(parse(HEAD "basis = captured\ntimezone = Mars/Olympus\n" PERMIT), 0, "it may be known elsewhere");
	cr_assert_eq(diags.count, 1);
	cr_expect(diags.item[0].warning && diags.item[0].line == 7 && strstr(diags.item[0].text, "knows no time zone Mars/Olympus"));
	REFUSED(6, "needs a timezone", HEAD "basis = captured\n" PERMIT);
	REFUSED(6, "timezone is about basis = captured", HEAD "timezone = Europe/Berlin\n" PERMIT);
	REFUSED(7, "captured-max-age is about basis = captured", HEAD "basis = modified\ncaptured-max-age = 1d\n" PERMIT);
	REFUSED(8, "months", HEAD "basis = captured\ntimezone = UTC\ncaptured-max-age = 1mo\n" PERMIT);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof text, HEAD "basis = captured\ntimezone = %s\n" PERMIT, bad[i]);
		REFUSED(7, "expected a time zone such as Europe/Berlin", text);
	}
}

Test(parse, not_supported_yet)
{
	REFUSED(8, "lockout-for is about on-exceed = lockout",
		HEAD "[budget b]\nfiles = 1/1h\nlockout-for = 1h\n"
		     "[rule p]\neffect = permit\nbudget = b\n");
	REFUSED(8, "write mode = alert",
		HEAD "[budget b]\nfiles = 1/1h\non-exceed = alert\n"
		     "[rule p]\neffect = permit\nbudget = b\n");
}

Test(parse, names_in_the_log)
{
	cr_assert_eq(parse(HEAD PERMIT), 0);
	cr_expect_not(policy_settings(policy)->log_names);
	cr_assert_eq(parse(HEAD "[audit]\nkeep-names = none\n" PERMIT), 0);
	cr_expect_not(policy_settings(policy)->log_names);
	cr_assert_eq(parse(HEAD "[audit]\nkeep-names = 30d\n" PERMIT), 0);
	cr_expect(policy_settings(policy)->log_names);
	cr_expect_eq(policy_settings(policy)->log_keep_names.seconds, 30 * 86400);
	REFUSED(7, "or write none", HEAD "[audit]\nkeep-names = 30\n" PERMIT);
	REFUSED(7, "expected a length of time or none", HEAD "[audit]\nkeep-names = never\n" PERMIT);
}

Test(parse, how_long_the_log_is_kept)
{
	const struct policy_settings *ps;

	cr_assert_eq(parse(HEAD PERMIT), 0);
	cr_expect_not(policy_settings(policy)->log_dropped);
	cr_assert_eq(parse(HEAD "[audit]\nretain-for = 13mo\n" PERMIT), 0);
	ps = policy_settings(policy);
	cr_expect(ps->log_dropped);
	cr_expect_eq(ps->log_retain.months, 13);
	cr_expect_eq(ps->log_retain_line, 7);
	cr_expect_str_eq(ps->log_retain_text, "13mo");
	cr_expect_eq(parse(HEAD "[audit]\nretain-for = 7d\n" PERMIT), 0);
	REFUSED(7, "than a grant may be in force (7 days)", HEAD "[audit]\nretain-for = 6d\n" PERMIT);
	REFUSED(7, "never is not possible", HEAD "[audit]\nretain-for = never\n" PERMIT);
	REFUSED(7, "longest window of [budget b]", HEAD "[audit]\nretain-for = 29d\n[budget b]\nfiles = 1/30d\n[rule p]\neffect = permit\nbudget = b\n");
	REFUSED(7, "longest window of [budget b]", HEAD "[audit]\nretain-for = 1mo\n[budget b]\nnames = 1/30d\n[rule p]\neffect = permit\nbudget = b\n");
	cr_expect_eq(parse(HEAD "[audit]\nretain-for = 30d\n[budget b]\nfiles = 1/30d\n[rule p]\neffect = permit\nbudget = b\n"), 0);
	cr_expect_eq(parse(HEAD "[audit]\nretain-for = 40d\n[budget b]\nfiles = 1/30d\nmode = learn\nlearn-until = 2030-01-01\n[rule p]\neffect = permit\nbudget = b\n"), 0);
	cr_expect_eq(policy_learns_until(policy), INT64_C(1893456000));
}

Test(parse, canaries)
{
	cr_expect_eq(parse(HEAD "[canary c]\npaths = in/**\nper-directory = 2\nlockout-for = 1d\n" PERMIT "canaries = exempt\n"), 0);
	cr_expect_eq(parse(HEAD "[canary c]\npaths = **\non-open = alert\n" PERMIT "canaries = alarm\n"), 0);
	REFUSED(8, "lockout-for is about on-open = lockout", HEAD "[canary c]\npaths = **\nlockout-for = 1d\non-open = alert\n" PERMIT);
	REFUSED(8, "at most 1000", HEAD "[canary c]\npaths = **\nper-directory = 1001\n" PERMIT);
	REFUSED(8, "canaries is about what is read", HEAD "[rule d]\neffect = deny\ncanaries = exempt\n" PERMIT);
	REFUSED(6, "has no 'paths'", HEAD "[canary c]\nper-directory = 2\n" PERMIT);
}

Test(parse, break_glass)
{
	cr_expect_eq(parse(HEAD "[break-glass]\napprove = second-person\napprovers = 7 1000\nmax-time = 4h\nmax-files = 2K\nticket = yes\n" PERMIT), 0);
	REFUSED(8, "a grant is in force for 30 days at most", HEAD "[break-glass]\napprove = none\nmax-time = 31d\n" PERMIT);
	REFUSED(7, "approvers are about approve = second-person", HEAD "[break-glass]\napprovers = 7\n" PERMIT);
	REFUSED(8, "approvers are user names and uids", HEAD "[break-glass]\napprove = second-person\napprovers = everyone\n" PERMIT);
}

/* What is refused as a whole is still read. */
Test(parse, mistakes_in_what_is_not_supported_yet)
{
	static const struct {
		const char *text, *part;
	} bad[] = {
		{HEAD PERMIT "identity = gid\n", "login|uid"},
		{HEAD "retain-bounds = 1y..30d\n" PERMIT, "above the second"},
		{HEAD "commit-after = 0s\n" PERMIT, "0 is refused"},
		{HEAD "timezone = ../etc\n" PERMIT, "time zone"},
		{HEAD "[budget b]\nfiles = 1/1h\nlearn-until = 2027-13-01\n" PERMIT, "expected a date"},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		bool found = false;

		cr_expect_eq(parse(bad[i].text), -EINVAL);
		for (size_t k = 0; k < diags.count; k++)
			found |= strstr(diags.item[k].text, bad[i].part) != NULL;
		cr_expect(found, "%s", bad[i].part);
	}
}

Test(parse, floor_above_ceiling)
{
	cr_expect_eq(parse(HEAD "retain-for = 2y\n" PERMIT), -EINVAL);
	ERROR(6, "above expire-after = 1y");
	cr_expect_eq(parse(HEAD "retain-for = 366d\n" PERMIT), -EINVAL);
	ERROR(6, "above expire-after = 1y");
	cr_expect_eq(parse(HEAD "retain-for = 365d\n" PERMIT), 0);
	cr_expect_eq(parse(HEAD "retain-for = 12mo\n" PERMIT), 0);
	cr_expect_eq(parse(HEAD "retain-for = never\n" PERMIT), -EINVAL);
	ERROR(6, "never is not possible");
}

Test(parse, lists)
{
	REFUSED(6, "the list is empty", HEAD "match = ,\n" PERMIT);
	REFUSED(6, "listed twice", HEAD "match = a, b a\n" PERMIT);
	REFUSED(6, "no leading slash", HEAD "match = /x\n" PERMIT);
	REFUSED(6, "dir/**", HEAD "match = x/\n" PERMIT);
	REFUSED(7, "same length", HEAD "[budget b]\nfiles = 1/1h 2/60min\n[rule p]\neffect = permit\nbudget = b\n");
	REFUSED(7, "no whole number above 0", HEAD "[budget b]\nfiles = 0/1h\n[rule p]\neffect = permit\nbudget = b\n");
	REFUSED(7, "the unit is missing", HEAD "[budget b]\nfiles = 5/1\n[rule p]\neffect = permit\nbudget = b\n");
	REFUSED(7, "longer than 366 days", HEAD "[budget b]\nfiles = 5/367d\n[rule p]\neffect = permit\nbudget = b\n");
	REFUSED(7, "at most 1000000000", HEAD "[budget b]\nfiles = 2G/1h\n[rule p]\neffect = permit\nbudget = b\n");
	REFUSED(8, "cannot stand beside",
		HEAD "[rule p]\neffect = permit\nbudget = none b\n[budget b]\nfiles = 1/1h\n");
	REFUSED(6, "no name for a budget", HEAD "[budget none]\nfiles = 1/1h\n" PERMIT);
	REFUSED(6, "meaning of its own", HEAD "[users everyone]\nmembers = alice\n" PERMIT);
}

Test(parse, budgets_with_names_are_so_many)
{
	char *most = fixture_name_budgets(POLICY_MAX_NAME_BUDGETS), *over = fixture_name_budgets(POLICY_MAX_NAME_BUDGETS + 1);

	cr_expect_eq(parse(most), 0);
	cr_expect_eq(parse(over), -EINVAL);
	ERROR(6 + 6 * POLICY_MAX_NAME_BUDGETS + 1, "more than 64 budgets with 'names'");
	free(most);
	free(over);
}

Test(parse, hours_and_days)
{
	static const char *const bad_hours[] = {"8-18", "25:00-26:00", "08:60-09:00", "08:00-08:00", "00:00-00:00", "24:00-06:00", "24:01-25:00",
		"08:00", "08:00-18:00-20:00", "08:00-18:0", "ab:cd-ef:gh"};
	static const char *const bad_days[] = {"monday", "mon-", "mo", "mon-mon", "mon-fri-sun", "Mon", "mon_fri", "xxx-fri"};
	char text[256];

	for (size_t i = 0; i < sizeof(bad_hours) / sizeof(bad_hours[0]); i++) {
		snprintf(text, sizeof(text), HEAD PERMIT "hours = 09:00-10:00 %s\n", bad_hours[i]);
		REFUSED(9, "is no span of hours such as 08:00-18:00", text);
	}
	for (size_t i = 0; i < sizeof(bad_days) / sizeof(bad_days[0]); i++) {
		snprintf(text, sizeof(text), HEAD PERMIT "days = tue %s\n", bad_days[i]);
		REFUSED(9, "is no day such as mon", text);
	}
	REFUSED(9, "the value is missing", HEAD PERMIT "days =\n");
	REFUSED(9, "listed twice", HEAD PERMIT "days = mon mon\n");
	cr_expect_eq(parse(HEAD PERMIT "hours = 08:00-18:00, 17:00-24:00 22:00-06:00\ndays = mon-fri, sun\n"), 0);
}

Test(parse, classes_of_rules)
{
	REFUSED(9, "there is no [class al]; did you mean 'all'?", HEAD PERMIT "classes = al\n");
	REFUSED(9, "there is no [class somewhere-else]", HEAD PERMIT "classes = all somewhere-else\n");
	cr_expect_eq(parse(HEAD PERMIT "classes = all\n"), 0);
}

Test(parse, names)
{
	cr_expect_eq(parse(HEAD "[rule p]\nusers = nobody-here\neffect = permit\nbudget = none\n"), 0);
	WARNING(7, "there is no user 'nobody-here'");
	REFUSED(6, "names somebody whom this machine does not know",
		HEAD "[rule p]\nusers = nobody-here\neffect = deny\n");
	REFUSED(8, "names somebody whom", HEAD "[users l]\ngroups = 5 nosuch\n[rule p]\nusers = l\neffect = deny\n");
	cr_expect_eq(parse(HEAD "[rule p]\nusers = ghost\neffect = deny\n"), 0); /* the caller says: nobody */
	REFUSED(7, "cannot be looked up", HEAD "[rule p]\nusers = broken\neffect = permit\nbudget = none\n");
	cr_expect_eq(parse(HEAD "[users analysts]\nmembers = alice\n[rule p]\nusers = analyst\neffect = permit\nbudget "
				"= none\n"),
		0);
	WARNING(9, "did you mean 'analysts'?");
	WARNING(6, "[users analysts] is in no rule");
	const char *text = HEAD "[rule p]\nusers = alice 5\neffect = deny\n";
	cr_expect_eq(parse_bytes(text, strlen(text), NULL), 0);
	WARNING(7, "'alice' cannot be looked up here");
	cr_expect_eq(parse(HEAD "[rule p]\nusers = 4294967294\neffect = permit\nbudget = none\n"), 0);
	WARNING(7, "there is no user '4294967294'");
}

Test(parse, warnings_of_what_never_matches)
{
	char text[512];

	cr_expect_eq(parse(HEAD "match = **\n[class b]\nmatch = x/**\nexpire-after = 1d\n" PERMIT), 0);
	WARNING(7, "[class b] can never match: [class all] in line 4 takes all");
	cr_expect_eq(parse(HEAD "[class b]\nmatch = x/** **/*.jpg\nexpire-after = 1d\n"
				"[class c]\nmatch = x/y/* a/b.jpg\nexpire-after = 1d\n" PERMIT),
		0);
	WARNING(9, "[class c] can never match");
	cr_expect_eq(parse(HEAD "[class b]\nmatch = x/**\nexpire-after = 1d\n"
				"[class c]\nmatch = x/y/* y/*\nexpire-after = 1d\n" PERMIT),
		0);
	cr_expect_eq(diags.count, 0);
	cr_expect_eq(parse(HEAD "[class b]\nmatch = *.jpg\nexpire-after = 1d\n" PERMIT), 0);
	WARNING(7, "for any depth write **/*.jpg");
	cr_expect_eq(parse(HEAD PERMIT "[rule q]\nusers = alice\neffect = deny\n"), 0);
	WARNING(9, "[rule q] can never match: [rule p] in line 6");
	cr_expect_eq(parse(HEAD "[rule a]\nusers = alice\npaths = x/**\neffect = deny\n"
				"[rule b]\nusers = alice\neffect = deny\n" PERMIT),
		0);
	cr_expect_eq(diags.count, 0);
	cr_expect_eq(parse(HEAD "[rule a]\nusers = alice bob\neffect = deny\n"
				"[rule b]\nusers = 1000\npaths = y\neffect = permit\nbudget = none\n" PERMIT),
		0);
	WARNING(9, "[rule b] can never match: [rule a] in line 6");
	cr_expect_eq(parse(HEAD PERMIT "[rule b]\nusers = unidentified\neffect = permit\nbudget = none\n"), 0);
	cr_expect_eq(diags.count, 0);
	cr_expect_eq(parse(HEAD), 0);
	WARNING(0, "every read will be denied");
#define B(first, second) "[rule a]\neffect = deny\n" first "[rule b]\neffect = deny\n" second PERMIT
	static const char *const covered[] = {B("", "hours = 08:00-18:00\n"), B("", "days = mon\nclasses = all\n"),
		B("hours = 08:00-18:00\n", "hours = 09:00-10:00 17:00-18:00\n"), B("days = fri-mon\n", "days = sat\nhours = 00:00-01:00\n"),
		B("hours = 00:00-24:00\n", ""), B("days = mon-sun\n", ""), B("classes = all\n", "classes = all\ndays = mon\n")};
	static const char *const open[] = {B("hours = 08:00-18:00\n", ""), B("days = mon-sat\n", ""), B("hours = 08:00-18:00\n", "hours = 08:00-18:01\n"),
		B("days = mon\n", "days = mon tue\n"), B("days = mon\n", "hours = 08:00-18:00\n"), B("classes = all\n", "")};
	for (size_t i = 0; i < sizeof(covered) / sizeof(covered[0]); i++) {
		snprintf(text, sizeof(text), HEAD "%s", covered[i]);
		cr_expect_eq(parse(text), 0);
		bool found = false;
		for (size_t k = 0; k < diags.count; k++)
			found |= strstr(diags.item[k].text, "[rule b] can never match: [rule a]") != NULL;
		cr_expect(found, "%s", text);
	}
	for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++) {
		snprintf(text, sizeof(text), HEAD "%s", open[i]);
		cr_expect_eq(parse(text), 0);
		for (size_t k = 0; k < diags.count; k++)
			cr_expect_not(strstr(diags.item[k].text, "[rule b] can never"), "%s", text);
	}
	/* A permit at all hours of all days is still none while the time is not known. */
	cr_expect_eq(parse(HEAD PERMIT "hours = 00:00-24:00\n[rule q]\neffect = deny\n"), 0);
	cr_expect_eq(diags.count, 0);
	cr_expect_eq(parse(HEAD PERMIT "[budget b]\nfiles = 9/1h 9/2h\n"), 0);
	WARNING(10, "9/1h never bites beside 9/2h");
	WARNING(9, "[budget b] is in no rule");
}

/* Every truncation and every changed byte: an answer, and never one without a reason. */
Test(parse, damaged)
{
	static const char text[] =
		"[policy]\nversion = 1\ndefault-class = all\ncontact = me\n[users l]\nmembers = alice, 5\n"
		"[class p]\nmatch = a/** **/[a-c]*.jpg\nexpire-after = 1mo\nretain-for = 5d\n[class all]\nexpire-after "
		"= 1y\n"
		"[budget b]\nfiles = 500/10min 2K/24h\nbytes = 1G/1d\nmode = alert\n"
		"[rule r]\nusers = l\npaths = a/**\neffect = permit\nbudget = b\n[clock]\nmax-step = "
		"1h\n[audit]\nfsync = 1s\n";
	static const char bytes[] = "\0\n\r \t=[];#*\\/\x80\xff";
	char copy[sizeof(text)];

	for (size_t i = 0; i < sizeof(text); i++)
		if (parse_bytes(text, i, &fixture_names))
			cr_expect_gt(diags.errors, 0);
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		for (size_t k = 0; k < sizeof(bytes) + 7; k++) {
			memcpy(copy, text, sizeof(text));
			copy[i] = k < sizeof(bytes) ? bytes[k] : (char)(copy[i] ^ (1 << (k - sizeof(bytes))));
			if (parse_bytes(copy, sizeof(text) - 1, &fixture_names))
				cr_expect_gt(diags.errors, 0);
		}
}

Test(parse, many_errors_are_cut_off)
{
	static char text[200000];
	size_t n = 0;

	for (int i = 0; i < 5000; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "[class c%d]\nx = y\n", i);
	cr_expect_eq(parse_bytes(text, n, NULL), -EINVAL);
	cr_expect_eq(diags.count, POLICY_MAX_DIAGS);
	cr_expect_gt(diags.errors, POLICY_MAX_DIAGS);
}

static double seconds_for(const char *text, size_t len)
{
	struct timespec a, b;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	parse_bytes(text, len, NULL);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	return (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
}

/* A megabyte made to be slow. */
Test(parse, hostile_megabyte_is_bounded)
{
	static char text[POLICY_MAX_BYTES + 5000];
	size_t n = (size_t)snprintf(text, sizeof(text), HEAD);

	for (int i = 0; n < POLICY_MAX_BYTES - 4200; i++) {
		n += (size_t)snprintf(text + n, sizeof(text) - n, "[class c%d]\nexpire-after = 1d\nmatch =", i);
		for (int k = 0; k < 500; k++)
			n += (size_t)snprintf(text + n, sizeof(text) - n, " *%x*%x", i, k);
		text[n++] = '\n';
	}
	cr_expect_lt(seconds_for(text, n), 20.0);
	n = (size_t)snprintf(text, sizeof(text), HEAD);
	for (int i = 0; i < 1000; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n,
			"[rule r%d]\nusers = %d\npaths = **/a*b*/%d**\neffect = deny\n", i, i % 7, i);
	cr_expect_lt(seconds_for(text, n), 20.0);
	memset(text, '[', POLICY_MAX_BYTES);
	cr_expect_lt(seconds_for(text, POLICY_MAX_BYTES), 20.0);
}

Test(parse, references_are_counted)
{
	cr_assert_eq(parse(HEAD PERMIT), 0);
	struct policy *p = policy_ref(policy);

	policy_unref(p);
	cr_expect_str_eq(policy_class_by_name(policy, "all")->name, "all");
	policy_unref(NULL);
}
