/* trail_reads.c - the reads of a time, summed by file and by reader. */
#include "store/canary_admin.h"
#include "store/log_names.h"
#include "store/rowpath.h"
#include "store/trail_grants.h"

#include <string.h>

#define SECOND   INT64_C(1000000000)
#define SLACK_NS (60 * SECOND)
#define GRANT_NS (45 * 86400 * SECOND) /* between the request and the end of a grant lies less */

/* Places in a growing array, found by 64 bits that are as good as random and compared by who asks. */
struct places {
	uint32_t *slot; /* 0: empty, else the place plus 1 */
	uint64_t *hash; /* by place */
	size_t slots, count, cap;
};

struct gathering {
	struct archive *a;
	const struct trail_filter *filter;
	struct trail_reads *t;
	struct places file, pair; /* pair: of a reader and a file */
	size_t file_cap, reader_cap;
	unsigned seen;
	bool paths;
	struct row_paths row_paths;
};

/* ---- sets ------------------------------------------------------------------------------------------------------------------------ */

static void places_free(struct places *p)
{
	free(p->slot);
	free(p->hash);
}

static errint_t places_grow(struct places *p)
{
	size_t slots = p->slots ? 2 * p->slots : 1024;
	uint32_t *slot = calloc(slots, sizeof *slot);
	if (!slot)
		return -ENOMEM;
	for (size_t i = 0; i < p->count; i++) {
		size_t at = p->hash[i] & (slots - 1);
		while (slot[at])
			at = (at + 1) & (slots - 1);
		slot[at] = (uint32_t)i + 1;
	}
	free(p->slot);
	p->slot = slot;
	p->slots = slots;
	return 0;
}

/* The next slot from *at on whose hash is this one: its place; SIZE_MAX: none. *at is 0 at first. */
static size_t places_next(const struct places *p, uint64_t hash, size_t *at)
{
	while (p->slots) {
		uint32_t there = p->slot[(hash + *at) & (p->slots - 1)];
		if (!there)
			break;
		++*at;
		if (p->hash[there - 1] == hash)
			return there - 1;
	}
	return SIZE_MAX;
}

static errint_t places_add(struct places *p, uint64_t hash)
{
	errint_t r = 2 * p->count >= p->slots ? places_grow(p) : 0;
	if (r)
		return r;
	if (p->count == UINT32_MAX - 1)
		return -EOVERFLOW;
	if (p->count == p->cap) {
		size_t cap = p->cap ? 2 * p->cap : 512;
		uint64_t *more = reallocarray(p->hash, cap, sizeof *more);
		if (!more)
			return -ENOMEM;
		p->hash = more;
		p->cap = cap;
	}
	size_t at = hash & (p->slots - 1);
	while (p->slot[at])
		at = (at + 1) & (p->slots - 1);
	p->hash[p->count++] = hash;
	p->slot[at] = (uint32_t)p->count;
	return 0;
}

static uint64_t id_hash(const uint8_t id[static FILE_ID_BYTES])
{
	uint64_t h;
	memcpy(&h, id, sizeof h);
	return h;
}

static struct trail_file *find_file(struct gathering *g, const uint8_t id[static FILE_ID_BYTES])
{
	size_t at = 0, i;
	while ((i = places_next(&g->file, id_hash(id), &at)) != SIZE_MAX)
		if (!memcmp(g->t->file[i].id, id, FILE_ID_BYTES))
			return &g->t->file[i];
	return NULL;
}

/* ---- what was read --------------------------------------------------------------------------------------------------------------- */

static errint_t file_of(struct gathering *g, const struct audit_record *r, struct trail_file **ret)
{
	struct trail_reads *t = g->t;
	if ((*ret = find_file(g, r->file_id)))
		return 0;
	if (t->files == g->file_cap) {
		size_t cap = g->file_cap ? 2 * g->file_cap : 256;
		struct trail_file *more = reallocarray(t->file, cap, sizeof *more);
		if (!more)
			return -ENOMEM;
		t->file = more;
		g->file_cap = cap;
	}
	errint_t e = places_add(&g->file, id_hash(r->file_id));
	if (e)
		return e;
	*ret = &t->file[t->files++];
	**ret = (struct trail_file){.first_ns = r->trusted_ns};
	memcpy((*ret)->id, r->file_id, FILE_ID_BYTES);
	return 0;
}

static errint_t reader_of(struct gathering *g, const struct audit_record *r, enum record_decision decision, struct trail_reader **ret)
{
	struct trail_reads *t = g->t;
	for (size_t i = 0; i < t->readers; i++) {
		struct trail_reader *k = &t->reader[i];
		if (k->uid == r->uid && k->login_uid == r->login_uid && k->real_uid == r->real_uid && k->decision == decision) {
			*ret = k;
			return 0;
		}
	}
	if (t->readers == g->reader_cap) {
		size_t cap = g->reader_cap ? 2 * g->reader_cap : 16;
		struct trail_reader *more = reallocarray(t->reader, cap, sizeof *more);
		if (!more)
			return -ENOMEM;
		t->reader = more;
		g->reader_cap = cap;
	}
	*ret = &t->reader[t->readers++];
	**ret = (struct trail_reader){
		.uid = r->uid, .login_uid = r->login_uid, .real_uid = r->real_uid, .decision = decision, .first_ns = r->trusted_ns};
	return 0;
}

#define HALF_GRANT 0x80000000u /* … and the place of a grant */

/* A file that a reader has read, or that was read under a grant: counted in *files once. Its two halves are small numbers: mixed, and told apart by all 64 bits (a
 * bijection). */
static errint_t count_pair(struct gathering *g, uint32_t half, const struct trail_file *f, uint64_t *files)
{
	uint64_t pair = (uint64_t)half << 32 | (uint64_t)(f - g->t->file);
	size_t at = 0;
	pair ^= pair >> 31;
	pair *= 0x9e3779b97f4a7c15u;
	pair ^= pair >> 29;
	if (places_next(&g->pair, pair, &at) != SIZE_MAX)
		return 0;
	++*files;
	return places_add(&g->pair, pair);
}

static void count_reader(struct trail_reader *k, const struct audit_record *r)
{
	k->last_ns = r->trusted_ns;
	k->times++;
	k->bytes += r->bytes;
	k->line = r->line;
	k->error = r->error;
	memcpy(k->rule, r->rule, sizeof k->rule);
}

static errint_t count_file(struct gathering *g, const struct audit_record *r, struct trail_reader *k)
{
	struct trail_reads *t = g->t;
	struct trail_file *f;
	errint_t e = file_of(g, r, &f);
	if (e)
		return e;
	f->last_ns = r->trusted_ns;
	f->times++;
	f->bytes += r->bytes;
	f->expires_at = r->expires_at;
	memcpy(f->class_fp, r->class_fp, CLASS_FP_BYTES);
	t->first_ns = t->reads ? t->first_ns : r->trusted_ns;
	t->last_ns = r->trusted_ns;
	t->reads++;
	t->bytes += r->bytes;
	e = count_pair(g, (uint32_t)(k - t->reader), f, &k->files);
	size_t at[GUARD_PRINCIPALS_MAX], n = trail_grants_of(t, r, at);
	for (size_t i = 0; !e && i < n; i++) {
		f->grant = t->grant[at[i]].info.id;
		e = count_pair(g, HALF_GRANT | (uint32_t)at[i], f, &t->grant[at[i]].files);
	}
	return e;
}

/* ---- how it ended ------------------------------------------------------------------------------------------------------------------ */

static void note_end(struct gathering *g, const struct audit_record *r)
{
	enum trail_state state = r->kind == RECORD_EXPIRE			? TRAIL_EXPIRED
				 : r->kind == RECORD_UNLINK			? TRAIL_DELETED
				 : r->kind == RECORD_DESTROY && !r->error ? TRAIL_DESTROYED
									  : TRAIL_UNKNOWN;
	struct trail_file *f = state == TRAIL_UNKNOWN ? NULL : find_file(g, r->file_id);
	if (!f)
		return;
	f->state = state;
	f->ended_at = r->trusted_ns / SECOND;
}

/* The last one counts. */
static errint_t note_name(struct gathering *g, const struct audit_record *r)
{
	char name[RECORD_NAME_MAX];
	struct trail_file *f = r->name_len ? find_file(g, r->file_id) : NULL;
	if (!f || log_name_of(g->a, r, name))
		return 0;
	free(f->name);
	f->name = strdup(name);
	return f->name ? 0 : -ENOMEM;
}

static bool goes_on(struct gathering *g)
{
	return ++g->seen % TRAIL_ASK_EACH || !g->filter->go_on || g->filter->go_on(g->filter->ctx);
}

static errint_t gather(void *ctx, const struct audit_record *r)
{
	struct gathering *g = ctx;
	struct trail_reader *k;
	if (!goes_on(g))
		return -EINTR;
	bool permitted = trail_is_permitted(r);
	note_end(g, r);
	if (r->kind == RECORD_GRANT)
		return trail_grants_note(g->t, g->filter, r);
	if (r->kind == RECORD_GUARD && !g->filter->by_file)
		return trail_acts_note(g->t, g->filter, r);
	if (r->kind == RECORD_PRUNE)
		return note_name(g, r);
	if (!trail_wants(g->filter, r))
		return 0;
	g->t->listings += r->kind == RECORD_LIST && !r->error && r->dir_id[0] | r->dir_id[1] | r->dir_id[2];
	trail_grants_named(g->t, r);
	if (!trail_is_read(r))
		return 0;
	if (permitted && !g->filter->by_file && archive_is_canary(g->a, r->file_id)) {
		g->t->decoys++;
		return 0;
	}
	errint_t e = reader_of(g, r, permitted && !r->decision ? DECISION_PERMIT : r->decision, &k);
	if (e)
		return e;
	count_reader(k, r);
	g->t->denied += !permitted;
	e = permitted ? count_file(g, r, k) : 0;
	return e ? e : note_name(g, r);
}

static errint_t gather_grants(void *ctx, const struct audit_record *r)
{
	struct gathering *g = ctx;
	if (!goes_on(g))
		return -EINTR;
	return r->kind == RECORD_GRANT ? trail_grants_earlier(g->t, g->filter, r) : 0;
}

/* Who asked for a grant, and who approved it, may lie before the time in which something was read under it. */
static errint_t earlier_grants(struct gathering *g)
{
	const int64_t since = g->filter->since_ns;
	const struct audit_pick pick = {.since_ns = since > GRANT_NS ? since - GRANT_NS : INT64_MIN, .by_user = true, .uid = POLICY_NO_UID};
	return since && trail_grants_lack(g->t) ? audit_pick(g->a->audit, &pick, gather_grants, g) : 0;
}

static errint_t gather_acts(void *ctx, const struct audit_record *r)
{
	struct gathering *g = ctx;
	if (!goes_on(g))
		return -EINTR;
	if (r->trusted_ns - SLACK_NS >= g->filter->since_ns)
		return -ECANCELED;
	return r->kind == RECORD_GUARD ? trail_acts_earlier(g->t, g->filter, r) : 0;
}

/* A closure or a lockout may be of any length. */
static errint_t earlier_acts(struct gathering *g)
{
	const struct audit_pick pick = {.since_ns = INT64_MIN, .by_user = true, .uid = POLICY_NO_UID};
	errint_t r = g->filter->lasting && g->filter->since_ns ? audit_pick(g->a->audit, &pick, gather_acts, g) : 0;
	trail_acts_begin(g->t);
	return r == -ECANCELED ? 0 : r;
}

/* A name in the catalogue: it is there, with the deadline of now. */
static errint_t see_row(void *ctx, const struct catalogue_row *row)
{
	struct gathering *g = ctx;
	struct trail_file *f = find_file(g, row->file_id);
	if (!goes_on(g))
		return -EINTR;
	if (!f)
		return 0;
	f->state = policy_expired(row->expires_at, g->t->now) ? TRAIL_EXPIRED : TRAIL_EXISTS;
	f->ended_at = f->state == TRAIL_EXPIRED ? row->expires_at : 0;
	f->expires_at = row->expires_at;
	const char *path = g->paths && !f->path ? row_path(&g->row_paths, row) : NULL;
	if (path && !(f->path = strdup(path)))
		return -ENOMEM;
	return 0;
}

void trail_reads_free(struct trail_reads *t)
{
	for (size_t i = 0; t && i < t->files; i++) {
		free(t->file[i].path);
		free(t->file[i].name);
	}
	if (t) {
		free(t->file);
		free(t->reader);
		free(t->grant);
		free(t->act);
	}
	free(t);
}

errint_t archive_trail_reads(struct archive *a, const struct trail_filter *f, bool paths, struct trail_reads **ret, struct fault *fault)
{
	struct trail_reads *t = calloc(1, sizeof *t);
	struct gathering g = {.a = a, .filter = f, .t = t, .paths = paths, .row_paths = {.archive = a}};
	if (!t)
		return -ENOMEM;
	t->now = tclock_trusted(a->clock);
	struct audit_begin begin;
	audit_begins(a->audit, &begin);
	t->begins_at = begin.complete_ns > INT64_MIN ? begin.complete_ns / SECOND : INT64_MIN;
	struct audit_pick pick = {
		.since_ns = f->since_ns > SLACK_NS ? f->since_ns - SLACK_NS : INT64_MIN, .by_user = f->by_user, .by_file = f->by_file, .uid = f->uid};
	memcpy(pick.file_id, f->file_id, sizeof pick.file_id);
	errint_t r = earlier_acts(&g);
	if (!r)
		r = audit_pick(a->audit, &pick, gather, &g);
	if (!r)
		r = earlier_grants(&g);
	if (r && r != -EINTR)
		fault_set(fault, r, "the audit log could not be read to its end: %s; lapse audit verify says where it ends", strerror(-r));
	if (!r && t->files && (r = catalogue_each_readable(a->catalogue, see_row, &g)) && r != -EINTR)
		fault_set(fault, r, "the catalogue could not be read: %s", strerror(-r));
	t->complete = catalogue_is_complete(a->catalogue); /* asked afterwards: reading it finds damage */
	row_paths_free(&g.row_paths);
	places_free(&g.file);
	places_free(&g.pair);
	if (r)
		trail_reads_free(t);
	else
		*ret = t;
	return r;
}
