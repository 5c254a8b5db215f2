#include "store/destroyed.h"

#include "store/anchor_admin.h"
#include "store/hold.h"
#include "store/internal.h"

#include <inttypes.h>
#include <string.h>

#define SECOND      INT64_C(1000000000)
#define CLASSES_MAX 4096

/* ---- the statement ------------------------------------------------------------------------------------------------------------ */

struct counting {
	struct archive *a;
	struct destroyed_statement *s;
	struct anchor_tree_info tree[ANCHOR_TREES_MAX];
	size_t trees, epochs, epoch_cap, class_cap;
	uint32_t *epoch;
	uint8_t (*begun)[FILE_ID_BYTES]; /* s->begun of them */
	size_t begun_cap;
	bool on_disk; /* the anchor in memory is the one in every copy */
};

void destroyed_free(struct destroyed_statement *s)
{
	if (s)
		free(s->class_);
	free(s);
}

static struct destroyed_class *class_of(struct counting *c, const uint8_t fp[static CLASS_FP_BYTES])
{
	struct destroyed_statement *s = c->s;
	for (size_t i = 0; i < s->classes; i++)
		if (!memcmp(s->class_[i].fp, fp, CLASS_FP_BYTES))
			return &s->class_[i];
	if (s->classes == c->class_cap) {
		size_t cap = c->class_cap ? 2 * c->class_cap : 16;
		struct destroyed_class *grown = cap > CLASSES_MAX ? NULL : reallocarray(s->class_, cap, sizeof *grown);
		if (!grown)
			return NULL;
		s->class_ = grown;
		c->class_cap = cap;
	}
	struct destroyed_class *k = &s->class_[s->classes++];
	*k = (struct destroyed_class){.first = INT64_MAX, .last = INT64_MIN};
	memcpy(k->fp, fp, CLASS_FP_BYTES);
	gate_class_name(c->a, fp, k->class_, NULL);
	if (!k->class_[0])
		strcpy(k->class_, "?");
	return k;
}

static errint_t note_epoch(struct counting *c, uint32_t epoch)
{
	if (c->epochs && c->epoch[c->epochs - 1] == epoch)
		return 0;
	if (c->epochs == c->epoch_cap) {
		size_t cap = c->epoch_cap ? 2 * c->epoch_cap : 1024;
		uint32_t *grown = reallocarray(c->epoch, cap, sizeof *grown);
		if (!grown)
			return -ENOMEM;
		c->epoch = grown;
		c->epoch_cap = cap;
	}
	c->epoch[c->epochs++] = epoch;
	return 0;
}

static int64_t begins_at(struct archive *a)
{
	struct audit_begin b;
	audit_begins(a->audit, &b);
	return b.complete_ns > INT64_MIN ? b.complete_ns / SECOND : INT64_MIN;
}

static bool derivable(struct archive *a, const struct anchor_tree_info *tree, size_t trees, uint32_t epoch, const uint8_t *id)
{
	struct anchor_leaf l = {.epoch = epoch, .id = leaf_id(id)};
	for (size_t i = 0; i < trees; i++) {
		l.tree = tree[i].number;
		if (epoch >= tree[i].next && anchor_leaf_there(a->anchor, &l))
			return true;
	}
	return false;
}

/* Whether the key of its date is gone; who else can derive it. */
static void prove(struct counting *c, const struct audit_record *r, uint32_t epoch)
{
	struct destroyed_statement *s = c->s;
	const int64_t ends = ((int64_t)epoch + 1) * c->a->epoch_seconds;
	const bool there = derivable(c->a, c->tree, c->trees, epoch, r->file_id);
	if (c->on_disk && !there)
		s->proven++;
	else
		s->unproven++;
	if (there && ends > s->derivable_until)
		s->derivable_until = ends;
	for (size_t i = 0; i < s->notes.count; i++)
		s->opened_by[i] += s->notes.item[i].made_at * SECOND <= r->trusted_ns &&
				   (int64_t)epoch * c->a->epoch_seconds >= s->notes.item[i].begins_at;
}

static size_t find_begun(const struct counting *c, const uint8_t *id)
{
	size_t i = 0;
	while (i < c->s->begun && memcmp(c->begun[i], id, FILE_ID_BYTES))
		i++;
	return i;
}

static errint_t note_begun(struct counting *c, const uint8_t *id)
{
	if (find_begun(c, id) < c->s->begun)
		return 0;
	if (c->s->begun == c->begun_cap) {
		size_t cap = c->begun_cap ? 2 * c->begun_cap : 64;
		void *grown = reallocarray(c->begun, cap, FILE_ID_BYTES);
		if (!grown)
			return -ENOMEM;
		c->begun = grown;
		c->begun_cap = cap;
	}
	memcpy(c->begun[c->s->begun++], id, FILE_ID_BYTES);
	return 0;
}

static void note_done(struct counting *c, const uint8_t *id)
{
	size_t at = find_begun(c, id);
	if (at < c->s->begun)
		memmove(c->begun[at], c->begun[--c->s->begun], FILE_ID_BYTES);
}

static errint_t count_record(void *ctx, const struct audit_record *r)
{
	struct counting *c = ctx;
	struct destroyed_statement *s = c->s;
	uint32_t epoch;
	int64_t at = r->trusted_ns / SECOND;
	if ((r->kind != RECORD_EXPIRE && r->kind != RECORD_DESTROY) || at < s->since || at >= s->until)
		return 0;
	if (r->kind == RECORD_DESTROY && r->error)
		return note_begun(c, r->file_id);
	struct destroyed_class *k = class_of(c, r->class_fp);
	if (!k)
		return -ENOMEM;
	k->first = at < k->first ? at : k->first;
	k->last = at > k->last ? at : k->last;
	if (r->kind == RECORD_EXPIRE) {
		int64_t lag = at - r->expires_at;
		k->expired++;
		k->worst_lag = lag > k->worst_lag ? lag : k->worst_lag;
	} else {
		k->destroyed++;
		note_done(c, r->file_id);
	}
	if (epoch_of(r->expires_at, c->a->epoch_seconds, &epoch)) {
		k->store_only++;
		return 0;
	}
	prove(c, r, epoch);
	return r->kind == RECORD_EXPIRE ? note_epoch(c, epoch) : 0;
}

static int by_number(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;
	return *x < *y ? -1 : *x > *y;
}

static void sum_up(struct counting *c)
{
	struct destroyed_statement *s = c->s;
	for (size_t i = 0; i < s->classes; i++) {
		const struct destroyed_class *k = &s->class_[i];
		s->expired += k->expired;
		s->destroyed += k->destroyed;
		s->store_only += k->store_only;
		s->worst_lag = k->worst_lag > s->worst_lag ? k->worst_lag : s->worst_lag;
	}
	if (c->epochs)
		qsort(c->epoch, c->epochs, sizeof *c->epoch, by_number);
	for (size_t i = 0; i < c->epochs; i++)
		s->epochs += !i || c->epoch[i] != c->epoch[i - 1];
}

static errint_t not_readable(struct fault *f, errint_t r)
{
	return fault_set(f, r, "the audit log could not be read to its end: %s; lapse fsck says more", strerror(-r));
}

errint_t archive_destroyed(struct archive *a, int64_t since, int64_t until, struct destroyed_statement **ret, struct fault *f)
{
	struct destroyed_statement *s = calloc(1, sizeof *s);
	struct counting c = {.a = a, .s = s};
	if (!s)
		return -ENOMEM;
	s->since = since;
	s->until = until;
	s->now = tclock_trusted(a->clock);
	errint_t r = archive_anchor_notes(a, &s->notes);
	if (r)
		fault_set(f, r, "the notes on the anchor's backups cannot be read: %s", strerror(-r));
	anchor_get_status(a->anchor, &s->anchor);
	s->holds = hold_count(a);
	s->begins_at = begins_at(a);
	c.trees = anchor_trees(a->anchor, c.tree);
	c.on_disk = s->anchor.written == s->anchor.sequence && !anchor_degraded(a->anchor);
	if (!r && (r = audit_each(a->audit, since > INT64_MAX / SECOND ? INT64_MAX : since * SECOND, count_record, &c)))
		not_readable(f, r);
	sum_up(&c);
	free(c.epoch);
	free(c.begun);
	if (r)
		destroyed_free(s);
	else
		*ret = s;
	return r;
}

/* ---- one file -------------------------------------------------------------------------------------------------------------------- */

struct tracing {
	struct archive *a;
	const uint8_t *id;
	struct destroyed_proof *p;
};

static void note_date(struct tracing *t, int64_t expires_at)
{
	struct destroyed_proof *p = t->p;
	uint32_t epoch;
	size_t at = 0;
	if (expires_at == POLICY_NEVER || epoch_of(expires_at, t->a->epoch_seconds, &epoch))
		return;
	while (at < p->dates && p->date[at].expires_at < expires_at)
		at++;
	if ((at < p->dates && p->date[at].expires_at == expires_at) || p->dates == DESTROYED_DATES_MAX)
		return;
	memmove(&p->date[at + 1], &p->date[at], (p->dates - at) * sizeof *p->date);
	p->dates++;
	p->date[at] = (struct destroyed_date){
		.expires_at = expires_at, .epoch = epoch, .derivable = derivable(t->a, p->tree, p->trees, epoch, t->id)};
	p->derivable = p->derivable || p->date[at].derivable;
}

static errint_t trace(void *ctx, const struct audit_record *r)
{
	struct tracing *t = ctx;
	struct destroyed_proof *p = t->p;
	if (memcmp(r->file_id, t->id, FILE_ID_BYTES))
		return 0;
	if (!p->seen && r->kind != RECORD_PRUNE)
		p->created_at = r->trusted_ns / SECOND;
	p->seen = true;
	note_date(t, r->expires_at);
	enum destroyed_how how = r->kind == RECORD_EXPIRE ? DESTROYED_EXPIRED
				 : r->kind == RECORD_UNLINK ? DESTROYED_UNLINKED
				 : r->kind != RECORD_DESTROY ? DESTROYED_NOT
				 : r->error                 ? DESTROYED_BEGUN
							    : DESTROYED_ORDERED;
	gate_class_name(t->a, r->class_fp, p->class_, NULL);
	if (how == DESTROYED_NOT)
		return 0;
	p->how = how;
	p->recorded_at = r->trusted_ns / SECOND;
	p->sequence = r->sequence;
	strcpy(p->text, r->text);
	return 0;
}

errint_t archive_destroyed_proof(struct archive *a, const uint8_t id[static FILE_ID_BYTES], struct destroyed_proof *ret, struct fault *f)
{
	struct tracing t = {.a = a, .id = id, .p = ret};
	struct anchor_status s;
	*ret = (struct destroyed_proof){.now = tclock_trusted(a->clock), .holds = hold_count(a)};
	anchor_get_status(a->anchor, &s);
	ret->trees = anchor_trees(a->anchor, ret->tree);
	ret->degraded = s.written != s.sequence || anchor_degraded(a->anchor);
	static const uint8_t none[FILE_ID_BYTES]; /* of records that are about no file */
	errint_t r = memcmp(id, none, sizeof none) ? audit_each(a->audit, INT64_MIN, trace, &t) : 0;
	if (r)
		return not_readable(f, r);
	if (ret->seen)
		return 0;
	const int64_t begins = begins_at(a);
	if (begins == INT64_MIN)
		return fault_set(f, -ENOENT, "the audit log knows no file of this id");
	return fault_set(f, -ENOENT, "the audit log knows no file of this id; it was dropped up to %" PRId64 " (seconds since 1970), as the policy says", begins);
}
