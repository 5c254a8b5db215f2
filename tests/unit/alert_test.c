#include <stdio.h>
#include <string.h>

#include "policy/alert.h"
#include "policy_fixture.h"

static struct alert sample(void)
{
	struct alert a = {.event = ALERT_LOCKOUT,
		.trusted_ns = INT64_C(1700000000) * 1000000000,
		.wall_ns = INT64_C(1700000001) * 1000000000,
		.archive = "/srv/plates",
		.uuid = "0f0f",
		.who = true,
		.uid = 1001,
		.login_uid = 1000,
		.real_uid = POLICY_NO_UID,
		.pid = 77,
		.file = true,
		.line = 31,
		.rule = "everyone",
		.budget = "reader",
		.window = "500/10min",
		.used = 500,
		.limit = 500,
		.frees_at = 1700043200,
		.contact = "records \"office\" \\ ext] 1",
		.text = "uid 1001 is locked out"};

	memset(a.file_id, 0xab, sizeof(a.file_id));
	return a;
}

/* The names are an interface: a change here breaks somebody's filter. */
Test(alert, names)
{
	static const char *const name[] = {"refused", "over-budget", "lockout", "unlocked", "closed", "opened", "canary", "grant", "policy-applied",
		"policy-kept", "log-failed", "log-written", "anchor-failed", "anchor-written", "clock-doubt", "clock-fine", "foreign-files", "damaged",
		"shred-lag", "shred-done", "verify-finding", "suppressed"};

	cr_assert_eq(sizeof(name) / sizeof(name[0]), ALERT_EVENTS);
	for (int e = 0; e < ALERT_EVENTS; e++) {
		cr_expect_str_eq(alert_name((enum alert_event)e), name[e]);
		cr_expect_not_null(alert_severity_name(alert_severity((enum alert_event)e)));
	}
}

Test(alert, json)
{
	char out[ALERT_BYTES_MAX];
	struct alert a = sample();

	cr_expect_eq(alert_json(&a, out, sizeof(out)), strlen(out));
	cr_expect_str_eq(out, "{\"event\":\"lockout\",\"severity\":\"critical\",\"time\":\"2023-11-14T22:13:20Z\",\"trusted\":1700000000,"
			      "\"wall\":1700000001,\"archive\":\"/srv/plates\",\"uuid\":\"0f0f\",\"uid\":1001,\"login-uid\":1000,\"pid\":77,"
			      "\"file\":\"abababababababababababababababab\",\"rule\":\"everyone\",\"policy-line\":31,\"budget\":\"reader\","
			      "\"window\":\"500/10min\",\"used\":500,\"limit\":500,\"frees-at\":1700043200,"
			      "\"contact\":\"records \\\"office\\\" \\\\ ext] 1\",\"message\":\"uid 1001 is locked out\"}\n");
}

Test(alert, json_of_hostile_text)
{
	char out[ALERT_BYTES_MAX];
	struct alert a = {.event = ALERT_CLOSED, .text = "a\nb\"c\x80\xff\xc3\xa4\xed\xa0\x80\x1b["};

	alert_json(&a, out, sizeof(out));
	cr_expect_not_null(strstr(out, "\"message\":\"a?b\\\"c??\xc3\xa4???\?["), "%s", out);
	cr_expect_eq(strcspn(out, "\n"), strlen(out) - 1);
}

/* Whatever the room, what comes out is whole. */
Test(alert, json_in_every_room)
{
	char all[ALERT_BYTES_MAX], out[ALERT_BYTES_MAX];
	struct alert a = sample();
	size_t whole = alert_json(&a, all, sizeof(all));

	for (size_t cap = 8; cap <= whole + 1; cap++) {
		size_t len = alert_json(&a, out, cap);

		cr_assert_lt(len, cap);
		cr_expect(out[0] == '{' && !strcmp(out + len - 2, "}\n"), "%zu: %s", cap, out);
		cr_expect_null(strstr(out, ",,"));
	}
	cr_expect_str_eq(out, all);
}

Test(alert, journal)
{
	char out[ALERT_BYTES_MAX];
	struct alert a = sample();

	strcpy(a.text, "one\nLAPSE_UID=0");
	alert_journal(&a, out, sizeof(out));
	cr_expect_eq(strncmp(out, "PRIORITY=2\nSYSLOG_IDENTIFIER=lapse\nMESSAGE=one?LAPSE_UID=0\nLAPSE_EVENT=lockout\n", 75), 0, "%s", out);
	cr_expect_not_null(strstr(out, "\nLAPSE_LOGIN_UID=1000\n"));
	cr_expect_not_null(strstr(out, "\nLAPSE_POLICY_LINE=31\n"));
	cr_expect_null(strstr(out, "LAPSE_REAL_UID"));
	cr_expect_null(strstr(out, "\nLAPSE_UID=0\n"));
}

Test(alert, syslog)
{
	char out[ALERT_BYTES_MAX];
	struct alert a = sample();

	alert_syslog(&a, "host", 9, out, sizeof(out));
	cr_expect_eq(strncmp(out, "<26>1 2023-11-14T22:13:21Z host lapse 9 lockout [lapse@32473 event=\"lockout\" ", 76), 0, "%s", out);
	cr_expect_not_null(strstr(out, " contact=\"records \\\"office\\\" \\\\ ext\\] 1\""));
	cr_expect_str_eq(strstr(out, "] uid"), "] uid 1001 is locked out");
	memset(a.archive, 'x', sizeof(a.archive) - 1);
	memset(a.text, 'y', sizeof(a.text) - 1);
	cr_expect_eq(alert_syslog(&a, "host", 9, out, 1024), strlen(out));
	cr_expect_not_null(strstr(out, "] yyy"));
}

Test(alert, bucket)
{
	struct alert_bucket b = {0};

	alert_bucket_set(&b, 3, 60000, 1000);
	for (int i = 0; i < 3; i++)
		cr_expect(alert_admit(&b, 1000));
	cr_expect_not(alert_admit(&b, 1000));
	cr_expect_not(alert_admit(&b, 20999));
	cr_expect_eq(b.suppressed, 2);
	cr_expect(alert_admit(&b, 21000)); /* a third of the stretch: one token */
	cr_expect_not(alert_admit(&b, 21000));
	cr_expect_not(alert_admit(&b, 5)); /* a clock that goes back gives nothing */
	for (int i = 0; i < 3; i++)
		cr_expect(alert_admit(&b, INT64_MAX / 2));
	cr_expect_not(alert_admit(&b, INT64_MAX / 2));
	alert_bucket_set(&b, 3, 60000, INT64_MAX / 2); /* unchanged: not filled */
	cr_expect_not(alert_admit(&b, INT64_MAX / 2));
	alert_bucket_set(&b, 1, 1000, INT64_MAX / 2);
	cr_expect(alert_admit(&b, INT64_MAX / 2));
}

/* ---- the section [alert] ------------------------------------------------------------------------------------------------ */

#define PERMIT "[rule r]\neffect = permit\nbudget = none\n"

static void expect_refused(const char *alert, const char *part)
{
	char text[1024];
	struct policy *p = NULL;
	struct policy_diags d;
	bool found = false;

	snprintf(text, sizeof(text), HEAD "[alert]\n%s" PERMIT, alert);
	cr_expect_eq(policy_parse(text, strlen(text), &fixture_names, &p, &d), -EINVAL, "%s", alert);
	for (size_t i = 0; i < d.count; i++)
		found |= !d.item[i].warning && d.item[i].line == 7 && strstr(d.item[i].text, part);
	cr_expect(found, "%s: '%s' is not said of line 7", alert, part);
	policy_diags_free(&d);
}

Test(alerting, defaults)
{
	struct policy *p = fixture_policy(HEAD PERMIT);
	const struct policy_alerting *a = &policy_settings(p)->alerting;

	cr_expect(a->journal && a->syslog == POLICY_SYSLOG_FALLBACK && !a->exec);
	cr_expect_str_eq(a->user, "nobody");
	cr_expect(a->rate == 10 && a->rate_ms == 60000);
	policy_unref(p);
}

Test(alerting, command)
{
	struct policy *p = fixture_policy(HEAD "[alert]\nexec = /usr/bin/alarm --to \"the office\" a\\ b -v -v \"\" \\\"\nuser = alice\nrate = 5/2min\n"
					       "journal = no\nsyslog = yes\n" PERMIT);
	const struct policy_alerting *a = &policy_settings(p)->alerting;
	static const char *const expected[] = {"/usr/bin/alarm", "--to", "the office", "a b", "-v", "-v", "", "\"", NULL};

	for (size_t i = 0; expected[i]; i++)
		cr_assert_str_eq(a->exec[i], expected[i]);
	cr_expect_null(a->exec[8]);
	cr_expect(!a->journal && a->syslog == POLICY_SYSLOG_ALWAYS && a->rate == 5 && a->rate_ms == 120000);
	cr_expect_str_eq(a->user, "alice");
	policy_unref(p);
}

Test(alerting, mistakes)
{
	expect_refused("exec = alarm\n", "absolute path");
	expect_refused("exec = /\n", "absolute path");
	expect_refused("exec = /bin/a \"b\n", "not closed");
	expect_refused("user = alice\n", "about exec");
	expect_refused("rate = 1/1min\n", "about exec");
	expect_refused("user = root\nexec = /bin/a\n", "not run as root");
	expect_refused("rate = 1/1min 2/1h\nexec = /bin/a\n", "one limit");
	expect_refused("rate = 1/2d\nexec = /bin/a\n", "one limit");
	expect_refused("rate = 1001/1h\nexec = /bin/a\n", "one limit");
}

Test(alerting, a_user_that_nobody_knows_is_a_warning)
{
	struct policy *p;
	struct policy_diags d;
	const char *text = HEAD "[alert]\nexec = /bin/a\nuser = dave\n" PERMIT;

	cr_assert_eq(policy_parse(text, strlen(text), &fixture_names, &p, &d), 0);
	cr_expect(d.count == 1 && d.item[0].warning && strstr(d.item[0].text, "knows no user dave"));
	policy_diags_free(&d);
	policy_unref(p);
}
