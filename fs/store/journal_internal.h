/* journal_internal.h - shared by journal.c, journal_lap.c and journal_replay.c. */
#pragma once

#include "crypt/journal.h"
#include "store/journal.h"

#define LAP_NAME_BYTES 17
#define LAP_FILE_MAX   (UINT64_C(1) << 32)

struct lap {
	struct lap *next; /* older */
	struct journal_lap head;
	int fd;
	uint64_t end;
	struct open_table *files; /* that have records in it */
};

/* A record that a crash left. */
struct left {
	uint8_t file_id[FILE_ID_BYTES];
	struct journal_record record;
	struct lap *lap;
	uint64_t offset; /* of what follows the record's head */
};

struct journal {
	int dirfd;
	pthread_mutex_t sync_lock; /* before `lock`; held over a flush */
	pthread_mutex_t lock;	   /* all below */
	pthread_cond_t wake;
	struct lap *lap;     /* being written; NULL: the next record begins one */
	struct lap *retired; /* all in them is being put in place */
	uint64_t next_number;
	uint64_t written, synced; /* records of this session */
	errint_t error;		  /* of a flush: the next one would not tell of it again, so nothing is recorded any more */
	int64_t last_put;	  /* CLOCK_MONOTONIC seconds */
	struct inode **dirty;	  /* with blocks that are not in place; a reference each */
	size_t dirty_count, dirty_cap;
	_Atomic size_t pending_bytes;
	bool stop, has_thread;
	bool held;		   /* retired laps wait for those of earlier sessions to go */
	_Atomic bool keep;	   /* all for the next mount */
	pthread_t thread;

	struct lap *left;	   /* of earlier sessions; under `lock` and left_lock */
	pthread_mutex_t left_lock; /* before `lock`: the records in them */
	struct left *item;	   /* sorted by file, then as written */
	size_t items, item_cap;
	bool read; /* all that was left is in `item` */
	struct open_table *unresolved;
};

/* ---- journal_lap.c ---- */
void lap_name(uint64_t number, char out[static LAP_NAME_BYTES]);
errint_t lap_begin(struct archive *a, struct journal *j, struct lap **ret); /* its name is on disk, its head not yet */
/* Appends a record and what follows it. */
errint_t lap_append(struct archive *a, struct lap *l, const struct journal_record *r, const uint8_t *data, size_t len);
void laps_free(struct lap *first); /* NULL is fine */
/* Off the disk, durably, the oldest first: records must not come to count again. */
errint_t laps_remove(struct journal *j, struct lap *first);
/* Does one of them have records of a file that the laps of earlier sessions have some of? */
bool laps_share_left(struct journal *j, const struct lap *first);
/* All that are there, by number; the head of each is read. With `remove` they are unlinked instead. */
errint_t laps_find(struct archive *a, struct journal *j, bool remove, struct fault *f);
/* The record at `offset`; *ret_next is where the next one is. -ENODATA: there is none. */
errint_t lap_read(struct archive *a, const struct lap *l, uint64_t offset, struct journal_record *ret, uint64_t *ret_next);
