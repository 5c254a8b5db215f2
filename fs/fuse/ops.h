/* ops.h - one operation: a handler that fills in a job, run() that calls the store, reply(). Both are listed in
 * op_table (dispatch.c), the handlers in fuse_ops (mount.c). */
#pragma once

#include "fuse/internal.h"

enum waits {
	WAITS_NEVER, /* for nothing but memory */
	WAITS_DISK,  /* for the backing filesystem */
	WAITS_LONG   /* even if that is memory */
};
struct op {
	const char *name;
	void (*run)(struct job *j);
	void (*reply)(struct job *j);
	enum waits waits;
	bool needs_subject;
};
extern const struct op op_table[SESSION_OPS];
extern const struct fuse_lowlevel_ops fuse_ops;

void run_lookup(struct job *j);
void run_getattr(struct job *j);
void run_setattr(struct job *j);
void run_readlink(struct job *j);
void run_mknod(struct job *j);
void run_mkdir(struct job *j);
void run_symlink(struct job *j);
void run_link(struct job *j);
void run_unlink(struct job *j);
void run_rmdir(struct job *j);
void run_rename(struct job *j);
void run_statfs(struct job *j);
void reply_statfs(struct job *j);

/* A handle as the kernel knows it. Listed, so that what an unmount leaves open can be released. */
struct fileref {
	struct handle *handle;
	struct fileref *next, *prev;
	bool direct; /* past the page cache: the kernel leaves it to us to sync what is written with O_SYNC */
};
static inline struct fileref *fileref_of(const struct fuse_file_info *fi)
{
	return (struct fileref *)(uintptr_t)fi->fh;
}
void files_close_all(struct session *s);

void run_create(struct job *j);
void run_open(struct job *j);
void run_read(struct job *j);
void run_write(struct job *j);
void run_flush(struct job *j);
void run_release(struct job *j);
void run_fsync(struct job *j);
void run_fallocate(struct job *j);
void reply_create(struct job *j);
void reply_open(struct job *j);
void reply_write(struct job *j);

void run_opendir(struct job *j);
void run_readdir(struct job *j);
void run_readdirplus(struct job *j);
void run_releasedir(struct job *j);
void run_fsyncdir(struct job *j);
void reply_opendir(struct job *j);
void dirs_close_all(struct session *s); /* what an unmount left open */
/* How often something was looked up in that directory; shared by a few. */
_Atomic uint32_t *stat_hint(struct session *s, const struct inode *dir);

void run_getxattr(struct job *j);
void run_setxattr(struct job *j);
void run_listxattr(struct job *j);
void run_removexattr(struct job *j);
void reply_xattr(struct job *j);

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups);
void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi);
void op_readlink(fuse_req_t req, fuse_ino_t ino);
void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t to, const char *to_name, unsigned flags);
void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name);
void op_statfs(fuse_req_t req, fuse_ino_t ino);
void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi);
void op_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi);
void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off, struct fuse_file_info *fi);
void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi);
void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags);
void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);
