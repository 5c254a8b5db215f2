/* anchor_file.h - one copy of the anchor on disk: two slots, written one after the other. Private to the anchor. */
#pragma once

#include "store/anchor.h"

struct anchor_copy {
	char *path;
	int fd;         /* -1: not open */
	errint_t error; /* of the last attempt to open or write it */
	bool in_place;
	uint64_t sequence[2]; /* that each slot holds; 0: nothing certain */
	size_t used[2];       /* bytes of each slot beyond which all is zero */
};

/* A new file of ANCHOR_FILE_BYTES, every byte of it written, both slots holding `image` (its tail is zeroed here), on disk with its name. -EEXIST. */
errint_t anchor_copy_create(const char *path, const struct stat *dir, uint8_t image[static ANCHOR_SLOT_BYTES], size_t len);
/* The directory that `path` is to be made in, and the name there. `dir` not NULL: it has to be that one, whatever the path leads to by now (-ESTALE); else it is made
 * if need be, and one that was made is tagged, so that backup tools leave it out. */
errint_t anchor_parent_open(const char *path, const struct stat *dir, int *ret_fd, const char **ret_name);

/* What a copy holds when it is opened. */
struct anchor_found {
	struct anchor_state *state; /* of the higher valid sequence; NULL: none opens under the key */
	uint8_t digest[DIGEST_BYTES]; /* of its image */
	uint64_t split;     /* the sequence of two valid images that differ; 0: there are none */
	uint64_t other_key; /* the lower sequence of two slots of this archive that both do not open; 0: not so */
	errint_t error;     /* why state is NULL */
};
/* Opens the file and reads both slots. Fails for a file that is not an anchor of this archive: it is never written then. */
errint_t anchor_copy_open(struct anchor_copy *c, bool readonly, const uint8_t uuid[static UUID_BYTES],
	const struct small_key *key, struct anchor_found *ret);
/* Overwrites the whole file with zeros, on disk, and removes it. */
errint_t anchor_file_erase(const char *path, int fd);
/* Whether the open file is still the one that the path names. */
bool anchor_copy_in_place(const struct anchor_copy *c);
void anchor_copy_close(struct anchor_copy *c);

/* What all copies together hold. */
struct anchor_best {
	struct anchor_state *state;   /* of the highest sequence */
	uint8_t digest[DIGEST_BYTES]; /* of its image */
	uint64_t split, other_key;    /* the highest, as in struct anchor_found */
};
/* Takes found->state: kept if it is better, else freed. */
void anchor_best_of(struct anchor_best *b, struct anchor_found *found);
/* Whether it is one to go on from; `failure` of the copy `where`: why there is none. */
errint_t anchor_best_check(const struct anchor_best *b, errint_t failure, const char *where, struct fault *f);

/* Writes the image to the older slot, syncs, to the other, syncs; zeroes what the slots held beyond it. */
errint_t anchor_copy_write(
	struct anchor_copy *c, uint8_t image[static ANCHOR_SLOT_BYTES], size_t len, uint64_t sequence);
