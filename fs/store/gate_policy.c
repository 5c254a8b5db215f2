/* gate_policy.c - the sealed policy: loaded and checked against the anchor, replaced on a live archive.
 *
 * A change is written beside the old one (policy.new), then the anchor names it, then it is renamed. Of the two files the one counts that the anchor
 * names, so a crash at any point leaves the old policy or the new one. */
#include "store/approval.h"
#include "store/gate_internal.h"
#include "store/rollback.h"

#include "base/io.h"
#include "base/log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define POLICY_NAME "policy"
#define POLICY_NEXT "policy.new"

void in_force_free(struct in_force *p)
{
	policy_unref(p->policy);
	free(p->text);
	free(p->class_);
	*p = (struct in_force){0};
}

errint_t in_force_name_classes(struct archive *a, struct in_force *p)
{
	size_t n = 0;
	while (policy_class_at(p->policy, n))
		n++;
	if (!(p->class_ = calloc(n ? n : 1, sizeof *p->class_)))
		return -ENOMEM;
	for (; p->class_count < n; p->class_count++) {
		const struct policy_class *c = policy_class_at(p->policy, p->class_count);
		struct class_name *to = &p->class_[p->class_count];
		class_fingerprint(to->fp, a->keys, c->name);
		snprintf(to->name, sizeof to->name, "%s", c->name);
		to->line = c->line;
	}
	return 0;
}

/* ---- loading ----------------------------------------------------------------------------------------------------------- */

/* A name that has left the machine since the policy was applied is nobody: a sealed policy must not keep an archive from being mounted. */
static int known_user(void *ctx, const char *name, uint32_t *ret)
{
	int r = archive_names()->user(NULL, name, ret);
	if (r == -ENOENT) {
		log_line(LOG_LEVEL_WARNING, "policy: the user '%s' is not known here and matches nobody", name);
		*ret = POLICY_NO_UID;
		r = 0;
	}
	return r;
}

static int known_group(void *ctx, const char *name, uint32_t *ret)
{
	int r = archive_names()->group(NULL, name, ret);
	if (r == -ENOENT) {
		log_line(LOG_LEVEL_WARNING, "policy: the group '%s' is not known here and matches nobody", name);
		*ret = POLICY_NO_UID;
		r = 0;
	}
	return r;
}

/* Reads and opens one of the two files. Sets text, len, generation and applied_at. */
errint_t policy_read_sealed(
	struct archive *a, int dirfd, const char *name, struct in_force *ret, uint8_t digest[static DIGEST_BYTES])
{
	cleanup_free uint8_t *sealed = NULL;
	size_t len;
	errint_t r = io_read_file(dirfd, name, POLICY_TEXT_MAX + SEALED_POLICY_OVERHEAD, &sealed, &len);
	if (r)
		return r;
	cleanup_free char *text = malloc(len + 1);
	if (!text)
		return -ENOMEM;
	r = sealed_policy_decode(
		a->keys, a->uuid, sealed, len, &ret->generation, &ret->applied_at, (uint8_t *)text, &ret->len, digest);
	if (r)
		return r;
	text[ret->len] = 0;
	ret->text = steal_ptr(&text);
	return 0;
}

/* The file that the anchor names, put in its place. */
static errint_t find_sealed(struct archive *a, struct in_force *ret, struct fault *f)
{
	static const char *const names[] = {POLICY_NAME, POLICY_NEXT};
	uint8_t digest[DIGEST_BYTES];
	struct anchor_status s;
	errint_t first = 0;
	anchor_get_status(a->anchor, &s);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		errint_t r = policy_read_sealed(a, a->lapse_fd, names[i], ret, digest);
		if (!r && ret->generation == s.policy_generation &&
			crypt_equal(digest, s.policy_digest, DIGEST_BYTES)) {
			if (a->observe)
				return 0;
			if (i && renameat(a->lapse_fd, POLICY_NEXT, a->lapse_fd, POLICY_NAME))
				return -errno;
			if (!i && unlinkat(a->lapse_fd, POLICY_NEXT, 0) && errno == ENOENT)
				return 0;
			return io_fsync_dir(a->lapse_fd);
		}
		if (!i)
			first = r;
		in_force_free(ret);
	}
	if (first == -EIO || first == -ENOMEM)
		return fault_set(f, first, "the sealed policy, .lapse/policy, could not be read: %s", strerror(-first));
	if (first)
		return fault_set(f, -EBADMSG,
			"the sealed policy, .lapse/policy, %s. Restore it from a backup of the store",
			first == -ENOENT    ? "is missing"
			: first == -EBADMSG ? "is damaged or of another archive"
					    : strerror(-first));
	if (rollback_goes_on(a, PART_POLICY))
		return policy_read_sealed(a, a->lapse_fd, POLICY_NAME, ret, digest);
	return fault_set(f, -EBADMSG,
		"the sealed policy is not the one that the anchor names: .lapse/policy or the anchor is from another "
		"time. Restore the newer one; if it is lost: lapse fsck %s --accept-rollback --reason TEXT",
		a->path);
}

static void first_error(const struct policy_diags *d, struct fault *f)
{
	for (size_t i = 0; i < d->count; i++)
		if (!d->item[i].warning) {
			fault_set(f, -EINVAL, "the sealed policy does not parse, line %u: %s", d->item[i].line,
				d->item[i].text);
			return;
		}
}

errint_t gate_open(struct archive *a, struct fault *f)
{
	static const struct policy_names names = {.user = known_user, .group = known_group};
	struct policy_diags diags = {0};
	struct gate *g = calloc(1, sizeof *g);
	if (!g)
		return -ENOMEM;
	pthread_mutex_init(&g->apply_lock, NULL);
	pthread_mutex_init(&g->policy_lock, NULL);
	pthread_mutex_init(&g->guard_lock, NULL);
	pthread_mutex_init(&g->say_lock, NULL);
	a->gate = g;
	errint_t r = open_table_new(&g->writing);
	if (!r)
		r = find_sealed(a, &g->now, f);
	if (!r && (r = policy_parse(g->now.text, g->now.len, &names, &g->now.policy, &diags)))
		first_error(&diags, f);
	policy_diags_free(&diags);
	if (!r)
		r = in_force_name_classes(a, &g->now);
	atomic_store(&g->generation, g->now.generation);
	if (!r)
		gate_asks(g, g->now.policy);
	atomic_store(&g->class_rules, !r && policy_rules_need_class(g->now.policy));
	atomic_store(&g->needs, r ? 0 : policy_needs(g->now.policy));
	tzset(); /* while the zone's file can be read */
	return r;
}

void gate_close(struct archive *a)
{
	struct gate *g = a->gate;
	if (!g)
		return;
	guard_free(g->guard);
	free(g->left);
	in_force_free(&g->now);
	for (size_t i = 0; i < RETIRED_POLICIES; i++)
		policy_unref(g->retired[i]);
	for (size_t i = 0; i < KNOWN_PLANS; i++)
		free(g->plan[i].text);
	approvals_free(g);
	open_table_free(g->writing);
	pthread_mutex_destroy(&g->apply_lock);
	pthread_mutex_destroy(&g->policy_lock);
	pthread_mutex_destroy(&g->guard_lock);
	pthread_mutex_destroy(&g->say_lock);
	free(g);
	a->gate = NULL;
}

struct policy *archive_policy(struct archive *a)
{
	return gate_policy(a);
}

uint64_t archive_policy_generation(struct archive *a)
{
	return atomic_load_explicit(&a->gate->generation, memory_order_relaxed);
}

unsigned archive_subject_needs(struct archive *a)
{
	return atomic_load_explicit(&a->gate->needs, memory_order_relaxed);
}

errint_t archive_policy_text(
	struct archive *a, char **ret, size_t *ret_len, uint64_t *ret_generation, int64_t *ret_applied_at)
{
	struct gate *g = a->gate;
	pthread_mutex_lock(&g->policy_lock);
	char *text = malloc(g->now.len + 1);
	if (text) {
		memcpy(text, g->now.text, g->now.len + 1);
		*ret = text;
		*ret_len = g->now.len;
		*ret_generation = g->now.generation;
		*ret_applied_at = g->now.applied_at;
	}
	pthread_mutex_unlock(&g->policy_lock);
	return text ? 0 : -ENOMEM;
}

/* ---- on disk --------------------------------------------------------------------------------------------------------- */

struct naming {
	uint64_t generation;
	uint8_t digest[DIGEST_BYTES];
};

static errint_t name_policy(struct anchor_state *s, void *ctx)
{
	struct naming *n = ctx, old = {.generation = s->policy_generation};
	memcpy(old.digest, s->policy_digest, DIGEST_BYTES);
	s->policy_generation = n->generation;
	memcpy(s->policy_digest, n->digest, DIGEST_BYTES);
	*n = old;
	return 0;
}

/* The history: each policy that was in force, under its generation. Losing one costs an undo, so it is done as well as it can be. */
static void keep_old(struct archive *a)
{
	char name[32];
	uint64_t generation = atomic_load(&a->gate->generation);
	if (mkdirat(a->lapse_fd, POLICY_HISTORY, 0700) && errno != EEXIST)
		return;
	cleanup_fd int fd = openat(a->lapse_fd, POLICY_HISTORY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	snprintf(name, sizeof name, "%016" PRIx64, generation);
	if (fd < 0 || (linkat(a->lapse_fd, POLICY_NAME, fd, name, 0) && errno != EEXIST) || io_fsync_dir(fd))
		log_line(LOG_LEVEL_WARNING, "policy: generation %" PRIu64 " could not be kept for the history: %s", generation, strerror(errno));
}

/* After an error the old policy is in force; policy.new stays, in case some copy of the anchor names it. */
errint_t policy_put_on_disk(struct archive *a, const struct in_force *next)
{
	struct naming n = {.generation = next->generation};
	cleanup_free uint8_t *sealed = malloc(next->len + SEALED_POLICY_OVERHEAD);
	size_t len;
	if (!sealed)
		return -ENOMEM;
	errint_t r = sealed_policy_encode(
		a->keys, a->uuid, next->generation, next->applied_at, next->text, next->len, sealed, &len, n.digest);
	if (!r)
		r = io_replace_file(a->lapse_fd, POLICY_NEXT, sealed, len, 0600);
	if (r)
		return r;
	keep_old(a);
	r = anchor_update(a->anchor, name_policy, &n);
	if (r) {
		anchor_update(a->anchor, name_policy, &n);
		return r;
	}
	if (renameat(a->lapse_fd, POLICY_NEXT, a->lapse_fd, POLICY_NAME) || io_fsync_dir(a->lapse_fd))
		log_line(LOG_LEVEL_WARNING,
			"policy: the new policy is in force, and its file is still called " POLICY_NEXT);
	return 0;
}

errint_t gate_renumber_policy(struct archive *a, uint64_t above)
{
	struct in_force *now = &a->gate->now, next = *now;
	next.generation = (now->generation > above ? now->generation : above) + 1;
	errint_t r = policy_put_on_disk(a, &next);
	if (r)
		return r;
	now->generation = next.generation;
	atomic_store(&a->gate->generation, next.generation);
	return 0;
}
