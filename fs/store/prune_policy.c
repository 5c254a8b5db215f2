/* prune_policy.c - a tombstone held against the policy that was in force when it was made. */
#include "store/prune.h"

#include "store/gate_internal.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#define NAME_BYTES 32

/* From the files, so that no archive has to be served for it. */
static errint_t read_generation(struct archive *a, uint64_t generation, struct in_force *ret)
{
	uint8_t digest[DIGEST_BYTES];
	char name[NAME_BYTES];
	*ret = (struct in_force){.generation = 0};
	errint_t r = policy_read_sealed(a, a->lapse_fd, "policy", ret, digest);
	if (!r && ret->generation == generation)
		return 0;
	in_force_free(ret);
	*ret = (struct in_force){.generation = 0};
	cleanup_fd int history = openat(a->lapse_fd, POLICY_HISTORY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (history < 0)
		return -errno;
	snprintf(name, sizeof name, "%016" PRIx64, generation);
	r = policy_read_sealed(a, history, name, ret, digest);
	if (!r && ret->generation != generation) {
		in_force_free(ret);
		r = -EBADMSG;
	}
	return r;
}

int prune_was_allowed(void *archive, const struct log_tombstone *t)
{
	struct in_force then;
	struct policy_diags diags = {0};
	if (read_generation(archive, t->policy_generation, &then))
		return -1;
	errint_t r = policy_parse(then.text, then.len, archive_names(), &then.policy, &diags);
	policy_diags_free(&diags);
	int allowed = -1;
	if (!r) {
		const struct policy_settings *ps = policy_settings(then.policy);
		allowed = ps->log_dropped && t->retain_seconds == ps->log_retain.seconds && t->retain_months == (uint32_t)ps->log_retain.months;
	}
	in_force_free(&then);
	return allowed;
}
