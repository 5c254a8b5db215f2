/* A guard from what an authentic snapshot may hold; it is used afterwards. */
#include "policy/policy.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char text[] = "[policy]\nversion = 1\ndefault-class = all\n[class all]\nexpire-after = 1y\n[rule all]\neffect = permit\nbudget = b s\n"
			   "[budget b]\nfiles = 20/10min 40/1h\nbytes = 1M/1h\nnames = 50/1h\n[budget s]\nper = session\nfiles = 5/1h\n";

struct reading {
	const uint8_t *p;
	size_t left;
};

static bool get(void *ctx, void *out, size_t len)
{
	struct reading *r = ctx;
	if (len > r->left)
		return false;
	memcpy(out, r->p, len);
	r->p += len;
	r->left -= len;
	return true;
}

static void nothing(void *ctx, const struct guard_usage *u)
{
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct policy *p;
	struct policy_diags d;
	struct reading in = {data, size};
	struct guard_bytes copy = {.p = NULL};
	struct guard *g;
	int64_t lacking;
	int more;
	if (!p && policy_parse(text, strlen(text), NULL, &p, &d))
		abort();
	if (guard_new(&g) || guard_set_policy(g, p))
		abort();
	if (!guard_restore(g, get, &in, &lacking)) {
		struct subject s = {.uid = 1000, .login_uid = 1000, .real_uid = 1000, .session = 3};
		guard_replay(g, &s, "all", (const uint8_t[POLICY_FILE_ID_BYTES]){1}, 5, 1700000000000);
		guard_replay_names(g, &s, "all", "b", 5, 1700000000000);
		guard_each_usage(g, 1700000000000, nothing, NULL);
		guard_copy_begin(g);
		while ((more = guard_copy_some(g, 1, &copy)) == 1)
			;
		assert(!more);
		free(copy.p);
	}
	guard_free(g);
	return 0;
}
