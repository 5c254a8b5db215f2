/* work_archive.c - what is done to the archive as a whole. */
#include "faults.h"

#include "store/catalogue_internal.h"

#include <stdio.h>
#include <string.h>

static struct inode *file;

static void leave(void)
{
	forget(&file);
}

static errint_t mount_it(void)
{
	errint_t r = world_open();
	if (r && !world_fault.text[0] && r != -ENOMEM)
		wrong("no sentence for %s", strerrorname_np(-r));
	return r;
}

static errint_t end_session(void)
{
	world_close();
	return 0;
}

/* A file that nobody closed: the end of the session does. */
static struct handle *handle;

static void write_and_sync(void)
{
	must(make("new.jpg", 30000, &file, &handle));
	must(fs_fsync(archive, handle, false));
}

static errint_t close_and_end(void)
{
	fs_release(archive, handle);
	forget(&file);
	world_close();
	return 0;
}

static const uint8_t other_key[KEY_BYTES] = {9, 9, 9};
static const struct slot_secret other = {SLOT_KEY_FILE, other_key, sizeof other_key};
static uint32_t added;

static errint_t add_key(void)
{
	struct fault f = {{0}};
	errint_t r = archive_key_add(archive, &world_key, &other, "other", &(struct slot_cost){0}, &added, &f);
	if (r && !f.text[0])
		wrong("no sentence for %s", strerrorname_np(-r));
	return r;
}

static void key_added(void) { must(add_key()); }

static errint_t remove_key(void)
{
	struct fault f = {{0}};
	errint_t r = archive_key_remove(archive, added, &f);
	if (r && !f.text[0])
		wrong("no sentence for %s", strerrorname_np(-r));
	return r;
}

static errint_t apply_policy(void)
{
	static const char text[] = "[policy]\nversion = 1\ndefault-class = keep\n\n[class keep]\nmatch = **\nexpire-after = 2d\n\n"
				   "[rule everyone]\neffect = permit\nbudget = none\n";
	struct fault f = {{0}};
	struct policy_diags diags = {0};
	struct policy_plan plan;
	atomic_store(&archive->catalogue->complete, true); /* no scan runs here, and every file has its row */
	errint_t r = archive_policy_apply(archive, text, sizeof text - 1, &(struct policy_change){.who = NULL}, &plan, &diags, &f);
	policy_plan_free(&plan);
	if (r && !f.text[0])
		wrong("no sentence for %s", strerrorname_np(-r));
	return r;
}

/* The key of a file that expires goes, and the file: now, or with the next sweep. */
static void make_short_lived(void)
{
	must(make("short/plate.jpg", 5000, NULL, NULL));
	must(find("short", &file));
}

static errint_t expire(void)
{
	struct inode *i;
	clock_skew_s = 10;
	errint_t r = archive_catch_up(archive);
	if (!find("short/plate.jpg", &i)) {
		struct handle *h;
		errint_t open = fs_open(archive, i, 0, &root_caller, &h);
		if (!open)
			wrong("an expired file was opened");
		forget(&i);
	}
	return r;
}

static errint_t check(void)
{
	struct archive_open o = world_options();
	struct archive_check c;
	struct fault f = {{0}};
	errint_t r = archive_check(&o, &c, &f);
	if (r && !f.text[0])
		wrong("no sentence for %s", strerrorname_np(-r));
	for (int i = 0; !r && i < ARCHIVE_PARTS; i++)
		if (c.state[i] == PART_BEHIND)
			wrong("part %d is called put back: %s", i, c.why[i].text);
		else if (c.state[i] == PART_DAMAGED || c.state[i] == PART_UNSEEN)
			r = -EIO; /* `why` says what failed */
	return r;
}

/* What could not be cleared away, because that failed too, is in the way of the next one, which says so. */
static errint_t init_another(void)
{
	world_clear("another");
	errint_t r = world_init("another");
	if (r && !world_fault.text[0])
		wrong("no sentence for %s", strerrorname_np(-r));
	return r;
}

#define ARCHIVE_WORK(name_, ...) {.name = name_, .after = leave, __VA_ARGS__}
const struct work archive_works[] = {
	ARCHIVE_WORK("mount", .stage = MOUNTING, .op = mount_it),
	ARCHIVE_WORK("mount-crashed", .world = WORLD_CRASHED, .stage = MOUNTING, .op = mount_it),
	ARCHIVE_WORK("unmount", .stage = CLOSING, .op = end_session),
	ARCHIVE_WORK("unmount-written", .stage = CLOSING, .before = write_and_sync, .op = close_and_end),
	ARCHIVE_WORK("unmount-crashed", .world = WORLD_CRASHED, .stage = CLOSING, .op = end_session),
	ARCHIVE_WORK("key-add", .op = add_key),
	ARCHIVE_WORK("key-remove", .before = key_added, .op = remove_key),
	ARCHIVE_WORK("policy-apply", .op = apply_policy),
	ARCHIVE_WORK("expire", .before = make_short_lived, .op = expire, .later = true),
	ARCHIVE_WORK("check", .stage = OFFLINE, .op = check),
	ARCHIVE_WORK("check-crashed", .world = WORLD_CRASHED, .stage = OFFLINE, .op = check),
	ARCHIVE_WORK("init", .stage = OFFLINE, .op = init_another),
	{0},
};
