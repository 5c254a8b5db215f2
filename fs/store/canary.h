/* canary.h - decoys: which files they are, and how they come among the others. Only the daemon knows: the list is sealed, and of one length. */
#pragma once

#include "crypt/canary.h"
#include "store/decoy.h"
#include "store/internal.h"

struct dir_use;
struct handle;
struct ofile;

/* How a file was made. */
struct canary_sample {
	int64_t size;			       /* bytes */
	int64_t made_ns, wrote_ns, accessed_ns; /* when it was created, and its times */
	bool set;			       /* its time is one that a program has given */
};

/* A file whose times still tell how it was made. */
struct canary_young {
	char *name;
	int64_t made_ns; /* when it was created, by the clock that its times are of */
};

#define CANARY_LEVEL_NS	  INT64_C(10000000000)
#define CANARY_SAMPLES	  32
#define CANARY_TAKES_MOST INT64_C(5000000000) /* ns from creation to the last write: what took longer was changed later */
#define CANARY_POOL	  128
#define CANARY_THREADS	  4 /* one levels; the others plant: a decoy is written as slowly as others are */
#define CANARY_BLUR_NS	  INT64_C(20000000) /* whole ticks of every kernel */

/* What is known of the files that came into a directory with an order, in this session. */
struct canary_watch {
	struct decoy_seen seen[DECOY_NAMES]; /* ascending */
	int64_t made_ns[DECOY_NAMES];
	size_t count;
	struct subject who;	/* that made the last one, as far as it is on the record; its service lies below */
	char service[128], program[RECORD_TEXT_MAX];
	int64_t last_ns;	/* CLOCK_MONOTONIC, of the last one */
	double gaps, mean, square; /* how many; of the times between two of them, ns */
	int64_t due_ns;		/* the next decoy; 0: none is due */
	errint_t unable;	/* why the last decoy that was due was not made */
	struct canary_young *young; /* decoys among them */
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
	unsigned started; /* threads */
	pthread_t thread[CANARY_THREADS];
	struct canary_watch *watch[CANARY_ORDERS]; /* by place in the list; NULL: nothing seen yet */
	struct decoy_rng rng;
	struct canary_told told[CANARY_TOLD];
	int pool[CANARY_POOL]; /* descriptors of files without a name */
	size_t pool_count;
	int64_t refill_ns;     /* CLOCK_MONOTONIC; 0: enough are left */
};

/* Before the log is replayed. A list that is missing or damaged is made again from the log. */
errint_t canaries_open(struct archive *a);
/* Records up to this one will not be replayed: a list that ends before is made again from the log. */
void canaries_known(struct archive *a, uint64_t sequence);
/* What a record says of canaries. */
void canary_replay(struct archive *a, const struct audit_record *r);
/* Once the log was replayed: the list is made again where it must be. Where the log cannot be read for that nobody would be told of what was planted: -EBADMSG and why, but for an archive
 * whose damage is being accepted. */
errint_t canaries_complete(struct archive *a, struct fault *f);
/* After that, at each mount, and at each end: always the same bytes on disk, so that neither length nor time tells anything. */
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
/* A file was, with these times: a decoy may follow it. No lock is held. */
void canary_neighbour(struct archive *a, const uint8_t dir_id[static DIR_ID_BYTES], const char *name, const struct timespec *made, const struct subject *who);

/* canary_pool.c: what an inode tells of when it was made (its birth, its number) would tell of each file how long it took to be written, and by that who wrote it. So in a directory with an order
 * every file, decoy or image, is made of one that was there before, without a name, chosen by chance.
 * That one, under this name, of the daemon's user and, where the directory says so, its group; its times are of now. Its descriptor, the caller's; or -EEXIST, or another: it is to be made as files
 * elsewhere are, for there is no order for the directory, or the backing filesystem does not do that. The directory is entered for writing. */
int canary_create(struct archive *a, struct dir_use *u, const struct sealed_name *n, mode_t mode, const struct caller *c);
/* Who made the file closes it. Its time is blurred, unless a program has set it: within CANARY_BLUR_NS it would tell how the scheduler treats who wrote it. */
void canary_closing(struct archive *a, const struct handle *h);
struct timespec canary_blurred(const struct ofile *of, struct timespec at); /* of one that has been, the same */
/* canary_admin.c: a directory was made in that one, by `who` (may be NULL): it gets decoys as that does. No lock is held. */
void canary_inherit(struct archive *a, const uint8_t parent_id[static DIR_ID_BYTES], const uint8_t dir_id[static DIR_ID_BYTES], const struct subject *who);
/* As many as there may be. The lock is held, and dropped meanwhile. */
void canary_pool_refill(struct archive *a);
void canary_pool_free(struct canaries *c);

void canary_wait(struct canaries *c, int64_t ns); /* so long, or until all ends. No lock is held. */

/* canary_plant.c: one now, in this directory; what it is called, and when it was created. What is young there is added to w's samples. No lock is held. */
errint_t canary_plant(struct archive *a, const uint8_t dir_id[static DIR_ID_BYTES], const struct canary_order *o, struct canary_watch *w, struct decoy_rng *rng,
	const atomic_bool *stop, char ret_name[static DECOY_NAME_MAX + 1], int64_t *ret_made_ns);

/* canary_level.c: the last change of a file, or its last access, seen against its last write, tells how it was made, to the microsecond. So all files that come into a directory with an order, and
 * the decoys there, get others within ten seconds: such as tell nothing. */
void canary_young_add(struct canary_watch *w, const char *name, int64_t made_ns, int64_t now_ns); /* the lock is held */
/* Of a file that is open, its lock held, and was created then. False: it is a decoy. */
bool canary_sample(struct archive *a, const struct ofile *of, int64_t made_ns, struct canary_sample *ret);
int64_t canary_ns(struct timespec t); /* within what 64 bits hold */
void canary_sampled(struct canary_watch *w, const struct canary_sample *s);
/* Into `to` those that `from` had last, CANARY_SAMPLES at most. The lock is held. */
void canary_young_copy(struct canary_watch *to, const struct canary_watch *from);
void canary_young_free(struct canary_watch *w);
/* Levels those that are there, in an order that says nothing; what is still being written waits for the next time. The lock is held, and dropped meanwhile. */
void canary_level(struct archive *a, const uint8_t dir_id[static DIR_ID_BYTES]);
/* The place of its order in the list; beyond the last: it has none. The lock is held. */
size_t canary_order_at(const struct canaries *c, const uint8_t dir_id[static DIR_ID_BYTES]);
/* How many decoys the directory has that have not expired. The lock is held. */
uint32_t canary_living(const struct canaries *c, const uint8_t dir_id[static DIR_ID_BYTES], int64_t now);
/* An order in place of what there was for the directory; per 0: none any more. -ENOSPC. The lock is held. */
errint_t canary_order_put(struct canaries *c, const struct canary_order *o);
/* The text of its record. */
void canary_order_text(char *out, size_t cap, const struct canary_order *o, const char *reason);
