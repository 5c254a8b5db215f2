/* check.c - what `lapse fsck` looks at: keyring, anchor, policy and log, and whether they are of one time. */
#include "store/fresh.h"
#include "store/gate_internal.h"
#include "store/open.h"

#include "crypt/kdf.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void set_state(struct archive_check *c, enum archive_part part, enum part_state state, const struct fault *why)
{
	c->state[part] = state;
	if (why)
		c->why[part] = *why;
}

/* ---- keyring and anchor --------------------------------------------------------------------------------------------------- */

static void look_at_copies(struct archive_check *c, const struct anchor_status *s)
{
	c->copies = s->copies;
	for (size_t i = 0; i < s->copies; i++)
		if (s->copy[i].error && c->state[PART_ANCHOR] == PART_FINE) {
			set_state(c, PART_ANCHOR, PART_FLAWED, NULL);
			fault_set(&c->why[PART_ANCHOR], 0, "its copy %s cannot be read: %s", s->copy[i].path,
				strerror(-s->copy[i].error));
		}
}

static errint_t look_at_keys(struct archive *a, const struct archive_open *o, struct fault *f)
{
	struct archive_check *c = a->check;
	struct anchor_status s;
	struct fault why = {{0}};
	errint_t r = store_unlock(a, o, &why);
	if (r == -ENOKEY || r == -ERANGE || r == -ENOMEM)
		return fault_set(f, r, "%s", why.text[0] ? why.text : strerror(-r));
	if (r) {
		set_state(c, c->state[PART_KEYRING] == PART_FINE ? PART_ANCHOR : PART_KEYRING, PART_DAMAGED, &why);
		return 0;
	}
	set_state(c, PART_ANCHOR, PART_FINE, NULL);
	anchor_get_status(a->anchor, &s);
	look_at_copies(c, &s);
	c->slots = a->keyring.slot_count;
	c->anchor_ns = s.trusted_ns;
	c->behind.keyring = a->keyring.generation;
	c->behind.keyring_named = s.keyring_generation;
	c->behind.policy_named = s.policy_generation;
	c->behind.anchor = s.sequence;
	c->behind.log_named = s.log_sequence;
	return 0;
}

/* ---- policy --------------------------------------------------------------------------------------------------------------- */

static errint_t look_at_policy(struct archive *a)
{
	struct archive_check *c = a->check;
	struct fault why = {{0}};
	errint_t r = gate_open(a, &why);
	if (r == -ENOMEM)
		return r;
	c->behind.policy = a->gate->now.generation;
	c->policy_applied_at = a->gate->now.applied_at;
	if (r)
		set_state(c, PART_POLICY, PART_DAMAGED, &why);
	else if (c->state[PART_POLICY] == PART_UNSEEN)
		set_state(c, PART_POLICY, PART_FINE, NULL);
	return 0;
}

/* ---- log ------------------------------------------------------------------------------------------------------------------ */

/* Opens it as a mount would. -EBADMSG: a mount would refuse it. */
static errint_t try_log(struct archive *a)
{
	errint_t r = store_open_log(a, NULL);
	if (r || a->check->state[PART_POLICY] == PART_DAMAGED)
		return r;
	r = store_open_clock(a, NULL);
	if (!r)
		r = fresh_open(a);
	return r ? r : gate_replay(a, NULL);
}

static void look_behind(struct archive_check *c, const struct audit_survey *s, errint_t tried)
{
	struct fault *why = &c->why[PART_LOG];
	if (tried == -EBADMSG) {
		/* What a mount reads lies before the first segment. */
		bool no_beginning = !s->broken && s->named && s->first > s->dropped + 1;
		c->behind.log = no_beginning ? 0 : s->last;
		c->behind.parts |= 1u << PART_LOG;
		c->log_other = !no_beginning && !s->named && s->last >= c->behind.log_named;
		set_state(c, PART_LOG, PART_BEHIND, NULL);
	} else if (s->broken || s->first > s->dropped + 1) {
		set_state(c, PART_LOG, PART_FLAWED, NULL);
		if (s->broken)
			fault_set(why, 0, "it is damaged behind record %" PRIu64 ", further back than a mount reads",
				s->last);
		else
			fault_set(why, 0,
				"what lies before record %" PRIu64 " is missing, further back than a mount reads",
				s->first);
	} else {
		set_state(c, PART_LOG, PART_FINE, NULL);
	}
}

static errint_t look_at_log(struct archive *a)
{
	struct archive_check *c = a->check;
	struct anchor_status s;
	struct audit_survey v;
	struct fault why = {{0}};
	anchor_get_status(a->anchor, &s);
	errint_t r = audit_survey(a->audit_fd, &a->keys->log, a->uuid, s.log_id, s.log_sequence, s.log_head, &v);
	if (!r)
		r = store_open_seals(a, NULL);
	errint_t tried = r ? 0 : try_log(a);
	if (r == -ENOMEM || tried == -ENOMEM)
		return -ENOMEM;
	if (!r && tried != -EBADMSG)
		r = tried;
	if (r) {
		fault_set(&why, r, "it cannot be read: %s", strerror(-r));
		set_state(c, PART_LOG, PART_DAMAGED, &why);
		return 0;
	}
	c->log_first = v.first;
	c->log_segments = v.segments;
	c->log_rest = v.rest;
	c->log_ns = v.last_ns;
	c->behind.log = v.last;
	look_behind(c, &v, tried);
	c->behind.anchor_named = v.anchor_named > a->sealed_anchor ? v.anchor_named : a->sealed_anchor;
	if (c->behind.anchor_named > s.sequence) {
		c->behind.parts |= 1u << PART_ANCHOR;
		set_state(c, PART_ANCHOR, PART_BEHIND, NULL);
	}
	return 0;
}

/* ---- all of it ------------------------------------------------------------------------------------------------------------ */

static errint_t look(struct archive *a, const struct archive_open *o, struct fault *f)
{
	errint_t r = store_open_dirs(a, o->path, f);
	if (!r)
		r = look_at_keys(a, o, f);
	if (!r && a->anchor)
		r = look_at_policy(a);
	if (!r && a->anchor)
		r = look_at_log(a);
	return r;
}

errint_t archive_check(const struct archive_open *o, struct archive_check *ret, struct fault *f)
{
	struct archive_open observe = {.path = o->path, .secret = o->secret, .anchor = o->anchor, .observe = true};
	*ret = (struct archive_check){.state = {PART_UNSEEN}};
	struct archive *a = store_new(&observe);
	if (!a)
		return -ENOMEM;
	a->check = ret;
	errint_t r = look(a, &observe, f);
	archive_close(a);
	return r ? fault_set(f, r, "%s could not be checked: %s", o->path, strerror(-r)) : 0;
}
