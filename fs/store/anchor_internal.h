/* anchor_internal.h - an open anchor in memory. Private to anchor.c and anchor_copies.c. */
#pragma once

#include "store/anchor_file.h"

#include <pthread.h>

#define CACHE_NODES 1024

struct cached_node {
	bool valid;
	uint16_t middle; /* of its epoch, in the table of middles */
	uint32_t tree, epoch;
	uint8_t key[KEY_BYTES];
};

/* What a seal of the log replaces, to be put back if no copy has it: the key on disk is the old one then. */
struct before_seal {
	uint8_t seed[32], public[32];
	uint64_t log_sealed;
	struct log_seal seal;
};

/* Both tables hold only what can be derived from the state as it is: they are wiped with each change of it. */
struct anchor_secrets {
	struct small_key key;
	struct cached_node node[CACHE_NODES], middle[CACHE_NODES];
	struct before_seal before; /* `write` held */
};

struct anchor {
	pthread_mutex_t write; /* one write at a time: image, the copies' files. Taken before `lock`. */
	pthread_mutex_t lock;  /* all else; never held over I/O */
	struct anchor_state *state;
	struct anchor_secrets *secret;
	uint64_t wipes; /* of the tables */
	uint8_t uuid[UUID_BYTES];
	bool readonly;
	uint8_t *image; /* ANCHOR_SLOT_BYTES, secret memory: it is sealed in place */
	size_t count;
	struct anchor_copy copy[ANCHOR_COPIES_MAX];
	struct {
		errint_t error;
		bool in_place;
	} shown[ANCHOR_COPIES_MAX]; /* of each copy, for anchor_get_status */
	uint64_t written;           /* the highest sequence that a copy has */
	int64_t last_write_ns;
	const struct anchor_leaf *doomed; /* borrowed: no new file is placed there */
	size_t doomed_count;
	struct anchor_log log;
	bool seal_unsaved; /* the state's seal is not where seals are kept; `write` held */
};

/* `write` held: the state in memory to every copy. The image is wiped: with the key it is the state. */
errint_t anchor_save(struct anchor *a);
/* `write` held: the lock that keeps another lapse off is on the first copy that is open. */
void anchor_keep_lock(struct anchor *a);
/* `lock` held: what anchor_get_status tells of a copy is as it is now. */
void anchor_show(struct anchor *a, size_t copy);
