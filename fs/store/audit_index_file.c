/* audit_index_file.c - an index in its file: a head, and parts that are read as they are asked for, so that looking for one file in a year's segments reads little of
 * each. FORMAT.md "Index". */
#include "store/audit_index.h"

#include "base/buf.h"
#include "base/io.h"
#include "base/secret.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD_LABEL    "audit index"
#define PART_LABEL    "audit index part"
#define VERSION	      3
#define LENGTH_BYTES  4
#define HEAD_BYTES    16
#define POSTING_BYTES 8
#define PLACE_BYTES   (4 + DIGEST_BYTES)
#define PART_MAX      (INDEX_PLACES * PLACE_BYTES) /* the larger one */
#define FILE_AD_BYTES (UUID_BYTES + 16 + 8 + 8 + DIGEST_BYTES)
#define HEAD_MAX      (4u << 20)
#define POSTINGS_MAX  (1u << 29)

_Static_assert(INDEX_POSTINGS * POSTING_BYTES <= PART_MAX, "a part's buffer is too small");

struct index_file {
	int fd;
	const struct small_key *key; /* borrowed */
	uint8_t ad[FILE_AD_BYTES];
	uint64_t at; /* of the first part */
};

/* ---- its name and what it is bound to ---------------------------------------------------------------------------------------- */

static void index_name(uint64_t first, char out[static SEGMENT_NAME_BYTES])
{
	snprintf(out, SEGMENT_NAME_BYTES, "%016" PRIx64 ".idx", first);
}

bool audit_index_there(int dirfd, uint64_t first)
{
	char name[SEGMENT_NAME_BYTES];
	index_name(first, name);
	return !faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW);
}

static void index_ad(const struct segment_keys *k, uint64_t first, const struct audit_chain *end, uint8_t out[static FILE_AD_BYTES])
{
	struct wbuf w;
	wbuf_init(&w, out, FILE_AD_BYTES);
	wbuf_bytes(&w, k->uuid, UUID_BYTES);
	wbuf_bytes(&w, k->log_id, 16);
	wbuf_u64(&w, first);
	wbuf_u64(&w, end->next);
	wbuf_bytes(&w, end->head, DIGEST_BYTES);
	assert(!w.bad && w.len == w.cap);
}

static void part_ad(const uint8_t ad[static FILE_AD_BYTES], size_t part, uint8_t out[static FILE_AD_BYTES + 4])
{
	memcpy(out, ad, FILE_AD_BYTES);
	for (size_t i = 0; i < 4; i++)
		out[FILE_AD_BYTES + i] = (uint8_t)(part >> 8 * i);
}

/* ---- parts --------------------------------------------------------------------------------------------------------------------- */

static size_t posting_parts(const struct audit_index *x)
{
	return (x->postings + (size_t)INDEX_POSTINGS - 1) / INDEX_POSTINGS;
}

size_t audit_index_parts(const struct audit_index *x)
{
	return posting_parts(x) + (x->places + (size_t)INDEX_PLACES - 1) / INDEX_PLACES;
}

/* The first that it holds, and how many. */
static size_t items_of(const struct audit_index *x, size_t part, size_t *ret_count)
{
	const bool postings = part < posting_parts(x);
	const size_t each = postings ? INDEX_POSTINGS : INDEX_PLACES, all = postings ? x->postings : x->places;
	const size_t from = (postings ? part : part - posting_parts(x)) * each;
	*ret_count = all - from < each ? all - from : each;
	return from;
}

size_t audit_index_part_bytes(const struct audit_index *x, size_t part)
{
	size_t count;
	items_of(x, part, &count);
	return count * (part < posting_parts(x) ? POSTING_BYTES : PLACE_BYTES);
}

/* Of the end of all, too. */
static uint64_t offset_of(const struct audit_index *x, size_t part)
{
	const size_t parts = posting_parts(x), before = part < parts ? part : parts, behind = part - before;
	const uint64_t postings = part < parts ? part * (uint64_t)INDEX_POSTINGS : x->postings;
	const uint64_t places = behind * (uint64_t)INDEX_PLACES < x->places ? behind * (uint64_t)INDEX_PLACES : x->places;
	return part * (uint64_t)SMALL_TAG_BYTES + postings * POSTING_BYTES + places * PLACE_BYTES;
}

static bool ascends(const struct index_posting *a, const struct index_posting *b)
{
	return a->key < b->key || (a->key == b->key && a->record < b->record);
}

static bool parse_postings(struct audit_index *x, size_t part, size_t from, size_t count, struct rbuf *r)
{
	bool good = true;
	for (size_t i = from; i < from + count; i++) {
		x->posting[i].key = rbuf_u32(r);
		x->posting[i].record = rbuf_u32(r);
		good = good && x->posting[i].record < x->records && (i == from || ascends(&x->posting[i - 1], &x->posting[i]));
	}
	return good && x->posting[from].key == x->first_key[part] && (part + 1 == posting_parts(x) || x->posting[from + count - 1].key <= x->first_key[part + 1]);
}

static bool parse_places(struct audit_index *x, size_t from, size_t count, struct rbuf *r)
{
	bool good = true;
	for (size_t i = from; i < from + count; i++) {
		x->place[i].offset = rbuf_u32(r);
		rbuf_bytes(r, x->place[i].head, DIGEST_BYTES);
		good = good && x->place[i].offset >= SEGMENT_HEAD_BYTES && (i == from || x->place[i].offset > x->place[i - 1].offset);
	}
	return good;
}

errint_t audit_index_parse_part(struct audit_index *x, size_t part, const uint8_t *plain)
{
	struct rbuf r;
	size_t count;
	const size_t from = items_of(x, part, &count);
	rbuf_init(&r, plain, audit_index_part_bytes(x, part));
	const bool good = part < posting_parts(x) ? parse_postings(x, part, from, count, &r) : parse_places(x, from, count, &r);
	return good && rbuf_done(&r) ? 0 : -EBADMSG;
}

errint_t audit_index_part(struct audit_index *x, size_t part)
{
	uint8_t sealed[SMALL_TAG_BYTES + PART_MAX], plain[PART_MAX], ad[FILE_AD_BYTES + 4];
	if (x->have[part])
		return 0;
	const size_t len = audit_index_part_bytes(x, part);
	ssize_t n = io_pread(x->file->fd, sealed, SMALL_TAG_BYTES + len, (off_t)(x->file->at + offset_of(x, part)));
	if (n < 0)
		return (errint_t)n;
	part_ad(x->file->ad, part, ad);
	errint_t e = (size_t)n < SMALL_TAG_BYTES + len ? -EBADMSG : small_open(x->file->key, PART_LABEL, ad, sizeof ad, sealed, len, plain);
	if (!e)
		e = audit_index_parse_part(x, part, plain);
	x->have[part] = !e;
	return e;
}

/* ---- head ------------------------------------------------------------------------------------------------------------------------ */

errint_t audit_index_parse(const uint8_t *plain, size_t len, struct audit_index *ret)
{
	struct rbuf r;
	struct audit_index x = {0};
	rbuf_init(&r, plain, len);
	const uint32_t version = rbuf_u32(&r);
	x.records = rbuf_u32(&r);
	x.postings = rbuf_u32(&r);
	x.places = rbuf_u32(&r);
	if (r.bad || version != VERSION || x.postings > POSTINGS_MAX || x.places != (x.records + (uint64_t)INDEX_STRIDE - 1) / INDEX_STRIDE ||
		r.left != (uint64_t)posting_parts(&x) * 4)
		return -EBADMSG;
	x.posting = calloc(x.postings + (size_t)1, sizeof *x.posting);
	x.place = calloc(x.places + (size_t)1, sizeof *x.place);
	x.first_key = reallocarray(NULL, posting_parts(&x) + 1, sizeof *x.first_key);
	x.have = calloc(audit_index_parts(&x) + 1, sizeof *x.have);
	if (!x.posting || !x.place || !x.first_key || !x.have) {
		audit_index_free(&x);
		return -ENOMEM;
	}
	bool good = true;
	for (size_t i = 0; i < posting_parts(&x); i++) {
		x.first_key[i] = rbuf_u32(&r);
		good = good && (!i || x.first_key[i - 1] <= x.first_key[i]);
	}
	if (!good) {
		audit_index_free(&x);
		return -EBADMSG;
	}
	*ret = x;
	return 0;
}

void audit_index_close(struct audit_index *x)
{
	if (x->file)
		close(x->file->fd);
	free(x->file);
	x->file = NULL;
}

static errint_t read_head(int fd, const struct small_key *key, const uint8_t ad[static FILE_AD_BYTES], struct audit_index *ret, uint64_t *ret_at)
{
	uint8_t length[LENGTH_BYTES];
	struct rbuf r;
	ssize_t n = io_pread(fd, length, sizeof length, 0);
	if (n < (ssize_t)sizeof length)
		return n < 0 ? (errint_t)n : -EBADMSG;
	rbuf_init(&r, length, sizeof length);
	const size_t len = rbuf_u32(&r);
	if (len < HEAD_BYTES || len > HEAD_MAX)
		return -EBADMSG;
	cleanup_free uint8_t *sealed = malloc(SMALL_TAG_BYTES + len), *plain = malloc(len);
	if (!sealed || !plain)
		return -ENOMEM;
	n = io_pread(fd, sealed, SMALL_TAG_BYTES + len, LENGTH_BYTES);
	if (n < (ssize_t)(SMALL_TAG_BYTES + len))
		return n < 0 ? (errint_t)n : -EBADMSG;
	*ret_at = LENGTH_BYTES + SMALL_TAG_BYTES + len;
	errint_t e = small_open(key, HEAD_LABEL, ad, FILE_AD_BYTES, sealed, len, plain);
	return e ? e : audit_index_parse(plain, len, ret);
}

errint_t audit_index_load(int dirfd, const struct segment_keys *k, uint64_t first, const struct audit_chain *end, struct audit_index *ret)
{
	char name[SEGMENT_NAME_BYTES];
	struct audit_index x;
	struct stat st;
	index_name(first, name);
	cleanup_fd int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return -EBADMSG;
	struct index_file *file = calloc(1, sizeof *file);
	if (!file)
		return -ENOMEM;
	file->key = k->log;
	index_ad(k, first, end, file->ad);
	errint_t e = read_head(fd, k->log, file->ad, &x, &file->at);
	if (!e && (uint64_t)st.st_size != file->at + offset_of(&x, audit_index_parts(&x))) {
		audit_index_free(&x);
		e = -EBADMSG;
	}
	if (e) {
		free(file);
		return e;
	}
	file->fd = steal_fd(&fd);
	x.file = file;
	*ret = x;
	return 0;
}

/* ---- writing --------------------------------------------------------------------------------------------------------------------- */

static errint_t write_head(int fd, const struct small_key *key, const uint8_t ad[static FILE_AD_BYTES], const struct audit_index *x)
{
	struct wbuf w;
	const size_t parts = posting_parts(x), len = HEAD_BYTES + 4 * parts;
	cleanup_free uint8_t *plain = malloc(len), *out = malloc(LENGTH_BYTES + SMALL_TAG_BYTES + len);
	if (!plain || !out)
		return -ENOMEM;
	wbuf_init(&w, plain, len);
	wbuf_u32(&w, VERSION);
	wbuf_u32(&w, x->records);
	wbuf_u32(&w, x->postings);
	wbuf_u32(&w, x->places);
	for (size_t i = 0; i < parts; i++)
		wbuf_u32(&w, x->posting[i * INDEX_POSTINGS].key);
	wbuf_init(&w, out, LENGTH_BYTES);
	wbuf_u32(&w, (uint32_t)len);
	small_seal(key, HEAD_LABEL, ad, FILE_AD_BYTES, plain, len, out + LENGTH_BYTES);
	return io_write(fd, out, LENGTH_BYTES + SMALL_TAG_BYTES + len);
}

static errint_t write_part(int fd, const struct small_key *key, const uint8_t file_ad[static FILE_AD_BYTES], const struct audit_index *x, size_t part)
{
	uint8_t plain[PART_MAX], out[SMALL_TAG_BYTES + PART_MAX], ad[FILE_AD_BYTES + 4];
	struct wbuf w;
	size_t count;
	const size_t from = items_of(x, part, &count), len = audit_index_part_bytes(x, part);
	wbuf_init(&w, plain, len);
	for (size_t i = from; i < from + count; i++) {
		if (part < posting_parts(x)) {
			wbuf_u32(&w, x->posting[i].key);
			wbuf_u32(&w, x->posting[i].record);
		} else {
			wbuf_u32(&w, x->place[i].offset);
			wbuf_bytes(&w, x->place[i].head, DIGEST_BYTES);
		}
	}
	assert(!w.bad && w.len == len);
	part_ad(file_ad, part, ad);
	small_seal(key, PART_LABEL, ad, sizeof ad, plain, len, out);
	return io_write(fd, out, SMALL_TAG_BYTES + len);
}

errint_t audit_index_save(int dirfd, const struct segment_keys *k, uint64_t first, const struct audit_chain *end, const struct audit_index *x)
{
	char name[SEGMENT_NAME_BYTES], part[SEGMENT_NAME_BYTES + 8];
	uint8_t ad[FILE_AD_BYTES];
	if (x->postings > POSTINGS_MAX || HEAD_BYTES + 4 * posting_parts(x) > HEAD_MAX)
		return -EFBIG;
	index_ad(k, first, end, ad);
	index_name(first, name);
	snprintf(part, sizeof part, "%s.part", name);
	cleanup_fd int fd = openat(dirfd, part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	errint_t e = write_head(fd, k->log, ad, x);
	for (size_t i = 0; !e && i < audit_index_parts(x); i++)
		e = write_part(fd, k->log, ad, x, i);
	if (!e && renameat(dirfd, part, dirfd, name))
		e = -errno;
	if (e)
		unlinkat(dirfd, part, 0);
	return e;
}
