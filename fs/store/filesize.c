/* filesize.c - longer, shorter, and on disk. */
#include "store/fileio.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define EXTEND_MAX (1ull << 30)

errint_t ofile_extend(struct archive *a, struct ofile *of, uint64_t to)
{
	static const uint8_t zeros[RUN_BYTES];
	uint64_t from = of->size;
	if (to - from > EXTEND_MAX)
		return -EFBIG;
	while (of->size < to) {
		/* To a block boundary first, so that no block is sealed twice. */
		uint64_t part = min_u64(to - of->size, RUN_BYTES - of->size % a->block_size);
		ssize_t n = write_run(a, of, zeros, (size_t)part, of->size);
		if (n > 0) /* what was not written is tried again, and then says why */
			continue;
		if (of->size > from)
			ofile_truncate(a, of, from);
		return n < 0 ? (errint_t)n : -EIO;
	}
	return 0;
}

static errint_t cut_in_place(struct archive *a, struct ofile *of, uint64_t size)
{
	of->changes++;
	return ftruncate(of->fd, (off_t)backing_size(a->suite, a->block_size, size)) ? -errno : 0;
}

errint_t ofile_finish(struct archive *a, struct ofile *of)
{
	errint_t r = of->torn ? ofile_mend(a, of) : 0;
	if (r || !of->cutting)
		return r;
	r = journal_flush(a, of);
	if (!r)
		r = cut_in_place(a, of, of->size);
	if (!r && fdatasync(of->fd))
		r = -errno;
	if (!r)
		r = journal_done(a, of->h.file_id, of->h.generation, &of->journaled);
	of->cutting = r != 0;
	return r;
}

static errint_t shrink(struct archive *a, struct ofile *of, uint64_t size)
{
	const uint32_t B = a->block_size;
	const uint64_t keep = size / B, count = block_count(a, of->size);
	const size_t rest = size % B;
	uint8_t leaf[LEAF_BYTES], gone[LEAF_BYTES] = {0};
	uint8_t *block = scratch_get(a);
	struct run run;
	errint_t r = block ? 0 : -ENOMEM;
	run_reset(a, &run, keep, block);
	for (uint64_t i = keep; size && !r && i < count; i++)
		if (!(r = leaf_of(a, of, i, leaf)))
			xor_leaf(gone, leaf);
	if (!r && rest && !(r = load_block(a, of, keep, block)))
		run_add(a, of, &run, block, rest);
	/* A cut through a block, which is two steps in place, or of a file that the journal knows blocks of, is made when it is on record there. */
	bool twice = !r && (rest || journal_knows(a, of->h.file_id));
	if (twice)
		r = journal_flush(a, of);
	if (!r)
		r = twice ? journal_cut(a, of, size, keep, run.sealed, rest, run.leaf[0]) : cut_in_place(a, of, size);
	if (r)
		return r;
	of->tail_len = 0;
	of->torn = false; /* that block is gone, or on record in the journal */
	if (size) {
		xor_leaf(of->root, gone);
		if (rest)
			xor_leaf(of->root, run.delta[0]);
	} else {
		memset(of->root, 0, LEAF_BYTES);
	}
	of->size = size;
	of->old_blocks = min_u64(of->old_blocks, block_count(a, size));
	of->cutting = twice;
	if (rest)
		tail_keep(a, of, keep, block, rest, run.leaf[0]);
	ofile_finish(a, of); /* or else before anything else is done to the file */
	return 0;
}

errint_t ofile_truncate(struct archive *a, struct ofile *of, uint64_t size)
{
	if (size == of->size) /* is a change all the same */
		return futimens(of->fd, (struct timespec[2]){{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_NOW}}) ? -errno : 0;
	errint_t r = ofile_begin_write(a, of);
	if (!r && !(of->torn && size < of->size))
		r = ofile_finish(a, of);
	if (!r && !of->on_disk)
		r = ofile_write_header(a, of);
	if (!r)
		r = size < of->size ? shrink(a, of, size) : ofile_extend(a, of, size);
	scratch_wipe(a);
	return r;
}

/* What is written while the flush goes on may be in it or not: it changes by way of the journal from the start. */
static errint_t sync_begin(struct archive *a, struct ofile *of, bool *ret_log, uint64_t *ret_changes, uint64_t *ret_record)
{
	pthread_rwlock_wrlock(&of->lock);
	errint_t r = of->on_disk ? ofile_finish(a, of) : ofile_write_header(a, of);
	*ret_log = of->dirty;
	*ret_changes = of->changes == of->flushed ? 0 : of->changes;
	*ret_record = of->journaled;
	of->old_blocks = block_count(a, of->size);
	of->young_since = 0;
	pthread_rwlock_unlock(&of->lock);
	return r;
}

errint_t ofile_sync(struct archive *a, struct ofile *of, bool data_only)
{
	bool log;
	uint64_t changes, record;
	errint_t r = sync_begin(a, of, &log, &changes, &record);
	/* A file in state open is believed after a crash only if the log knows it: the log goes first. */
	if (!r && log)
		r = audit_sync(a->audit);
	if (!r)
		r = journal_sync(a, record);
	if (!r && (changes || !data_only) && (data_only ? fdatasync(of->fd) : fsync(of->fd)))
		r = -errno;
	if (r || !changes)
		return r;
	pthread_rwlock_wrlock(&of->lock);
	if (of->flushed < changes)
		of->flushed = changes;
	pthread_rwlock_unlock(&of->lock);
	return 0;
}
