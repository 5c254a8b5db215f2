#include "store/snapshot.h"

#include "base/io.h"
#include "store/internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SNAPSHOTS_DIR "snapshots"
#define NAME_BYTES    32

/* ---- names ------------------------------------------------------------------------------------------------------------------- */

static errint_t kind_name(enum snapshot_kind kind, char out[static NAME_BYTES])
{
	static const char *const names[] = {[SNAPSHOT_GUARD] = "guard", [SNAPSHOT_GENERATIONS] = "generations"};
	if ((size_t)kind >= ARRAY_SIZE(names) || !names[kind])
		return -EINVAL;
	snprintf(out, NAME_BYTES, "%s", names[kind]);
	return 0;
}

static int open_dir(struct archive *a)
{
	const int fd = openat(a->lapse_fd, SNAPSHOTS_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int need_dir(struct archive *a)
{
	if (mkdirat(a->lapse_fd, SNAPSHOTS_DIR, 0700)) {
		if (errno != EEXIST)
			return -errno;
	} else {
		errint_t e = io_fsync_dir(a->lapse_fd);
		if (e)
			return e;
	}
	return open_dir(a);
}

/* ---- writing ----------------------------------------------------------------------------------------------------------------- */

struct snapshot_writer {
	const struct master_keys *keys;
	char name[NAME_BYTES], part[NAME_BYTES + 8];
	int dirfd, fd;
	struct snapshot_chain chain;
	size_t len; /* of the chunk that is being filled */
	errint_t error;
	uint8_t frame[SNAPSHOT_FRAME_MAX];
};

static errint_t write_head(struct archive *a, struct snapshot_writer *w, enum snapshot_kind kind, uint32_t version, const struct audit_place *at)
{
	uint8_t bytes[SNAPSHOT_HEAD_BYTES];
	struct snapshot_head h = {.kind = kind,
		.version = version,
		.sequence = at->sequence,
		.segment = at->segment,
		.offset = at->offset,
		.trusted_ns = tclock_trusted_ns(a->clock)};
	memcpy(h.log_id, at->log_id, sizeof h.log_id);
	memcpy(h.chain, at->head, sizeof h.chain);
	snapshot_head_seal(a->keys, a->uuid, &h, bytes, &w->chain);
	return io_write(w->fd, bytes, sizeof bytes);
}

errint_t snapshot_begin(struct archive *a, enum snapshot_kind kind, uint32_t version, const struct audit_place *at, struct snapshot_writer **ret)
{
	struct snapshot_writer *w = a->observe ? NULL : calloc(1, sizeof *w);
	if (!w)
		return a->observe ? -EROFS : -ENOMEM;
	w->keys = a->keys;
	w->fd = w->dirfd = -1;
	errint_t e = kind_name(kind, w->name);
	if (!e && (w->dirfd = need_dir(a)) < 0)
		e = w->dirfd;
	if (!e) {
		snprintf(w->part, sizeof w->part, "%s.part", w->name);
		unlinkat(w->dirfd, w->part, 0); /* left by a crash */
		w->fd = openat(w->dirfd, w->part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		e = w->fd < 0 ? -errno : write_head(a, w, kind, version, at);
	}
	if (e) {
		snapshot_abandon(w);
		return e;
	}
	*ret = w;
	return 0;
}

static void write_chunk(struct snapshot_writer *w, bool last)
{
	const size_t len = snapshot_chunk_seal(w->keys, &w->chain, w->len, last, w->frame);
	w->len = 0;
	if (!w->error)
		w->error = io_write(w->fd, w->frame, len);
}

void snapshot_put(struct snapshot_writer *w, const void *p, size_t len)
{
	const uint8_t *from = p;
	while (len && !w->error) {
		const size_t n = min_size(len, SNAPSHOT_CHUNK_MAX - w->len);
		memcpy(w->frame + 4 + SMALL_TAG_BYTES + w->len, from, n);
		w->len += n;
		from += n;
		len -= n;
		if (w->len == SNAPSHOT_CHUNK_MAX)
			write_chunk(w, false);
	}
}

errint_t snapshot_commit(struct snapshot_writer *w)
{
	write_chunk(w, true);
	errint_t e = w->error;
	if (!e && (fsync(w->fd) || renameat(w->dirfd, w->part, w->dirfd, w->name)))
		e = -errno;
	if (!e) {
		*w->part = 0;
		e = io_fsync_dir(w->dirfd);
	}
	snapshot_abandon(w);
	return e;
}

void snapshot_abandon(struct snapshot_writer *w)
{
	if (!w)
		return;
	if (w->fd >= 0) {
		close(w->fd);
		if (*w->part)
			unlinkat(w->dirfd, w->part, 0);
	}
	if (w->dirfd >= 0)
		close(w->dirfd);
	explicit_bzero(w, sizeof *w);
	free(w);
}

/* ---- reading ----------------------------------------------------------------------------------------------------------------- */

struct snapshot_reader {
	const struct master_keys *keys;
	int fd;
	struct snapshot_chain chain;
	size_t have, used;
	bool last, bad;
	uint8_t frame[SNAPSHOT_FRAME_MAX], chunk[SNAPSHOT_CHUNK_MAX];
};

static errint_t read_exactly(int fd, void *out, size_t len)
{
	uint8_t *to = out;
	while (len) {
		const ssize_t n = read(fd, to, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EBADMSG;
		to += n;
		len -= (size_t)n;
	}
	return 0;
}

static errint_t read_head(struct archive *a, struct snapshot_reader *r, enum snapshot_kind kind, uint32_t version, struct audit_place *ret)
{
	uint8_t bytes[SNAPSHOT_HEAD_BYTES];
	struct snapshot_head h;
	errint_t e = read_exactly(r->fd, bytes, sizeof bytes);
	if (!e)
		e = snapshot_head_open(a->keys, a->uuid, bytes, &h, &r->chain);
	if (!e && (h.kind != kind || h.version != version))
		e = h.kind != kind ? -EBADMSG : -EPROTONOSUPPORT;
	if (e)
		return e;
	*ret = (struct audit_place){.sequence = h.sequence, .segment = h.segment, .offset = h.offset};
	memcpy(ret->log_id, h.log_id, sizeof ret->log_id);
	memcpy(ret->head, h.chain, sizeof ret->head);
	return audit_place_check(a->audit, ret);
}

errint_t snapshot_open(struct archive *a, enum snapshot_kind kind, uint32_t version, struct audit_place *ret_at, struct snapshot_reader **ret)
{
	char name[NAME_BYTES];
	struct stat st;
	errint_t e = kind_name(kind, name);
	cleanup_fd int dirfd = e ? -1 : open_dir(a);
	if (e || dirfd < 0)
		return e ? e : dirfd;
	cleanup_fd int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno == ELOOP ? -EBADMSG : -errno;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return -EBADMSG;
	struct snapshot_reader *r = calloc(1, sizeof *r);
	if (!r)
		return -ENOMEM;
	r->keys = a->keys;
	r->fd = steal_fd(&fd);
	if ((e = read_head(a, r, kind, version, ret_at))) {
		snapshot_end(r);
		return e;
	}
	*ret = r;
	return 0;
}

static bool next_chunk(struct snapshot_reader *r)
{
	size_t rest;
	if (r->bad || r->last)
		return false;
	r->bad = read_exactly(r->fd, r->frame, 4) || snapshot_chunk_length(r->frame, &rest, &r->last) || read_exactly(r->fd, r->frame + 4, rest) ||
		 snapshot_chunk_open(r->keys, &r->chain, r->frame, rest, r->chunk);
	if (r->bad)
		return false;
	r->have = rest - SMALL_TAG_BYTES;
	r->used = 0;
	return true;
}

bool snapshot_get(struct snapshot_reader *r, void *out, size_t len)
{
	uint8_t *to = out;
	size_t left = len;
	while (left && !r->bad) {
		if (r->used == r->have && !next_chunk(r)) {
			r->bad = true;
			break;
		}
		const size_t n = min_size(left, r->have - r->used);
		memcpy(to, r->chunk + r->used, n);
		r->used += n;
		to += n;
		left -= n;
	}
	if (r->bad)
		memset(out, 0, len);
	return !r->bad;
}

errint_t snapshot_end(struct snapshot_reader *r)
{
	uint8_t more;
	while (r->used == r->have && next_chunk(r))
		;
	const bool whole = !r->bad && r->last && r->used == r->have && read(r->fd, &more, 1) == 0;
	close(r->fd);
	explicit_bzero(r, sizeof *r);
	free(r);
	return whole ? 0 : -EBADMSG;
}

uint64_t snapshot_bytes(struct archive *a, enum snapshot_kind kind)
{
	char name[NAME_BYTES];
	struct stat st;
	cleanup_fd int dirfd = kind_name(kind, name) ? -1 : open_dir(a);
	return dirfd < 0 || fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) ? 0 : (uint64_t)st.st_size;
}

/* ---- of one piece ------------------------------------------------------------------------------------------------------------ */

errint_t snapshot_save(struct archive *a, enum snapshot_kind kind, uint32_t version, const struct audit_place *at, const void *body, size_t len)
{
	struct snapshot_writer *w;
	errint_t e = snapshot_begin(a, kind, version, at, &w);
	if (e)
		return e;
	snapshot_put(w, body, len);
	return snapshot_commit(w);
}

errint_t snapshot_load(struct archive *a, enum snapshot_kind kind, uint32_t version, size_t max, struct audit_place *ret_at, uint8_t **ret, size_t *ret_len)
{
	struct snapshot_reader *r;
	struct audit_place at;
	cleanup_free uint8_t *body = NULL;
	size_t len = 0;
	errint_t e = snapshot_open(a, kind, version, &at, &r);
	if (e)
		return e;
	while (!e && next_chunk(r)) {
		uint8_t *more = r->have > max - len ? NULL : realloc(body, len + r->have + 1);
		if (!more) {
			e = r->have > max - len ? -EFBIG : -ENOMEM;
			break;
		}
		body = more;
		memcpy(body + len, r->chunk, r->have);
		len += r->have;
		r->used = r->have;
	}
	const errint_t ended = snapshot_end(r);
	if (e || ended)
		return e ? e : ended;
	*ret_at = at;
	*ret = steal_ptr(&body);
	*ret_len = len;
	return 0;
}
