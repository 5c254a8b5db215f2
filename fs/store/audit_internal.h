/* audit_internal.h - the log in memory. Private to audit*.c. */
#pragma once

#include "store/audit_segment.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

/* The newest tombstone. */
struct audit_pruned {
	uint64_t last; /* record that is gone; 0: none is */
	uint8_t head[DIGEST_BYTES];
	int64_t sealed_ns, pruned_ns;
};

struct audit {
	int dirfd; /* borrowed */
	pthread_rwlock_t reading;  /* held for reading by who goes from segment to segment; taken before the others */
	bool tombs_bad;		   /* the file of the tombstones is not what was written; nothing is dropped */
	bool readonly;
	struct segment_keys keys;

	pthread_mutex_t sync_lock; /* one fdatasync at a time, and no segment ends without it; taken before `lock`, or tried */
	pthread_mutex_t lock;      /* what follows; leaf */
	pthread_cond_t wake;       /* of the syncing thread */
	pthread_cond_t appended;   /* of those who follow */
	unsigned followers;
	int fd;                    /* of the last segment */
	off_t end;                 /* of its last frame */
	bool ragged;               /* something may lie behind `end` */
	struct audit_chain chain;
	struct audit_chain synced; /* behind the last record that is on disk */
	uint64_t segment; /* the first record of the last one */
	uint64_t first, segments, closed_bytes, segment_max;
	struct audit_pruned pruned;
	int64_t begun_ns; /* of the last segment's first record; INT64_MIN: not known */
	/* audit_space.c */
	uint64_t reserve_bytes, reserve_have; /* as the policy wants it, and as it is */
	uint64_t reserve_whole;		      /* as it was before the disk was full */
	bool short_of_space;		      /* some of it was given up since, and is not back */
	bool reserve_known;		      /* what the policy wants */
	time_t reserve_tried, back_tried;     /* monotonic seconds */
	off_t room_end;			      /* up to there the last segment has its space; 0: not known */
	errint_t error;
	int64_t last_trusted_ns, last_wall_ns;
	bool stop, has_thread;
	pthread_t thread;
	uint8_t frame[RECORD_MAX_BYTES];
	/* while the log cannot be written (audit_queue.c) */
	struct audit_chain written; /* behind the last record that is in a file; `chain` is behind those that wait, too */
	off_t synced_end;	    /* of what is on disk of the last segment */
	errint_t sync_error;	    /* a flush failed, and none has worked since */
	bool lost;		    /* … and what it was to write cannot be read back */
	uint8_t *queue;		    /* frames */
	size_t queue_len;
	uint64_t queued;
	errint_t gap_error;
	int64_t gap_ns;
	uint8_t raised[RECORD_NAME_MAX - RECORD_NAME_MAX % 12]; /* not yet in a record (audit_raised.c) */
	size_t raised_len;
	int64_t raised_trusted_ns, raised_wall_ns; /* of the last of them */

	_Atomic int64_t fsync_ms;

	/* Segments that can have no index, of which audit_index_some() has found that out; its caller's alone. */
	uint64_t *left_out;
	size_t left_out_count;
};

errint_t audit_append_locked(struct audit *l, struct audit_record *rec); /* `lock` held */
errint_t audit_raised_flush(struct audit *l);				/* the same */

/* audit_queue.c; `lock` held in all of them, but for the last. */
#define QUEUE_BYTES (4u << 20) /* some 20,000 records */
#define GAP_TEXT    "the log could not be written: "
errint_t audit_queue_admit(const struct audit *l, enum record_kind k, size_t len); /* 0: a record may be written, even if the last flush has failed */
errint_t audit_queue_put(struct audit *l, const struct audit_record *rec, const struct audit_chain *behind, size_t len, errint_t why); /* l->frame; 0: kept */
errint_t audit_queue_write(struct audit *l, enum record_kind k); /* what waits, if it can be written; with as much of the reserve as that kind may use */
errint_t audit_write_again(struct audit *l); /* after a flush that failed. -EIO, for good: what it was to write is lost */
void audit_sync_failed(struct audit *l, errint_t why);
void audit_sync_worked(struct audit *l);
errint_t audit_write_bytes(struct audit *l, const uint8_t *bytes, size_t len); /* audit.c: at the log's end */
void audit_queue_end(struct audit *l);

/* audit_space.c; `lock` held in all of them. */
void audit_space_open(struct audit *l);
void audit_space_try(struct audit *l); /* now and then: the reserve, if it is not whole */
bool audit_space_back(struct audit *l); /* whether it is as it was before the disk was full; if there is room, it is made so */
bool audit_space_has_room(struct audit *l, enum record_kind k); /* on the disk, or in what that kind may use of the reserve */
errint_t audit_space_write(struct audit *l, enum record_kind k, const uint8_t *bytes, size_t len); /* with that, if nothing else is left */
errint_t audit_space_cut(struct audit *l); /* what lies behind the last frame; the space that was there stays */
void audit_space_end(struct audit *l); /* of a segment: what lies allocated behind it */

/* What audit_recover finds at the end of the log. */
struct audit_found {
	struct audit_chain chain;
	uint64_t segment;   /* first sequence of the last segment; 0: there is none */
	off_t end;          /* of its last whole frame; less than the file's size: a torn tail */
	uint64_t torn_head; /* a last segment that has no whole head; 0: none */
	uint64_t first, segments, closed_bytes;
	int64_t last_trusted_ns, last_wall_ns;
};
/* Walks the log from the segment that the anchor names and checks it against the anchor. Changes nothing. */
errint_t audit_recover(int dirfd, const struct segment_keys *k, uint64_t anchor_sequence,
	const uint8_t anchor_head[static DIGEST_BYTES], const struct audit_pruned *pruned, struct audit_found *ret, struct fault *f);

/* What was dropped: `last` is 0 if nothing was. -EBADMSG: the tombstones are not those of this log, or not whole. */
errint_t audit_pruned_load(int dirfd, const struct segment_keys *k, struct audit_pruned *ret);
/* Removes what lies before, if the log goes on behind it; while nobody reads. */
errint_t audit_pruned_finish(int dirfd, const struct audit_pruned *p, uint64_t *ret_bytes);

/* The time of a segment's first record; -ENODATA: it has none. */
errint_t audit_begins_at(struct audit *l, uint64_t first, int64_t *ret_ns);

/* The last segment that begins before since_ns, or the first of all. -EBADMSG: that is not the log's first, and records that are wanted lie before it. */
errint_t audit_segment_since(struct audit *l, const uint64_t *first, size_t count, int64_t since_ns, size_t *ret);
/* The records of one segment below `limit`. */
/* … from a place in it on (NULL: its beginning) … *chain: behind what came before it if `at` is NULL; where it ended. -EBADMSG: it does not go on there. */
errint_t audit_each_on(struct audit *l, uint64_t first, const struct audit_place *at, uint64_t limit, struct audit_chain *chain,
	errint_t (*cb)(void *ctx, const struct audit_record *r), void *ctx);
errint_t audit_each_from(struct audit *l, uint64_t first, uint64_t limit, int64_t since_ns, errint_t (*cb)(void *ctx, const struct audit_record *r), void *ctx);
