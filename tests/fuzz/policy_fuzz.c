/* policy_fuzz.c - any bytes as a policy; one that is accepted is used: classes, deadlines, the guard. */
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void use(struct policy *p)
{
	static const char *const paths[] = {"", "a", "a/b.jpg", "plates/2026/x.jpg"};
	struct guard *g;
	struct guard_verdict v;
	struct subject who = {.uid = 1000, .login_uid = 5, .real_uid = POLICY_NO_UID, .gid = 100};

	check(guard_new(&g) == 0);
	guard_set_policy(g, p);
	for (size_t i = 0; i < 40; i++) {
		struct guard_request r = {
			.who = &who, .path = paths[i % 4], .bytes = i << 20, .now_ms = (int64_t)(i * i * 1000)};

		const struct policy_class *c = policy_class_for(p, r.path);
		check(c && policy_expires_at(c, 0) > 0);
		r.class_ = c->name;
		r.wall_ms = r.now_ms;
		r.local_offset_s = (int32_t)(i * 3601);
		policy_may_move(p, &who, r.class_, r.path, paths[(i + 1) % 4], i % 3 == 0);
		memset(r.file_id, (int)(i % 7 * 37), sizeof(r.file_id));
		guard_check(g, &r, &v);
		check((v.error != 0) == (v.effect != GUARD_PERMIT && v.effect != GUARD_ALERT));
	}
	guard_set_policy(g, p);
	guard_free(g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy *p = NULL;
	struct policy_diags d;
	int e = policy_parse(data, size, NULL, &p, &d);

	check(e == 0 || (!p && d.errors > 0));
	for (size_t i = 0; i < d.count; i++)
		for (const char *c = d.item[i].text; *c; c++)
			check((unsigned char)*c >= 0x20 && *c != 0x7f); /* fit for a terminal */
	if (!e)
		use(p);
	policy_diags_free(&d);
	policy_unref(p);
	return 0;
}
