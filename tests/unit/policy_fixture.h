/* policy_fixture.h - policies for the tests of the guard. */
#pragma once

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"

#define HEAD "[policy]\nversion = 1\ndefault-class = all\n[class all]\nexpire-after = 1y\n"

static inline int fixture_user(void *ctx, const char *name, uint32_t *ret)
{
	static const struct {
		const char *name;
		uint32_t id;
	} known[] = {{"root", 0}, {"alice", 1000}, {"bob", 1001}, {"carol", 1002}, {"ghost", POLICY_NO_UID}};

	(void)ctx;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(known[i].name, name)) {
			*ret = known[i].id;
			return 0;
		}
	return strcmp(name, "broken") ? -ENOENT : -EIO;
}

static inline int fixture_group(void *ctx, const char *name, uint32_t *ret)
{
	(void)ctx;
	*ret = 500;
	return strcmp(name, "analysts") ? -ENOENT : 0;
}

static inline int fixture_zone(void *ctx, const char *name)
{
	(void)ctx;
	return strncmp(name, "Mars/", 5) ? 0 : -ENOENT;
}

static const struct policy_names fixture_names = {.user = fixture_user, .group = fixture_group, .zone = fixture_zone};

static inline struct policy *fixture_policy(const char *text)
{
	struct policy *p = NULL;
	struct policy_diags d;
	int e = policy_parse(text, strlen(text), &fixture_names, &p, &d);

	for (size_t i = 0; e && i < d.count; i++)
		fprintf(stderr, "%u: %s\n", d.item[i].line, d.item[i].text);
	policy_diags_free(&d);
	cr_assert_eq(e, 0);
	return p;
}

static inline struct guard *fixture_guard(const char *text)
{
	struct policy *p = fixture_policy(text);
	struct guard *g;

	cr_assert_eq(guard_new(&g), 0);
	cr_assert_eq(guard_set_policy(g, p), 0);
	policy_unref(p);
	return g;
}

static inline struct subject fixture_subject(uint32_t uid)
{
	return (struct subject){.uid = uid, .login_uid = POLICY_NO_UID, .real_uid = POLICY_NO_UID, .gid = uid};
}

/* Ids spread over their bytes, as random ones are. */
static inline void fixture_id(uint64_t n, uint8_t *id)
{
	for (int i = 0; i < 2; i++) {
		n = (n + 1) * UINT64_C(0x9e3779b97f4a7c15);
		n ^= n >> 29;
		memcpy(id + 8 * i, &n, 8);
	}
}

static inline struct guard_request fixture_request(const struct subject *s, uint64_t file, int64_t now_ms)
{
	struct guard_request r = {.who = s, .path = "x", .bytes = 100, .now_ms = now_ms, .wall_ms = now_ms};

	fixture_id(file, r.file_id);
	return r;
}

static inline struct guard_verdict fixture_read(struct guard *g, uint32_t uid, uint64_t file, int64_t now_ms)
{
	struct subject s = fixture_subject(uid);
	struct guard_request r = fixture_request(&s, file, now_ms);
	struct guard_verdict v;

	guard_check(g, &r, &v);
	return v;
}

/* So many budgets in names, on rules that each are about another directory below `in`. The caller frees it. */
static inline char *fixture_name_budgets(unsigned count)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	fprintf(f, HEAD);
	for (unsigned i = 0; i < count; i++) {
		fprintf(f, "[budget b%u]\nnames = 100/1h\n", i);
		fprintf(f, "[rule r%u]\npaths = in/%u/**\neffect = permit\nbudget = b%u\n", i, i, i);
	}
	fclose(f);
	return text;
}
