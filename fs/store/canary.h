/* canary.h - decoys: which files they are, and how they come among the others. Only the daemon knows: the list is sealed, and of one length. */
#pragma once

#include "crypt/canary.h"
#include "store/decoy.h"
#include "store/internal.h"

struct ofile;

/* How a file was made. */
struct canary_sample {
	int64_t size, wrote_ns; /* bytes; how long after its birth its content was last changed: < 0 where a program has set that time */
	bool timed;		/* wrote_ns is known, and no later change */
};

#define CANARY_LEVEL_NS	  INT64_C(10000000000)
#define CANARY_SAMPLES	  32
#define CANARY_LAG_LEAST  INT64_C(2000000000) /* ns that a file's time is older than its birth: then a program has set it */
#define CANARY_TAKES_MOST INT64_C(5000000000) /* ns from birth to the last write: what took longer was changed later */

/* What is known of the files that came into a directory with an order, in this session. */
struct canary_watch {
	struct decoy_seen seen[DECOY_NAMES]; /* ascending */
	size_t count;
	struct subject who;	/* that made the last one, as far as it is on the record; its service lies below */
	char service[128], program[RECORD_TEXT_MAX];
	int64_t last_ns;	/* CLOCK_MONOTONIC, of the last one */
	double gaps, mean, square; /* how many; of the times between two of them, ns */
	int64_t due_ns;		/* the next decoy; 0: none is due */
	errint_t unable;	/* why the last decoy that was due was not made */
	char **young;		/* names of files, decoys among them, whose times still tell how they were made */
	size_t young_count, young_cap;
	struct canary_sample sample[CANARY_SAMPLES]; /* of those that were young, the last ones: the k-th at k % CANARY_SAMPLES */
	size_t samples;
	int64_t level_ns;	/* when they are to be levelled; 0: there are none */
	int64_t phase_ns;	/* by chance: such times are that much after a multiple of CANARY_LEVEL_NS */
};

/* When an alarm told of a reader last, CLOCK_MONOTONIC. */
struct canary_told {
	uint32_t uid;
	int64_t at_ns;
};

#define CANARY_TOLD 32

struct canaries {
	pthread_mutex_t lock; /* leaf; all but the atomics */
	pthread_cond_t wake;
	struct canary_list *list;
	struct open_table *ids, *places; /* of files; of those whose creation was replayed, where they lay */
	_Atomic bool any, watching; /* there are entries, orders */
	bool complete;		    /* the list, as it was read, has what the log says up to its sequence */
	atomic_bool stop; /* set under the lock */
	bool started;
	pthread_t thread;
	struct canary_watch *watch[CANARY_ORDERS]; /* by place in the list; NULL: nothing seen yet */
	struct decoy_rng rng;
	struct canary_told told[CANARY_TOLD];
};

/* Before the log is replayed. A list that is missing or damaged is made again from the log. */
errint_t canaries_open(struct archive *a);
/* Records up to this one will not be replayed: a list that ends before is made again from the log. */
void canaries_known(struct archive *a, uint64_t sequence);
/* What a record says of canaries. */
void canary_replay(struct archive *a, const struct audit_record *r);
/* Once the log was replayed, at each mount, and at each end: always the same bytes on disk, so that neither length nor time tells anything. */
errint_t canaries_save(struct archive *a);
errint_t canaries_start(struct archive *a);
void canaries_stop(struct archive *a);
void canaries_free(struct archive *a);

/* A decoy was created there before this session: one that is still empty was only begun when the daemon died, and nobody's. */
bool canary_begun(struct archive *a, const uint8_t place[static HOME_BYTES]);
bool canary_is(struct archive *a, const uint8_t file_id[static FILE_ID_BYTES]);
/* Of the record of an open that is an alarm: another record, and, once a second and uid, an alert. */
void canary_opened(struct archive *a, const struct audit_record *open, const struct subject *who);
/* A decoy was created. */
void canary_made(struct archive *a, const struct file_header *h);
/* A file was: a decoy may follow it. No lock is held. */
void canary_neighbour(struct archive *a, const uint8_t dir_id[static DIR_ID_BYTES], const char *name, const struct subject *who);

/* canary_plant.c: one now, in this directory. What is young there is added to w's samples. No lock is held. */
errint_t canary_plant(struct archive *a, const uint8_t dir_id[static DIR_ID_BYTES], const struct canary_order *o, struct canary_watch *w, struct decoy_rng *rng,
	const atomic_bool *stop, char ret_name[static DECOY_NAME_MAX + 1]);

/* canary_level.c: the last change of a file, seen against its birth, tells how it was made, to the microsecond. So all files that come into a directory with an order, and the decoys
 * there, get another within ten seconds: one that tells nothing. */
void canary_young(struct canary_watch *w, const char *name, int64_t now_ns); /* the lock is held */
/* Of a file that is open, its lock held. False: it is a decoy. */
bool canary_sample(struct archive *a, const struct ofile *of, struct canary_sample *ret);
void canary_sampled(struct canary_watch *w, const struct canary_sample *s);
/* Into `to` those that `from` had last, CANARY_SAMPLES at most. The lock is held. */
void canary_young_copy(struct canary_watch *to, const struct canary_watch *from);
void canary_young_free(struct canary_watch *w);
/* Levels those that are there, in an order that says nothing; what is still being written waits for the next time. The lock is held, and dropped meanwhile. */
void canary_level(struct archive *a, const uint8_t dir_id[static DIR_ID_BYTES]);
/* How many decoys the directory has that have not expired. The lock is held. */
uint32_t canary_living(const struct canaries *c, const uint8_t dir_id[static DIR_ID_BYTES], int64_t now);
/* An order in place of what there was for the directory; per 0: none any more. -ENOSPC. The lock is held. */
errint_t canary_order_put(struct canaries *c, const struct canary_order *o);
/* The text of its record. */
void canary_order_text(char *out, size_t cap, const struct canary_order *o, const char *reason);
