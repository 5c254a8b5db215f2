#include "fs_fixture.h"

#include "store/import.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <unistd.h>

static void set_up(void)
{
	archive_make();
	archive_up();
}

TestSuite(import, .init = set_up, .fini = archive_drop, .timeout = 60);

static errint_t told[8]; /* by item */

static void outcome(void *ctx, uint64_t item, enum import_outcome o, errint_t error)
{
	(void)ctx, (void)o;
	told[item] = error;
}

static void durable(void *ctx, uint64_t item)
{
	(void)ctx, (void)item;
}

Test(import, a_directory_that_cannot_be_made_is_why_only_of_what_lies_in_it)
{
	const struct import_options o = {.planned_at = INT64_MIN, .outcome = outcome, .durable = durable};
	struct import *im;
	int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), d = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert(file >= 0 && d >= 0);
	cr_assert_eq(import_new(a, &o, &im), 0);
	cr_assert_eq(import_dir(im, &(struct import_item){.number = 1, .path = "d", .fd = file}), 0);
	cr_assert_eq(import_file(im, &(struct import_item){.number = 2, .path = "d/below", .fd = file}), 0);
	cr_assert_eq(import_dir(im, &(struct import_item){.number = 3, .path = "d/e", .fd = d}), 0);
	cr_assert_eq(import_file(im, &(struct import_item){.number = 4, .path = "d/e/below", .fd = file}), 0);
	cr_assert_eq(import_dir_end(im, &(struct import_item){.number = 5, .path = "d", .fd = d}), 0);
	cr_assert_eq(import_file(im, &(struct import_item){.number = 6, .path = "dd/f", .fd = file}), 0);
	cr_assert_eq(import_dir_end(im, &(struct import_item){.number = 7, .path = "another", .fd = d}), 0);
	cr_assert_eq(import_commit(im), 0);
	import_free(im);
	for (int i = 1; i <= 5; i++)
		cr_expect_eq(told[i], -ENOTDIR, "item %d: %d", i, told[i]);
	cr_expect_eq(told[6], -ENOENT, "%d", told[6]);
	cr_expect_eq(told[7], -ENOENT, "%d", told[7]);
	close(file);
	close(d);
}
