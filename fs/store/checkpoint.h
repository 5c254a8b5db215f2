/* checkpoint.h - a seal of the log as one line of text, to be kept where who takes the machine cannot change it. FORMAT.md "Checkpoints". */
#pragma once

#include "crypt/log_seal.h"
#include "store/fault.h"

struct checkpoint {
	uint8_t uuid[UUID_BYTES], log_id[16];
	struct log_seal seal;
};

#define CHECKPOINT_BYTES 640
/* Without a newline. */
void checkpoint_text(const struct checkpoint *c, char out[static CHECKPOINT_BYTES]);
/* A line that has one, wherever it begins (the journal puts something before it). -ENOENT: it has none; -EBADMSG: one that is not whole. */
errint_t checkpoint_parse(const char *line, struct checkpoint *ret);
/* All of a file; the caller frees *ret. -ENOENT: it has none, -EBADMSG, -EFBIG, …, with a sentence. */
errint_t checkpoint_read(const char *path, struct checkpoint **ret, size_t *ret_count, struct fault *f);

/* ---- writing them; private to the store ---- */

struct archive;
errint_t checkpoints_start(struct archive *a);
/* A seal was made. */
void checkpoints_note(struct archive *a, const struct log_seal *s);
/* From its return on nothing is dropped from the log any more; seals are still written down. Before what prune_some() uses goes. */
void checkpoints_only(struct archive *a);
/* Writes the last one, if it is new, and ends. */
void checkpoints_stop(struct archive *a);
