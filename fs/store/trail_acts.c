/* trail_acts.c - what the guard did in a time: who was locked out or let in again, when the archive was closed to readers, and by whom. */
#include "store/trail_grants.h"

#include <stdio.h>
#include <string.h>

#define SECOND INT64_C(1000000000)

static bool begins(const struct audit_record *r, const char *act)
{
	size_t len = strlen(act);
	return !strncmp(r->text, act, len) && (r->text[len] == ':' || r->text[len] == ' ');
}

bool trail_is_about(const struct audit_record *r, uint32_t *ret)
{
	if (r->kind != RECORD_GUARD || r->bytes > UINT32_MAX || !(begins(r, "lockout") || begins(r, "unlock")))
		return false;
	*ret = (uint32_t)r->bytes;
	return true;
}

/* Each mount records again what is in force. */
static bool is_there(const struct trail_reads *t, const struct trail_act *k)
{
	for (size_t i = 0; k->since && i < t->acts; i++)
		if (t->act[i].since == k->since && t->act[i].until == k->until && t->act[i].about == k->about && !strcmp(t->act[i].text, k->text))
			return true;
	return false;
}

static bool act_of(const struct trail_filter *f, const struct audit_record *r, struct trail_act *k)
{
	const bool lasts = begins(r, "lockout") || begins(r, "close");
	*k = (struct trail_act){.at_ns = r->trusted_ns, .uid = r->uid, .login_uid = r->login_uid, .about = POLICY_NO_UID};
	trail_is_about(r, &k->about);
	if ((r->error && !begins(r, "lockout")) || (f->by_user && k->about != POLICY_NO_UID && k->about != f->uid))
		return false;
	if (lasts) {
		k->since = (int64_t)(r->generation < INT64_MAX / SECOND ? r->generation : 0);
		k->until = r->expires_at;
	}
	snprintf(k->text, sizeof k->text, "%s", r->text);
	return true;
}

static errint_t add(struct trail_reads *t, const struct trail_act *k)
{
	struct trail_act *more = reallocarray(t->act, t->acts + 1, sizeof *more);
	if (!more)
		return -ENOMEM;
	t->act = more;
	t->act[t->acts++] = *k;
	return 0;
}

errint_t trail_acts_note(struct trail_reads *t, const struct trail_filter *f, const struct audit_record *r)
{
	struct trail_act k;
	if (r->trusted_ns < f->since_ns || r->trusted_ns >= f->until_ns || !act_of(f, r, &k) || is_there(t, &k))
		return 0;
	if (t->acts < TRAIL_ACTS_MAX)
		return add(t, &k);
	t->acts_more++;
	return 0;
}

static void drop(struct trail_reads *t, uint32_t about)
{
	size_t kept = 0;
	for (size_t i = 0; i < t->acts; i++)
		if (t->act[i].about != about)
			t->act[kept++] = t->act[i];
	t->acts = kept;
}

errint_t trail_acts_earlier(struct trail_reads *t, const struct trail_filter *f, const struct audit_record *r)
{
	struct trail_act k;
	if (r->trusted_ns >= f->since_ns || !act_of(f, r, &k) || is_there(t, &k))
		return 0;
	if (begins(r, "unlock") || begins(r, "open") || begins(r, "close")) /* one closure takes the place of another */
		drop(t, k.about);
	return k.since && k.until > f->since_ns / SECOND ? add(t, &k) : 0;
}

void trail_acts_begin(struct trail_reads *t)
{
	if (t->acts <= TRAIL_ACTS_MAX)
		return;
	t->acts_more = t->acts - TRAIL_ACTS_MAX;
	t->acts = TRAIL_ACTS_MAX;
}
