/* internal.h - what the modules of the store share. Included by nobody else.
 *
 * Lock order (outer first): tree, directory locks (two: by address), inode, ofile, journal, then the leaf locks of anchor, audit, catalogue, gate, hash
 * shards and the descriptor cache. No kernel notification and no reply under any of them. */
#pragma once

#include "crypt/name.h"
#include "store/anchor.h"
#include "store/archive.h"
#include "store/audit.h"
#include "store/catalogue.h"
#include "store/fs.h"
#include "store/tclock.h"

#include <pthread.h>
#include <stdatomic.h>

#define INODE_SHARDS 256

struct inode_shard {
	pthread_mutex_t lock;
	struct inode **bucket;
	struct inode *aside; /* gone from the table, but not yet forgotten */
	size_t buckets, count;
};

struct archive {
	char *path;
	int root_fd;  /* the backing root, opened before anything is mounted over it; holds the flock of .lapse */
	int lapse_fd, staging_fd, audit_fd;
	bool observe;
	struct archive_check *check;       /* lapse fsck looks: what is behind is noted, not refused */
	const struct archive_open *accept; /* … accepts it, while the archive is being opened; else NULL */
	struct checkpoints *_Atomic checkpoints;
	int64_t prune_next_ns;	 /* when the log is looked at again for what may go; of the thread of the checkpoints, as is */
	errint_t prune_error;	 /* why the last time failed, */
	int64_t prune_wait_ns;	 /* and how long it is waited after that */
	_Atomic bool prune_ends; /* the archive is being closed: what is being dropped is given up, and nothing more is */
	uint64_t sealed_anchor;  /* the anchor's sequence in the last seal of the log, at the opening */
	int64_t anchor_named_ns; /* when the log last named the anchor's sequence; under the anchor's write lock */
	uint8_t session[ARCHIVE_SESSION_BYTES];
	bool begun;	    /* the mount is on the record */
	dev_t dev;	    /* that the whole archive lies on */
	bool in_place;	    /* the backing filesystem overwrites in place */
	bool memory_backed; /* tmpfs: nothing ever waits for a disk */
	bool root_daemon;   /* geteuid() == 0: files belong to their callers */
	bool acl;	    /* POSIX ACLs are served: as the policy said when it was opened */
	uint8_t uuid[UUID_BYTES];
	uint32_t features;
	enum suite suite;
	uint32_t block_size, overhead /* nonce + tag */, epoch_seconds;
	struct master_keys *keys;	    /* secret memory */
	struct keyring_secrets *secrets;    /* secret memory */
	struct keyring keyring;		    /* under key_lock */
	pthread_mutex_t key_lock;
	struct anchor *anchor;
	struct audit *audit;
	struct catalogue *catalogue;
	struct tclock *clock;
	struct gate *gate;
	struct fresh *fresh;
	struct sweeper *sweeper;
	struct reviewer *reviewer;
	struct scan *scan;
	struct closer *closer; /* of removed files; NULL: each thread closes */
	struct team *team; /* for long reads and writes; NULL: each thread does its own */
	struct holds *holds;
	struct alerts *alerts;
	struct refusals *refusals;
	struct canaries *canaries;
	struct archive_hooks hooks;

	pthread_rwlock_t tree; /* read: building paths, reopening directories; write: moving a directory */
	_Atomic int64_t moved_at;   /* trusted seconds of the last move of a directory that the files below do not follow yet; INT64_MAX: none */
	_Atomic uint64_t dir_moves; /* odd while a directory is being moved: a walk that was overtaken by one is not complete */
	struct moves {
		pthread_mutex_t lock; /* leaf */
		pthread_cond_t changed;
		uint64_t begun, under_way;
		bool barred;
	} moves; /* moves.h */
	struct inode_shard shard[INODE_SHARDS];
	struct inode *root;
	struct dir_cache *dir_cache;
	struct orphans *orphans;
	struct exif_readers *exif;

	char backing_type[32];

	struct open_table *unclean; /* files that the last session left open for writing; NULL when resolved */
	bool ended_well;	    /* the last session did, or there was none */
	_Atomic int64_t log_end_ns; /* of the last record as it was found: a file made then may have lost its record in a crash. INT64_MAX: none may any more */
	int64_t log_end_wall_ns;
	struct journal *journal;
	bool journal_kept; /* the next mount has to put in place what is in it */

	_Atomic uint64_t damaged, recovered, foreign, expired_total, open_files, inodes, forgotten, held;
	_Atomic uint64_t reads_permitted, reads_denied, reads_alerted;
	_Atomic int64_t last_shred_lag;
};

/* ---- gate.c: policy in force, guard and log -------------------------------------------------------------------------- */

errint_t gate_open(struct archive *a, struct fault *f); /* loads the sealed policy, checks it against the anchor; no guard yet */
/* Guard counters from the log; unclean files into a->unclean and, unless observing, again into the log, then the record of the mount. */
errint_t gate_replay(struct archive *a, struct fault *f);
/* The record of the end: `clean` if no file is left that was open for writing in this session or an earlier one. */
void gate_end(struct archive *a);
/* A record that names the anchor's sequence: an older anchor is refused by it. */
errint_t gate_record_anchor(struct archive *a, enum record_kind kind, const char *text);
/* The scan has seen every file: what is still unclean does not exist any more, or was closed and only its record was lost. */
void gate_all_seen(struct archive *a);
void gate_close(struct archive *a);
void gate_status(struct archive *a, struct archive_status *ret); /* policy generation and time */
void gate_each_usage(struct archive *a, void (*cb)(void *ctx, const struct guard_usage *u), void *ctx);
struct policy *gate_policy(struct archive *a);		 /* a reference */
/* Class, deadlines and settle time for a new file or a file that settles anew; `path` may be NULL if no class needs one. basis stays if
 * h->basis_at != 0. Fills class_fp, basis_*, retain_until, expires_at, settles_at, key kind, tree, epoch. */
errint_t gate_classify(struct archive *a, const char *path, int64_t now, struct file_header *h);
/* Does any class or rule look at paths? */
bool gate_needs_path(struct archive *a);
/* The read decision: guard, then log. 0 or the errno for the program. */
errint_t gate_read(struct archive *a, const struct subject *who, const char *path, const struct file_header *h, uint64_t size,
		   int flags, struct guard_principals *ret_charged /* none: it is on no budget */, bool *ret_own, struct patience *patience /* may be NULL */);
errint_t gate_list(struct archive *a, const struct subject *who, const char *path, const uint8_t dir_id[static DIR_ID_BYTES]);
/* Whether the rules let `who` (NULL: nobody asks, 0) rename or link a file, or a directory (`h` NULL), from one path to another: 0 or -EACCES. */
errint_t gate_may_move(struct archive *a, const struct subject *who, const struct file_header *h, const char *from, const char *to);
/* gate_own.c: a file was made, or is opened for writing, by `who` (NULL: nobody knows), whose principals are *ret. The second is on the record where it ends that it is
 * somebody's own. */
void gate_created(struct archive *a, const struct subject *who, const uint8_t file_id[static FILE_ID_BYTES], struct guard_principals *ret);
errint_t gate_written(struct archive *a, const struct subject *who, const struct file_header *h, struct guard_principals *ret);
/* One without a name was made, and gets one by `who`. */
void gate_named(struct archive *a, const struct subject *who, const struct file_header *h);
void gate_preview(struct archive *a, const struct subject *who, const char *path, const struct file_header *h, uint64_t size,
		  struct guard_verdict *ret);
/* Whether any class has `cache = no`, and whether that of this file has. */
bool gate_asks_uncached(const struct archive *a);
bool gate_uncached(struct archive *a, const struct file_header *h);
/* The class name of a fingerprint under the policy in force; "" if it has none. */
void gate_class_name(struct archive *a, const uint8_t fp[static CLASS_FP_BYTES], char out[static 64], unsigned *ret_line);

/* A record with times, subject and header's ids filled in, appended. `h`, `who`, `dir_id`, `text` may be NULL. CREATE and WRITE_OPEN put the file
 * (by id and place) among those that a crash leaves unclean; CLOSE, EXPIRE, DESTROY, and UNLINK when h is told (no name is left), take it out. */
errint_t gate_record(struct archive *a, enum record_kind kind, const struct subject *who, const struct file_header *h,
		     const uint8_t *dir_id, const char *text);
/* A create, of a canary if `decoy`. */
errint_t gate_record_create(struct archive *a, const struct subject *who, const struct file_header *h, bool decoy);
/* The same with the place (home) of the file. */
errint_t gate_record_at(struct archive *a, enum record_kind kind, const struct subject *who, const struct file_header *h,
			const uint8_t *dir_id, const uint8_t *place, const char *text);
/* As gate_record, for something found damaged: also a log line with the path, block and reason (the path for the daemon's journal is told as directory
 * id and sealed name, never in clear). */
void gate_damage(struct archive *a, const uint8_t *dir_id, const char *backing, const uint8_t *file_id, int64_t block,
		 errint_t error, const char *reason);

/* Puts the policy in force on disk again, named by the anchor, with a generation above `above`. */
errint_t gate_renumber_policy(struct archive *a, uint64_t above);
/* keys.c: the same for the keyring. */
errint_t keys_renumber(struct archive *a, uint64_t above);

/* ---- anchor_backup.c: a backup's file; -EEXIST ----------------------------------------------------------------------------- */
errint_t anchor_backup_write(struct archive *a, const char *path, const struct stat *dir, uint32_t first, uint64_t *ret_sequence);

/* ---- inode.c, dir.c, ofile.c (the core; see core.h) --------------------------------------------------------------------- */

/* ---- keyring_file.c: .lapse/keyring and, while it changes, .lapse/keyring.new ------------------------------------------------- */
#define KEYRING_NAME "keyring"
#define KEYRING_NEXT "keyring.new"
/* -ENOENT; -EPROTONOSUPPORT, -EBADMSG with a sentence. */
errint_t keyring_file_read(int lapse_fd, const char *name, struct keyring *ret, uint8_t **ret_bytes, size_t *ret_len, struct fault *f);
uint64_t machine_memory(void); /* bytes, for the bounds of Argon2 */

/* ---- fsinfo.c: the filesystem that a descriptor is on -------------------------------------------------------------------------- */
struct fs_info {
	const char *name; /* "ext4"; "?" if not known */
	bool in_place;	  /* overwriting a block overwrites it on the disk, as far as the filesystem goes */
	bool memory;	  /* nothing waits for a disk */
	bool fuse;
};
struct fs_info fs_info_of(int fd);

/* ---- sweeper.c ------------------------------------------------------------------------------------------------------------ */
errint_t sweeper_start(struct archive *a);
void sweeper_stop(struct archive *a);
/* Everything that is overdue now: deny, advance the anchor, unlink. Used at mount and by the thread. */
errint_t sweeper_run_once(struct archive *a);
void sweeper_kick(struct archive *a);
void sweeper_pass_again(struct archive *a); /* a barrier is lifted: the anchor may go on */
/* Has the kernel forget the inode's pages, soon, from the sweeper's thread. Any lock may be held but the sweeper's. */
void sweeper_drop_pages(struct archive *a, struct inode *i);
int64_t sweeper_shred_lag(struct archive *a);
uint64_t sweeper_overdue(struct archive *a);

/* ---- refusals.c -------------------------------------------------------------------------------------------------------------- */
errint_t refusals_new(struct archive *a);
void refusals_free(struct archive *a);

/* ---- scan.c: the background walk that completes the catalogue and recovers unclean files ----------------------------------- */
errint_t scan_start(struct archive *a);
void scan_stop(struct archive *a);
uint64_t scan_seen(struct archive *a);

/* ---- unclean files: those the log says were open for writing when the last session ended ---------------------------------- */
struct open_table;
errint_t open_table_new(struct open_table **ret);
void open_table_free(struct open_table *t);
errint_t open_table_add(struct open_table *t, const uint8_t file_id[static 16]);
/* With the place of the file, for open_table_copy(). */
errint_t open_table_put(struct open_table *t, const uint8_t file_id[static 16], const uint8_t *place /* NULL: not known */);
struct left_open {
	uint8_t file_id[FILE_ID_BYTES], place[HOME_BYTES];
};
/* The caller frees *ret. */
errint_t open_table_copy(struct open_table *t, struct left_open **ret, size_t *ret_count);
void open_table_remove(struct open_table *t, const uint8_t file_id[static 16]);
bool open_table_has(struct open_table *t, const uint8_t file_id[static 16]);
size_t open_table_count(struct open_table *t);
void open_table_clear(struct open_table *t);
