/* slowfs.c - passes everything through to a directory and takes its time over each read: a disk, or a server, that makes whoever asks wait.
 *
 *   slowfs SOURCE MOUNTPOINT MILLISECONDS
 *
 * Built and run by tests/bench/run, which lays an archive on it. */
#define FUSE_USE_VERSION 317
#include <fuse.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

static int source;
static struct timespec delay;

static const char *below(const char *path) { return path[1] ? path + 1 : "."; }
static int done(int r) { return r < 0 ? -errno : 0; }
static int descriptor(const struct fuse_file_info *fi) { return (int)fi->fh; }

static void *start(struct fuse_conn_info *c, struct fuse_config *cfg)
{
	c->max_background = 256;
	c->congestion_threshold = 256;
	cfg->use_ino = 1;
	cfg->nullpath_ok = 1;
	cfg->hard_remove = 1;
	return NULL;
}

static int get_attributes(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	return done(fi ? fstat(descriptor(fi), st) : fstatat(source, below(path), st, AT_SYMLINK_NOFOLLOW));
}

static int opened(int fd, struct fuse_file_info *fi)
{
	if (fd < 0)
		return -errno;
	fi->fh = (uint64_t)fd;
	return 0;
}

static int open_file(const char *path, struct fuse_file_info *fi)
{
	return opened(openat(source, below(path), fi->flags & ~(O_CREAT | O_EXCL)), fi);
}

static int create_file(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	return opened(openat(source, below(path), fi->flags | O_CREAT, mode), fi);
}

static int read_file(const char *path, char *out, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)path;
	nanosleep(&delay, NULL);
	ssize_t n = pread(descriptor(fi), out, size, off);
	return n < 0 ? -errno : (int)n;
}

static int write_file(const char *path, const char *in, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)path;
	ssize_t n = pwrite(descriptor(fi), in, size, off);
	return n < 0 ? -errno : (int)n;
}

static int release_file(const char *path, struct fuse_file_info *fi)
{
	(void)path;
	return done(close(descriptor(fi)));
}

static int sync_file(const char *path, int data_only, struct fuse_file_info *fi)
{
	(void)path;
	return done(data_only ? fdatasync(descriptor(fi)) : fsync(descriptor(fi)));
}

static int allocate(const char *path, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
	(void)path;
	return done(fallocate(descriptor(fi), mode, off, len));
}

static int cut(const char *path, off_t size, struct fuse_file_info *fi)
{
	if (fi)
		return done(ftruncate(descriptor(fi), size));
	int fd = openat(source, below(path), O_WRONLY), r = fd < 0 ? -errno : done(ftruncate(fd, size));
	if (fd >= 0)
		close(fd);
	return r;
}

static int set_times(const char *path, const struct timespec t[2], struct fuse_file_info *fi)
{
	return done(fi ? futimens(descriptor(fi), t) : utimensat(source, below(path), t, AT_SYMLINK_NOFOLLOW));
}

static int set_mode(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	return done(fi ? fchmod(descriptor(fi), mode) : fchmodat(source, below(path), mode, 0));
}

static int set_owner(const char *path, uid_t uid, gid_t gid, struct fuse_file_info *fi)
{
	return done(fi ? fchown(descriptor(fi), uid, gid) : fchownat(source, below(path), uid, gid, AT_SYMLINK_NOFOLLOW));
}

static int list(const char *path, void *buf, fuse_fill_dir_t fill, off_t off, struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
	(void)path, (void)off, (void)flags;
	int fd = dup(descriptor(fi));
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return -errno;
	rewinddir(d);
	for (struct dirent *e; (e = readdir(d));) {
		struct stat st = {.st_ino = e->d_ino, .st_mode = (mode_t)e->d_type << 12};
		if (fill(buf, e->d_name, &st, 0, 0))
			break;
	}
	closedir(d);
	return 0;
}

static int open_dir(const char *path, struct fuse_file_info *fi)
{
	return opened(openat(source, below(path), O_RDONLY | O_DIRECTORY), fi);
}

static int make_dir(const char *path, mode_t mode) { return done(mkdirat(source, below(path), mode)); }
static int remove_dir(const char *path) { return done(unlinkat(source, below(path), AT_REMOVEDIR)); }
static int remove_file(const char *path) { return done(unlinkat(source, below(path), 0)); }
static int move(const char *from, const char *to, unsigned flags) { return done(renameat2(source, below(from), source, below(to), flags)); }
static int file_system(const char *path, struct statvfs *st) { (void)path; return done(fstatvfs(source, st)); }
static int lock(const char *path, struct fuse_file_info *fi, int op) { (void)path; return done(flock(descriptor(fi), op)); }

static const struct fuse_operations operations = {
	.init = start, .getattr = get_attributes, .open = open_file, .create = create_file, .read = read_file, .write = write_file,
	.release = release_file, .fsync = sync_file, .fallocate = allocate, .truncate = cut, .utimens = set_times, .chmod = set_mode, .chown = set_owner,
	.opendir = open_dir, .readdir = list, .releasedir = release_file, .fsyncdir = sync_file, .mkdir = make_dir, .rmdir = remove_dir,
	.unlink = remove_file, .rename = move, .statfs = file_system, .flock = lock,
};

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	long ms = atol(argv[3]);
	delay = (struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
	source = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (source < 0) {
		perror(argv[1]);
		return 1;
	}
	umask(0);
	char *arguments[] = {argv[0], argv[2], "-o", "max_threads=64,max_idle_threads=64,fsname=slowfs", NULL};
	return fuse_main(4, arguments, &operations, NULL);
}
