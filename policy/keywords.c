/* keywords.c - every section and key of the grammar, and which of them this version enforces. */
#include <stdlib.h>
#include <string.h>

#include "policy/internal.h"

#define AT(struct_, field)         offsetof(struct struct_, field)
#define LATER_CHOICE(key, choices) key, V_CHOICE, KW_LATER, 0, choices, NULL

static const struct keyword policy_keys[] = {
	{"version", V_COUNT, KW_REQUIRED, AT(policy_section, version), NULL, NULL},
	{"default-class", V_NAME, KW_REQUIRED, AT(policy_section, default_class), NULL, NULL},
	{"settle", V_SPAN, 0, AT(policy_section, settle), NULL, NULL},
	{"hard-links", V_BOOL, 0, AT(policy_section, hard_links), NULL, NULL},
	{"acl", V_BOOL, 0, AT(policy_section, acl), NULL, NULL},
	{"contact", V_TEXT, 0, AT(policy_section, contact), NULL, NULL},
	{"plan-limit", V_COUNT, 0, AT(policy_section, plan_limit), NULL, NULL},
	{"undo", V_SPAN, 0, AT(policy_section, undo), NULL, NULL},
	{"approve", V_CHOICE, 0, AT(policy_section, approve), "none|loosen|all", NULL},
	{"operators", V_NAMES, 0, AT(policy_section, role[0]), NULL, NULL},
	{"officers", V_NAMES, 0, AT(policy_section, role[1]), NULL, NULL},
	{"auditors", V_NAMES, 0, AT(policy_section, role[2]), NULL, NULL},
	{"approvers", V_NAMES, 0, AT(policy_section, role[3]), NULL, NULL},
};

static const struct keyword class_keys[] = {
	{"match", V_GLOBS, 0, AT(class_section, match), NULL, NULL},
	{"expire-after", V_LIFETIME, KW_REQUIRED, AT(class_section, expire), NULL, NULL},
	{"basis", V_CHOICE, 0, AT(class_section, basis), "created|modified|captured", NULL},
	{"retain-for", V_DURATION, 0, AT(class_section, retain), NULL, NULL},
	{"mode", V_CHOICE, 0, AT(class_section, mode), "governance|compliance", NULL},
	{"commit-after", V_COMMIT, 0, AT(class_section, commit), NULL, NULL},
	{"retain-bounds", V_BOUNDS, 0, AT(class_section, bounds), NULL, NULL},
	{"timezone", V_TIMEZONE, 0, AT(class_section, timezone), NULL, NULL},
	{"captured-max-age", V_SPAN, 0, AT(class_section, captured_max_age), NULL, NULL},
	{"prune-empty", V_BOOL, 0, AT(class_section, prune_empty), NULL, NULL},
	{"cache", V_BOOL, 0, AT(class_section, cache), NULL, NULL},
	{"names", V_CHOICE, 0, AT(class_section, names), "normal|strict", NULL},
};

static const struct keyword users_keys[] = {
	{"members", V_NAMES, 0, AT(users_section, members), NULL, NULL},
	{"groups", V_NAMES, 0, AT(users_section, groups), NULL, NULL},
};

static const struct keyword programs_keys[] = {
	{"paths", V_PATHS, KW_REQUIRED, AT(programs_section, paths), NULL, NULL},
	{"sha256", V_SHA256, 0, AT(programs_section, sha256), NULL, NULL},
};

static const struct keyword rule_keys[] = {
	{"users", V_NAMES, 0, AT(rule_section, users), NULL, NULL},
	{"groups", V_NAMES, 0, AT(rule_section, groups), NULL, NULL},
	{"paths", V_GLOBS, 0, AT(rule_section, paths), NULL, NULL},
	{"classes", V_NAMES, 0, AT(rule_section, classes), NULL, NULL},
	{"hours", V_HOURS, 0, AT(rule_section, hours), NULL, NULL},
	{"days", V_DAYS, 0, AT(rule_section, days), NULL, NULL},
	{"effect", V_CHOICE, KW_REQUIRED, AT(rule_section, effect), "permit|deny", NULL},
	{"budget", V_NAMES, 0, AT(rule_section, budgets), NULL, NULL},
	{"programs", V_NAMES, 0, AT(rule_section, programs), NULL, NULL},
	{"services", V_NAMES, 0, AT(rule_section, services), NULL, NULL},
	{"origin", V_CHOICE, 0, AT(rule_section, origin), "console|ssh|cron|service|other", NULL},
	{"identity", V_CHOICE, 0, AT(rule_section, identity), "login|uid", NULL},
	{"canaries", V_CHOICE, 0, AT(rule_section, canaries), "alarm|exempt", NULL},
};

static const struct keyword budget_keys[] = {
	{"files", V_FILE_RATES, 0, AT(budget_section, files), NULL, NULL},
	{"bytes", V_BYTE_RATES, 0, AT(budget_section, bytes), NULL, NULL},
	{"names", V_FILE_RATES, 0, AT(budget_section, names), NULL, NULL},
	{"per", V_CHOICE, 0, AT(budget_section, per), "user|everyone|session|program|service", NULL},
	{"on-exceed", V_CHOICE, 0, AT(budget_section, on_exceed), "deny|lockout|throttle", NULL},
	{"error", V_CHOICE, 0, AT(budget_section, error), "quota|access", NULL},
	{"mode", V_CHOICE, 0, AT(budget_section, mode), "enforce|alert|learn", NULL},
	{"learn-until", V_DATE, 0, AT(budget_section, learn_until), NULL, NULL},
	{"lockout-for", V_SPAN, 0, AT(budget_section, lockout_for), NULL, NULL},
};

static const struct keyword canary_keys[] = {
	{"paths", V_GLOBS, KW_REQUIRED, AT(canary_section, paths), NULL, NULL},
	{"per-directory", V_COUNT, 0, AT(canary_section, per_directory), NULL, NULL},
	{"on-open", V_CHOICE, 0, AT(canary_section, on_open), "lockout|alert", NULL},
	{"lockout-for", V_SPAN, 0, AT(canary_section, lockout_for), NULL, NULL},
};

static const struct keyword clock_keys[] = {
	{"max-step", V_SPAN, 0, AT(clock_section, max_step), NULL, NULL},
	{"max-offline", V_SPAN, 0, AT(clock_section, max_offline), NULL, NULL},
	{"require-sync", V_BOOL, 0, AT(clock_section, require_sync), NULL, NULL},
};

static const struct keyword audit_keys[] = {
	{"fsync", V_FSYNC, 0, AT(audit_section, fsync_ms), NULL, NULL},
	{"keep-names", V_KEEP, 0, AT(audit_section, keep_names), NULL, NULL},
	{"retain-for", V_DURATION, 0, AT(audit_section, retain), NULL, NULL},
	{"reserve", V_BYTES, 0, AT(audit_section, reserve), NULL, NULL},
	{"checkpoints", V_PATHS, 0, AT(audit_section, checkpoints), NULL, NULL},
	{"checkpoint-every", V_SPAN, 0, AT(audit_section, checkpoint_every), NULL, NULL},
	{"syslog", V_BOOL, 0, AT(audit_section, syslog), NULL, NULL},
};

static const struct keyword alert_keys[] = {
	{"journal", V_BOOL, 0, AT(alert_section, journal), NULL, NULL},
	{"syslog", V_BOOL, 0, AT(alert_section, syslog), NULL, NULL},
	{"exec", V_COMMAND, 0, AT(alert_section, exec), NULL, NULL},
	{"user", V_NAME, 0, AT(alert_section, user), NULL, NULL},
	{"rate", V_FILE_RATES, 0, AT(alert_section, rate), NULL, NULL},
};

static const struct keyword break_glass_keys[] = {
	{"approve", V_CHOICE, 0, AT(break_glass_section, approve), "none|second-person", NULL},
	{"approvers", V_NAMES, 0, AT(break_glass_section, approvers), NULL, NULL},
	{"max-time", V_SPAN, 0, AT(break_glass_section, max_time), NULL, NULL},
	{"max-files", V_COUNT, 0, AT(break_glass_section, max_files), NULL, NULL},
	{"max-names", V_COUNT, 0, AT(break_glass_section, max_names), NULL, NULL},
	{"ticket", V_BOOL, 0, AT(break_glass_section, ticket), NULL, NULL},
};

#define KEYS(k) k, sizeof(k) / sizeof(k[0])
#define BARE    sizeof(struct section)

static const struct section_kind kinds[S_COUNT] = {
	[S_POLICY] = {"policy", S_POLICY, false, false, sizeof(struct policy_section), KEYS(policy_keys)},
	[S_CLASS] = {"class", S_CLASS, true, false, sizeof(struct class_section), KEYS(class_keys)},
	[S_USERS] = {"users", S_USERS, true, false, sizeof(struct users_section), KEYS(users_keys)},
	[S_PROGRAMS] = {"programs", S_PROGRAMS, true, false, sizeof(struct programs_section), KEYS(programs_keys)},
	[S_RULE] = {"rule", S_RULE, true, false, sizeof(struct rule_section), KEYS(rule_keys)},
	[S_BUDGET] = {"budget", S_BUDGET, true, false, sizeof(struct budget_section), KEYS(budget_keys)},
	[S_CANARY] = {"canary", S_CANARY, true, false, sizeof(struct canary_section), KEYS(canary_keys)},
	[S_CLOCK] = {"clock", S_CLOCK, false, false, sizeof(struct clock_section), KEYS(clock_keys)},
	[S_AUDIT] = {"audit", S_AUDIT, false, false, sizeof(struct audit_section), KEYS(audit_keys)},
	[S_ALERT] = {"alert", S_ALERT, false, false, sizeof(struct alert_section), KEYS(alert_keys)},
	[S_BREAK_GLASS] = {"break-glass", S_BREAK_GLASS, false, false, sizeof(struct break_glass_section), KEYS(break_glass_keys)},
};

_Static_assert(sizeof(rule_keys) / sizeof(rule_keys[0]) <= POLICY_MAX_KEYS, "seen[] is too short");

const struct section_kind *section_kind_at(size_t i)
{
	return i < S_COUNT ? &kinds[i] : NULL;
}

const struct section_kind *section_kind_find(const char *name, size_t len)
{
	for (size_t i = 0; i < S_COUNT; i++)
		if (strlen(kinds[i].name) == len && !memcmp(kinds[i].name, name, len))
			return &kinds[i];
	return NULL;
}

const struct keyword *keyword_find(const struct section_kind *kind, const char *key)
{
	for (size_t i = 0; i < kind->key_count; i++)
		if (!strcmp(kind->keys[i].key, key))
			return &kind->keys[i];
	return NULL;
}

bool section_has(const struct section *s, const char *key)
{
	const struct keyword *k = keyword_find(s->kind, key);

	return k && s->seen[k - s->kind->keys];
}

unsigned section_key_line(const struct section *s, const char *key)
{
	return section_has(s, key) ? s->seen[keyword_find(s->kind, key) - s->kind->keys] : s->line;
}

void section_free(struct section *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->kind->key_count; i++)
		if (s->kind->keys[i].offset)
			value_free(&s->kind->keys[i], (char *)s + s->kind->keys[i].offset);
	if (s->kind->id == S_POLICY) {
		for (size_t i = 0; i < POLICY_ROLES; i++)
			ids_free(&((struct policy_section *)s)->role_gids[i]);
	} else if (s->kind->id == S_USERS) {
		ids_free(&((struct users_section *)s)->uids);
		ids_free(&((struct users_section *)s)->gids);
	} else if (s->kind->id == S_RULE) {
		ids_free(&((struct rule_section *)s)->who.uids);
		ids_free(&((struct rule_section *)s)->who.gids);
		ids_free(&((struct rule_section *)s)->who.groups);
		free(((struct rule_section *)s)->program);
	} else if (s->kind->id == S_PROGRAMS) {
		free(((struct programs_section *)s)->digest);
	} else if (s->kind->id == S_ALERT) {
		free(((struct alert_section *)s)->argument);
	} else if (s->kind->id == S_BREAK_GLASS) {
		ids_free(&((struct break_glass_section *)s)->approver_uids);
	}
	for (size_t i = 0; i < POLICY_MAX_KEYS; i++)
		free(s->text[i]);
	free(s->name);
	free(s);
}

/* Edits (insert, remove, replace, swap of neighbours) between two words of at most 32 bytes. */
static unsigned edits(const char *a, const char *b)
{
	enum { N = POLICY_MAX_NAME };
	unsigned rows[3][N + 1], *before = rows[0], *last = rows[1], *now = rows[2];
	size_t la = strlen(a), lb = strlen(b);

	if (la > N || lb > N)
		return UINT32_MAX;
	for (size_t j = 0; j <= lb; j++)
		last[j] = (unsigned)j;
	for (size_t i = 1; i <= la; i++) {
		now[0] = (unsigned)i;
		for (size_t j = 1; j <= lb; j++) {
			unsigned best = last[j - 1] + (a[i - 1] != b[j - 1]);

			best = last[j] + 1 < best ? last[j] + 1 : best;
			best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < best)
				best = before[j - 2] + 1;
			now[j] = best;
		}
		unsigned *spare = before;
		before = last;
		last = now;
		now = spare;
	}
	return last[lb];
}

void nearest_offer(struct nearest *n, const char *candidate)
{
	size_t len = strlen(candidate), words = strlen(n->word);
	unsigned d = edits(n->word, candidate), most = (unsigned)(len > words ? len : words) / 3 + 1;

	if (d <= most && (!n->best || d < n->distance)) {
		n->best = candidate;
		n->distance = d;
	}
}
