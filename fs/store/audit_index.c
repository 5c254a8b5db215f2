#include "store/audit_index.h"

#include "base/buf.h"
#include "base/io.h"
#include "base/secret.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LABEL	      "audit index"
#define VERSION	      1
#define HEAD_BYTES    16
#define POSTING_BYTES 8
#define PLACE_BYTES   (4 + DIGEST_BYTES)
#define AD_BYTES      (UUID_BYTES + 16 + 8 + 8 + DIGEST_BYTES)
#define FILE_MAX      (256u << 20)
#define KEYS_MAX      5 /* of one record: a file, three uids, an end */

void audit_index_free(struct audit_index *x)
{
	free(x->posting);
	free(x->place);
	*x = (struct audit_index){0};
}

/* ---- keys ------------------------------------------------------------------------------------------------------------------- */

uint32_t index_key_of_file(const uint8_t file_id[static 16])
{
	return (uint32_t)file_id[0] | (uint32_t)file_id[1] << 8 | (uint32_t)file_id[2] << 16 | (uint32_t)file_id[3] << 24;
}

uint32_t index_key_of_uid(uint32_t uid)
{
	return (uid ^ 0x55aa55aau) * 0x9e3779b1u;
}

uint32_t index_key_of_ends(void)
{
	return 0xe4d5u;
}

/* ---- making ------------------------------------------------------------------------------------------------------------------ */

static size_t keys_of(const struct audit_record *r, uint32_t key[static KEYS_MAX])
{
	static const uint8_t none[16];
	size_t n = 0;
	if (memcmp(r->file_id, none, sizeof none))
		key[n++] = index_key_of_file(r->file_id);
	if (r->kind == RECORD_UNLINK || r->kind == RECORD_EXPIRE || r->kind == RECORD_DESTROY)
		key[n++] = index_key_of_ends();
	const uint32_t uid[] = {r->uid, r->login_uid, r->real_uid};
	for (size_t i = 0; i < ARRAY_SIZE(uid); i++)
		if (uid[i] != UINT32_MAX && (i < 1 || uid[i] != uid[0]) && (i < 2 || uid[i] != uid[1]))
			key[n++] = index_key_of_uid(uid[i]);
	return n;
}

static int by_key(const void *a, const void *b)
{
	const struct index_posting *x = a, *y = b;
	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->record < y->record ? -1 : x->record > y->record;
}

static errint_t room(void *items, uint32_t count, size_t *cap, size_t size, size_t more)
{
	void **p = items;
	if (count + more <= *cap)
		return 0;
	*cap = *cap ? 2 * *cap : 4096;
	void *grown = reallocarray(*p, *cap, size);
	if (!grown)
		return -ENOMEM;
	*p = grown;
	return 0;
}

static errint_t gather(struct segment_reader *r, uint64_t first, const struct audit_chain *end, struct audit_index *x)
{
	size_t posting_cap = 0, place_cap = 0;
	struct audit_record rec;
	uint32_t key[KEYS_MAX];
	while (r->chain.next < end->next) {
		if (r->at > UINT32_MAX || r->chain.next - first >= UINT32_MAX)
			return -EFBIG;
		const uint32_t number = (uint32_t)(r->chain.next - first);
		errint_t e = room(&x->posting, x->postings, &posting_cap, sizeof *x->posting, KEYS_MAX);
		if (!e && number % INDEX_STRIDE == 0 && !(e = room(&x->place, x->places, &place_cap, sizeof *x->place, 1))) {
			x->place[x->places].offset = (uint32_t)r->at;
			memcpy(x->place[x->places++].head, r->chain.head, DIGEST_BYTES);
		}
		if (!e)
			e = segment_next(r, &rec);
		if (e)
			return e == -ENODATA ? -EBADMSG : e;
		const size_t n = keys_of(&rec, key);
		for (size_t i = 0; i < n; i++)
			x->posting[x->postings++] = (struct index_posting){key[i], number};
		x->records++;
	}
	return crypt_equal(r->chain.head, end->head, DIGEST_BYTES) ? 0 : -EBADMSG;
}

errint_t audit_index_make(int dirfd, const struct segment_keys *k, uint64_t first, const struct audit_chain *end, struct audit_index *ret)
{
	struct segment_reader r;
	struct audit_index x = {0};
	errint_t e = segment_open(&r, dirfd, k, first);
	if (e)
		return e == -ENODATA ? -EBADMSG : e;
	e = gather(&r, first, end, &x);
	segment_close(&r);
	if (e) {
		audit_index_free(&x);
		return e;
	}
	if (x.postings)
		qsort(x.posting, x.postings, sizeof *x.posting, by_key);
	*ret = x;
	return 0;
}

void audit_index_find(const struct audit_index *x, uint32_t key, size_t *ret_from, size_t *ret_to)
{
	size_t low = 0, high = x->postings;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (x->posting[middle].key < key)
			low = middle + 1;
		else
			high = middle;
	}
	*ret_from = low;
	while (low < x->postings && x->posting[low].key == key)
		low++;
	*ret_to = low;
}

/* ---- bytes -------------------------------------------------------------------------------------------------------------------- */

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

static void index_ad(const struct segment_keys *k, uint64_t first, const struct audit_chain *end, uint8_t out[static AD_BYTES])
{
	struct wbuf w;
	wbuf_init(&w, out, AD_BYTES);
	wbuf_bytes(&w, k->uuid, UUID_BYTES);
	wbuf_bytes(&w, k->log_id, 16);
	wbuf_u64(&w, first);
	wbuf_u64(&w, end->next);
	wbuf_bytes(&w, end->head, DIGEST_BYTES);
}

errint_t audit_index_parse(const uint8_t *plain, size_t len, struct audit_index *ret)
{
	struct rbuf r;
	struct audit_index x = {0};
	rbuf_init(&r, plain, len);
	const uint32_t version = rbuf_u32(&r);
	x.records = rbuf_u32(&r);
	x.postings = rbuf_u32(&r);
	x.places = rbuf_u32(&r);
	if (r.bad || version != VERSION || x.places != (x.records + (uint64_t)INDEX_STRIDE - 1) / INDEX_STRIDE ||
		r.left != (uint64_t)x.postings * POSTING_BYTES + (uint64_t)x.places * PLACE_BYTES)
		return -EBADMSG;
	x.posting = reallocarray(NULL, x.postings + (size_t)1, sizeof *x.posting);
	x.place = reallocarray(NULL, x.places + (size_t)1, sizeof *x.place);
	bool good = x.posting && x.place;
	for (uint32_t i = 0; good && i < x.postings; i++) {
		x.posting[i].key = rbuf_u32(&r);
		x.posting[i].record = rbuf_u32(&r);
		good = x.posting[i].record < x.records && (!i || by_key(&x.posting[i - 1], &x.posting[i]) < 0);
	}
	for (uint32_t i = 0; good && i < x.places; i++) {
		x.place[i].offset = rbuf_u32(&r);
		rbuf_bytes(&r, x.place[i].head, DIGEST_BYTES);
		good = x.place[i].offset >= SEGMENT_HEAD_BYTES && (!i || x.place[i].offset > x.place[i - 1].offset);
	}
	if (good) {
		*ret = x;
		return 0;
	}
	errint_t e = x.posting && x.place ? -EBADMSG : -ENOMEM;
	audit_index_free(&x);
	return e;
}

errint_t audit_index_load(int dirfd, const struct segment_keys *k, uint64_t first, const struct audit_chain *end, struct audit_index *ret)
{
	char name[SEGMENT_NAME_BYTES];
	uint8_t ad[AD_BYTES];
	cleanup_free uint8_t *bytes = NULL;
	size_t len;
	index_name(first, name);
	errint_t e = io_read_file(dirfd, name, FILE_MAX, &bytes, &len);
	if (e)
		return e;
	if (len < SMALL_TAG_BYTES + HEAD_BYTES)
		return -EBADMSG;
	cleanup_free uint8_t *plain = malloc(len);
	if (!plain)
		return -ENOMEM;
	index_ad(k, first, end, ad);
	e = small_open(k->log, LABEL, ad, sizeof ad, bytes, len - SMALL_TAG_BYTES, plain);
	return e ? e : audit_index_parse(plain, len - SMALL_TAG_BYTES, ret);
}

errint_t audit_index_save(int dirfd, const struct segment_keys *k, uint64_t first, const struct audit_chain *end, const struct audit_index *x)
{
	char name[SEGMENT_NAME_BYTES], part[SEGMENT_NAME_BYTES + 8];
	uint8_t ad[AD_BYTES];
	struct wbuf w;
	const size_t len = HEAD_BYTES + (size_t)x->postings * POSTING_BYTES + (size_t)x->places * PLACE_BYTES;
	cleanup_free uint8_t *bytes = malloc(SMALL_TAG_BYTES + len);
	if (!bytes || len > FILE_MAX - SMALL_TAG_BYTES)
		return bytes ? -EFBIG : -ENOMEM;
	wbuf_init(&w, bytes + SMALL_TAG_BYTES, len);
	wbuf_u32(&w, VERSION);
	wbuf_u32(&w, x->records);
	wbuf_u32(&w, x->postings);
	wbuf_u32(&w, x->places);
	for (uint32_t i = 0; i < x->postings; i++) {
		wbuf_u32(&w, x->posting[i].key);
		wbuf_u32(&w, x->posting[i].record);
	}
	for (uint32_t i = 0; i < x->places; i++) {
		wbuf_u32(&w, x->place[i].offset);
		wbuf_bytes(&w, x->place[i].head, DIGEST_BYTES);
	}
	index_ad(k, first, end, ad);
	small_seal(k->log, LABEL, ad, sizeof ad, bytes + SMALL_TAG_BYTES, len, bytes);
	index_name(first, name);
	snprintf(part, sizeof part, "%s.part", name);
	cleanup_fd int fd = openat(dirfd, part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	errint_t e = io_write(fd, bytes, SMALL_TAG_BYTES + len);
	if (!e && renameat(dirfd, part, dirfd, name))
		e = -errno;
	if (e)
		unlinkat(dirfd, part, 0);
	return e;
}
