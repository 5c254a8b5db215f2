/* learn.c - limits from what was read: of each principal, how full each window was after each read; twice the 99.5th percentile of the fullest principal. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/guard_internal.h"
#include "policy/learn.h"

#define STEPS   8u /* of each power of two: a value is told upward by an eighth at most */
#define EXACT   16u
#define BUCKETS (EXACT + 60 * STEPS)

/* How full one window of one principal was, and how often. */
struct sample {
	struct sample *next;
	const struct budget_section *budget;
	const struct rate *window;
	uint64_t payer, count;
	uint32_t times[BUCKETS];
};

struct learner {
	struct guard *guard;
	struct policy *policy;
	const char *budget; /* NULL: those that learn, or if none does all */
	struct sample *bucket[1024];
	uint64_t reads, names;
	int64_t first_ms, last_ms; /* of what was read and shown */
	int e;
};

int learner_new(struct policy *p, const char *budget, struct learner **ret)
{
	struct learner *l = NULL;
	bool found = !budget;
	int e;

	for (size_t i = 0; i < p->budget_count; i++)
		found |= budget && !strcmp(p->budget[i]->s.name, budget);
	if (!found)
		return -ENOENT;
	l = calloc(1, sizeof(*l));
	e = l ? guard_new(&l->guard) : -ENOMEM;
	if (!e)
		e = guard_set_policy(l->guard, p);
	if (e) {
		free(l);
		return e;
	}
	l->policy = policy_ref(p);
	for (size_t i = 0; budget && i < p->budget_count; i++)
		l->budget = !strcmp(p->budget[i]->s.name, budget) ? p->budget[i]->s.name : l->budget;
	*ret = l;
	return 0;
}

void learner_free(struct learner *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < sizeof(l->bucket) / sizeof(l->bucket[0]); i++)
		while (l->bucket[i]) {
			struct sample *next = l->bucket[i]->next;

			free(l->bucket[i]);
			l->bucket[i] = next;
		}
	guard_free(l->guard);
	policy_unref(l->policy);
	free(l);
}

/* ---- sampling -------------------------------------------------------------------------------------------------------- */

static unsigned bucket_of(uint64_t value)
{
	if (value < EXACT)
		return (unsigned)value;
	unsigned power = 63 - (unsigned)__builtin_clzll(value);

	return EXACT + (power - 4) * STEPS + (unsigned)(value >> (power - 3) & (STEPS - 1));
}

/* The largest value that falls into it. */
static uint64_t bucket_end(unsigned bucket)
{
	if (bucket < EXACT)
		return bucket;
	unsigned power = (bucket - EXACT) / STEPS + 4, step = (bucket - EXACT) % STEPS;

	return (UINT64_C(1) << power) + ((uint64_t)(step + 1) << (power - 3)) - 1;
}

static void sample(struct learner *l, const struct budget_section *b, const struct rate *w, uint64_t payer, uint64_t used)
{
	uint64_t h = (payer ^ (uintptr_t)w) * UINT64_C(0x9e3779b97f4a7c15);
	struct sample **at = &l->bucket[h >> 54], *s = *at;

	while (s && (s->window != w || s->payer != payer))
		s = s->next;
	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s) {
			l->e = -ENOMEM;
			return;
		}
		*s = (struct sample){.next = *at, .budget = b, .window = w, .payer = payer};
		*at = s;
	}
	s->times[bucket_of(used)]++;
	s->count++;
}

static void note_time(struct learner *l, int64_t when_ms)
{
	if (!l->reads && !l->names)
		l->first_ms = when_ms;
	l->last_ms = when_ms;
}

int learner_read(struct learner *l, const struct subject *who, const char *rule, bool granted, const uint8_t file_id[static POLICY_FILE_ID_BYTES],
	uint64_t bytes, int64_t when_ms)
{
	struct bill bill = {.who = who};

	guard_replay_bill(l->guard, &bill, rule, granted, file_id, bytes, when_ms);
	note_time(l, when_ms);
	l->reads++;
	for (size_t i = 0; i < bill.count; i++) {
		const struct counter *c = bill.item[i].counter;

		for (size_t k = 0; c && k < bill.item[i].budget->window_count; k++) {
			const struct rate *w = bill.item[i].budget->window[k];

			sample(l, bill.item[i].budget, w, bill.item[i].payer, w->bytes ? c->at[k].bytes : c->at[k].files);
		}
	}
	return l->e;
}

int learner_names(struct learner *l, const struct subject *who, const char *rule, const char *budgets, bool granted, uint64_t names, int64_t when_ms)
{
	struct bill bill = {.who = who};

	guard_replay_names_bill(l->guard, &bill, rule, budgets, granted, names, when_ms);
	note_time(l, when_ms);
	l->names += names;
	for (size_t i = 0; i < bill.count; i++) {
		const struct counter *c = bill.item[i].counter;

		for (size_t k = 0; c && c->names && k < c->names->count; k++)
			sample(l, bill.item[i].budget, &bill.item[i].budget->names.item[k], bill.item[i].payer, c->names->ring[k].total);
	}
	return l->e;
}

/* ---- proposing ------------------------------------------------------------------------------------------------------- */

static uint64_t percentile(const struct sample *s)
{
	uint64_t below = 0;

	for (unsigned i = 0; i < BUCKETS; i++) {
		below += s->times[i];
		if (below * 1000 >= s->count * 995)
			return bucket_end(i);
	}
	return 0;
}

/* Twice that of the principal with the highest; 0: there is none. */
static uint64_t limit_for(const struct learner *l, const struct rate *w, uint64_t *ret_payers)
{
	uint64_t most = 0;

	*ret_payers = 0;
	for (size_t i = 0; i < sizeof(l->bucket) / sizeof(l->bucket[0]); i++)
		for (const struct sample *s = l->bucket[i]; s; s = s->next)
			if (s->window == w) {
				uint64_t value = percentile(s);

				++*ret_payers;
				most = value > most ? value : most;
			}
	most *= 2;
	return w->bytes || most <= POLICY_MAX_COUNT ? most : POLICY_MAX_COUNT;
}

static const char *span_of(const struct rate *w)
{
	const char *slash = strchr(w->text, '/');

	return slash ? slash + 1 : "";
}

/* Nobody has been seen for so long: what they would have read in all of it is not known. */
static void put_unseen(FILE *f, const struct learner *l, const struct rates *r)
{
	const int64_t seen = l->last_ms - l->first_ms;
	const long long minutes = (long long)(seen / 60000);
	bool any = false;

	for (size_t i = 0; i < r->count; i++)
		if (r->item[i].ms > seen) {
			fprintf(f, "%s%s", any ? ", " : "; too low if it goes on like that: ", span_of(&r->item[i]));
			any = true;
		}
	if (any)
		fprintf(f, minutes >= 2 * 1440 ? " (the record is of %lld d)\n" : minutes >= 120 ? " (the record is of %lld h)\n" : " (the record is of %lld min)\n",
			minutes >= 2 * 1440 ? minutes / 1440 : minutes >= 120 ? minutes / 60 : minutes);
}

static void put_rates(FILE *f, const struct learner *l, unsigned per, const char *key, const struct rates *r)
{
	static const char *const whom[] = {[PER_USER] = "users", [PER_EVERYONE] = "all together", [PER_SESSION] = "sessions", [PER_PROGRAM] = "programs", [PER_SERVICE] = "services"};
	uint64_t payers, most = 0;

	if (!r->count)
		return;
	for (size_t i = 0; i < r->count; i++) {
		limit_for(l, &r->item[i], &payers);
		most = payers > most ? payers : most;
	}
	if (per == PER_EVERYONE)
		fprintf(f, "; from %s\n", most ? whom[per] : "nobody: as it was");
	else
		fprintf(f, "; from %llu %s%s\n", (unsigned long long)most, whom[per], most ? "" : ": as it was");
	if (most)
		put_unseen(f, l, r);
	fprintf(f, "%s =", key);
	for (size_t i = 0; i < r->count; i++) {
		uint64_t limit = limit_for(l, &r->item[i], &payers);

		if (limit)
			fprintf(f, " %llu/%s", (unsigned long long)limit, span_of(&r->item[i]));
		else
			fprintf(f, " %s", r->item[i].text);
	}
	fprintf(f, "\n");
}

static void put_budget(FILE *f, const struct learner *l, const struct budget_section *b)
{
	static const char *const per[] = {[PER_USER] = "user", [PER_EVERYONE] = "everyone", [PER_SESSION] = "session", [PER_PROGRAM] = "program", [PER_SERVICE] = "service"};

	fprintf(f, "\n[budget %s]\nper = %s\n", b->s.name, per[b->per]);
	put_rates(f, l, b->per, "files", &b->files);
	put_rates(f, l, b->per, "bytes", &b->bytes);
	put_rates(f, l, b->per, "names", &b->names);
	if (b->on_exceed == EXCEED_LOCKOUT)
		fprintf(f, "on-exceed = lockout\nlockout-for = %llds\n", (long long)b->lockout_for);
	if (b->on_exceed == EXCEED_THROTTLE)
		fprintf(f, "on-exceed = throttle\n");
	if (b->error == ERROR_ACCESS)
		fprintf(f, "error = access\n");
	fprintf(f, "mode = %s\n", b->mode == MODE_ALERT ? "alert" : "enforce");
}

char *learner_text(const struct learner *l)
{
	const struct policy *p = l->policy;
	char *text = NULL;
	size_t len;
	bool learns = false;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	for (size_t i = 0; i < p->budget_count; i++)
		learns |= p->budget[i]->mode == MODE_LEARN;
	fprintf(f, "; Proposed from %llu reads and %llu names: for each window twice its 99.5th percentile, of the principal with the highest.\n"
		   "; To be put in the place of the sections of the same names; see lapse policy check and lapse policy apply.\n",
		(unsigned long long)l->reads, (unsigned long long)l->names);
	for (size_t i = 0; i < p->budget_count; i++)
		if (l->budget ? l->budget == p->budget[i]->s.name : !learns || p->budget[i]->mode == MODE_LEARN)
			put_budget(f, l, p->budget[i]);
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}
