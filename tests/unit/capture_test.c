#include "store_fixture.h"

#include "exif_fixture.h"

#include "store/capture.h"

static struct policy *policy;

static void setup(void)
{
	static const char text[] = POLICY_OF("[class photos]\nmatch = p/**\nbasis = captured\ntimezone = Europe/Berlin\nexpire-after = 1d\n\n"
					     "[class kept]\nmatch = k/**\nbasis = captured\ntimezone = Europe/Berlin\nretain-for = 1h\nexpire-after = 1d\n\n");
	struct policy_diags d;
	archive_make();
	archive_up();
	exif_readers_free(a->exif);
	a->exif = exif_readers_new(LAPSE_BINARY);
	cr_assert_eq(policy_parse(text, sizeof text - 1, NULL, &policy, &d), 0);
	policy_diags_free(&d);
}

static void teardown(void)
{
	policy_unref(policy);
	archive_drop();
}

TestSuite(capture, .init = setup, .fini = teardown, .timeout = 60);

static errint_t captured(const char *class_, const char *date, int64_t created_at, int64_t *ret)
{
	struct exif_image i = exif_jpeg_file(date, NULL);
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s/image.jpg", base);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, i.byte, i.len), (ssize_t)i.len);
	errint_t r = captured_at(a->exif, policy_class_by_name(policy, class_), fd, created_at, ret);
	close(fd);
	return r;
}

Test(capture, a_plain_file)
{
	int64_t at = 0;
	cr_assert_eq(captured("photos", "2026:01:31 12:00:00", 1769857200, &at), 0);
	cr_expect_eq(at, 1769857200);
	cr_expect_eq(captured("photos", "2026:01:31 12:00:01", 1769857200, &at), -ENODATA, "after its creation");
	cr_expect_eq(captured("photos", "2026:01:24 11:59:59", 1769857200, &at), -ENODATA, "more than seven days before it");
	cr_expect_eq(captured("photos", "2026:13:31 12:00:00", 1769857200, &at), -ENODATA);
	cr_expect_eq(captured("keep", "2026:01:31 12:00:00", 1769857200, &at), -ENODATA, "a class that does not ask");
	cr_assert_eq(captured("photos", "2026:10:25 02:30:00", 1793000000, &at), 0);
	cr_expect_eq(at, 1792888200, "shown twice: the earlier one");
	cr_assert_eq(captured("kept", "2026:10:25 02:30:00", 1793000000, &at), 0);
	cr_expect_eq(at, 1792891800, "with a floor, the later one");
}
