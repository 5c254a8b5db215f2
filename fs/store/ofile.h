/* ofile.h - an open file: its backing descriptor, header, keys and the state of its blocks. Private to the core. */
#pragma once

#include "store/core.h"

struct ofile {
	struct inode *inode;	/* borrowed: every handle holds a reference */
	unsigned refs;		/* under inode->lock */
	_Atomic unsigned writers; /* changed under inode->lock */
	int fd;
	errint_t read_only;	/* why it cannot be written; 0: it can */
	pthread_rwlock_t lock;	/* read: reading blocks; write: everything that changes below */
	struct file_header h;
	int slot;		/* that holds h on disk */
	bool on_disk;		/* a header has been written */
	bool dirty;		/* on disk (or to be) in state open */
	bool settled;		/* had settled before it was opened for writing: its class is decided */
	bool kept;		/* under inode->lock: without references, because it is not yet in place as it was closed */
	int64_t due_at, floor_until; /* its deadlines by the policy in force, where that was looked at: */
	_Atomic uint64_t reviewed; /* the terms (gate_terms) of then; 0: not since its header was read or changed */
	_Atomic bool opened;	/* by its name, not only by who made it */
	_Atomic bool overdue;	/* it was to be committed when somebody came to write to it */
	bool touched;		/* its row does not say yet when it commits */
	errint_t key_error;	/* why there are no keys */
	struct content_keys *keys; /* secret memory; NULL: none yet */
	_Atomic uint64_t size;
	uint8_t root[LEAF_BYTES];
	uint8_t place[HOME_BYTES];
	/* plaintext of the last, partial block while writing */
	uint8_t *tail;
	uint64_t tail_index;
	size_t tail_len;
	uint8_t tail_leaf[LEAF_BYTES];
	/* Blocks below this may be on disk, and somebody may count on them: they change by way of the journal. */
	uint64_t old_blocks;
	int64_t young_since;	/* CLOCK_MONOTONIC seconds of the first change in place since all was old; 0: none */
	uint64_t changes, flushed; /* in place; how many of them a flush that ended well has brought to disk */
	/* in the journal, and not yet in place: by index */
	struct pending_block *pending;
	size_t pending_count, pending_cap, pending_bytes;
	uint64_t journaled;	/* the last record of it that counts */
	bool cutting;		/* its end was cut off in the journal, and is not on disk in place */
	bool torn;		/* a write broke off, and what it left behind the last block, or of it, could not be mended yet; that block is in `tail` */
	bool listed;		/* among those that the journal's thread is to look at */
	struct handle *own;	/* that read it as their own, without having been charged (own.c) */
	_Atomic uint64_t write_opens; /* since it is open; changed under lock */
	_Atomic unsigned own_ended; /* handles that did, were shut, and are open still: what others read and write is not for the page cache, where these would find it */
};

/* Whether it says that its file lies at this place, or that no place counts. */
bool header_at_home(struct archive *a, const struct file_header *h, const uint8_t home[static HOME_BYTES]);

/* The parts of the content root of the blocks that were read since the kernel knows this inode. It belongs to the inode, not to a handle: what one reader
 * left in the page cache another does not read again. Once every block has been seen, each read is held against the root. */
struct seen_blocks {
	uint64_t generation, blocks, count;
	uint8_t sum[LEAF_BYTES];
	uint8_t leaf[][LEAF_BYTES]; /* all zero: not seen */
};

struct handle {
	struct inode *inode; /* a reference is held */
	struct ofile *of;
	int flags;
	bool writer, creating;
	struct guard_principals charged; /* with the read when it was opened; none: it was on no budget */
	_Atomic bool shut; /* one of them is locked out, or it was its own and is not any more: nothing is read any more */
	bool is_own; /* it is, or was, among of->own: */
	struct guard_principals own_by;
	_Atomic bool own_charged; /* it was, to these, when it ceased to be */
	bool own_shut; /* under of->lock */
	struct handle *own_next; /* under of->lock */
	bool keeper; /* a reader of a hold on it: reads on past its deadline, as long as that is in force */
};
errint_t handle_new(struct inode *i, struct ofile *of, int flags, struct handle **ret); /* `of` is a reference of the handle's from now on */
/* The header of a file that is being made under that name (or, not `named`, under none yet, and no hold), and what its key is wrapped under. */
errint_t create_prepare(struct archive *a, struct inode *dir, const char *name, bool named, struct file_header *h, uint8_t under[static KEY_BYTES]);
/* rename.c: the deadline under another class: anew while the file settles, else only stricter. */
errint_t reclassify(struct archive *a, struct file_header *h, bool settled, const char *path);
/* tmpfile.c: its first name. */
errint_t tmpfile_link(struct archive *a, struct inode *i, struct inode *dir, const char *name, const struct caller *c, struct fs_entry *ret);
errint_t handle_may_write(struct archive *a, const struct handle *h); /* of->lock held */

/* own.c: the guard said since then that it is their own. False: it was opened for writing meanwhile, and has to be asked anew. */
uint64_t own_since(const struct ofile *of);
bool own_begin(struct handle *h, const struct guard_principals *own, uint64_t since);
void own_end(struct handle *h);
/* The new file of a handle, before anybody else can come to it. */
void own_made(struct archive *a, struct handle *h, const struct subject *who, const uint8_t file_id[static FILE_ID_BYTES]);
/* It is opened for writing, or cut, by somebody (NULL: nobody knows who), who has written nothing yet: to whom else it was the own it is not any more, and what they have open is asked as if it were opened now: it is charged, or shut. */
errint_t own_written(struct archive *a, struct ofile *of, const struct subject *who);

/* The ofile of an inode, opened if it is not yet; counts one reference and, with `write`, one writer. */
errint_t ofile_acquire(struct archive *a, struct inode *i, bool write, struct ofile **ret);
/* The same where the caller is in the inode's directory already: the name it has there. */
errint_t ofile_acquire_at(struct archive *a, struct inode *i, const struct dir_use *u, const char *name, size_t len, struct ofile **ret);
/* Of the regular file that lies under this name in an entered directory; its inode is held as long. -ENOENT; -EINVAL: no regular file. */
errint_t ofile_acquire_named(struct archive *a, struct dir_use *u, const char *backing, const char *plain, size_t len, struct ofile **ret);
void ofile_release_named(struct archive *a, struct ofile *of); /* still in the directory */
void ofile_release(struct archive *a, struct ofile *of, bool write);
/* The same for who is in a directory: nothing is sealed and no row put; what is kept stays kept, for the journal's thread or the next close. */
void ofile_release_in(struct archive *a, struct ofile *of);
/* A new file's: takes over fd. Header and keys are prepared by the caller. */
errint_t ofile_install(struct archive *a, struct inode *i, int fd, const struct file_header *h,
		       const uint8_t file_key[static KEY_BYTES], const uint8_t place[static HOME_BYTES], struct ofile **ret);
errint_t ofile_need_keys(struct archive *a, struct ofile *of); /* lock held for writing, or before it is shared */
/* Writes h to the other slot with the next generation; the backing file keeps its mtime. Lock held for writing. */
errint_t ofile_write_header(struct archive *a, struct ofile *of);
/* The same where the one before stays valid, for it says no less, or where a record of the close follows. */
errint_t ofile_put_header(struct archive *a, struct ofile *of);
/* Before the first change of a closed file: state open on disk, and on the log. */
errint_t ofile_begin_write(struct archive *a, struct ofile *of);
/* Size and root into the header, state closed, row, log. Lock held for writing. */
errint_t ofile_seal(struct archive *a, struct ofile *of);

/* At the end of the session: seals and closes what was left open. */
void ofile_close_last(struct archive *a, struct inode *i);

/* fileio.c: lock held by the caller. */
bool content_bad(const struct ofile *of); /* its root did not come out in this generation */
errint_t content_differs(struct archive *a, const struct ofile *of); /* says so; -EBADMSG */
uint64_t block_count(const struct archive *a, uint64_t size); /* of a file of `size` bytes */
ssize_t ofile_read(struct archive *a, struct ofile *of, void *out, size_t len, uint64_t off);
/* Fewer bytes than asked where the disk is full: what could be written stays. */
ssize_t ofile_write(struct archive *a, struct ofile *of, const void *in, size_t len, uint64_t off);
errint_t ofile_truncate(struct archive *a, struct ofile *of, uint64_t size);
/* Puts in place a cut that is on record in the journal, and mends what a write tore; nothing else may be done to the file before. Lock held for writing. */
errint_t ofile_finish(struct archive *a, struct ofile *of);
/* The file on disk, as far as it was written when this began. No lock is held. */
errint_t ofile_sync(struct archive *a, struct ofile *of, bool data_only);
#define WRITEBACK_SECONDS 30	    /* after that Linux has written to the disk what nobody synced */
int64_t monotonic_seconds(void); /* never 0 */
/* True for a file that was made so lately, and not synced, that nobody may count on it after a power cut. */
bool never_synced(const struct inode *i);
void scratch_wipe(const struct archive *a); /* of what this thread read or wrote in it; when that is done */
uint8_t *scratch_get(struct archive *a); /* this thread's; NULL without memory */
size_t scratch_bytes(const struct archive *a);

/* recover.c */
/* A name that a crash left of a file which nobody had written to, and whose record in the log it took: nothing says whose file it was to be. What was cut to
 * nothing at another time shows as damaged. The directory is entered. */
bool name_never_made(struct archive *a, struct dir_use *u, const char *backing, const char *name, size_t len);
/* Removes it. True if there was such a name, and it is gone. */
bool name_drop_unmade(struct archive *a, struct inode *dir, const char *backing, const char *name, size_t len);
/* The last session did not end well, and not every file has been looked at since. */
bool ofile_recovering(struct archive *a);
/* May the last session have left this file, of that header, unfinished? Then its size and content are not yet to be held against the header. */
bool ofile_unfinished(struct archive *a, const struct file_header *h, const struct stat *st);
/* The header of a file that the last session may have left unfinished, made right. -ENOENT: it is none of those. */
errint_t ofile_recover(struct archive *a, int fd, const struct stat *st, const uint8_t head[static FILE_HEADER_BYTES], ssize_t head_len,
		       const struct dir_use *u, const char *plain, size_t plain_len, struct file_header *h, int *slot);

/* An ordinary user's daemon may not open what its owner made inaccessible; the mode is lent for the moment of the open. O_DIRECTORY for a directory. */
int open_lending_mode(int dirfd, const char *name, int flags);
/* Opens a backing file so that it can be changed where the daemon may; falls back to reading only. -EBADMSG: not a regular file. */
errint_t backing_open(struct archive *a, int dirfd, const char *name, int *ret_fd, errint_t *ret_read_only, struct stat *st);

/* ---- entry.c, tree.c: the directory is entered for writing ---- */
errint_t entry_get(struct archive *a, struct dir_use *u, const char *backing, const char *name, struct fs_entry *ret); /* counts one lookup */
/* The same once ret->attr are those of the backing file, and it is none that a crash has left. */
errint_t entry_known(struct archive *a, const struct dir_use *u, const char *backing, const char *name, struct fs_entry *ret);
errint_t companion_write(struct dir_use *u, const struct sealed_name *n, bool *ret_new);
void companion_remove(struct dir_use *u, const struct sealed_name *n);
/* What lies under a name that is to go: its attributes, and a descriptor of it (the caller closes that), or -1 of what is no regular file and cannot be opened. -ENOENT, and why a regular
 * file could not be opened: it is not removed then, for it may be retained. */
errint_t removal_open(struct archive *a, struct dir_use *u, const char *backing, int *ret_held, struct stat *st);
/* Nothing that has a name is deleted for somebody while that cannot be on the record: -EIO. A directory is no record of its own, and is not either. */
errint_t removal_ready(struct archive *a);
/* removal_ready(), and of a regular file (by that descriptor): the header for the record of its removal (*ret_known: there is one), and whether it is allowed. A damaged file
 * may be removed by its owner; one that cannot be read may not. `path`: NULL if no class with a floor looks at paths. */
errint_t removal_header(struct archive *a, const char *path, int held, const struct stat *st, struct file_header *h, bool *ret_known);
errint_t entry_own(struct archive *a, struct dir_use *u, int fd, const char *backing, const struct caller *c, mode_t mode);
/* Removes a name from disk, memory and queue, in the order that keeps a reused inode number apart. `h`: the header of a regular file, NULL if it cannot be read. `take`
 * does it on disk; NULL: unlink.
 * *held (held may be NULL) is a descriptor of the file: if that was its last name, the inode takes it over and gives the space back when the kernel has
 * forgotten it, so that the program does not wait for that. */
errint_t entry_remove(struct archive *a, struct dir_use *u, const char *name, const struct sealed_name *n, const struct stat *st,
		      const struct file_header *h, errint_t (*take)(void *ctx), void *ctx, int *held);
errint_t backing_create(struct archive *a, struct dir_use *u, const struct sealed_name *n, mode_t mode, const struct caller *c,
			int *ret_fd, struct stat *st, bool *ret_left /* on failure: it was made, and could not be removed */);
errint_t new_group(struct archive *a, struct dir_use *u, const struct caller *c, gid_t *ret, bool *ret_setgid);
errint_t fd_kill_suidgid(int fd);
errint_t attr_set_mode(struct archive *a, struct inode *i, mode_t mode);

/* ---- xattr.c: any name; no lock is held. Sizes and errors as in fs.h. ---- */
ssize_t xattr_get(struct archive *a, struct inode *i, const char *name, void *out, size_t size);
errint_t xattr_set(struct archive *a, struct inode *i, const char *name, const void *value, size_t size, int flags);
errint_t xattr_remove(struct archive *a, struct inode *i, const char *name);
/* Does it have none? Asked once, then remembered; false where that cannot be told. */
bool xattr_none(struct archive *a, struct inode *i);
/* As a write does. */
errint_t xattr_drop_capability(struct archive *a, struct inode *i);
/* Of what is being made and has no inode yet: by its own key and id (of a directory, the name key). */
errint_t xattr_put_new(struct archive *a, int fd, const uint8_t key[static KEY_BYTES], const uint8_t owner_id[static 16], bool dir, const char *name,
		       const void *value, size_t size);
/* What people see of the root: mode, uid and gid into *st; false if that is the backing directory's. */
bool root_view_get(struct archive *a, struct stat *st);
/* What people see of backing attributes. */
errint_t stat_fix(struct archive *a, struct inode *i, struct stat *st);
/* ---- symlink.c: the directory is entered ---- */
/* Is this backing file, of those attributes, a symlink that is a sealed file? */
errint_t symlink_ask(struct archive *a, int dir_fd, const char *backing, const struct stat *st, bool *ret);
/* Makes it, if it is none yet, a sealed file, which is at home here and under `to_name` in `to`; or, `to` NULL, under any name. Entered for writing. */
errint_t symlink_as_file(struct archive *a, struct inode *i, struct dir_use *u, const char *backing, const char *name, size_t len,
			 const struct dir_use *to, const char *to_name);
errint_t symlink_make(struct archive *a, struct dir_use *u, const char *backing, int at_fd, const char *name, const char *target);
errint_t symlink_read(struct archive *a, struct dir_use *u, const char *backing, const char *name, size_t name_len, char out[static 4096]);
void staging_name(char out[static 33]);
void staging_remove_dir(struct archive *a, const char *tmp);
errint_t dir_record_write(struct archive *a, int dir_fd, const struct dir_record *d, bool create);
/* 0 if nothing but the record is in it: no file of lapse's, no foreign one. */
errint_t dir_is_empty(struct archive *a, int parent_fd, const char *backing);
/* What is to take the place of a directory: the name is never without one. In a crash the other is left under the name that this had, and must be at home
 * there. */
struct dir_swap {
	struct dir_use *u;
	const struct sealed_name *n;
};
/* Takes an empty directory out of its place, for `swap` or (NULL) for nothing. The parent is entered for writing. */
errint_t dir_take_away(struct archive *a, struct dir_use *u, const struct sealed_name *n, const char *name, const struct stat *st,
		       const struct dir_swap *swap);
