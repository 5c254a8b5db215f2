#include "store_fixture.h"

#include "base/io.h"
#include "store/amend.h"
#include "store/catalogue_internal.h"
#include "store/catalogue_rows.h"
#include "store/sweep.h"

/* What the transport would be told. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct inode *dropped[64];
	size_t drops, gone;
	size_t drops_before_gone;
	char name[16][64];
} told = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};

static void drop_pages(void *ctx, struct inode *i)
{
	pthread_mutex_lock(&told.lock);
	told.dropped[told.drops++ % 64] = i;
	pthread_cond_broadcast(&told.cond);
	pthread_mutex_unlock(&told.lock);
}

static void entry_gone(void *ctx, struct inode *dir, struct inode *child, const char *name)
{
	pthread_mutex_lock(&told.lock);
	if (!told.gone)
		told.drops_before_gone = told.drops;
	snprintf(told.name[told.gone++ % 16], sizeof told.name[0], "%s", name);
	pthread_cond_broadcast(&told.cond);
	pthread_mutex_unlock(&told.lock);
	/* No lock may be held: another thread of the kernel's would want them. */
	struct fs_entry e;
	if (!fs_lookup(a, dir, "nothing", &e))
		fs_forget(a, e.inode, 1);
}

static const struct archive_hooks hooks = {.drop_pages = drop_pages, .entry_gone = entry_gone};

static void await(const size_t *counter, size_t count)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 30;
	pthread_mutex_lock(&told.lock);
	while (*counter < count)
		cr_assert_eq(pthread_cond_timedwait(&told.cond, &told.lock, &until), 0, "told %zu times, not %zu",
			*counter, count);
	pthread_mutex_unlock(&told.lock);
}

static void await_drop(const struct inode *i)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 30;
	pthread_mutex_lock(&told.lock);
	for (size_t k = 0;; k++) {
		while (k == told.drops)
			cr_assert_eq(pthread_cond_timedwait(&told.cond, &told.lock, &until), 0, "not told of it in %zu times", told.drops);
		if (told.dropped[k % 64] == i)
			break;
	}
	pthread_mutex_unlock(&told.lock);
}

static void setup(void)
{
	archive_make();
	archive_up();
	cr_assert_eq(archive_catch_up(a), 0);
}

TestSuite(sweeper, .init = setup, .fini = archive_drop, .timeout = 120);

static void start(void)
{
	cr_assert_eq(archive_start(a, &hooks), 0);
}

static bool all_counted(void *files)
{
	return atomic_load(&a->expired_total) == *(uint64_t *)files;
}

static struct file_header header_of(const char *dir, const char *name)
{
	struct fs_entry e = {.inode = fs_root(a)};
	struct dir_use u;
	struct sealed_name n;
	struct file_header h;
	int slot;
	if (dir)
		cr_assert_eq(find_path(dir, &e), 0);
	cr_assert_eq(dir_enter(a, e.inode, false, &u), 0);
	cr_assert_eq(name_seal(e.inode->dir->keys, name, strlen(name), &n), 0);
	cr_assert_eq(file_header_at(a, &u, n.backing, name, strlen(name), &h, &slot), 0);
	dir_leave(a, &u);
	if (dir)
		fs_forget(a, e.inode, 1);
	return h;
}

/* The row that the catalogue has of a file; false if it has none. */
struct search {
	uint8_t file_id[FILE_ID_BYTES];
	struct catalogue_row row;
	bool found;
};

static errint_t match(void *ctx, const struct catalogue_row *row)
{
	struct search *s = ctx;
	if (memcmp(row->file_id, s->file_id, FILE_ID_BYTES))
		return 0;
	s->row = *row;
	s->found = true;
	return 1;
}

static bool row_of(const struct file_header *h, struct catalogue_row *ret)
{
	struct search s = {.found = false};
	memcpy(s.file_id, h->file_id, FILE_ID_BYTES);
	cr_assert_geq(catalogue_each(a->catalogue, match, &s), 0);
	if (s.found && ret)
		*ret = s.row;
	return s.found;
}

struct tombs {
	uint8_t file_id[FILE_ID_BYTES];
	size_t count;
	char text[RECORD_TEXT_MAX];
};

static errint_t count_tombs(void *ctx, const struct audit_record *r)
{
	struct tombs *t = ctx;
	if (r->kind == RECORD_EXPIRE && !memcmp(r->file_id, t->file_id, FILE_ID_BYTES)) {
		t->count++;
		strcpy(t->text, r->text);
	}
	return 0;
}

static bool has_tombstone(void *header)
{
	struct tombs t = {.count = 0};
	memcpy(t.file_id, ((struct file_header *)header)->file_id, FILE_ID_BYTES);
	return !audit_each(a->audit, 0, count_tombs, &t) && t.count == 1 && strstr(t.text, "class short, line");
}

Test(sweeper, a_file_expires_for_good)
{
	struct fs_entry e;
	uint8_t under[KEY_BYTES], file_key[KEY_BYTES];
	start();
	make_dir("short");
	struct inode *i = make_file("short", "plate.jpg", "ABC 123", NULL);
	struct inode *kept = make_file(NULL, "kept.jpg", "DEF 456", NULL);
	struct file_header stolen = header_of("short", "plate.jpg"); /* as an old copy of the store has it */
	cr_assert_eq(anchor_wrap_key(a->anchor, a->keys->archive_wrap, &stolen, under), 0);
	cr_assert_eq(file_key_unwrap(under, a->uuid, &stolen, file_key), 0);
	await(&told.gone, 1);
	cr_assert_geq(tclock_trusted(a->clock), stolen.expires_at, "not before the deadline");
	cr_assert_str_eq(told.name[0], "plate.jpg");
	cr_assert_geq(told.drops_before_gone, 1, "pages are dropped before the name goes");
	cr_assert_eq(told.dropped[0], i);
	cr_assert_eq(atomic_load(&i->expires_at), stolen.expires_at);
	cr_assert_eq(find_path("short/plate.jpg", &e), -ENOENT);
	cr_assert_eq(
		anchor_wrap_key(a->anchor, a->keys->archive_wrap, &stolen, under), -EKEYEXPIRED, "the key is gone");
	cr_assert(eventually(has_tombstone, &stolen));
	cr_assert(!row_of(&stolen, NULL));
	cr_assert_eq(sweeper_shred_lag(a), 0);
	cr_assert_leq(atomic_load(&a->last_shred_lag), 5);
	cr_assert_eq(find_path("kept.jpg", &e), 0);
	fs_forget(a, e.inode, 1);
	fs_forget(a, i, 1);
	fs_forget(a, kept, 1);
}

Test(sweeper, what_expired_while_unmounted_goes_before_serving)
{
	uint8_t under[KEY_BYTES];
	struct fs_entry e;
	make_dir("short");
	fs_forget(a, make_file("short", "one", "1", NULL), 1);
	fs_forget(a, make_file("short", "two", "2", NULL), 1);
	fs_forget(a, make_file(NULL, "three", "3", NULL), 1);
	struct file_header h = header_of("short", "two");
	archive_close(a);
	struct timespec until = {.tv_sec = h.expires_at + 1};
	clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL); /* nothing runs that could be waited for */
	archive_up();
	cr_assert_eq(archive_catch_up(a), 0);
	cr_assert_eq(atomic_load(&a->expired_total), 2);
	cr_assert_eq(find_path("short/one", &e), -ENOENT);
	cr_assert_eq(find_path("short/two", &e), -ENOENT);
	cr_assert_eq(anchor_wrap_key(a->anchor, a->keys->archive_wrap, &h, under), -EKEYEXPIRED);
	cr_assert_eq(find_path("three", &e), 0);
	fs_forget(a, e.inode, 1);
}

static bool row_is_right(void *header)
{
	const struct file_header *h = header;
	struct catalogue_row row;
	return row_of(h, &row) && row.expires_at == h->expires_at;
}

Test(sweeper, acts_on_headers_not_on_rows)
{
	struct fs_entry e;
	struct catalogue_row row;
	start();
	fs_forget(a, make_file(NULL, "alive.jpg", "x", NULL), 1);
	struct file_header h = header_of(NULL, "alive.jpg");
	cr_assert(row_of(&h, &row));
	row.expires_at = tclock_trusted(a->clock) - 100;
	catalogue_put(a->catalogue, &row);
	cr_assert(eventually(row_is_right, &h), "the row is put right");
	cr_assert_eq(find_path("alive.jpg", &e), 0);
	cr_assert_eq(told.drops, 0);
	cr_assert(atomic_load(&e.inode->expires_at) == INT64_MAX || atomic_load(&e.inode->expires_at) == h.expires_at);
	fs_forget(a, e.inode, 1);
}

/* Rows of that name in the root; the last one told. */
struct named_rows {
	uint8_t place[HOME_BYTES];
	size_t count;
	struct catalogue_row row;
};

static errint_t take_named(void *ctx, const struct catalogue_row *row)
{
	struct named_rows *n = ctx;
	if (memcmp(row->place, n->place, HOME_BYTES))
		return 0;
	n->count++;
	n->row = *row;
	return 0;
}

static bool one_row_is_right(void *header)
{
	const struct file_header *h = header;
	struct named_rows n = {.count = 0};
	memcpy(n.place, h->home[0], HOME_BYTES);
	cr_assert_eq(catalogue_each(a->catalogue, take_named, &n), 0);
	return n.count == 1 && n.row.created_at == h->created_at && n.row.expires_at == h->expires_at && !memcmp(n.row.file_id, h->file_id, FILE_ID_BYTES);
}

/* Rows that an exchange in the store, past lapse, has left of files that lay there before: with the row of the one that lies there, and without. */
Test(sweeper, the_row_of_another_file_takes_none_with_it)
{
	static const int64_t earlier[] = {1000, INT64_C(64) << ROW_TIME_BITS, 1};
	struct fs_entry e;
	struct catalogue_row row;
	start();
	fs_forget(a, make_file(NULL, "alive.jpg", "x", NULL), 1);
	struct file_header h = header_of(NULL, "alive.jpg");
	for (unsigned k = 0; k < 2 * ARRAY_SIZE(earlier); k++) {
		cr_assert(row_of(&h, &row));
		if (k % 2)
			catalogue_remove(a->catalogue, row.dir_id, row.place, row.created_at);
		row.created_at -= earlier[k / 2];
		row.expires_at = tclock_trusted(a->clock) - 100;
		row.file_id[0] ^= 1;
		catalogue_put(a->catalogue, &row);
		cr_assert(eventually(one_row_is_right, &h), "case %u", k);
	}
	cr_assert_eq(find_path("alive.jpg", &e), 0);
	fs_forget(a, e.inode, 1);
	cr_assert_eq(told.drops, 0);
	cr_assert_eq(atomic_load(&a->expired_total), 0);
}

static errint_t leave_alone(struct archive *unused, struct file_header *h, void *ctx)
{
	(void)unused, (void)h, (void)ctx;
	return AMEND_NOTHING;
}

/* As reviews, holds and destructions do. */
Test(sweeper, who_amends_by_the_row_of_another_file_puts_it_right)
{
	struct catalogue_row row;
	const struct amendment m = {.change = leave_alone};
	fs_forget(a, make_file(NULL, "alive.jpg", "x", NULL), 1);
	struct file_header h = header_of(NULL, "alive.jpg");
	for (unsigned with = 0; with < 2; with++) {
		cr_assert(row_of(&h, &row));
		if (!with)
			catalogue_remove(a->catalogue, row.dir_id, row.place, row.created_at);
		row.created_at -= 1000;
		row.file_id[0] ^= 1;
		catalogue_put(a->catalogue, &row);
		cr_assert_eq(catalogue_flush(a->catalogue), 0);
		cr_assert(!one_row_is_right(&h));
		cr_assert_eq(file_amend_row(a, &row, &m, NULL), 0);
		cr_assert_eq(catalogue_flush(a->catalogue), 0);
		cr_assert(one_row_is_right(&h));
	}
}

static errint_t set_state(struct archive *unused, struct file_header *h, void *state)
{
	(void)unused;
	h->state = *(uint8_t *)state;
	h->commits_at = h->created_at;
	return 0;
}

static errint_t count_commits(void *ctx, const struct audit_record *r)
{
	*(size_t *)ctx += r->kind == RECORD_COMMIT;
	return 0;
}

static size_t commits_after(const struct catalogue_row *row)
{
	size_t count = 0;
	struct sweep *w = sweep_new(a);
	cr_assert_not_null(w);
	cr_assert(sweep_commit(w, row, tclock_trusted(a->clock)));
	sweep_free(w);
	cr_assert_eq(audit_sync(a->audit), 0);
	cr_assert_eq(audit_each(a->audit, 0, count_commits, &count), 0);
	return count;
}

/* An exchange in the store, past lapse, has put a committed file where another lay whose row waits for that. */
Test(sweeper, a_commit_is_recorded_once_and_of_the_file_that_is_committed)
{
	struct catalogue_row row, other;
	uint8_t state = HEADER_CLOSED;
	const struct amendment m = {.change = set_state, .ctx = &state};
	fs_forget(a, make_file(NULL, "plate.jpg", "x", NULL), 1);
	struct file_header h = header_of(NULL, "plate.jpg");
	cr_assert(row_of(&h, &row));
	cr_assert_eq(file_amend_row(a, &row, &m, &h), 0);
	cr_assert(row_of(&h, &row));
	cr_assert_eq(commits_after(&row), 1);
	h = header_of(NULL, "plate.jpg");
	cr_assert_eq(h.state, HEADER_COMMITTED);
	other = row;
	other.created_at -= 1000;
	other.file_id[0] ^= 1;
	other.generation = 1;
	cr_assert_gt(h.generation, other.generation);
	cr_assert_eq(commits_after(&other), 1);
}

/* Where the file that lies there is overdue, it goes by its own row, and both rows with it; no scan helps. */
Test(sweeper, an_overdue_file_goes_by_its_own_row)
{
	struct fs_entry e;
	struct catalogue_row row;
	make_dir("short");
	fs_forget(a, make_file("short", "plate.jpg", "x", NULL), 1);
	struct file_header h = header_of("short", "plate.jpg");
	cr_assert(row_of(&h, &row));
	catalogue_remove(a->catalogue, row.dir_id, row.place, row.created_at);
	row.created_at -= 5000;
	row.expires_at -= 5000;
	row.file_id[0] ^= 1;
	catalogue_put(a->catalogue, &row);
	archive_close(a);
	struct timespec until = {.tv_sec = h.expires_at + 1};
	clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL); /* nothing runs that could be waited for */
	archive_up();
	cr_assert_eq(archive_catch_up(a), 0);
	cr_assert_eq(atomic_load(&a->expired_total), 1);
	cr_assert_eq(find_path("short/plate.jpg", &e), -ENOENT);
	cr_assert_eq(catalogue_flush(a->catalogue), 0);
	cr_assert_eq(catalogue_count(a->catalogue), 0);
}

static bool row_gone(void *header)
{
	return !row_of(header, NULL);
}

Test(sweeper, drops_rows_of_files_that_are_not_there)
{
	struct catalogue_row row;
	start();
	fs_forget(a, make_file(NULL, "gone.jpg", "x", NULL), 1);
	struct file_header h = header_of(NULL, "gone.jpg");
	cr_assert(row_of(&h, &row));
	cr_assert_eq(fs_unlink(a, fs_root(a), "gone.jpg", &caller), 0);
	cr_assert(eventually(row_gone, &h));
	row.expires_at = tclock_trusted(a->clock) - 100;
	catalogue_put(a->catalogue, &row);
	cr_assert(eventually(row_gone, &h));
	cr_assert_eq(atomic_load(&a->expired_total), 0);
}

static bool damage_seen(void *unused)
{
	return atomic_load(&a->damaged) > 0;
}

Test(sweeper, never_deletes_a_damaged_file)
{
	struct fs_entry e;
	struct sealed_name n;
	struct catalogue_row row;
	make_dir("short");
	fs_forget(a, make_file("short", "damaged", "x", NULL), 1);
	struct file_header h = header_of("short", "damaged");
	cr_assert(row_of(&h, &row));
	cr_assert_eq(find_path("short", &e), 0);
	struct dir_use u;
	cr_assert_eq(dir_enter(a, e.inode, true, &u), 0);
	cr_assert_eq(name_seal(e.inode->dir->keys, "damaged", 7, &n), 0);
	int fd = openat(u.fd, n.backing, O_RDWR | O_CLOEXEC);
	char junk[2 * HEADER_SLOT_BYTES];
	memset(junk, 0x5a, sizeof junk);
	cr_assert_eq(io_pwrite(fd, junk, sizeof junk, 0), 0);
	close(fd);
	dir_leave(a, &u);
	start();
	cr_assert(eventually(damage_seen, NULL));
	row.expires_at = tclock_trusted(a->clock) - 100;
	catalogue_put(a->catalogue, &row);
	catalogue_flush(a->catalogue);
	/* A file that does expire, after it, shows that the sweeper has been there. */
	fs_forget(a, make_file("short", "after", "x", NULL), 1);
	await(&told.gone, 1);
	cr_assert_str_eq(told.name[0], "after");
	cr_assert_eq(dir_enter(a, e.inode, false, &u), 0);
	cr_assert_eq(faccessat(u.fd, n.backing, F_OK, AT_SYMLINK_NOFOLLOW), 0, "it is still there");
	dir_leave(a, &u);
	fs_forget(a, e.inode, 1);
}

Test(sweeper, an_open_file_is_stopped_at_its_deadline)
{
	struct handle *h;
	char byte;
	start();
	make_dir("short");
	struct inode *i = make_file("short", "open", "x", &h);
	struct file_header before = header_of("short", "open");
	await(&told.drops, 1);
	cr_assert_eq(told.dropped[0], i);
	cr_assert_geq(tclock_trusted(a->clock), before.expires_at);
	cr_assert_eq(fs_read(a, h, &byte, 1, 0), -EKEYEXPIRED);
	await(&told.gone, 1);
	fs_release(a, h);
	fs_forget(a, i, 1);
	uint64_t one = 1;
	cr_assert(eventually(all_counted, &one));
}

/* Of more files of one second than the catalogue has in memory, each that is open is stopped then, and not at the end of its epoch. */
Test(sweeper, what_is_open_is_stopped_however_many_are_due)
{
	enum { FILES = 40 };
	struct handle *h[FILES];
	struct inode *i[FILES];
	char name[16];
	archive_drop();
	epoch_length = time(NULL) % 86400 < 86340 ? 86400 : 86399; /* one that does not end now */
	setup();
	catalogue_limit_near(a->catalogue, 8);
	start();
	make_dir("short");
	for (int n = 0; n < FILES; n++) {
		snprintf(name, sizeof name, "%d", n);
		i[n] = make_file("short", name, "x", &h[n]);
	}
	for (int n = 0; n < FILES; n++)
		await_drop(i[n]);
	pthread_mutex_lock(&told.lock);
	cr_expect_eq(told.gone, 0, "their epoch has not ended");
	pthread_mutex_unlock(&told.lock);
	for (int n = 0; n < FILES; n++) {
		fs_release(a, h[n]);
		fs_forget(a, i[n], 1);
	}
}

Test(sweeper, every_name_of_a_file_goes)
{
	struct fs_entry d, e;
	start();
	make_dir("short");
	struct inode *i = make_file("short", "first", "x", NULL);
	cr_assert_eq(find_path("short", &d), 0);
	cr_assert_eq(fs_link(a, i, d.inode, "second", &caller, &e), 0);
	fs_forget(a, e.inode, 1);
	await(&told.gone, 2);
	cr_assert_eq(find_path("short/second", &e), -ENOENT);
	cr_assert_eq(find_path("short/first", &e), -ENOENT);
	fs_forget(a, d.inode, 1);
	fs_forget(a, i, 1);
}

/* More than one batch, in several directories, with names long and short. */
Test(sweeper, many)
{
	enum { DIRS = 3, FILES = 300 };
	char name[256], long_part[200];
	memset(long_part, 'l', sizeof long_part - 1);
	long_part[sizeof long_part - 1] = 0;
	start();
	make_dir("short");
	struct fs_entry d, sub;
	cr_assert_eq(find_path("short", &d), 0);
	for (int n = 0; n < DIRS; n++) {
		snprintf(name, sizeof name, "d%d", n);
		cr_assert_eq(fs_mkdir(a, d.inode, name, 0755, &caller, &sub), 0);
		fs_forget(a, sub.inode, 1);
	}
	fs_forget(a, d.inode, 1);
	for (int n = 0; n < FILES; n++) {
		char dir[32];
		snprintf(dir, sizeof dir, "short/d%d", n % DIRS);
		snprintf(name, sizeof name, "%s%d", n % 2 ? long_part : "s", n);
		fs_forget(a, make_file(dir, name, "content", NULL), 1);
	}
	uint64_t all = FILES;
	cr_assert(eventually(all_counted, &all), "%lu of %d", (unsigned long)atomic_load(&a->expired_total), FILES);
	cr_assert_eq(catalogue_flush(a->catalogue), 0);
	cr_assert_eq(catalogue_count(a->catalogue), 0);
	cr_assert_eq(sweeper_overdue(a), 0);
	for (int n = 0; n < DIRS; n++) {
		snprintf(name, sizeof name, "short/d%d", n);
		cr_assert_eq(find_path(name, &d), 0);
		cr_assert_eq(find_path("short", &sub), 0);
		snprintf(name, sizeof name, "d%d", n);
		cr_assert_eq(fs_rmdir(a, sub.inode, name, &caller), 0, "nothing is left in it, companions neither");
		fs_forget(a, sub.inode, 1);
		fs_forget(a, d.inode, 1);
	}
}

Test(sweeper, the_anchor_moves_when_nothing_expires)
{
	struct anchor_status before, now;
	anchor_get_status(a->anchor, &before);
	start();
	for (int i = 0; i < 6000; i++) {
		struct timespec step = {.tv_nsec = 5000000};
		anchor_get_status(a->anchor, &now);
		if (now.next_epoch > before.next_epoch + 1)
			break;
		nanosleep(&step, NULL);
	}
	cr_assert_gt(now.next_epoch, before.next_epoch + 1);
	cr_assert_geq(now.trusted_ns, (int64_t)now.next_epoch * 1000000000);
}
