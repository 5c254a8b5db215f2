/* Listings whose entries are opened and looked at ahead, by several threads. */
#include "fs_fixture.h"

#define STEADY 200

static void setup(void)
{
	archive_make();
	archive_up();
}

TestSuite(listing, .init = setup, .fini = archive_drop, .timeout = 120);

struct listing {
	struct dirhandle *d;
	size_t room, taken; /* of one request */
	bool attributes;
	off_t at;
	unsigned seen[STEADY];
};

static bool take(void *ctx, const struct fs_dirent *e)
{
	struct listing *l = ctx;
	struct fs_entry entry;
	int k;
	if (l->taken == l->room)
		return false;
	l->taken++;
	l->at = e->off;
	bool steady = sscanf(e->name, "steady%d", &k) == 1;
	cr_assert(e->looked ? l->attributes && e->name[0] != '.' : !l->attributes || !steady, "%s", e->name); /* what has gone meanwhile is not looked at */
	if (e->looked && fs_lookup_entry(a, l->d, e, &entry))
		return true;
	if (steady) {
		l->seen[k]++;
		cr_assert(!e->looked || entry.attr.st_size == k + 1, "%s: %jd", e->name, (intmax_t)entry.attr.st_size);
	}
	if (e->looked)
		fs_forget(a, entry.inode, 1);
	return true;
}

static void list(struct inode *dir, size_t room, bool attributes)
{
	struct listing l = {.room = room, .attributes = attributes};
	cr_assert_eq(fs_opendir(a, dir, &caller, &l.d), 0);
	do {
		l.taken = 0;
		cr_assert_eq(fs_readdir_ahead(a, l.d, l.at, attributes, room, take, &l), 0);
	} while (l.taken);
	fs_closedir(a, l.d);
	for (int k = 0; k < STEADY; k++)
		cr_assert_eq(l.seen[k], 1, "%d of %zu at a time: %u times", k, room, l.seen[k]);
}

static _Atomic bool finished;

/* Names come and go, so that what was looked at is another file's by then. */
static void *change(void *dir)
{
	for (unsigned n = 0; !atomic_load(&finished); n++) {
		struct fs_entry e;
		struct handle *h;
		char name[16], other[16];
		snprintf(name, sizeof name, "x%u", n % 5);
		snprintf(other, sizeof other, "y%u", n % 7);
		cr_assert_eq(fs_create(a, dir, name, 0644, O_WRONLY, &caller, &e, &h), 0);
		fs_release(a, h);
		fs_forget(a, e.inode, 1);
		cr_assert_eq(fs_rename(a, dir, name, dir, other, 0, &caller), 0);
		if (n % 2)
			cr_assert_eq(fs_unlink(a, dir, other, &caller), 0);
	}
	return NULL;
}

Test(listing, each_name_comes_once_with_its_attributes_whatever_else_comes_and_goes)
{
	const size_t rooms[] = {5, 16, 128, 1000};
	char content[STEADY + 1] = "", name[32];
	struct fs_entry d;
	pthread_t t;
	make_dir("d");
	cr_assert_eq(find_path("d", &d), 0);
	for (int k = 0; k < STEADY; k++) {
		content[k] = 'c';
		snprintf(name, sizeof name, "steady%d", k);
		fs_forget(a, make_file("d", name, content, NULL), 1);
	}
	cr_assert_eq(pthread_create(&t, NULL, change, d.inode), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rooms); i++) {
		list(d.inode, rooms[i], true);
		list(d.inode, rooms[i], false);
	}
	atomic_store(&finished, true);
	pthread_join(t, NULL);
	fs_forget(a, d.inode, 1);
	cr_assert_eq(atomic_load(&a->damaged), 0);
}
