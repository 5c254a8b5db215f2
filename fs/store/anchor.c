#include "store/anchor_internal.h"

#include "base/log.h"
#include "base/secret.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

static int64_t wall_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

errint_t anchor_create(const char *const *path, size_t count, const struct anchor_state *s, const struct small_key *key,
	struct fault *f)
{
	size_t len, made = 0;
	if (!count || count > ANCHOR_COPIES_MAX)
		return fault_set(f, -EINVAL, "an anchor has 1 to %d copies, not %zu", ANCHOR_COPIES_MAX, count);
	uint8_t *image = secret_alloc(ANCHOR_SLOT_BYTES);
	if (!image)
		return -ENOMEM;
	errint_t r = anchor_encode(s, key, image, &len);
	while (!r && made < count) {
		r = anchor_copy_create(path[made], NULL, image, len);
		if (!r)
			made++;
		else
			fault_set(f, r, "the anchor could not be written to %s: %s", path[made], strerror(-r));
	}
	if (r)
		anchor_discard(path, made);
	secret_free(image, ANCHOR_SLOT_BYTES);
	return r;
}

/* ---- writing ---------------------------------------------------------------------------------------------------------- */

/* `write` held: a copy that was lost is looked for again. What it holds is overwritten if it is this archive's. */
static errint_t reopen(struct anchor *a, struct anchor_copy *c)
{
	struct anchor_found found;
	errint_t r = anchor_copy_open(c, false, a->uuid, &a->secret->key, &found);
	anchor_state_free(found.state);
	return r;
}

static bool says_why(errint_t r)
{
	return r == -ENOSPC || r == -EDQUOT || r == -EROFS;
}

void anchor_keep_lock(struct anchor *a)
{
	for (size_t i = 0; i < a->count; i++)
		if (a->copy[i].fd >= 0 && !flock(a->copy[i].fd, LOCK_EX | LOCK_NB))
			return;
}

/* `write` held: the image to every copy. 0 if at least one has it, else -EIO or, more to the point, -ENOSPC, -EDQUOT, -EROFS. */
static errint_t write_copies(struct anchor *a, size_t len, uint64_t sequence)
{
	size_t written = 0;
	errint_t failure = -EIO;
	for (size_t i = 0; i < a->count; i++) {
		struct anchor_copy *c = &a->copy[i];
		errint_t before = c->error;
		if (c->fd >= 0 && !anchor_copy_in_place(c))
			anchor_copy_close(c);
		errint_t r = c->fd < 0 ? reopen(a, c) : 0;
		if (!r)
			r = anchor_copy_write(c, a->image, len, sequence);
		/* A disk that comes back is another file to a descriptor. */
		if (r)
			anchor_copy_close(c);
		c->error = r;
		if (r && !before)
			log_line(LOG_LEVEL_ERROR, "anchor: degraded: not shredded on %s: %s", c->path, strerror(-r));
		else if (!r && before)
			log_line(LOG_LEVEL_NOTICE, "anchor: %s is written again", c->path);
		written += !r;
		if (says_why(r))
			failure = r;
	}
	anchor_keep_lock(a);
	return written ? 0 : failure;
}

void anchor_show(struct anchor *a, size_t copy)
{
	a->shown[copy].error = a->copy[copy].error;
	a->shown[copy].in_place = a->copy[copy].in_place;
}

errint_t anchor_save(struct anchor *a)
{
	size_t len;
	pthread_mutex_lock(&a->lock);
	uint64_t sequence = a->state->sequence;
	errint_t r = anchor_encode(a->state, &a->secret->key, a->image, &len);
	pthread_mutex_unlock(&a->lock);
	if (r)
		return r;
	r = write_copies(a, len, sequence);
	secret_wipe(a->image, len);
	pthread_mutex_lock(&a->lock);
	bool all = true;
	for (size_t i = 0; i < a->count; i++) {
		anchor_show(a, i);
		all = all && !a->copy[i].error;
	}
	if (all)
		a->last_write_ns = wall_ns();
	if (!r)
		a->written = sequence;
	pthread_mutex_unlock(&a->lock);
	return r;
}

static void wipe_cache(struct anchor *a)
{
	secret_wipe(a->secret->node, sizeof a->secret->node);
	secret_wipe(a->secret->middle, sizeof a->secret->middle);
	a->wipes++;
}

static void apply_mark(struct anchor_state *s, const struct anchor_mark *m)
{
	if (m->trusted_ns > s->trusted_ns)
		s->trusted_ns = m->trusted_ns;
	if (m->log_sequence > s->log_sequence) {
		s->log_sequence = m->log_sequence;
		memcpy(s->log_head, m->log_head, DIGEST_BYTES);
	}
}

void anchor_set_log(struct anchor *a, const struct anchor_log *log)
{
	pthread_mutex_lock(&a->write);
	a->log = *log;
	pthread_mutex_unlock(&a->write);
}

void anchor_last_seal(struct anchor *a, struct log_seal *ret)
{
	pthread_mutex_lock(&a->lock);
	*ret = a->state->seal;
	pthread_mutex_unlock(&a->lock);
}

/* ---- seals of the log ------------------------------------------------------------------------------------------------- */

/* Both locks held. */
static void seal(struct anchor *a)
{
	struct before_seal *before = &a->secret->before;
	const struct anchor_state *s = a->state;
	memcpy(before->seed, s->sign_seed, sizeof before->seed);
	memcpy(before->public, s->sign_public, sizeof before->public);
	before->log_sealed = s->log_sealed;
	before->seal = s->seal;
	anchor_seal(a->state);
}

static void unseal(struct anchor *a)
{
	const struct before_seal *before = &a->secret->before;
	pthread_mutex_lock(&a->lock);
	struct anchor_state *s = a->state;
	memcpy(s->sign_seed, before->seed, sizeof s->sign_seed);
	memcpy(s->sign_public, before->public, sizeof s->sign_public);
	s->log_sealed = before->log_sealed;
	s->seal = before->seal;
	pthread_mutex_unlock(&a->lock);
}

/* `write` held: the seal that the anchor has goes where seals are kept. */
static void save_seal(struct anchor *a)
{
	struct log_seal s;
	anchor_last_seal(a, &s);
	errint_t r = a->log.sealed(a->log.ctx, &s);
	if (r && !a->seal_unsaved)
		log_line(LOG_LEVEL_ERROR, "audit: the log's seal could not be written: %s; it is kept in the anchor, and none follows before it can be",
			strerror(-r));
	a->seal_unsaved = r != 0;
}

errint_t anchor_update(struct anchor *a, errint_t (*change)(struct anchor_state *s, void *ctx), void *ctx)
{
	struct anchor_mark m;
	if (a->readonly)
		return -EROFS;
	pthread_mutex_lock(&a->write);
	if (a->seal_unsaved)
		save_seal(a);
	bool marked = a->log.mark && a->log.mark(a->log.ctx, &m), sealing = false;
	pthread_mutex_lock(&a->lock);
	errint_t r = change ? change(a->state, ctx) : 0;
	if (!r) {
		if (marked)
			apply_mark(a->state, &m);
		a->state->sequence++;
		sealing = marked && a->log.sealed && !a->seal_unsaved;
		if (sealing)
			seal(a);
		if (change)
			wipe_cache(a);
	}
	pthread_mutex_unlock(&a->lock);
	if (!r)
		r = anchor_save(a);
	if (sealing && r)
		unseal(a);
	else if (sealing)
		save_seal(a);
	secret_wipe(&a->secret->before, sizeof a->secret->before);
	pthread_mutex_unlock(&a->write);
	return r;
}

void anchor_look(struct anchor *a, void (*look)(const struct anchor_state *s, void *ctx), void *ctx)
{
	pthread_mutex_lock(&a->lock);
	look(a->state, ctx);
	pthread_mutex_unlock(&a->lock);
}

struct passing {
	uint32_t next;
	int64_t trusted_ns;
};

static errint_t pass(struct anchor_state *s, void *ctx)
{
	const struct passing *p = ctx;
	uint32_t reached;
	errint_t r = anchor_advance(s, p->next, &reached);
	if (!r && p->trusted_ns > s->trusted_ns)
		s->trusted_ns = p->trusted_ns;
	return r;
}

errint_t anchor_pass(struct anchor *a, uint32_t next, int64_t trusted_ns)
{
	struct passing p = {.next = next, .trusted_ns = trusted_ns};
	return anchor_update(a, pass, &p);
}

/* What a key change replaces, to be put back if it cannot be written. */
struct naming {
	struct small_key key;
	uint64_t generation;
	uint8_t digest[DIGEST_BYTES];
};

static void swap_naming(struct anchor *a, struct naming *n)
{
	struct naming old = {.key = a->secret->key, .generation = a->state->keyring_generation};
	memcpy(old.digest, a->state->keyring_digest, DIGEST_BYTES);
	a->secret->key = n->key;
	a->state->keyring_generation = n->generation;
	memcpy(a->state->keyring_digest, n->digest, DIGEST_BYTES);
	a->state->sequence++;
	*n = old;
	secret_wipe(&old, sizeof old);
}

errint_t anchor_rekey(struct anchor *a, const struct small_key *key, uint64_t keyring_generation,
	const uint8_t keyring_digest[static DIGEST_BYTES])
{
	struct naming n = {.key = *key, .generation = keyring_generation};
	if (a->readonly)
		return -EROFS;
	memcpy(n.digest, keyring_digest, DIGEST_BYTES);
	pthread_mutex_lock(&a->write);
	pthread_mutex_lock(&a->lock);
	swap_naming(a, &n);
	pthread_mutex_unlock(&a->lock);
	errint_t r = anchor_save(a);
	if (r) {
		pthread_mutex_lock(&a->lock);
		swap_naming(a, &n);
		pthread_mutex_unlock(&a->lock);
	}
	pthread_mutex_unlock(&a->write);
	secret_wipe(&n, sizeof n);
	return r;
}

/* ---- opening ---------------------------------------------------------------------------------------------------------- */

static errint_t lock_first(struct anchor *a, const struct anchor_copy *c, bool *locked, struct fault *f)
{
	if (a->readonly || *locked)
		return 0;
	if (flock(c->fd, LOCK_EX | LOCK_NB)) {
		errint_t r = errno == EWOULDBLOCK ? -EBUSY : -errno;
		return fault_set(f, r, "the anchor %s is in use by another lapse: %s", c->path, strerror(-r));
	}
	*locked = true;
	return 0;
}

/* Reads every copy; the best state is a->state. */
static errint_t find_state(struct anchor *a, struct fault *f)
{
	errint_t failure = -ENOENT;
	const char *where = a->copy[0].path;
	struct anchor_best best = {.state = NULL};
	bool locked = false;
	for (size_t i = 0; i < a->count; i++) {
		struct anchor_copy *c = &a->copy[i];
		struct anchor_found found;
		errint_t r = anchor_copy_open(c, a->readonly, a->uuid, &a->secret->key, &found);
		c->error = r;
		if (!r) {
			r = lock_first(a, c, &locked, f);
			if (r) {
				anchor_state_free(found.state);
				anchor_state_free(best.state);
				return r;
			}
			r = found.state ? 0 : found.error;
			anchor_best_of(&best, &found);
		}
		if (r && (r != -ENOENT || !i))
			failure = r, where = c->path;
		if (r == -ENOMEM)
			break;
	}
	a->state = best.state;
	return failure == -ENOMEM ? failure : anchor_best_check(&best, failure, where, f);
}

static errint_t open_with(const char *const *path, size_t count, const uint8_t uuid[static UUID_BYTES],
	const struct small_key *key, bool readonly, struct anchor **ret, struct fault *f)
{
	if (!count || count > ANCHOR_COPIES_MAX)
		return fault_set(f, -EINVAL, "an anchor has 1 to %d copies, not %zu", ANCHOR_COPIES_MAX, count);
	for (size_t i = 0; i < count; i++)
		if (strlen(path[i]) >= sizeof((struct anchor_status *)NULL)->copy[0].path)
			return fault_set(f, -ENAMETOOLONG, "the path of a copy of the anchor is too long: %.80s…", path[i]);
	struct anchor *a = calloc(1, sizeof *a);
	if (!a)
		return -ENOMEM;
	pthread_mutex_init(&a->write, NULL);
	pthread_mutex_init(&a->lock, NULL);
	memcpy(a->uuid, uuid, UUID_BYTES);
	a->readonly = readonly;
	a->secret = secret_alloc(sizeof *a->secret);
	a->image = secret_alloc(ANCHOR_SLOT_BYTES);
	errint_t r = a->secret && a->image ? 0 : -ENOMEM;
	for (; !r && a->count < count; a->count++) {
		a->copy[a->count].fd = -1;
		if (!(a->copy[a->count].path = strdup(path[a->count])))
			r = -ENOMEM;
	}
	if (!r) {
		a->secret->key = *key;
		r = find_state(a, f);
	}
	for (size_t i = 0; !r && i < a->count; i++)
		anchor_show(a, i);
	if (!r)
		a->written = a->state->sequence;
	if (!r && !readonly)
		r = anchor_save(a);
	if (r) {
		anchor_close(a);
		return fault_set(f, r, "the anchor %s could not be opened: %s", path[0], strerror(-r));
	}
	*ret = a;
	return 0;
}

errint_t anchor_open(const char *const *path, size_t count, const uint8_t uuid[static UUID_BYTES],
	const struct small_key *key, struct anchor **ret, struct fault *f)
{
	return open_with(path, count, uuid, key, false, ret, f);
}

errint_t anchor_observe(const char *const *path, size_t count, const uint8_t uuid[static UUID_BYTES],
	const struct small_key *key, struct anchor **ret, struct fault *f)
{
	return open_with(path, count, uuid, key, true, ret, f);
}

void anchor_close(struct anchor *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < ANCHOR_COPIES_MAX; i++) {
		if (a->copy[i].path)
			anchor_copy_close(&a->copy[i]);
		free(a->copy[i].path);
	}
	anchor_state_free(a->state);
	secret_free(a->secret, sizeof *a->secret);
	secret_free(a->image, ANCHOR_SLOT_BYTES);
	pthread_mutex_destroy(&a->write);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

/* ---- status ------------------------------------------------------------------------------------------------------------- */

void anchor_get_status(struct anchor *a, struct anchor_status *ret)
{
	*ret = (struct anchor_status){0};
	pthread_mutex_lock(&a->lock);
	const struct anchor_state *s = a->state;
	ret->sequence = s->sequence;
	ret->written = a->written;
	ret->trusted_ns = s->trusted_ns;
	ret->epoch_seconds = s->epoch_seconds;
	ret->trees = (uint32_t)s->tree_count;
	ret->holds = (uint32_t)s->hold_count;
	ret->barriers = (uint32_t)s->barrier_count;
	ret->next_epoch = UINT32_MAX;
	for (size_t i = 0; i < s->tree_count; i++) {
		ret->cover_nodes += s->tree[i].count;
		if (s->tree[i].next < ret->next_epoch)
			ret->next_epoch = s->tree[i].next;
	}
	ret->log_sequence = s->log_sequence;
	memcpy(ret->log_head, s->log_head, sizeof ret->log_head);
	memcpy(ret->log_id, s->log_id, sizeof ret->log_id);
	memcpy(ret->sign_public, s->sign_public, sizeof ret->sign_public);
	ret->keyring_generation = s->keyring_generation;
	ret->policy_generation = s->policy_generation;
	memcpy(ret->keyring_digest, s->keyring_digest, DIGEST_BYTES);
	memcpy(ret->policy_digest, s->policy_digest, DIGEST_BYTES);
	ret->last_write_ns = a->last_write_ns;
	ret->copies = a->count;
	for (size_t i = 0; i < a->count; i++) {
		snprintf(ret->copy[i].path, sizeof ret->copy[i].path, "%s", a->copy[i].path);
		ret->copy[i].error = a->shown[i].error;
		ret->copy[i].in_place = a->shown[i].in_place;
	}
	pthread_mutex_unlock(&a->lock);
}
