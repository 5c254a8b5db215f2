/* gate_count.c - budgets counted from the log: who a record is about, what it charges, and what a budget that comes into the policy lacks. */
#include "store/gate_internal.h"
#include "store/grant_admin.h"

#include "base/accounts.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define GROUPS_MAX  1024
#define FIRST_SLOTS 64
#define BOOT	    " boot "

/* ---- groups: the log has uids, rules may ask for groups -------------------------------------------------------------------- */

struct user_groups {
	uint32_t uid, count;
	uint32_t group[];
};

void log_users_free(struct log_users *u)
{
	for (size_t i = 0; i < u->slots; i++)
		free(u->item[i]);
	free(u->item);
	*u = (struct log_users){0};
}

static struct user_groups *ask_groups(uint32_t uid)
{
	cleanup_free uint32_t *group = NULL;
	size_t n;
	if (account_groups(uid, &group, &n))
		n = 0;
	n = min_size(n, GROUPS_MAX);
	struct user_groups *g = calloc(1, sizeof *g + n * sizeof *g->group);
	if (!g)
		return NULL;
	g->uid = uid;
	g->count = (uint32_t)n;
	if (n)
		memcpy(g->group, group, n * sizeof *g->group);
	return g;
}

static struct user_groups **slot_of(const struct log_users *u, uint32_t uid)
{
	size_t i = uid * UINT32_C(0x9e3779b1) & (u->slots - 1);
	while (u->item[i] && u->item[i]->uid != uid)
		i = (i + 1) & (u->slots - 1);
	return &u->item[i];
}

static bool grow(struct log_users *u)
{
	struct log_users more = {.slots = u->slots ? 2 * u->slots : FIRST_SLOTS, .count = u->count};
	if (u->count * 2 < u->slots)
		return true;
	if (!(more.item = calloc(more.slots, sizeof(struct user_groups *))))
		return false;
	for (size_t i = 0; i < u->slots; i++)
		if (u->item[i])
			*slot_of(&more, u->item[i]->uid) = u->item[i];
	free(u->item);
	*u = more;
	return true;
}

static const struct user_groups *groups_of(struct log_users *u, uint32_t uid)
{
	if (!grow(u))
		return NULL;
	struct user_groups **at = slot_of(u, uid);
	if (!*at && (*at = ask_groups(uid)))
		u->count++;
	return *at;
}

void log_subject(struct log_users *u, const struct audit_record *r, struct subject *ret)
{
	*ret = (struct subject){
		.uid = r->uid,
		.login_uid = r->login_uid,
		.real_uid = r->real_uid,
		.gid = r->gid,
		.pid = r->pid,
		.unidentified = r->flags & RECORD_FLAG_UNIDENTIFIED,
		.session = r->session,
		.service = r->unit[0] ? r->unit : NULL,
		.origin = (enum subject_origin)(r->flags >> RECORD_ORIGIN_SHIFT & 7),
		.program = {.state = (enum program_state)(r->flags >> RECORD_PROGRAM_SHIFT & 15), .device = r->exe_dev, .inode = r->exe_ino},
	};
	if (gate_names_by_uid(r))
		ret->login_uid = ret->real_uid = r->uid;
	const struct user_groups *g = ret->unidentified ? NULL : groups_of(u, r->uid);
	if (g) {
		ret->groups = g->group;
		ret->group_count = g->count;
	}
}

/* ---- the machine's boot ------------------------------------------------------------------------------------------------------- */

static bool boot_parse(const char *text, uint8_t boot[static 16])
{
	for (size_t i = 0; i < 32; i++) {
		const char *digits = "0123456789abcdef", *d = *text ? strchr(digits, *text++) : NULL;
		if (!d)
			return false;
		boot[i / 2] = (uint8_t)(boot[i / 2] << 4 | (uint8_t)(d - digits));
	}
	return true;
}

/* Sessions are numbered anew at each boot. */
void counting_boot(struct log_counting *c, const uint8_t boot[static 16])
{
	static const uint8_t unknown[16];
	if (!memcmp(boot, unknown, sizeof unknown))
		return;
	if (memcmp(c->boot, unknown, sizeof unknown) && memcmp(c->boot, boot, sizeof c->boot))
		guard_end_sessions(c->guard);
	memcpy(c->boot, boot, sizeof c->boot);
}

static void mounted(struct log_counting *c, const struct audit_record *r)
{
	uint8_t boot[16] = {0};
	const char *at = strstr(r->text, BOOT);
	if (at && boot_parse(at + strlen(BOOT), boot))
		counting_boot(c, boot);
}

/* ---- counting ---------------------------------------------------------------------------------------------------------------------- */

void count_again(struct log_counting *c, const struct audit_record *r)
{
	uint64_t grant[GUARD_PRINCIPALS_MAX];
	size_t granted = grant_ids_of(r, grant);
	bool charged = r->kind == RECORD_OPEN && !r->error && !(r->flags & RECORD_FLAG_OWN) &&
		       (r->decision == DECISION_PERMIT || r->decision == DECISION_ALERT) &&
		       (r->trusted_ns >= c->charged_since_ns || granted);
	bool created = r->kind == RECORD_CREATE && r->trusted_ns >= c->created_since_ns;
	bool written = r->kind == RECORD_WRITE_OPEN && (r->flags & RECORD_FLAG_OWN) && r->trusted_ns >= c->created_since_ns;
	const char *names = r->trusted_ns >= c->charged_since_ns || granted ? gate_names_charged(r) : NULL;
	struct guard_principals by;
	struct subject who;
	if (r->kind == RECORD_MOUNT)
		mounted(c, r);
	if (!charged && !created && !written && !names)
		return;
	log_subject(&c->users, r, &who);
	guard_replay_record(c->guard, r->sequence);
	if (names && granted)
		guard_replay_names_granted(c->guard, &who, r->rule, names, grant, granted, r->bytes, r->trusted_ns / 1000000);
	else if (names)
		guard_replay_names(c->guard, &who, r->rule, names, r->bytes, r->trusted_ns / 1000000);
	else if (charged && granted)
		guard_replay_granted(c->guard, &who, r->rule, grant, granted, r->file_id, r->bytes, r->trusted_ns / 1000000);
	else if (charged)
		guard_replay(c->guard, &who, r->rule, r->file_id, r->bytes, r->trusted_ns / 1000000);
	else if (written)
		guard_written(c->guard, &who, r->file_id, r->trusted_ns / 1000000, &by);
	else
		guard_created(c->guard, &who, r->file_id, r->trusted_ns / 1000000, &by);
}

/* ---- what is lacking ---------------------------------------------------------------------------------------------------------------- */

static void date_text(int64_t seconds, char out[static 32])
{
	const time_t at = (time_t)seconds;
	struct tm tm;
	snprintf(out, 32, "?");
	if (localtime_r(&at, &tm))
		strftime(out, 32, "%Y-%m-%d %H:%M", &tm);
}

struct catching_up {
	struct log_counting counting;
	uint64_t upto;
	pthread_mutex_t *lock; /* NULL: nobody else uses the guard */
};

static bool is_of_a_reader(const struct audit_record *r)
{
	return r->kind == RECORD_OPEN || r->kind == RECORD_LIST || r->kind == RECORD_CREATE;
}

static errint_t catch_up(void *ctx, const struct audit_record *r)
{
	struct catching_up *c = ctx;
	struct subject who;
	if (r->sequence > c->upto)
		return 0;
	if (c->lock) {
		if (is_of_a_reader(r))
			log_subject(&c->counting.users, r, &who); /* so that the name service is not asked under the lock */
		pthread_mutex_lock(c->lock);
		guard_replays(c->counting.guard, GUARD_REPLAYS_LACKING);
	}
	count_again(&c->counting, r);
	if (c->lock) {
		guard_replays(c->counting.guard, GUARD_REPLAYS_ALL);
		pthread_mutex_unlock(c->lock);
	}
	return 0;
}

/* Nobody knows what was read before: of a policy whose windows reach back farther than those that were in force when it was dropped. */
void gate_count_unknown(struct archive *a, int64_t reach_ms)
{
	const int64_t now = tclock_trusted_ns(a->clock), reach_ns = reach_ms * 1000000;
	struct audit_begin b;
	char since[32], begins[32];
	audit_begins(a->audit, &b);
	if (reach_ns <= 0 || b.complete_ns == INT64_MIN || now - reach_ns >= b.complete_ns)
		return;
	date_text((now - reach_ns) / 1000000000, since);
	date_text(b.complete_ns / 1000000000, begins);
	log_line(LOG_LEVEL_WARNING, "the windows of budgets reach back to %s, and the log begins at %s: what was read before that is not counted", since, begins);
}

/* Into a guard of its own, since so long ago, up to a record. -EBADMSG: the log is damaged there, or a segment is missing. */
static errint_t count_beside(struct archive *a, struct guard *beside, int64_t reach_ms, uint64_t upto)
{
	const int64_t now = tclock_trusted_ns(a->clock), reach_ns = reach_ms * 1000000;
	struct catching_up c = {.counting = {.guard = beside, .charged_since_ns = now > reach_ns ? now - reach_ns : 0, .created_since_ns = INT64_MAX}, .upto = upto};
	errint_t r = audit_each(a->audit, c.counting.charged_since_ns, catch_up, &c);
	if (!r)
		counting_boot(&c.counting, a->gate->boot);
	log_users_free(&c.counting.users);
	return r;
}

errint_t gate_count_lacking(struct archive *a, int64_t reach_ms)
{
	struct guard *beside;
	errint_t r = guard_beside(a->gate->guard, &beside);
	if (r)
		return r;
	gate_count_unknown(a, reach_ms);
	r = count_beside(a, beside, reach_ms, UINT64_MAX);
	if (!r)
		guard_adopt(a->gate->guard, beside);
	guard_free(beside);
	return r;
}

errint_t gate_lacking_begin(struct archive *a, struct policy *next, struct lacking *ret)
{
	struct gate *g = a->gate;
	*ret = (struct lacking){.guard = NULL};
	errint_t r = guard_new(&ret->guard);
	if (!r)
		r = guard_set_policy(ret->guard, next);
	if (r)
		return r;
	pthread_mutex_lock(&g->guard_lock);
	const int64_t reach_ms = guard_lacks(ret->guard, g->guard);
	pthread_mutex_unlock(&g->guard_lock);
	audit_place(a->audit, &ret->at);
	gate_count_unknown(a, reach_ms);
	if (reach_ms)
		r = count_beside(a, ret->guard, reach_ms, ret->at.sequence);
	if (r || !reach_ms) {
		guard_free(ret->guard);
		ret->guard = NULL;
	}
	return r;
}

void gate_lacking_adopt(struct archive *a, struct lacking *l)
{
	if (l->guard)
		guard_adopt(a->gate->guard, l->guard);
}

void gate_lacking_end(struct archive *a, struct lacking *l)
{
	struct catching_up c = {.counting = {.guard = a->gate->guard, .created_since_ns = INT64_MAX}, .lock = &a->gate->guard_lock};
	uint8_t head[DIGEST_BYTES];
	if (!l->guard)
		return;
	audit_head(a->audit, &c.upto, head);
	audit_each_after(a->audit, &l->at, catch_up, &c);
	log_users_free(&c.counting.users);
	guard_free(l->guard);
	l->guard = NULL;
}
