/* fileio.c - blocks in and out of a backing file. The way of a byte: fs_write → write_run → block_seal → pwrite, or journal_put where the block may be on
 * disk already; fs_read → read_run → preadv → block_open in place. */
#include "store/fileio.h"

#include "base/io.h"
#include "base/secret.h"

#include <fcntl.h>
#include <malloc.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

/* ---- this thread's buffer --------------------------------------------------------------------------------------------- */

static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;
static __thread struct {
	uint8_t *p;
	size_t size;
	bool plain; /* a block of some file is in it */
} scratch;

static void scratch_drop(void *p)
{
	explicit_bzero(p, malloc_usable_size(p));
	free(p);
}

static void scratch_setup(void)
{
	pthread_key_create(&scratch_key, scratch_drop);
}

void scratch_wipe(const struct archive *a)
{
	if (scratch.plain)
		secret_wipe(scratch.p, a->block_size);
	scratch.plain = false;
}

/* Room for a run of sealed blocks with a partial one at each end, and one block of plaintext before it. */
size_t scratch_bytes(const struct archive *a)
{
	size_t blocks = RUN_BYTES / a->block_size + 3;
	return a->block_size + FILE_HEADER_BYTES + blocks * (a->block_size + a->overhead);
}

uint8_t *scratch_get(struct archive *a)
{
	size_t need = scratch_bytes(a);
	if (scratch.size < need) {
		pthread_once(&scratch_once, scratch_setup);
		free(scratch.p);
		scratch.p = aligned_alloc(4096, (need + 4095) / 4096 * 4096);
		scratch.size = scratch.p ? need : 0;
		pthread_setspecific(scratch_key, scratch.p);
	}
	return scratch.p;
}

/* ---- geometry ------------------------------------------------------------------------------------------------------------ */

uint64_t block_count(const struct archive *a, uint64_t size)
{
	return size / a->block_size + (size % a->block_size != 0);
}

size_t block_len(const struct archive *a, uint64_t size, uint64_t index)
{
	return (size_t)min_u64(a->block_size, size - index * a->block_size);
}

void xor_leaf(uint8_t sum[static LEAF_BYTES], const uint8_t leaf[static LEAF_BYTES])
{
	for (size_t i = 0; i < LEAF_BYTES; i++)
		sum[i] ^= leaf[i];
}

/* ---- reading ------------------------------------------------------------------------------------------------------------- */

static errint_t damaged(struct archive *a, const struct ofile *of, uint64_t block, const char *why)
{
	gate_damage(a, of->h.dir_id, NULL, of->h.file_id, (int64_t)block, -EBADMSG, why);
	return -EBADMSG;
}

bool content_bad(const struct ofile *of)
{
	uint64_t bad = atomic_load(&of->inode->bad);
	return bad && bad == of->h.generation;
}

errint_t content_differs(struct archive *a, const struct ofile *of)
{
	gate_damage(a, of->h.dir_id, NULL, of->h.file_id, -1, -EBADMSG, "content root differs: a block was put back from an earlier version");
	return -EBADMSG;
}

/* seen_lock held. The table for this generation; NULL while the file is being written, or without memory. */
static struct seen_blocks *seen_for(struct archive *a, const struct ofile *of)
{
	struct inode *i = of->inode;
	struct seen_blocks *s = i->seen;
	if (of->dirty)
		return NULL;
	if (!s || s->generation != of->h.generation) {
		uint64_t blocks = block_count(a, of->size);
		free(s);
		i->seen = s = calloc(1, sizeof *s + blocks * LEAF_BYTES);
		if (s) {
			s->generation = of->h.generation;
			s->blocks = blocks;
		}
	}
	return s;
}

static errint_t seen_add(struct archive *a, const struct ofile *of, uint64_t block, const uint8_t leaf[static LEAF_BYTES])
{
	static const uint8_t none[LEAF_BYTES];
	struct inode *i = of->inode;
	bool differs = false;
	pthread_mutex_lock(&i->seen_lock);
	struct seen_blocks *s = seen_for(a, of);
	if (s && block < s->blocks) {
		s->count += !memcmp(s->leaf[block], none, LEAF_BYTES);
		xor_leaf(s->sum, s->leaf[block]);
		xor_leaf(s->sum, leaf);
		memcpy(s->leaf[block], leaf, LEAF_BYTES);
		differs = s->count == s->blocks && !crypt_equal(s->sum, of->h.root, LEAF_BYTES);
	}
	pthread_mutex_unlock(&i->seen_lock);
	if (!differs)
		return 0;
	atomic_store(&i->bad, of->h.generation);
	sweeper_drop_pages(a, i);
	return content_differs(a, of);
}

/* Blocks that one thread reads or seals at a time: half of them are not worth waking another for. */
static size_t part_blocks(const struct archive *a)
{
	return a->block_size < PART_BYTES ? PART_BYTES / a->block_size : 1;
}

static size_t part_count(const struct archive *a, size_t blocks)
{
	return (blocks + part_blocks(a) - 1) / part_blocks(a);
}

static errint_t read_blocks(struct archive *a, struct ofile *of, uint64_t first, size_t n, uint8_t *out)
{
	const size_t nonce = suite_nonce_bytes(a->suite), tag = suite_tag_bytes(a->suite);
	uint8_t meta[SPAN_MAX][BLOCK_NONCE_MAX + BLOCK_TAG_MAX];
	struct iovec iov[3 * SPAN_MAX];
	size_t want = 0, at = 0;
	for (size_t i = 0; i < n; i++) {
		size_t len = block_len(a, of->size, first + i);
		iov[3 * i] = (struct iovec){meta[i], nonce};
		iov[3 * i + 1] = (struct iovec){out + at, len};
		iov[3 * i + 2] = (struct iovec){meta[i] + BLOCK_NONCE_MAX, tag};
		at += len;
		want += nonce + len + tag;
	}
	ssize_t got = io_preadv(of->fd, iov, (int)(3 * n), (off_t)block_offset(a->suite, a->block_size, first));
	if (got < 0)
		return (errint_t)got;
	if ((size_t)got != want)
		return damaged(a, of, first, "the backing file ends before its last block");
	at = 0;
	for (size_t i = 0; i < n; i++) {
		size_t len = block_len(a, of->size, first + i);
		uint8_t leaf[LEAF_BYTES], *t = meta[i] + BLOCK_NONCE_MAX;
		if (block_open(of->keys, first + i, meta[i], out + at, len, t, out + at))
			return damaged(a, of, first + i, "block does not authenticate");
		block_leaf(of->keys, first + i, meta[i], t, leaf);
		errint_t r = seen_add(a, of, first + i, leaf);
		if (r)
			return r;
		at += len;
	}
	return 0;
}

struct read_work {
	struct archive *a;
	struct ofile *of;
	uint64_t first;
	size_t n;
	uint8_t *out;
	errint_t error[TEAM_PARTS_MAX];
};

static void read_part(void *ctx, size_t i)
{
	struct read_work *w = ctx;
	size_t from = i * part_blocks(w->a), n = min_size(w->n - from, part_blocks(w->a));
	w->error[i] = read_blocks(w->a, w->of, w->first + from, n, w->out + from * w->a->block_size);
}

static errint_t read_result(void *ctx, size_t i)
{
	return ((struct read_work *)ctx)->error[i];
}

/* Whole blocks [first, first + n) of the current size into `out`, opened in place. */
static errint_t read_run(struct archive *a, struct ofile *of, uint64_t first, size_t n, uint8_t *out)
{
	struct read_work w = {.a = a, .of = of, .first = first, .n = n, .out = out};
	errint_t r = team_run(a->team, &(struct team_work){part_count(a, n), read_part, read_result, &w});
	if (r)
		memset(out, 0, (n - 1) * a->block_size + block_len(a, of->size, first + n - 1));
	return r;
}

/* A block that is not yet in place, from memory. */
static errint_t open_pending(struct archive *a, struct ofile *of, const struct pending_block *p, uint8_t *out)
{
	const uint8_t *cipher = p->sealed + suite_nonce_bytes(a->suite);
	return block_open(of->keys, p->index, p->sealed, cipher, p->len, cipher + p->len, out);
}

/* One block's plaintext into `out`, from memory or from disk. */
errint_t load_block(struct archive *a, struct ofile *of, uint64_t index, uint8_t *out)
{
	const struct pending_block *p = journal_pending(of, index);
	scratch.plain |= out == scratch.p;
	if (p)
		return open_pending(a, of, p, out);
	if (of->tail && of->tail_len && of->tail_index == index) {
		memcpy(out, of->tail, of->tail_len);
		return 0;
	}
	return read_run(a, of, index, 1, out);
}

static bool only_in_memory(const struct ofile *of, uint64_t index)
{
	return journal_pending(of, index) || (of->torn && of->tail_len && of->tail_index == index);
}

ssize_t ofile_read(struct archive *a, struct ofile *of, void *out, size_t len, uint64_t off)
{
	if (content_bad(of))
		return content_differs(a, of);
	const uint32_t B = a->block_size;
	uint8_t *to = out;
	uint64_t size = of->size;
	size_t done = 0;
	if (off >= size)
		return 0;
	len = (size_t)min_u64(len, size - off);
	while (done < len) {
		uint64_t index = (off + done) / B;
		size_t skip = (off + done) % B, have = block_len(a, size, index);
		errint_t r;
		if (!skip && len - done >= have && !only_in_memory(of, index)) {
			size_t n = 1, bytes = have;
			while (n < SPAN_MAX && bytes < RUN_BYTES && bytes < len - done &&
			       len - done - bytes >= block_len(a, size, index + n) && !only_in_memory(of, index + n))
				bytes += block_len(a, size, index + n++);
			r = read_run(a, of, index, n, to + done);
			done += r ? 0 : bytes;
		} else {
			uint8_t *block = scratch_get(a);
			size_t part = min_size(len - done, have - skip);
			r = block ? load_block(a, of, index, block) : -ENOMEM;
			if (!r)
				memcpy(to + done, block + skip, part);
			done += r ? 0 : part;
		}
		if (r)
			return r;
	}
	return (ssize_t)done;
}

/* ---- writing ------------------------------------------------------------------------------------------------------------- */

/* The part of the root that a block has now: read from its nonce and tag. */
errint_t leaf_of(struct archive *a, struct ofile *of, uint64_t index, uint8_t leaf[static LEAF_BYTES])
{
	uint8_t nonce[BLOCK_NONCE_MAX], tag[BLOCK_TAG_MAX];
	const size_t nn = suite_nonce_bytes(a->suite), tn = suite_tag_bytes(a->suite);
	const struct pending_block *p = journal_pending(of, index);
	if (p || (of->tail && of->tail_len && of->tail_index == index)) {
		memcpy(leaf, p ? p->leaf : of->tail_leaf, LEAF_BYTES);
		return 0;
	}
	off_t at = (off_t)block_offset(a->suite, a->block_size, index);
	ssize_t r = io_pread(of->fd, nonce, nn, at);
	if (r == (ssize_t)nn)
		r = io_pread(of->fd, tag, tn, at + (off_t)(nn + block_len(a, of->size, index)));
	if (r < 0)
		return (errint_t)r;
	if (r != (ssize_t)tn)
		return damaged(a, of, index, "the backing file ends before its last block");
	block_leaf(of->keys, index, nonce, tag, leaf);
	return 0;
}

void tail_keep(struct archive *a, struct ofile *of, uint64_t index, const uint8_t *plain, size_t len,
		      const uint8_t leaf[static LEAF_BYTES])
{
	of->tail_len = 0;
	if (len == a->block_size)
		return;
	if (!of->tail && !(of->tail = malloc(a->block_size)))
		return;
	if (of->tail != plain)
		memcpy(of->tail, plain, len);
	of->tail_index = index;
	of->tail_len = len;
	memcpy(of->tail_leaf, leaf, LEAF_BYTES);
}

void run_reset(const struct archive *a, struct run *run, uint64_t first, uint8_t *room)
{
	run->first = first;
	run->sealed = room ? room + a->block_size + FILE_HEADER_BYTES : NULL;
	run->len = run->blocks = run->last_len = 0;
}

/* The next block of a run, of which nothing is sealed yet: run_seal does that as long as `plain` stays. */
static size_t run_append(struct archive *a, struct run *run, const uint8_t *plain, size_t len)
{
	run->plain[run->blocks] = plain;
	memset(run->delta[run->blocks], 0, LEAF_BYTES);
	run->len += suite_nonce_bytes(a->suite) + len + suite_tag_bytes(a->suite);
	run->last_len = len;
	return run->blocks++;
}

/* Block k, unless it is. */
static void run_seal(struct archive *a, struct ofile *of, struct run *run, size_t k)
{
	const size_t nn = suite_nonce_bytes(a->suite), full = a->block_size + a->overhead;
	const size_t len = k + 1 == run->blocks ? run->last_len : a->block_size;
	uint8_t *p = run->sealed + k * full;
	if (!run->plain[k])
		return;
	block_seal(of->keys, run->first + k, run->plain[k], len, p, p + nn, p + nn + len, run->leaf[k]);
	xor_leaf(run->delta[k], run->leaf[k]);
	run->plain[k] = NULL;
}

void run_add(struct archive *a, struct ofile *of, struct run *run, const uint8_t *plain, size_t len)
{
	run_seal(a, of, run, run_append(a, run, plain, len));
}

/* As io_pwrite, and tells how far it came. */
static errint_t pwrite_some(int fd, const uint8_t *in, size_t len, off_t off, size_t *done)
{
	for (*done = 0; *done < len;) {
		ssize_t n = pwrite(fd, in + *done, len - *done, off + (off_t)*done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		*done += (size_t)n;
	}
	return 0;
}

/* Space for a last block that grows is taken now: what was promised must not fail later. Where that cannot be asked for, it may. */
static errint_t reserve_space(struct archive *a, const struct ofile *of, uint64_t size)
{
	off_t now = (off_t)backing_size(a->suite, a->block_size, of->size), end = (off_t)backing_size(a->suite, a->block_size, size);
	if (!fallocate(of->fd, FALLOC_FL_KEEP_SIZE, now, end - now))
		return 0;
	return errno == ENOSPC || errno == EDQUOT || errno == EIO ? -errno : 0;
}

/* The blocks of a run that may be on disk already, which are its first ones, into the journal; *ret_whole of them. */
static errint_t run_journal(struct archive *a, struct ofile *of, struct run *run, size_t *ret_whole)
{
	const size_t full = a->block_size + a->overhead;
	errint_t r = 0;
	for (*ret_whole = 0; !r && *ret_whole < run->blocks && run->first + *ret_whole < of->old_blocks; *ret_whole += !r) {
		size_t k = *ret_whole, len = k + 1 == run->blocks ? run->last_len : a->block_size;
		uint64_t end = (run->first + k) * a->block_size + len;
		run_seal(a, of, run, k);
		if (end > of->size)
			r = reserve_space(a, of, end);
		if (!r)
			r = journal_put(a, of, run->first + k, run->sealed + k * full, len, run->leaf[k]);
	}
	return r;
}

/* The blocks of a run from `skip` on, some sealed while others are written; a header lies before them, or nothing. */
struct write_work {
	struct archive *a;
	struct ofile *of;
	struct run *run;
	size_t skip, head_len;
	size_t done; /* bytes on disk, the header among them */
};

static size_t write_part_end(const struct write_work *w, size_t i)
{
	return min_size(w->run->blocks, w->skip + (i + 1) * part_blocks(w->a));
}

static void seal_part(void *ctx, size_t i)
{
	struct write_work *w = ctx;
	for (size_t k = w->skip + i * part_blocks(w->a); k < write_part_end(w, i); k++)
		run_seal(w->a, w->of, w->run, k);
}

static errint_t write_part(void *ctx, size_t i)
{
	struct write_work *w = ctx;
	const size_t full = w->a->block_size + w->a->overhead, last = write_part_end(w, i);
	const size_t to = w->head_len + (last == w->run->blocks ? w->run->len : last * full) - w->skip * full;
	const uint8_t *from = w->run->sealed + w->skip * full - w->head_len;
	const off_t at = w->head_len ? 0 : (off_t)block_offset(w->a->suite, w->a->block_size, w->run->first + w->skip);
	size_t n;
	errint_t r = pwrite_some(w->of->fd, from + w->done, to - w->done, at + (off_t)w->done, &n);
	w->done += n;
	return r;
}

/* Puts a run on disk, a new file's header before it; *ret_whole blocks of it are there, even if not all could be written. */
static errint_t run_write(struct archive *a, struct ofile *of, struct run *run, size_t *ret_whole)
{
	const size_t full = a->block_size + a->overhead;
	struct write_work w = {.a = a, .of = of, .run = run, .head_len = of->on_disk ? 0 : FILE_HEADER_BYTES};
	struct file_header h = of->h;
	errint_t r = run_journal(a, of, run, &w.skip);
	*ret_whole = w.skip;
	if (r || w.skip == run->blocks)
		return r;
	if (w.head_len) { /* a new file has no old blocks: nothing is skipped */
		uint8_t *head = run->sealed - w.head_len;
		memset(head, 0, w.head_len);
		h.generation++;
		header_seal(a->keys, a->uuid, a->suite, &h, head);
	}
	of->changes++;
	if (!of->young_since)
		of->young_since = monotonic_seconds();
	r = team_run(a->team, &(struct team_work){part_count(a, run->blocks - w.skip), seal_part, write_part, &w});
	if (w.head_len && w.done >= w.head_len) {
		of->h = h;
		of->slot = 0;
		of->on_disk = true;
	}
	w.done -= min_size(w.done, w.head_len);
	*ret_whole = r ? w.skip + w.done / full : run->blocks;
	return r;
}

/* The last, partial block as it was, from memory: a write that was to make it longer came to its end half way. */
static errint_t tail_restore(struct archive *a, struct ofile *of)
{
	uint8_t *block = scratch_get(a);
	struct run run;
	size_t done;
	run_reset(a, &run, of->tail_index, block);
	run_add(a, of, &run, of->tail, of->tail_len);
	errint_t r = pwrite_some(of->fd, run.sealed, run.len, (off_t)block_offset(a->suite, a->block_size, run.first), &done);
	if (r)
		return r;
	xor_leaf(of->root, of->tail_leaf);
	xor_leaf(of->root, run.leaf[0]);
	memcpy(of->tail_leaf, run.leaf[0], LEAF_BYTES);
	return 0;
}

errint_t ofile_mend(struct archive *a, struct ofile *of)
{
	const off_t end = of->on_disk ? (off_t)backing_size(a->suite, a->block_size, of->size) : 0;
	struct stat st;
	errint_t r = fstat(of->fd, &st) || (st.st_size > end && ftruncate(of->fd, end)) ? -EIO : 0;
	if (!r && of->tail_len)
		r = tail_restore(a, of);
	of->torn = r != 0;
	return r;
}

/* After a write that ended early. */
static errint_t run_mend(struct archive *a, struct ofile *of, const struct run *run, size_t whole)
{
	const uint64_t torn = run->first + whole;
	if (torn < of->old_blocks)
		return 0; /* it is as it was */
	if (torn >= block_count(a, of->size))
		of->tail_len = 0;
	else if (!of->tail_len || of->tail_index != torn)
		return -EIO;
	return ofile_mend(a, of);
}

/* Block i, of which the bytes in [from, to) are new and come from `in`: its plaintext, in `block` if part of the old one is kept. */
static errint_t merge(struct archive *a, struct ofile *of, uint64_t i, size_t old, uint64_t from, uint64_t to, const uint8_t *in,
		      uint8_t *block, const uint8_t leaf[static LEAF_BYTES], const uint8_t **ret)
{
	const uint64_t start = i * a->block_size;
	const bool part = from > start || to - start < old;
	const bool grows = old && to - start > old && !(of->tail && of->tail_len && of->tail_index == i);
	errint_t r = old && (part || grows) ? load_block(a, of, i, block) : 0;
	if (r)
		return r;
	if (grows)
		tail_keep(a, of, i, block, old, leaf); /* the disk may be full */
	scratch.plain |= part && block == scratch.p;
	if (part)
		memcpy(block + (from - start), in, (size_t)(to - from));
	*ret = part ? block : in;
	return 0;
}

/* At most RUN_BYTES at off <= size. Returns how many bytes are written; fewer, or an error, if not all could be. */
ssize_t write_run(struct archive *a, struct ofile *of, const uint8_t *in, size_t len, uint64_t off)
{
	const uint32_t B = a->block_size;
	const uint64_t size = of->size, end = off + len, existing = block_count(a, size);
	uint8_t *block = scratch_get(a), leaf[LEAF_BYTES];
	struct run run;
	const uint8_t *plain = NULL;
	size_t plain_len = 0, whole;
	errint_t r = block ? 0 : -ENOMEM;
	run_reset(a, &run, off / B, block);
	for (uint64_t i = off / B; !r && i * B < end; i++) {
		uint64_t start = i * B, from = off > start ? off : start, to = end < start + B ? end : start + B;
		size_t old = i < existing ? block_len(a, size, i) : 0;
		if (i < existing)
			r = leaf_of(a, of, i, leaf);
		/* Part of a block is kept at each end at most; the second overwrites the first in `block`, which is sealed by then. */
		if (!r)
			r = merge(a, of, i, old, from, to, in + (from - off), block, leaf, &plain);
		plain_len = to - start > old ? (size_t)(to - start) : old;
		if (r)
			break;
		size_t k = run_append(a, &run, plain, plain_len);
		if (i < existing)
			xor_leaf(run.delta[k], leaf);
		if (plain == block)
			run_seal(a, of, &run, k);
	}
	if (r)
		return r;
	r = run_write(a, of, &run, &whole);
	for (size_t k = 0; k < whole; k++)
		xor_leaf(of->root, run.delta[k]);
	uint64_t reached = r ? min_u64(end, (run.first + whole) * B) : end;
	if (reached > size)
		of->size = reached;
	if (r) {
		errint_t mended = run_mend(a, of, &run, whole);
		return mended ? mended : reached > off ? (ssize_t)(reached - off) : r;
	}
	/* Who writes whole blocks at a time seldom goes on in the last one, and pays for a copy of it that nobody wants. */
	if (len >= B)
		of->tail_len = 0;
	else if ((end - 1) / B + 1 == block_count(a, of->size))
		tail_keep(a, of, (end - 1) / B, plain, plain_len, run.leaf[run.blocks - 1]);
	return (ssize_t)len;
}

ssize_t ofile_write(struct archive *a, struct ofile *of, const void *in, size_t len, uint64_t off)
{
	const uint64_t limit = (uint64_t)INT64_MAX / 2;
	if (off > limit || len > limit - off)
		return -EFBIG;
	if (!len)
		return 0;
	errint_t r = ofile_begin_write(a, of);
	if (!r)
		r = ofile_finish(a, of);
	if (!r && of->young_since && monotonic_seconds() - of->young_since >= WRITEBACK_SECONDS) {
		of->old_blocks = block_count(a, of->size);
		of->young_since = 0;
	}
	if (!r && off > of->size)
		r = ofile_extend(a, of, off);
	size_t done = 0;
	while (!r && done < len) {
		size_t part = min_size(len - done, RUN_BYTES);
		ssize_t n = write_run(a, of, (const uint8_t *)in + done, part, off + done);
		if (n < 0 && !done)
			return n;
		done += n > 0 ? (size_t)n : 0;
		if (n != (ssize_t)part)
			break;
	}
	return r ? r : (ssize_t)done;
}
