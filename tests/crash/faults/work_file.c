/* work_file.c - what is done to the content of files. */
#include "faults.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static struct inode *file;
static struct handle *handle;
static uint8_t bytes[40000];

static errint_t open_file(const char *path, int flags)
{
	errint_t r = file ? 0 : find(path, &file);
	return r ? r : fs_open(archive, file, flags, &root_caller, &handle);
}

static void close_file(void)
{
	if (handle)
		fs_release(archive, handle);
	handle = NULL;
	forget(&file);
}

/* All of it, as a program that looks at what write returns does. */
static errint_t write_all(const char *as, size_t len, off_t off)
{
	fill(as, bytes, len, (size_t)off);
	for (size_t done = 0; done < len;) {
		ssize_t n = fs_write(archive, handle, bytes + done, len - done, off + (off_t)done, false);
		if (n <= 0)
			return n ? (errint_t)n : -ENODATA;
		done += (size_t)n;
	}
	return 0;
}

/* ---- writing ------------------------------------------------------------------------------------------------------------ */

static errint_t create_named(const char *name)
{
	struct fs_entry e;
	errint_t r = fs_create(archive, fs_root(archive), name, 0644, O_RDWR, &root_caller, &e, &handle);
	if (!r)
		file = e.inode;
	return r;
}

static errint_t create(void) { return create_named("new.jpg"); }

static errint_t create_long(void)
{
	char name[221];
	memset(name, 'n', 220);
	name[220] = 0;
	return create_named(name);
}

static void created(void) { must(create()); }
static errint_t write_new(void) { return write_all("new.jpg", 30000, 0); }

static void created_and_written(void)
{
	must(create());
	must(write_new());
}

static void open_a(void) { must(open_file("a.jpg", O_RDWR)); }
static errint_t overwrite(void) { return write_all("other", 3000, 5000); }
static errint_t overwrite_blocks(void) { return write_all("other", 8192, 4096); }
static errint_t append(void) { return write_all("a.jpg", 9000, 20000); }
static errint_t write_behind_end(void) { return write_all("far", 2000, 31000); }
static errint_t write_some(void) { return write_all("other", 100, 19990); }

static errint_t set_size(off_t size)
{
	struct stat in = {.st_size = size}, out;
	return fs_setattr(archive, file, handle, &in, FS_SET_SIZE, &root_caller, &out);
}

static errint_t shrink(void) { return set_size(10000); }
static errint_t shrink_to_blocks(void) { return set_size(8192); }
static errint_t grow(void) { return set_size(33000); }
static errint_t empty_it(void) { return set_size(0); }
static errint_t allocate(void) { return fs_fallocate(archive, handle, 0, 0, 25000, false); }
static void find_a(void) { must(find("a.jpg", &file)); }

static errint_t shrink_by_path(void)
{
	struct stat in = {.st_size = 10000}, out;
	return fs_setattr(archive, file, NULL, &in, FS_SET_SIZE, &root_caller, &out);
}

static errint_t open_truncating(void) { return open_file("a.jpg", O_WRONLY | O_TRUNC); }

static void overwritten(void)
{
	open_a();
	must(overwrite());
}

static errint_t sync_file(void) { return fs_fsync(archive, handle, false); }
static errint_t sync_data(void) { return fs_fsync(archive, handle, true); }

static errint_t close_it(void)
{
	if (handle)
		fs_release(archive, handle);
	handle = NULL;
	return 0;
}

/* What could not be sealed is sealed by the next close. */
static void close_again(void)
{
	if (file && !handle && fs_open(archive, file, O_RDWR, &root_caller, &handle))
		handle = NULL; /* while all fails, this does */
	close_file();
}

/* As cp and a camera do; again after an error, from the beginning. */
static errint_t ingest(void)
{
	errint_t r = fs_unlink(archive, fs_root(archive), "new.jpg", &root_caller);
	if (r && r != -ENOENT)
		return r;
	if (!(r = create()) && !(r = write_new()))
		r = sync_file();
	close_file();
	return r;
}

static errint_t save_by_rename(void)
{
	errint_t r = ingest();
	return r ? r : fs_rename(archive, fs_root(archive), "new.jpg", fs_root(archive), "a.jpg", 0, &root_caller);
}

/* ---- reading -------------------------------------------------------------------------------------------------------------- */

static errint_t read_and_compare(const char *path, const uint8_t *want, size_t len)
{
	errint_t r = open_file(path, O_RDONLY);
	if (!r) {
		ssize_t n = fs_read(archive, handle, bytes, sizeof bytes, 0);
		r = n < 0 ? (errint_t)n : 0;
		if (n >= 0 && ((size_t)n != len || memcmp(bytes, want, len)))
			wrong("read %zd bytes, and not the right ones", n);
	}
	close_file();
	return r;
}

static errint_t read_cold(void)
{
	uint8_t want[9000];
	fill("dir/c.jpg", want, sizeof want, 0);
	return read_and_compare("dir/c.jpg", want, sizeof want);
}

static errint_t read_recovered(void)
{
	uint8_t want[14000];
	fill("dir/synced.jpg", want, sizeof want, 0);
	return read_and_compare("dir/synced.jpg", want, sizeof want);
}

/* Changed and fsynced before the crash. */
static errint_t read_changed(void)
{
	uint8_t want[3500];
	fill("b.jpg", want, 500, 0);
	fill("changed", want + 500, 3000, 0);
	return read_and_compare("b.jpg", want, sizeof want);
}

static errint_t get_attributes(void)
{
	struct stat st;
	errint_t r = fs_getattr(archive, file, NULL, &st);
	if (!r && st.st_size != 20000)
		wrong("a size of %lld", (long long)st.st_size);
	return r;
}

#define FILE_WORK(name_, ...) {.name = name_, .after = close_file, __VA_ARGS__}
const struct work file_works[] = {
	FILE_WORK("create", .op = create),
	FILE_WORK("create-long-name", .op = create_long),
	FILE_WORK("write-new", .before = created, .op = write_new, .partly = LEAVES_SOME, .target = "new.jpg"),
	FILE_WORK("overwrite", .before = open_a, .op = overwrite, .partly = LEAVES_SOME, .target = "a.jpg"),
	FILE_WORK("overwrite-blocks", .before = open_a, .op = overwrite_blocks, .partly = LEAVES_SOME, .target = "a.jpg"),
	FILE_WORK("overwrite-more", .before = overwritten, .op = write_some, .partly = LEAVES_SOME, .target = "a.jpg"),
	FILE_WORK("append", .before = open_a, .op = append, .partly = LEAVES_SOME, .target = "a.jpg"),
	FILE_WORK("write-behind-end", .before = open_a, .op = write_behind_end, .partly = LEAVES_SOME, .target = "a.jpg"),
	FILE_WORK("truncate-in-block", .before = open_a, .op = shrink, .partly = LEAVES_NEW),
	FILE_WORK("truncate-by-path", .before = find_a, .op = shrink_by_path, .partly = LEAVES_NEW),
	FILE_WORK("truncate-to-block", .before = open_a, .op = shrink_to_blocks, .partly = LEAVES_NEW),
	FILE_WORK("truncate-up", .before = open_a, .op = grow, .partly = LEAVES_SOME, .target = "a.jpg"),
	FILE_WORK("truncate-to-nothing", .before = open_a, .op = empty_it, .partly = LEAVES_NEW),
	FILE_WORK("open-truncating", .op = open_truncating, .partly = LEAVES_NEW),
	FILE_WORK("fallocate", .before = open_a, .op = allocate, .partly = LEAVES_SOME, .target = "a.jpg"),
	FILE_WORK("fsync-new", .before = created_and_written, .op = sync_file, .partly = LEAVES_NEW),
	FILE_WORK("fsync-overwritten", .before = overwritten, .op = sync_file, .partly = LEAVES_NEW),
	FILE_WORK("fdatasync", .before = overwritten, .op = sync_data, .partly = LEAVES_NEW),
	{.name = "close-new", .before = created_and_written, .op = close_it, .after = close_again, .partly = LEAVES_SOME, .target = "new.jpg"},
	{.name = "close-overwritten", .before = overwritten, .op = close_it, .after = close_again, .partly = LEAVES_SOME, .target = "a.jpg"},
	FILE_WORK("ingest", .op = ingest, .partly = LEAVES_SOME, .target = "new.jpg"),
	FILE_WORK("save-by-rename", .op = save_by_rename, .partly = LEAVES_SOME, .target = "new.jpg"),
	FILE_WORK("read", .op = read_cold, .reads = true),
	FILE_WORK("getattr", .before = find_a, .op = get_attributes),
	FILE_WORK("read-recovered", .world = WORLD_CRASHED, .op = read_recovered, .reads = true),
	FILE_WORK("read-changed", .world = WORLD_CRASHED, .op = read_changed, .reads = true),
	{0},
};
