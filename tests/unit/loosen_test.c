#include "policy_fixture.h"

/* A policy of which one piece at a time is another. */
enum piece { TOP, CLOCK, ALL, PLATES, CLERKS, DENY, PERMIT, LAST, SMALL, PIECES };

static const char *const usual[PIECES] = {
	[TOP] = "[policy]\nversion = 1\ndefault-class = all\nsettle = 2min\nofficers = 500\napprove = loosen\n",
	[CLOCK] = "[clock]\nmax-step = 12h\n",
	[ALL] = "[class all]\nexpire-after = 30d\n",
	[PLATES] = "[class plates]\nmatch = plates/**\nexpire-after = 6mo\nretain-for = 7d\nmode = compliance\n",
	[CLERKS] = "[users clerks]\nmembers = alice bob\n",
	[DENY] = "[rule night]\nusers = clerks\nhours = 22:00-06:00\neffect = deny\n",
	[PERMIT] = "[rule clerks]\nusers = clerks\neffect = permit\nbudget = small\n",
	[LAST] = "[rule everyone]\neffect = permit\nbudget = small big\n",
	[SMALL] = "[budget small]\nfiles = 10/10min 100/24h\nbytes = 1G/24h\non-exceed = lockout\nlockout-for = 2h\n[budget big]\nfiles = 1000/24h\n",
};

static struct policy *with(enum piece piece, const char *text)
{
	char all[4096] = "";
	for (size_t i = 0; i < PIECES; i++)
		strcat(all, i == piece ? text : usual[i]);
	return fixture_policy(all);
}

static bool loosens(enum piece piece, const char *text)
{
	struct policy *now = with(PIECES, NULL), *next = with(piece, text);
	char why[160] = "";
	bool does = policy_loosens(now, next, why, sizeof(why));
	cr_expect_eq(does, why[0] != '\0', "%s: '%s'", text, why);
	policy_unref(now);
	policy_unref(next);
	return does;
}

#define LOOSER(piece, text)   cr_expect(loosens(piece, text), "not seen as looser: %s", text)
#define STRICTER(piece, text) cr_expect(!loosens(piece, text), "seen as looser: %s", text)

Test(loosen, the_same_is_not)
{
	STRICTER(PIECES, "");
	STRICTER(TOP, "[policy]\nversion = 1\ndefault-class = all\nsettle = 120s\nofficers = 500\napprove = loosen\ncontact = the desk\n");
}

Test(loosen, settings)
{
	static const char base[] = "[policy]\nversion = 1\ndefault-class = all\n";
	char text[512];
	static const char *const looser[] = {"settle = 3min\nofficers = 500\napprove = loosen\n", "officers = 500\n", "approve = loosen\n",
		"officers = 500 501\napprove = loosen\n", "officers = 501\napprove = loosen\n", "officers = 500\nauditors = 7\napprove = loosen\n",
		"officers = 500\napprove = loosen\nacl = yes\n", "officers = 500\napprove = loosen\nplan-limit = 5\n",
		"officers = 500\napprove = loosen\nundo = 48h\n", "officers = 500\napprove = none\n"};
	static const char *const stricter[] = {"settle = 1min\nofficers = 500\napprove = loosen\n", "officers = 500\napprove = all\n",
		"officers = 500\napprove = loosen\nhard-links = no\n"};
	for (size_t i = 0; i < sizeof(looser) / sizeof(looser[0]); i++) {
		snprintf(text, sizeof(text), "%s%s", base, looser[i]);
		LOOSER(TOP, text);
	}
	for (size_t i = 0; i < sizeof(stricter) / sizeof(stricter[0]); i++) {
		snprintf(text, sizeof(text), "%s%s", base, stricter[i]);
		STRICTER(TOP, text);
	}
	LOOSER(CLOCK, "[clock]\nmax-step = 13h\n");
	LOOSER(CLOCK, "");
	LOOSER(CLOCK, "[clock]\nmax-step = 12h\nrequire-sync = no\n");
	STRICTER(CLOCK, "[clock]\nmax-step = 1h\n");
	LOOSER(CLOCK, "[clock]\nmax-step = 12h\n[alert]\nexec = /usr/bin/logger\n");
}

Test(loosen, lives)
{
	LOOSER(ALL, "[class all]\nexpire-after = 31d\n");
	LOOSER(ALL, "[class all]\nexpire-after = never\n");
	LOOSER(ALL, "[class all]\nexpire-after = 1mo\n"); /* not provably shorter */
	STRICTER(ALL, "[class all]\nexpire-after = 29d\n");
	STRICTER(ALL, "[class all]\nexpire-after = 30d\nretain-for = 1d\n");
	LOOSER(PLATES, "[class plates]\nmatch = plates/**\nexpire-after = 6mo\nretain-for = 6d\nmode = compliance\n");
	LOOSER(PLATES, "[class plates]\nmatch = plates/**\nexpire-after = 6mo\nretain-for = 7d\n");
	LOOSER(PLATES, "[class plates]\nmatch = plates/**\nexpire-after = 6mo\n");
	LOOSER(PLATES, "[class plates]\nmatch = plates/*\nexpire-after = 6mo\nretain-for = 7d\nmode = compliance\n");
	LOOSER(PLATES, "[class plates]\nmatch = plates/**\nexpire-after = 6mo\nretain-for = 7d\nmode = compliance\ncommit-after = 1h\n");
	STRICTER(PLATES, "[class plates]\nmatch = plates/**\nexpire-after = 5mo\nretain-for = 8d\nmode = compliance\n");
	LOOSER(PLATES, "");
	LOOSER(ALL, "[class all]\nexpire-after = 30d\n[class more]\nmatch = more/**\nexpire-after = 1d\n");
}

Test(loosen, how_long_the_log_is_kept)
{
	enum { TEXTS = 6 };
	static const char *const text[TEXTS] = {"", "[audit]\nretain-for = 400d\n", "[audit]\nretain-for = 399d\n", "[audit]\nretain-for = 1y\n",
		"[audit]\nretain-for = 401d\n", "[audit]\nretain-for = 400d\nfsync = 1s\n"};
	static const bool looser[TEXTS][TEXTS] = {
		[0] = {false, true, true, true, true, true},
		[1] = {true, false, true, true, false, true},
		[2] = {true, false, false, true, false, true},
		[3] = {true, true, true, false, true, true},
	};
	for (size_t a = 0; a < 4; a++)
		for (size_t b = 0; b < TEXTS; b++) {
			char why[160], was[2048], is[2048];
			snprintf(was, sizeof was, "%s%s", "[policy]\nversion = 1\ndefault-class = all\n[class all]\nexpire-after = 1d\n[rule r]\neffect = permit\nbudget = none\n", text[a]);
			snprintf(is, sizeof is, "%s%s", "[policy]\nversion = 1\ndefault-class = all\n[class all]\nexpire-after = 1d\n[rule r]\neffect = permit\nbudget = none\n", text[b]);
			struct policy *now = fixture_policy(was), *next = fixture_policy(is);
			cr_expect_eq(policy_loosens(now, next, why, sizeof(why)), looser[a][b], "from '%s' to '%s'", text[a], text[b]);
			policy_unref(now);
			policy_unref(next);
		}
}

Test(loosen, rules)
{
	LOOSER(DENY, "");
	LOOSER(DENY, "[rule night]\nusers = clerks\nhours = 23:00-06:00\neffect = deny\n");
	LOOSER(DENY, "[rule night]\nusers = clerks\nhours = 22:00-06:00\neffect = permit\nbudget = small\n");
	STRICTER(DENY, "[rule first]\nusers = bob\neffect = deny\n[rule night]\nusers = clerks\nhours = 22:00-06:00\neffect = deny\n");
	LOOSER(DENY, "[rule first]\nusers = bob\neffect = permit\nbudget = small\n[rule night]\nusers = clerks\nhours = 22:00-06:00\neffect = deny\n");
	STRICTER(PERMIT, "[rule clerks]\nusers = clerks\neffect = deny\n");
	STRICTER(PERMIT, "[rule clerks]\nusers = clerks\neffect = permit\nbudget = big small\n");
	LOOSER(PERMIT, "[rule clerks]\nusers = clerks\neffect = permit\nbudget = none\n");
	LOOSER(PERMIT, "[rule clerks]\nusers = clerks\neffect = permit\nbudget = big\n");
	LOOSER(PERMIT, "[rule clerks]\nusers = clerks bob\neffect = permit\nbudget = small\n");
	/* whoever is in such a service is asked as the client alone when he moves or makes something, whomever the rule denies */
	LOOSER(DENY, "[rule server]\nservices = smbd.service\nidentity = uid\nusers = bob\neffect = deny\n[rule night]\nusers = clerks\nhours = 22:00-06:00\neffect = deny\n");
	LOOSER(LAST, "[rule everyone]\neffect = permit\nbudget = small big\n[rule server]\nservices = smbd.service\nidentity = uid\neffect = deny\n");
	STRICTER(DENY, "[rule server]\nservices = smbd.service\nidentity = login\nusers = bob\neffect = deny\n[rule night]\nusers = clerks\nhours = 22:00-06:00\neffect = deny\n");
	LOOSER(PERMIT, ""); /* they fall to the next one */
	STRICTER(LAST, "");
	LOOSER(LAST, "[rule everyone]\neffect = permit\nbudget = big\n");
	LOOSER(LAST, "[rule everyone]\neffect = permit\nbudget = small big\n[rule more]\nusers = unidentified\neffect = permit\nbudget = small\n");
	STRICTER(LAST, "[rule everyone]\neffect = permit\nbudget = small big\n[rule more]\nusers = unidentified\neffect = deny\n");
	LOOSER(LAST, "[rule all]\neffect = permit\nbudget = small big\n");
}

Test(loosen, order_of_rules)
{
	char now_text[4096] = "", next_text[4096] = "", why[160];
	for (size_t i = 0; i < PIECES; i++) {
		strcat(now_text, usual[i]);
		strcat(next_text, usual[i == DENY ? PERMIT : i == PERMIT ? DENY : i]);
	}
	struct policy *now = fixture_policy(now_text), *next = fixture_policy(next_text);
	cr_expect(policy_loosens(now, next, why, sizeof(why)));
	policy_unref(now);
	policy_unref(next);
}

Test(loosen, budgets)
{
	static const char big[] = "[budget big]\nfiles = 1000/24h\n";
	static const char *const looser[] = {"files = 11/10min 100/24h\nbytes = 1G/24h\non-exceed = lockout\nlockout-for = 2h\n",
		"files = 10/10min\nbytes = 1G/24h\non-exceed = lockout\nlockout-for = 2h\n", "files = 10/10min 100/24h\non-exceed = lockout\nlockout-for = 2h\n",
		"files = 10/10min 100/24h\nbytes = 2G/24h\non-exceed = lockout\nlockout-for = 2h\n",
		"files = 10/10min 100/24h\nbytes = 1G/24h\non-exceed = lockout\nlockout-for = 1h\n", "files = 10/10min 100/24h\nbytes = 1G/24h\n",
		"files = 10/10min 100/24h\nbytes = 1G/24h\non-exceed = lockout\nlockout-for = 2h\nmode = alert\n",
		"files = 10/10min 100/24h\nbytes = 1G/24h\non-exceed = lockout\nlockout-for = 2h\nper = everyone\n",
		"files = 10/9min 100/24h\nbytes = 1G/24h\non-exceed = lockout\nlockout-for = 2h\n"};
	static const char *const stricter[] = {"files = 9/10min 100/24h\nbytes = 1G/24h\non-exceed = lockout\nlockout-for = 2h\n",
		"files = 10/10min 100/24h 500/30d\nbytes = 1G/24h\non-exceed = lockout\nlockout-for = 3h\n",
		"files = 10/10min 100/24h\nbytes = 500M/24h 1G/30d\non-exceed = lockout\nlockout-for = 2h\nmode = enforce\nerror = access\n"};
	char text[1024];
	for (size_t i = 0; i < sizeof(looser) / sizeof(looser[0]); i++) {
		snprintf(text, sizeof(text), "[budget small]\n%s%s", looser[i], big);
		LOOSER(SMALL, text);
	}
	for (size_t i = 0; i < sizeof(stricter) / sizeof(stricter[0]); i++) {
		snprintf(text, sizeof(text), "[budget small]\n%s%s", stricter[i], big);
		STRICTER(SMALL, text);
	}
}

static bool loosens_by(const char *now_text, const char *next_text)
{
	struct policy *now = with(TOP, now_text), *next = with(TOP, next_text);
	char why[160] = "";
	bool does = policy_loosens(now, next, why, sizeof(why));
	policy_unref(now);
	policy_unref(next);
	return does;
}

Test(loosen, budgets_in_names)
{
	static const char *const now = "[policy]\nversion = 1\ndefault-class = all\n[budget all]\nper = everyone\nfiles = 10/24h\nnames = 100/10min 1K/24h\n";
	static const struct {
		const char *names;
		bool looser;
	} next[] = {{"names = 100/10min 1K/24h\n", false}, {"names = 99/10min 1K/24h 2K/30d\n", false}, {"names = 101/10min 1K/24h\n", true}, {"names = 100/10min\n", true},
		{"names = 100/9min 1K/24h\n", true}, {"", true}};
	char text[256];
	for (size_t i = 0; i < sizeof(next) / sizeof(next[0]); i++) {
		snprintf(text, sizeof(text), "[policy]\nversion = 1\ndefault-class = all\n[budget all]\nper = everyone\nfiles = 10/24h\n%s", next[i].names);
		cr_expect_eq(loosens_by(now, text), next[i].looser, "%s", next[i].names);
	}
}

#define PLAIN               "[policy]\nversion = 1\ndefault-class = all\n"
#define SHARED(name, files) PLAIN "[budget " name "]\nper = everyone\nfiles = " files "/24h\n"

Test(loosen, what_everyone_shares_needs_no_rule)
{
	cr_expect(loosens_by(SHARED("all", "5000"), PLAIN));
	cr_expect(loosens_by(SHARED("all", "5000"), SHARED("total", "5000")), "what was read is counted by name");
	cr_expect(loosens_by(SHARED("all", "5000"), SHARED("all", "5001")));
	cr_expect_not(loosens_by(SHARED("all", "5000"), SHARED("all", "4999")));
	cr_expect_not(loosens_by(PLAIN, SHARED("all", "5000")));
}

Test(loosen, a_group_that_is_not_there_yet_gains_a_role)
{
	cr_expect(loosens_by(PLAIN "officers = 500\n", PLAIN "officers = 500 later\n"));
	cr_expect(loosens_by(PLAIN, PLAIN "auditors = later\n"));
	cr_expect(loosens_by(PLAIN "officers = later\n", PLAIN));
	cr_expect_not(loosens_by(PLAIN "officers = 500 later\n", PLAIN "officers = later 500\n"));
	cr_expect_not(loosens_by(PLAIN "officers = 500 later\n", PLAIN "officers = 500\n"));
}

Test(loosen, what_rules_refer_to)
{
	LOOSER(CLERKS, "[users clerks]\nmembers = alice bob carol\n");
	LOOSER(CLERKS, "[users clerks]\nmembers = alice\n"); /* the night rule would deny fewer */
	LOOSER(CLERKS, "[users clerks]\nmembers = alice bob\n[users others]\nmembers = carol\n");
}
