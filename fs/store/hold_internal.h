/* hold_internal.h - what the files of holds share. */
#pragma once

#include "store/amend.h"
#include "store/hold.h"
#include "store/holds.h"

/* One hold. What is in `o` but for its state never changes while it is in the table. */
struct hold {
	struct hold_object o; /* globs: NUL-terminated strings, one after the other */
	bool lost;	      /* there is its key, and no object: what it matches is not known any more */
	uint64_t files, failed; /* under it, at the last pass; that could not be brought under it, or out of it */
};

/* Lock order: doing (outermost of all locks), admin, then table (leaf). */
struct holds {
	struct archive *a;
	int fd; /* .lapse/holds; -1: there is none */
	pthread_rwlock_t doing;
	pthread_mutex_t admin;	/* one act at a time; objects and anchor */
	pthread_rwlock_t table; /* leaf: below */
	size_t count;
	struct hold item[ANCHOR_HOLDS_MAX]; /* ascending by number */
	_Atomic size_t known;		    /* count; without the lock */
	_Atomic unsigned matching, placing; /* holds in force that match by path; that are being placed */

	pthread_t thread;
	bool started;
	pthread_mutex_t lock; /* leaf: below */
	pthread_cond_t wake;
	bool stop, kicked, moved;
	_Atomic uint64_t dir_asked, dir_seen; /* moves of directories that holds reach: begun; up to which holds are being placed again */
	uint64_t dir_done; /* under lock: those that have ended */
	_Atomic uint64_t barred; /* how often barriers were asked for: a pass of before lifts none */
	_Atomic uint32_t cleared; /* the epoch up to which a pass lifts them, or has lifted them; 0: none does */
	size_t missed; /* seconds that the last pass told to wait, because something was moved under it; 0: nothing was. Of whoever makes the passes */
	_Atomic uint64_t moves; /* of files that are under a hold: a pass may have missed one */
	_Atomic uint64_t looked, to_look; /* of the pass that is under way; 0, 0: none */

	struct {
		char id[17];
		uint32_t number;
		int64_t made; /* boot seconds */
		uint64_t expire;
	} plan; /* under admin */
};

/* table held. */
struct hold *hold_by_number(struct holds *s, uint32_t number);
struct hold *hold_by_name(struct holds *s, const char *name);
bool hold_moves_pending(const struct holds *s);
void hold_recount(struct holds *s); /* known, matching, placing */
/* table held for writing, and `doing`. Takes over what *o owns. -ENOSPC. */
errint_t hold_insert(struct holds *s, struct hold_object *o, bool lost);
void hold_remove(struct holds *s, uint32_t number);
/* The numbers that the file is to be under, as header.holds. False: more match than there is room for. */
bool hold_wanted(struct holds *s, const char *path, const struct file_header *h, uint32_t out[static HEADER_HOLDS]);
/* It matches, and is not among these. */
bool hold_left_out(struct holds *s, uint32_t number, const char *path, const struct file_header *h, const uint32_t set[static HEADER_HOLDS]);

/* hold_file.c: objects on disk, durably. */
errint_t hold_dir_open(struct archive *a, int *ret); /* -ENOENT while there is none */
errint_t hold_save(struct holds *s, const struct hold_object *o); /* as it is in the table */
errint_t hold_file_write(struct holds *s, const struct hold_object *o);
errint_t hold_file_read(struct holds *s, uint32_t number, struct hold_object *ret);
void hold_file_remove(struct holds *s, uint32_t number);
void hold_file_clean(struct holds *s); /* those that the anchor has no key of */

/* hold_barrier.c */
errint_t hold_barriers(struct anchor_state *s, int64_t now); /* of each tree one, at its next epoch */
/* What passes of before know does not count any more: with a new hold, as it comes to be in force; else before the barriers are set. */
void hold_barriers_asked(struct holds *s);
errint_t hold_barrier_set(struct archive *a); /* both */
/* admin not held. Nothing that is to be held has its key below that epoch any more, on disk; as far as is known to a pass that began when `barred` was as
 * told: else nothing is done. */
errint_t hold_barriers_lift(struct holds *s, uint64_t barred, uint32_t epoch);
bool hold_barred(struct archive *a); /* the anchor has some */
errint_t hold_barriers_clear(struct holds *s);		      /* admin held; once nothing is being placed */

/* hold_work.c */
errint_t hold_key_destroy(struct archive *a, uint32_t number);
void hold_kick(struct holds *s);
void hold_record(struct archive *a, const struct subject *who, const char *format, ...) __attribute__((format(printf, 3, 4)));
