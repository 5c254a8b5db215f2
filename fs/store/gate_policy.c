/* gate_policy.c - the sealed policy: loaded and checked against the anchor, replaced on a live archive.
 *
 * A change is written beside the old one (policy.new), then the anchor names it, then it is renamed. Of the two files the one counts that the anchor
 * names, so a crash at any point leaves the old policy or the new one. */
#include "store/gate_internal.h"
#include "store/rollback.h"

#include "base/io.h"
#include "base/log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define POLICY_NAME "policy"
#define POLICY_NEXT "policy.new"

void in_force_free(struct in_force *p)
{
	policy_unref(p->policy);
	free(p->text);
	free(p->class_);
	*p = (struct in_force){0};
}

static errint_t name_classes(struct archive *a, struct in_force *p)
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
static errint_t read_sealed(
	struct archive *a, const char *name, struct in_force *ret, uint8_t digest[static DIGEST_BYTES])
{
	cleanup_free uint8_t *sealed = NULL;
	size_t len;
	errint_t r = io_read_file(a->lapse_fd, name, POLICY_TEXT_MAX + SEALED_POLICY_OVERHEAD, &sealed, &len);
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
		errint_t r = read_sealed(a, names[i], ret, digest);
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
		return read_sealed(a, POLICY_NAME, ret, digest);
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
		r = name_classes(a, &g->now);
	atomic_store(&g->generation, g->now.generation);
	return r;
}

void gate_close(struct archive *a)
{
	struct gate *g = a->gate;
	if (!g)
		return;
	guard_free(g->guard);
	in_force_free(&g->now);
	for (size_t i = 0; i < RETIRED_POLICIES; i++)
		policy_unref(g->retired[i]);
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

/* ---- replacing --------------------------------------------------------------------------------------------------------- */

struct expiring {
	struct archive *archive;
	const struct policy *next;
	int64_t now;
	uint64_t count;
};

static errint_t count_expiring(void *ctx, const struct catalogue_row *row)
{
	struct expiring *e = ctx;
	char name[64];
	gate_class_name(e->archive, row->class_fp, name, NULL);
	const struct policy_class *c = name[0] ? policy_class_by_name(e->next, name) : NULL;
	if (c && !policy_expired(row->expires_at, e->now) &&
		policy_expired(policy_expires_at(c, row->basis_at), e->now))
		e->count++;
	return 0;
}

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

/* After an error the old policy is in force; policy.new stays, in case some copy of the anchor names it. */
static errint_t put_on_disk(struct archive *a, const struct in_force *next)
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
	errint_t r = put_on_disk(a, &next);
	if (r)
		return r;
	now->generation = next.generation;
	atomic_store(&a->gate->generation, next.generation);
	return 0;
}

static void swap_in(struct archive *a, struct in_force *next)
{
	struct gate *g = a->gate;
	const struct policy_settings *ps = policy_settings(next->policy);
	pthread_mutex_lock(&g->guard_lock);
	guard_set_policy(g->guard, next->policy);
	pthread_mutex_unlock(&g->guard_lock);
	tclock_settings(a->clock, ps);
	audit_fsync_ms(a->audit, ps->audit_fsync_ms);
	pthread_mutex_lock(&g->policy_lock);
	struct in_force old = g->now;
	g->now = *next;
	struct policy *dropped = g->retired[g->retire_at];
	g->retired[g->retire_at] = policy_ref(old.policy);
	g->retire_at = (g->retire_at + 1) % RETIRED_POLICIES;
	pthread_mutex_unlock(&g->policy_lock);
	atomic_store(&g->generation, next->generation);
	policy_unref(dropped);
	in_force_free(&old);
	*next = (struct in_force){0};
}

static errint_t record_apply(
	struct archive *a, const struct subject *who, uint64_t generation, uint64_t expiring, errint_t error)
{
	struct audit_record r;
	char text[128];
	snprintf(text, sizeof text, "policy generation %" PRIu64 " %s; it would expire %" PRIu64 " files", generation,
		error ? "was not applied" : "applied", expiring);
	gate_fill(a, &r, RECORD_POLICY, who, NULL, NULL, NULL, text);
	r.error = error;
	return audit_append(a->audit, &r);
}

/* apply_lock held. */
static errint_t apply(struct archive *a, struct in_force *next, bool force, const struct subject *who,
	uint64_t *ret_expiring, struct fault *f)
{
	struct expiring e = {.archive = a, .next = next->policy, .now = tclock_trusted(a->clock)};
	errint_t r = a->catalogue ? catalogue_each(a->catalogue, count_expiring, &e) : 0;
	if (r == -EBADMSG) /* also SQLite's word for what the disk cannot read; the next mount makes it anew */
		r = -EIO;
	if (r)
		return fault_set(
			f, r, "the catalogue could not be read to see what the policy would expire: %s", strerror(-r));
	*ret_expiring = e.count;
	if (e.count && !force)
		return fault_set(f, -EBUSY,
			"the policy would expire %" PRIu64 " existing files at once; --force applies it all the same",
			e.count);
	next->applied_at = tclock_trusted(a->clock);
	next->generation = atomic_load(&a->gate->generation) + 1;
	r = name_classes(a, next);
	if (!r && (r = record_apply(a, who, next->generation, e.count, 0)))
		return fault_set(
			f, r, "the change could not be recorded in the audit log, so it is not made: %s", strerror(-r));
	if (r)
		return r;
	r = put_on_disk(a, next);
	if (r) {
		record_apply(a, who, next->generation, e.count, r);
		return fault_set(f, r, "the policy could not be sealed: %s; the old one is in force", strerror(-r));
	}
	swap_in(a, next);
	return 0;
}

errint_t archive_policy_apply(struct archive *a, const char *text, size_t len, bool force, const struct subject *who,
	uint64_t *ret_expiring, struct policy_diags *diags, struct fault *f)
{
	struct in_force next = {.len = len};
	*ret_expiring = 0;
	if (a->observe)
		return fault_set(f, -EROFS, "the archive was opened for reading only");
	if (len > POLICY_TEXT_MAX)
		return fault_set(f, -EFBIG, "a policy has at most %u bytes", POLICY_TEXT_MAX);
	errint_t r = policy_parse(text, len, archive_names(), &next.policy, diags);
	if (r)
		return r;
	if (!(next.text = malloc(len + 1)))
		r = -ENOMEM;
	if (!r) {
		memcpy(next.text, text, len);
		next.text[len] = 0;
		pthread_mutex_lock(&a->gate->apply_lock);
		r = apply(a, &next, force, who, ret_expiring, f);
		pthread_mutex_unlock(&a->gate->apply_lock);
	}
	in_force_free(&next);
	return r;
}
