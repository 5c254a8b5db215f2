/* fs.h - the filesystem without a kernel: what the FUSE room translates requests into. Every call is thread-safe and returns 0 or -errno. */
#pragma once

#include "crypt/types.h"
#include "policy/policy.h"
#include "store/archive.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

struct inode;  /* one file or directory the kernel, a handle or the daemon knows; reference counted */
struct handle; /* one open */
struct dirhandle;

/* On whose behalf. `subject` is needed by open, create, opendir and to set a size, may be NULL elsewhere. */
/* How long an open may be put off because a budget throttles; if it is to be, it answers -EINPROGRESS, and nothing has been decided. */
struct patience {
	int64_t left_ms;
	int64_t wait_ms; /* until when it is to be tried again */
};

struct caller {
	uint32_t uid, gid;
	uint32_t umask;
	const struct subject *subject;
	bool decoy; /* what is created is a canary */
	struct patience *patience; /* of fs_open; NULL: none */
};

struct fs_entry {
	struct inode *inode; /* carries one lookup: give it back with fs_forget */
	struct stat attr;
};

struct inode *fs_root(struct archive *a); /* no lookup is counted */
errint_t fs_lookup(struct archive *a, struct inode *dir, const char *name, struct fs_entry *ret);
void fs_forget(struct archive *a, struct inode *i, uint64_t lookups);
/* Does the kernel know attributes of this one already (was it looked up)? For readdirplus. */
errint_t fs_getattr(struct archive *a, struct inode *i, struct handle *h, struct stat *ret);

#define FS_SET_MODE 1u
#define FS_SET_UID 2u
#define FS_SET_GID 4u
#define FS_SET_SIZE 8u
#define FS_SET_ATIME 16u
#define FS_SET_MTIME 32u
#define FS_SET_ATIME_NOW 64u
#define FS_SET_MTIME_NOW 128u
#define FS_KILL_SUIDGID 256u
errint_t fs_setattr(struct archive *a, struct inode *i, struct handle *h, const struct stat *in, unsigned what,
		    const struct caller *c, struct stat *ret);

errint_t fs_create(struct archive *a, struct inode *dir, const char *name, mode_t mode, int flags, const struct caller *c,
		   struct fs_entry *ret, struct handle **ret_handle);
/* A file without a name; fs_link gives it one. -EOPNOTSUPP where the backing filesystem has none. */
errint_t fs_tmpfile(struct archive *a, struct inode *dir, mode_t mode, int flags, const struct caller *c, struct fs_entry *ret,
		    struct handle **ret_handle);
/* O_TRUNC is done here. Checks deadline, guard and log when flags ask for reading. */
errint_t fs_open(struct archive *a, struct inode *i, int flags, const struct caller *c, struct handle **ret);
/* What this one reads is not for the page cache, where others would find it: it may read past the deadline, or its class has `cache = no`, or fs_own_ended(). */
bool fs_uncached(struct archive *a, const struct handle *h);
/* Others have it open whose own it was until it was opened for writing: they are shut, and what the kernel has of it is to be dropped before anything is written. */
bool fs_own_ended(const struct handle *h);
/* A handle that has made its file, and only writes: the kernel need not keep what goes through it. Then it does not ask for file capabilities before a write. */
bool fs_makes(const struct handle *h);
/* Others have opened the file since it was made, and may have pages of it. */
bool fs_others_read(const struct handle *h);
/* Whether one of these uids (ascending) has it open for reading what is on a budget. Shutting it ends that for good; false: it was shut before. */
bool fs_read_by(const struct handle *h, const uint32_t *uid, size_t count);
bool fs_shut(struct handle *h);
struct inode *fs_handle_inode(const struct handle *h);
/* Bytes read (short only at the end of the file) or -errno. `out` may be the transport's payload: blocks are opened in place. */
ssize_t fs_read(struct archive *a, struct handle *h, void *out, size_t len, off_t off);
ssize_t fs_write(struct archive *a, struct handle *h, const void *in, size_t len, off_t off, bool kill_suidgid);
errint_t fs_fsync(struct archive *a, struct handle *h, bool data_only);
errint_t fs_flush(struct archive *a, struct handle *h);
void fs_release(struct archive *a, struct handle *h); /* the last close of a written file seals its header */
errint_t fs_fallocate(struct archive *a, struct handle *h, int mode, off_t off, off_t len, bool kill_suidgid);

errint_t fs_mkdir(struct archive *a, struct inode *dir, const char *name, mode_t mode, const struct caller *c, struct fs_entry *ret);
errint_t fs_mknod(struct archive *a, struct inode *dir, const char *name, mode_t mode, dev_t rdev, const struct caller *c,
		  struct fs_entry *ret);
errint_t fs_symlink(struct archive *a, struct inode *dir, const char *name, const char *target, const struct caller *c,
		    struct fs_entry *ret);
errint_t fs_link(struct archive *a, struct inode *i, struct inode *dir, const char *name, const struct caller *c, struct fs_entry *ret);
errint_t fs_unlink(struct archive *a, struct inode *dir, const char *name, const struct caller *c);
/* `c` NULL: for nobody, so that it does not wait for the log. */
errint_t fs_rmdir(struct archive *a, struct inode *dir, const char *name, const struct caller *c);
errint_t fs_rename(struct archive *a, struct inode *dir, const char *name, struct inode *to_dir, const char *to_name,
		   unsigned flags /* RENAME_NOREPLACE, RENAME_EXCHANGE */, const struct caller *c);
errint_t fs_readlink(struct archive *a, struct inode *i, char out[static 4096]);

/* An entry of a listing; its names live as long as the callback. */
struct fs_dirent {
	const char *name, *backing; /* plaintext, and what it is in the store */
	ino_t ino;
	unsigned type; /* DT_* */
	off_t off;     /* after this entry */
	const struct stat *looked; /* its attributes in the store, for fs_lookup_entry(); NULL: not looked at */
};
/* Return false to stop (the entry was not taken and comes again at its offset). */
typedef bool (*fs_dir_cb)(void *ctx, const struct fs_dirent *e);
errint_t fs_opendir(struct archive *a, struct inode *dir, const struct caller *c, struct dirhandle **ret);
errint_t fs_readdir(struct archive *a, struct dirhandle *d, off_t off, fs_dir_cb cb, void *ctx);
/* The same by several threads: that many entries, which should be about what the caller has room for, are opened, and with `attributes` looked at, before
 * the first is given. Without, none can be looked up. */
errint_t fs_readdir_ahead(struct archive *a, struct dirhandle *d, off_t off, bool attributes, size_t most, fs_dir_cb cb, void *ctx);
/* Where names are counted: this part of the listing has not been charged for yet (it begins anew, or the directory has grown); then it is, before it is read. */
bool fs_charges_more(struct dirhandle *d, off_t off);
errint_t fs_charge_more(struct archive *a, struct dirhandle *d, off_t off, const struct caller *c);
/* Whether lookups have to be asked for. Then each is, before it is done; and what is made by a name that was not there takes its charge back (fs_rename does by itself). */
bool fs_counts_names(const struct archive *a);
/* Whether any budget throttles. */
bool fs_throttles(const struct archive *a);
errint_t fs_may_look_up(struct archive *a, struct inode *dir, const char *name, const struct subject *who);
void fs_name_made(struct archive *a, struct inode *dir, const char *name, const struct subject *who);
/* A name that is to be kept in no cache; NULL: whether there may be some below this directory. */
bool fs_names_strict(struct archive *a, struct inode *dir, const char *name);
errint_t fs_fsyncdir(struct archive *a, struct dirhandle *d);
void fs_closedir(struct archive *a, struct dirhandle *d);
/* As lookup, from within the callback: the name need not be sealed again. Not for "." and "..". */
errint_t fs_lookup_entry(struct archive *a, struct dirhandle *d, const struct fs_dirent *e, struct fs_entry *ret);

errint_t fs_statfs(struct archive *a, struct statvfs *ret);

/* `user.*`, `trusted.*`, `security.*`, and where the policy says `acl = yes` the two of POSIX ACLs, whose access list and the mode are kept in step; others
 * -EOPNOTSUPP. size 0 asks for the length. Return length or -errno. */
ssize_t fs_getxattr(struct archive *a, struct inode *i, const char *name, void *out, size_t size);
errint_t fs_setxattr(struct archive *a, struct inode *i, const char *name, const void *value, size_t size, int flags, const struct caller *c);
/* `trusted`: those too, which only privileged programs see. */
ssize_t fs_listxattr(struct archive *a, struct inode *i, char *out, size_t size, bool trusted);
errint_t fs_removexattr(struct archive *a, struct inode *i, const char *name);
/* Setting it asks which groups the caller is in: the subject is needed. */
bool fs_xattr_minds_groups(const char *name);
/* It is known that it has none: what is asked about them waits for nothing. */
bool fs_no_xattrs(const struct inode *i);

/* Sets the floor of a file by hand, within `retain-bounds` of its class and never earlier; its ceiling is then not before it. Durable. -EPERM, -ERANGE,
 * -EKEYEXPIRED, -EBUSY (open for writing), with a sentence. */
errint_t archive_retain(struct archive *a, const char *path, int64_t until, const char *reason, const struct subject *who, struct fault *f);

/* What `lapse explain PATH` shows. `path` is relative to the root. */
struct fs_explanation {
	struct stat attr;
	bool has_header;
	errint_t header_error;
	uint8_t file_id[16], class_fp[16];
	uint8_t state, type, key_kind, basis_kind;
	uint32_t flags, tree, epoch;
	uint64_t generation, size;
	int64_t created_at, basis_at, modified_at, retain_until, expires_at, settles_at, commits_at;
	int64_t removed_at; /* where only a change of the policy has made it overdue: when it goes; 0 */
	int64_t undo_until; /* and until when undoing that brings it back; 0 */
	char class_now[64];  /* the policy's class for this path */
	char class_then[64]; /* the class of the fingerprint, "" if the policy has it no more */
	unsigned class_line;
	errint_t readable; /* 0, -EKEYEXPIRED, -ENOKEY, -EBADMSG (its key is of a later anchor) */
	bool lost; /* its key is gone before its date: an order to destroy it was cut short, or an older anchor is in place */
	char hold_names[272]; /* in force, separated by commas */
	bool hold_reader; /* the subject given may read it past its date */
	struct guard_verdict verdict; /* of the subject given */
};
errint_t fs_explain(struct archive *a, const char *path, const struct subject *who, struct fs_explanation *ret);
