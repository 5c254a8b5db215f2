#include "store/audit_segment.h"

#include "base/io.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CHUNK       (256u << 10)
#define NAME_DIGITS 16
#define NAME_SUFFIX ".seg"

void segment_name(uint64_t first, char out[static SEGMENT_NAME_BYTES])
{
	snprintf(out, SEGMENT_NAME_BYTES, "%016" PRIx64 NAME_SUFFIX, first);
}

static bool name_parse(const char *name, uint64_t *ret)
{
	uint64_t v = 0;
	if (strlen(name) != NAME_DIGITS + sizeof NAME_SUFFIX - 1 || strcmp(name + NAME_DIGITS, NAME_SUFFIX))
		return false;
	for (size_t i = 0; i < NAME_DIGITS; i++) {
		const char *digits = "0123456789abcdef", *d = strchr(digits, name[i]);
		if (!d)
			return false;
		v = v << 4 | (uint64_t)(d - digits);
	}
	*ret = v;
	return v > 0;
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static void cleanup_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

errint_t segment_list(int dirfd, uint64_t **ret, size_t *ret_count)
{
	cleanup_fd int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	__attribute__((cleanup(cleanup_dir))) DIR *dir = fdopendir(fd);
	if (!dir)
		return -errno;
	steal_fd(&fd);
	cleanup_free uint64_t *first = NULL;
	size_t count = 0, cap = 0;
	for (struct dirent *e; errno = 0, (e = readdir(dir));) {
		uint64_t v;
		if (!name_parse(e->d_name, &v))
			continue;
		if (count == cap) {
			cap = cap ? 2 * cap : 16;
			uint64_t *more = realloc(first, cap * sizeof *more);
			if (!more)
				return -ENOMEM;
			first = more;
		}
		first[count++] = v;
	}
	if (errno)
		return -errno;
	if (count)
		qsort(first, count, sizeof *first, ascending);
	*ret = steal_ptr(&first);
	*ret_count = count;
	return 0;
}

errint_t segment_open(struct segment_reader *r, int dirfd, const struct segment_keys *k, uint64_t first)
{
	char name[SEGMENT_NAME_BYTES];
	uint8_t head[SEGMENT_HEAD_BYTES];
	segment_name(first, name);
	*r = (struct segment_reader){.keys = k, .fd = -1, .at = SEGMENT_HEAD_BYTES};
	cleanup_fd int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t n = io_pread(fd, head, sizeof head, 0);
	if (n < 0)
		return (errint_t)n;
	static const uint8_t zeros[SEGMENT_HEAD_BYTES];
	if (n < (ssize_t)sizeof head || !memcmp(head, zeros, sizeof head))
		return -ENODATA;
	errint_t e = k->log ? segment_head_open(k->log, k->uuid, head, &r->chain) : segment_head_peek(k->uuid, head, &r->chain);
	if (e)
		return e;
	if (r->chain.next != first || memcmp(r->chain.log_id, k->log_id, sizeof k->log_id))
		return -EBADMSG;
	if (!(r->buf = malloc(CHUNK)))
		return -ENOMEM;
	r->fd = steal_fd(&fd);
	return 0;
}

/* Moves what is left to the front and reads on behind it. */
static errint_t fill(struct segment_reader *r)
{
	r->have -= r->used;
	memmove(r->buf, r->buf + r->used, r->have);
	r->used = 0;
	ssize_t n = io_pread(r->fd, r->buf + r->have, CHUNK - r->have, r->at + (off_t)r->have);
	if (n < 0)
		return (errint_t)n;
	r->end_of_file = (size_t)n < CHUNK - r->have;
	r->have += (size_t)n;
	return 0;
}

/* A whole frame, if there is one. */
static errint_t have_frame(struct segment_reader *r)
{
	return r->have - r->used < RECORD_MAX_BYTES && !r->end_of_file ? fill(r) : 0;
}

static void behind_frame(struct segment_reader *r, size_t len)
{
	r->used += len;
	r->at += (off_t)len;
}

errint_t segment_pass(struct segment_reader *r)
{
	size_t len;
	errint_t e = have_frame(r);
	if (!e)
		e = audit_frame_pass(&r->chain, r->buf + r->used, r->have - r->used, &len);
	if (!e)
		behind_frame(r, len);
	return e;
}

errint_t segment_next(struct segment_reader *r, struct audit_record *ret)
{
	size_t len;
	if (!r->keys->log) {
		errint_t e = segment_pass(r);
		audit_record_clear(ret);
		ret->sequence = r->chain.next - 1;
		return e;
	}
	errint_t e = have_frame(r);
	if (!e)
		e = audit_frame_open(r->keys->log, &r->chain, r->buf + r->used, r->have - r->used, &len, ret);
	if (!e)
		behind_frame(r, len);
	return e;
}

void segment_seek(struct segment_reader *r, uint64_t next, uint64_t offset, const uint8_t head[static DIGEST_BYTES])
{
	const off_t begins = r->at - (off_t)r->used, ends = begins + (off_t)r->have;
	if ((off_t)offset >= begins && (off_t)offset <= ends) {
		r->used = (size_t)((off_t)offset - begins);
	} else {
		r->have = r->used = 0;
		r->end_of_file = false;
	}
	r->at = (off_t)offset;
	r->chain.next = next;
	memcpy(r->chain.head, head, DIGEST_BYTES);
}

bool segment_at_end(const struct segment_reader *r)
{
	return r->end_of_file && r->used == r->have;
}

void segment_close(struct segment_reader *r)
{
	free(r->buf);
	r->buf = NULL;
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
}
