#include "ctl/plan.h"

#include "store/anchor.h" /* and the hash that names a plan */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define HALF_LIFE 450 /* seconds: an id lives as long again, at most */

static void make_id(const struct ctl_call *c, const char *text, int64_t slice, char out[static PLAN_ID_BYTES])
{
	char head[128];
	uint8_t uuid[UUID_BYTES], digest[DIGEST_BYTES];
	archive_uuid(c->archive, uuid);
	int n = snprintf(head, sizeof head, "%s %02x%02x%02x%02x %" PRId64 " ", c->args->word, uuid[0], uuid[1], uuid[2], uuid[3], slice);
	size_t len = (size_t)n + strlen(text);
	cleanup_free char *all = malloc(len + 1);
	out[0] = '\0';
	if (!all)
		return;
	memcpy(all, head, (size_t)n);
	memcpy(all + n, text, len - (size_t)n);
	crypt_hash(digest, all, len);
	for (size_t i = 0; i < (PLAN_ID_BYTES - 1) / 2; i++)
		snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

void plan_make(struct ctl_call *c, const char *text, struct plan *ret)
{
	struct timespec t;
	clock_gettime(CLOCK_BOOTTIME, &t);
	make_id(c, text, t.tv_sec / HALF_LIFE, ret->id[0]);
	make_id(c, text, t.tv_sec / HALF_LIFE - 1, ret->id[1]);
}

bool plan_named(const struct ctl_call *c, const struct plan *p)
{
	const char *given = ctl_str(c->args, "plan");
	return given[0] && (!strcmp(given, p->id[0]) || !strcmp(given, p->id[1]));
}

bool plan_confirmed(struct ctl_call *c, const struct plan *p, uint64_t count, errint_t *ret)
{
	const char *given = ctl_str(c->args, "plan");
	*ret = 0;
	if (!p->id[0][0]) {
		*ret = -ENOMEM;
		return false;
	}
	if (plan_named(c, p))
		return true;
	if (given[0]) {
		*ret = verb_fail(c, -ESTALE, "The plan %s is not what would be done now, or is older than 15 minutes: look at the new one", given);
		return false;
	}
	ctl_begin(&c->out, "plan");
	ctl_put(&c->out, "id", p->id[0]);
	ctl_put_u64(&c->out, "count", count);
	return false;
}
