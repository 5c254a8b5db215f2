/* core.h - inodes, directories and open files: shared by the core modules, the sweeper and the scan. */
#pragma once

#include "store/internal.h"

/* One name of an inode. A reference on the directory is held. */
struct link {
	struct inode *dir;
	struct link *next;
	uint16_t len;
	char name[]; /* plaintext, NUL-terminated */
};

struct dirstate {
	pthread_rwlock_t lock;	     /* read: lookups and listings; write: anything that changes entries */
	_Atomic unsigned writers;    /* that wait for it */
	pthread_mutex_t fd_lock;     /* fd, pins, loaded */
	int fd;			     /* -1: not open now */
	unsigned pins;
	bool loaded, referenced;
	struct inode *cache_next, *cache_prev;
	struct dir_record record;    /* name_key is wiped after derivation */
	struct name_keys *keys;	     /* secret memory */
	int64_t counted_at;	     /* under fd_lock: when the directory was changed last as its names were counted; 0: they were not */
	uint64_t names;
};

/* Of its extended attributes: so that most questions need not look. */
enum xattrs_known { XATTRS_UNKNOWN, XATTRS_NONE, XATTRS_SOME };

struct inode {
	struct inode *hash_next, **hash_prev;
	_Atomic uint64_t ino; /* changes only under the locks of both shards */
	_Atomic uint64_t lookups; /* counted by the kernel; > 0 holds one reference */
	_Atomic uint32_t refs;
	mode_t type; /* S_IFMT bits */
	bool hashed;
	bool gone;  /* no name is left, or there is none yet */
	bool unnamed; /* the latter */
	_Atomic uint8_t xattrs; /* enum xattrs_known */
	_Atomic bool capable; /* file capabilities have been set on it since it is in memory */
	_Atomic bool timed;   /* likewise the time of its content, to one that was given */
	int held;   /* a descriptor of a file that is gone, closed with the inode; -1: none */
	pthread_mutex_t lock; /* links, of, gone */
	struct link *links;
	struct dirstate *dir;	 /* directories */
	struct ofile *of;	 /* regular files while open */
	pthread_mutex_t seen_lock; /* leaf */
	struct seen_blocks *seen;  /* regular files once read */
	_Atomic uint64_t bad;	   /* generation whose content root did not come out; 0: none */
	_Atomic bool entry_synced; /* a sync of the file has synced its directory, since it is known here */
	_Atomic int64_t made_at;   /* CLOCK_MONOTONIC seconds, of a file made in this session and not yet synced; 0 otherwise */
	_Atomic int64_t expires_at; /* as last seen in its header; INT64_MAX before */
};

void inode_ref(struct inode *i);
void inode_unref(struct archive *a, struct inode *i);
errint_t inode_tables_new(struct archive *a);
void inode_tables_free(struct archive *a);
/* At the end, with no other thread left: seals files that are still open (the mount was aborted), frees every inode, the root too, and brings all to disk. */
errint_t inode_close_all(struct archive *a);
/* The one inode of this backing number, with a reference, and with the name added to it (dir may be NULL for the root). The caller holds the
 * directory's lock. */
errint_t inode_intern(struct archive *a, uint64_t ino, mode_t type, struct inode *dir, const char *name, size_t len,
		      struct inode **ret);
/* *ret_second: it was known by other names, and is by this one, too, from now on. */
errint_t inode_intern_at(struct archive *a, uint64_t ino, mode_t type, struct inode *dir, const char *name, size_t len,
			 bool *ret_second, struct inode **ret);
/* As inode_intern for a file that was made just now, or moved here: an inode in memory that bears its number was deleted behind our back. */
errint_t inode_intern_new(struct archive *a, uint64_t ino, mode_t type, struct inode *dir, const char *name, size_t len,
			  struct inode **ret);
errint_t inode_add_link(struct inode *i, struct inode *dir, const char *name, size_t len);
/* Before its last name is removed from disk: out of the table, since its number may be another file's at once. Put back if the removal failed. */
void inode_set_aside(struct archive *a, struct inode *i);
void inode_put_back(struct archive *a, struct inode *i);
/* Gives *fd to an inode that is gone, to be closed with it; beyond a limit it stays the caller's. */
void inode_hold(struct archive *a, struct inode *i, int *fd);
/* `last`: no name is left on disk. */
void inode_drop_link(struct archive *a, struct inode *i, struct inode *dir, const char *name, size_t len, bool last);
/* It lies under another backing number now. */
void inode_renumber(struct archive *a, struct inode *i, uint64_t ino);
/* Turns the caller's reference into one counted lookup. */
void inode_count_lookup(struct archive *a, struct inode *i);
/* Enters a directory that the inode has a name in; *ret is that name, valid until dir_leave. -ESTALE if it has none. */
struct dir_use;
errint_t inode_enter(struct archive *a, struct inode *i, bool write, struct dir_use *u, struct link **ret);
/* The same, and `to` is entered for writing as well. */
errint_t inode_enter_two(struct archive *a, struct inode *i, struct inode *to, struct dir_use *u, struct dir_use *to_use, struct link **ret);
/* By backing inode number, with a reference, or NULL. */
struct inode *inode_find(struct archive *a, uint64_t ino);
/* Those whose deadline, as last seen, lies in (after, until], with references, in *ret, which the caller frees: how many. Short of memory: fewer. */
size_t inode_due(struct archive *a, int64_t after, int64_t until, struct inode ***ret);

/* An ordinary user's daemon may not enter or change a directory that its owner made inaccessible; the mode is lent for a moment. False if it is not its to
 * lend, or there is no need. */
bool dir_lend(struct archive *a, int dir_fd, mode_t *ret_mode);
void dir_lend_end(int dir_fd, mode_t mode);
int dir_record_fd(struct archive *a, int dir_fd, int flags); /* opens .lapse-dir; -1 with errno */

struct dirstate *dirstate_new(void);
void dirstate_free(struct archive *a, struct inode *i);

/* A directory ready for use: loaded (id, keys), its descriptor pinned, its lock taken. */
struct dir_use {
	struct inode *dir; /* a reference is held */
	int fd;
	bool locked;
};
/* The two halves of dir_enter, for those who need two directories: pin both, then lock in order. */
errint_t dir_pin(struct archive *a, struct inode *dir, struct dir_use *ret);
/* For moving a directory: nobody builds a path or reopens a directory meanwhile. */
void tree_lock_write(struct archive *a);
void tree_unlock_write(struct archive *a);
/* Pins a directory only if its descriptor is open already. */
bool dir_pin_open(struct inode *dir, struct dir_use *ret);
void dir_lock(struct dir_use *u, bool write);
/* Two pinned ones (of one directory the first alone is locked, for writing if either asks for it). */
void dir_lock_two(struct dir_use *u, bool write, struct dir_use *v, bool v_write);
void dir_unlock(struct dir_use *u);
errint_t dir_enter(struct archive *a, struct inode *dir, bool write, struct dir_use *ret);
void dir_leave(struct archive *a, struct dir_use *u);

errint_t dir_cache_new(struct archive *a);
void dir_cache_free(struct archive *a);
errint_t root_open(struct archive *a); /* a->root */
/* As name_seal, in a directory whose keys are loaded. */
errint_t dir_seal(const struct inode *dir, const char *name, size_t len, struct sealed_name *ret);
/* The plaintext of a backing name in an entered directory. -EBADMSG for a foreign or forged one. */
errint_t backing_name_open(struct archive *a, struct dir_use *u, const char *backing, char out[static NAME_PLAIN_MAX + 1],
			   size_t *len);

/* A backing name that holds the sealed form of a long name. */
bool is_companion(const char *backing);

/* Reference on a child directory, by its backing name; no lookup is counted. -ENOENT if it is no directory. */
errint_t dir_child(struct archive *a, struct inode *parent, const char *backing, struct inode **ret);

/* Reference on the directory with this id, found through memory or the catalogue; -ENOENT. */
errint_t dir_by_id(struct archive *a, const uint8_t dir_id[static DIR_ID_BYTES], struct inode **ret);

/* Path of an inode relative to the root, malloc'd; -ESTALE if it has no name. */
errint_t inode_path(struct archive *a, struct inode *i, const char *child /* may be NULL */, char **ret);

/* What is open in memory, or a directory that has been read, is looked at no more when it is opened by another name: was it moved there behind our back? The directory is
 * entered. */
bool inode_moved_here(struct archive *a, struct inode *i, const struct dir_use *u, const char *name, size_t len);

/* The inode at a path relative to the root; carries one lookup (but for the root). */
errint_t inode_by_path(struct archive *a, const char *path, struct inode **ret);

/* Reads and authenticates the header of a backing file by name in an entered directory. Home is checked unless the header says linked. A file that is in
 * a->unclean is recovered first. */
errint_t file_header_at(struct archive *a, struct dir_use *u, const char *backing, const char *plain, size_t plain_len,
			struct file_header *ret, int *ret_slot);
/* The catalogue row of a file. */
void row_fill(struct archive *a, struct catalogue_row *row, const struct file_header *h, const uint8_t dir_id[static DIR_ID_BYTES],
	      const char *plain, size_t plain_len, const char *backing);
/* Unlinks the backing file of an overdue file, whose header is `h`, in an entered (write) directory and forgets the name in memory. */
errint_t file_expire_at(struct archive *a, struct dir_use *u, const char *backing, const char *plain, const struct file_header *h);

size_t dir_cache_count(struct archive *a);
/* The keys of a file past its date, if somebody still has it open. No lock is held but its directory's. */
void ofile_drop_keys(struct archive *a, struct inode *i);

/* ---- orphan.c: deleted files that are still held open, for the sweeper ---- */
errint_t orphans_new(struct archive *a);
void orphans_free(struct archive *a);
void orphan_add(struct archive *a, struct inode *i);
void orphan_remove(struct archive *a, struct inode *i); /* at its last close */
void orphan_review(struct archive *a);			/* the policy has changed; no lock held */
int64_t orphan_next(struct archive *a);			 /* the earliest deadline; INT64_MAX: none */
void orphan_sweep(struct archive *a, int64_t now);	 /* no lock held: tells the kernel */
