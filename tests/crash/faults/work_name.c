/* work_name.c - what is done to names and attributes. */
#include "faults.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <linux/fs.h>

static struct inode *file, *dir;
static struct fs_entry made;
static struct dirhandle *listing;

static void leave(void)
{
	if (listing)
		fs_closedir(archive, listing);
	listing = NULL;
	forget(&made.inode);
	forget(&file);
	forget(&dir);
}

static struct inode *root(void) { return fs_root(archive); }
static const char *long_name(void)
{
	static char name[231];
	memset(name, 'l', 230);
	return name;
}

static void find_dir(void) { must(find("dir", &dir)); }
static void find_full(void) { must(find("full", &dir)); }
static void find_a(void) { must(find("a.jpg", &file)); }

/* ---- names ----------------------------------------------------------------------------------------------------------------- */

static errint_t rename_file(void) { return fs_rename(archive, root(), "a.jpg", root(), "moved.jpg", 0, &root_caller); }
static errint_t rename_long(void) { return fs_rename(archive, root(), "a.jpg", root(), long_name(), 0, &root_caller); }
static errint_t rename_across(void) { return fs_rename(archive, root(), "a.jpg", dir, "moved.jpg", 0, &root_caller); }
static errint_t rename_over(void) { return fs_rename(archive, root(), "a.jpg", root(), "b.jpg", 0, &root_caller); }
static errint_t rename_over_linked(void) { return fs_rename(archive, root(), "a.jpg", root(), "twice.jpg", 0, &root_caller); }
static errint_t rename_dir(void) { return fs_rename(archive, root(), "full", dir, "moved", 0, &root_caller); }
static errint_t rename_dir_over(void) { return fs_rename(archive, root(), "full", root(), "empty", 0, &root_caller); }
static errint_t rename_symlink(void) { return fs_rename(archive, root(), "link", root(), "other", 0, &root_caller); }
static errint_t exchange(void) { return fs_rename(archive, root(), "a.jpg", root(), "b.jpg", RENAME_EXCHANGE, &root_caller); }
static errint_t link_file(void) { return fs_link(archive, file, root(), "linked.jpg", &root_caller, &made); }
static errint_t link_long(void) { return fs_link(archive, file, root(), long_name(), &root_caller, &made); }
static errint_t unlink_file(void) { return fs_unlink(archive, root(), "a.jpg", &root_caller); }
static errint_t unlink_linked(void) { return fs_unlink(archive, root(), "twice.jpg", &root_caller); }
static errint_t make_dir(void) { return fs_mkdir(archive, root(), "made", 0755, &root_caller, &made); }
static errint_t make_dir_long(void) { return fs_mkdir(archive, root(), long_name(), 0755, &root_caller, &made); }
static errint_t remove_dir(void) { return fs_rmdir(archive, root(), "empty", &root_caller); }

static errint_t remove_full_dir(void)
{
	errint_t r = fs_rmdir(archive, root(), "full", &root_caller);
	if (!r)
		wrong("a directory that is not empty was removed");
	return r == -ENOTEMPTY ? 0 : r;
}

static errint_t make_symlink(void) { return fs_symlink(archive, root(), "to", "a.jpg", &root_caller, &made); }
static errint_t make_fifo(void) { return fs_mknod(archive, root(), "fifo", S_IFIFO | 0644, 0, &root_caller, &made); }
static void make_long(void) { must(make(long_name(), 6000, NULL, NULL)); }
static errint_t unlink_long(void) { return fs_unlink(archive, root(), long_name(), &root_caller); }

static errint_t look_up(void)
{
	struct inode *i;
	errint_t r = find("dir/c.jpg", &i);
	forget(&i);
	return r;
}

static void find_link(void) { must(find("link", &file)); }

static errint_t make_long_symlink(void)
{
	char target[4001];
	memset(target, 't', sizeof target - 1);
	target[sizeof target - 1] = 0;
	return fs_symlink(archive, root(), "long", target, &root_caller, &made);
}
static void have_long_symlink(void)
{
	must(make_long_symlink());
	forget(&made.inode);
}
static errint_t rename_long_symlink(void) { return fs_rename(archive, root(), "long", root(), "other", 0, &root_caller); }
static errint_t link_symlink(void) { return fs_link(archive, file, root(), "second", &root_caller, &made); }
static errint_t exchange_symlink(void) { return fs_rename(archive, root(), "link", root(), "a.jpg", RENAME_EXCHANGE, &root_caller); }

static struct handle *unnamed;
static void have_unnamed(void)
{
	struct fs_entry e;
	must(fs_tmpfile(archive, root(), 0640, O_RDWR, &root_caller, &e, &unnamed));
	file = e.inode;
	must(fs_write(archive, unnamed, "no name", 7, 0, false) == 7 ? 0 : -EIO);
}
static errint_t link_unnamed(void) { return fs_link(archive, file, root(), "named", &root_caller, &made); }
static void leave_unnamed(void)
{
	fs_release(archive, unnamed);
	leave();
}


static errint_t read_link(void)
{
	char out[4096];
	errint_t r = fs_readlink(archive, file, out);
	if (!r && strcmp(out, "dir/c.jpg"))
		wrong("a target of %.100s", out);
	return r;
}

struct count {
	unsigned names, c_jpg;
};

static bool count_name(void *ctx, const struct fs_dirent *e)
{
	struct count *n = ctx;
	n->names++;
	n->c_jpg += !strcmp(e->name, "c.jpg");
	return true;
}

static errint_t list_dir(void)
{
	struct count n = {0};
	struct inode *i;
	struct dirhandle *d;
	errint_t r = find("dir", &i);
	if (!r && !(r = fs_opendir(archive, i, &root_caller, &d))) {
		if (!(r = fs_readdir(archive, d, 0, count_name, &n)) && (n.names != 3 || n.c_jpg != 1))
			wrong("a listing of %u names", n.names);
		fs_closedir(archive, d);
	}
	forget(&i);
	return r;
}

static void list_root(void) { must(fs_opendir(archive, root(), &root_caller, &listing)); }
static errint_t sync_dir(void) { return fs_fsyncdir(archive, listing); }

/* ---- attributes ------------------------------------------------------------------------------------------------------------- */

static errint_t set(unsigned what, const struct stat *in)
{
	struct stat out;
	return fs_setattr(archive, file, NULL, in, what, &root_caller, &out);
}

static errint_t change_mode(void) { return set(FS_SET_MODE, &(struct stat){.st_mode = 0600}); }
static errint_t change_owner(void) { return set(FS_SET_UID | FS_SET_GID, &(struct stat){.st_uid = 1, .st_gid = 1}); }
static errint_t change_times(void) { return set(FS_SET_MTIME, &(struct stat){.st_mtim = {.tv_sec = 1000}}); }

static errint_t change_root_mode(void)
{
	struct stat out;
	return fs_setattr(archive, root(), NULL, &(struct stat){.st_mode = 0750}, FS_SET_MODE, &root_caller, &out);
}

static errint_t set_xattr(void) { return fs_setxattr(archive, file, "user.lane", "seven", 5, 0, NULL); }
static errint_t set_dir_xattr(void) { return fs_setxattr(archive, dir, "user.lane", "seven", 5, 0, NULL); }
static errint_t remove_xattr(void) { return fs_removexattr(archive, file, "user.plate"); }

static errint_t get_xattr(void)
{
	char out[64];
	ssize_t n = fs_getxattr(archive, file, "user.plate", out, sizeof out);
	if (n >= 0 && (n != 7 || memcmp(out, "ABC 123", 7)))
		wrong("an attribute of %zd bytes", n);
	return n < 0 ? (errint_t)n : 0;
}

static errint_t list_xattrs(void)
{
	char out[64];
	ssize_t n = fs_listxattr(archive, file, out, sizeof out, true);
	if (n >= 0 && (n != 11 || strcmp(out, "user.plate")))
		wrong("a list of %zd bytes", n);
	return n < 0 ? (errint_t)n : 0;
}

static errint_t stat_filesystem(void)
{
	struct statvfs st;
	return fs_statfs(archive, &st);
}

#define NAME_WORK(name_, ...) {.name = name_, .after = leave, __VA_ARGS__}
const struct work name_works[] = {
	NAME_WORK("rename", .op = rename_file),
	NAME_WORK("rename-long-name", .op = rename_long),
	NAME_WORK("rename-across", .before = find_dir, .op = rename_across),
	NAME_WORK("rename-over", .op = rename_over),
	NAME_WORK("rename-over-linked", .op = rename_over_linked),
	NAME_WORK("rename-directory", .before = find_dir, .op = rename_dir),
	NAME_WORK("rename-directory-over", .op = rename_dir_over, .target = "empty"),
	NAME_WORK("rename-symlink", .op = rename_symlink),
	NAME_WORK("exchange", .op = exchange),
	NAME_WORK("link", .before = find_a, .op = link_file),
	NAME_WORK("link-long-name", .before = find_a, .op = link_long),
	NAME_WORK("unlink", .op = unlink_file),
	NAME_WORK("unlink-known", .before = find_a, .op = unlink_file),
	NAME_WORK("unlink-linked", .op = unlink_linked),
	NAME_WORK("unlink-long-name", .before = make_long, .op = unlink_long),
	NAME_WORK("mkdir", .op = make_dir),
	NAME_WORK("mkdir-long-name", .op = make_dir_long),
	NAME_WORK("rmdir", .op = remove_dir),
	NAME_WORK("rmdir-full", .op = remove_full_dir),
	NAME_WORK("rmdir-full-known", .before = find_full, .op = remove_full_dir),
	NAME_WORK("symlink", .op = make_symlink),
	NAME_WORK("symlink-long", .op = make_long_symlink),
	NAME_WORK("rename-symlink-long", .before = have_long_symlink, .op = rename_long_symlink),
	NAME_WORK("link-symlink", .before = find_link, .op = link_symlink),
	NAME_WORK("exchange-symlink", .op = exchange_symlink),
	{.name = "link-unnamed", .before = have_unnamed, .op = link_unnamed, .after = leave_unnamed},
	NAME_WORK("fifo", .op = make_fifo),
	NAME_WORK("lookup", .op = look_up),
	NAME_WORK("readlink", .before = find_link, .op = read_link),
	NAME_WORK("readdir", .op = list_dir, .reads = true),
	NAME_WORK("fsyncdir", .before = list_root, .op = sync_dir),
	NAME_WORK("chmod", .before = find_a, .op = change_mode, .partly = LEAVES_NEW),
	NAME_WORK("chmod-root", .op = change_root_mode, .partly = LEAVES_NEW),
	NAME_WORK("chown", .before = find_a, .op = change_owner, .partly = LEAVES_NEW),
	NAME_WORK("utimens", .before = find_a, .op = change_times, .partly = LEAVES_NEW),
	NAME_WORK("setxattr", .before = find_a, .op = set_xattr),
	NAME_WORK("setxattr-directory", .before = find_dir, .op = set_dir_xattr),
	NAME_WORK("removexattr", .before = find_a, .op = remove_xattr),
	NAME_WORK("getxattr", .before = find_a, .op = get_xattr),
	NAME_WORK("listxattr", .before = find_a, .op = list_xattrs),
	NAME_WORK("statfs", .op = stat_filesystem),
	{0},
};
