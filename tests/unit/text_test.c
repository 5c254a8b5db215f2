#include <dirent.h>

#include "policy/internal.h"
#include "policy_fixture.h"

static void accept(const char *text, size_t len, const char *what)
{
	struct policy *p = NULL;
	struct policy_diags d;
	int e = policy_parse(text, len, NULL, &p, &d);

	for (size_t i = 0; i < d.count; i++)
		cr_expect(strstr(d.item[i].text, "cannot be looked up here") != NULL, "%s:%u: %s", what, d.item[i].line,
			d.item[i].text);
	cr_expect_eq(e, 0, "%s", what);
	policy_diags_free(&d);
	policy_unref(p);
}

Test(text, the_default_is_accepted_and_does_what_it_says)
{
	char *text = policy_default_text("30d", NULL, false);

	cr_assert_not_null(text);
	accept(text, strlen(text), "default");
	struct guard *g = fixture_guard(text);
	for (uint64_t i = 0; i < 500; i++)
		cr_assert_eq(fixture_read(g, 0, i, 0).error, 0);
	struct guard_verdict v = fixture_read(g, 0, 500, 0);
	cr_expect_eq(v.error, -EDQUOT);
	cr_expect_str_eq(v.window, "500/10min");
	guard_free(g);
	free(text);
}

Test(text, an_ordinary_user_is_only_warned)
{
	char *text = policy_default_text("never", NULL, true);

	cr_assert_not_null(text);
	accept(text, strlen(text), "default");
	struct guard *g = fixture_guard(text);
	for (uint64_t i = 0; i < 501; i++)
		cr_assert_eq(fixture_read(g, 1000, i, 0).error, 0);
	cr_expect_eq(fixture_read(g, 1000, 501, 0).effect, GUARD_ALERT);
	guard_free(g);
	free(text);
}

Test(text, a_service_reads_all_and_nobody_else_does)
{
	char *text = policy_default_text("30d", "imgindex.service", false);

	cr_assert_not_null(text);
	accept(text, strlen(text), "service");
	struct guard *g = fixture_guard(text);
	struct subject s = fixture_subject(1000);
	for (uint64_t i = 0; i < 1002; i++) {
		struct guard_request r = fixture_request(&s, i, 0);
		struct guard_verdict v;

		s.service = i % 2 ? "" : "imgindex.service";
		guard_check(g, &r, &v);
		cr_assert_eq(v.error, i < 1001 ? 0 : -EDQUOT);
	}
	guard_free(g);
	free(text);
}

Test(text, refused)
{
	errno = 0;
	cr_expect_null(policy_default_text("5m", NULL, false));
	cr_expect_eq(errno, EINVAL);
	for (size_t i = 0; i < 5; i++) {
		static const char *const bad[] = {"nginx", "a/b.service", "x.service\neffect = deny", "", ".service"};

		errno = 0;
		cr_expect_null(policy_default_text("5d", bad[i], false), "%s", bad[i]);
		cr_expect_eq(errno, EINVAL);
	}
}

Test(text, examples)
{
	static char text[POLICY_MAX_BYTES];
	DIR *dir = opendir(LAPSE_SOURCE_DIR "/packaging/examples");
	int count = 0;

	cr_assert_not_null(dir);
	for (struct dirent *e; (e = readdir(dir));) {
		char path[1024];
		size_t len = strlen(e->d_name);

		if (len < 4 || strcmp(e->d_name + len - 4, ".ini"))
			continue;
		snprintf(path, sizeof(path), LAPSE_SOURCE_DIR "/packaging/examples/%s", e->d_name);
		FILE *f = fopen(path, "r");
		cr_assert_not_null(f);
		accept(text, fread(text, 1, sizeof(text), f), path);
		fclose(f);
		count++;
	}
	closedir(dir);
	cr_expect_geq(count, 4);
}
