#include "store/audit_index.h"

#include <stdlib.h>
#include <string.h>

#define KEYS_MAX 5 /* of one record: a file, three uids, an end */

void audit_index_free(struct audit_index *x)
{
	audit_index_close(x);
	free(x->posting);
	free(x->place);
	free(x->first_key);
	free(x->have);
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
	/* What whoever asks about a reader is told, whoever did it: grants and lockouts are for others than who made them. */
	if (r->kind == RECORD_UNLINK || r->kind == RECORD_EXPIRE || r->kind == RECORD_DESTROY || r->kind == RECORD_GRANT || r->kind == RECORD_GUARD ||
	    (r->kind == RECORD_PRUNE && r->name_len))
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

/* Parts of the postings among which all of a key are. */
static errint_t have_parts(struct audit_index *x, uint32_t key, size_t *ret_from, size_t *ret_to)
{
	const size_t parts = (x->postings + (size_t)INDEX_POSTINGS - 1) / INDEX_POSTINGS;
	size_t low = 0, high = parts;
	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		if (x->first_key[middle] < key)
			low = middle + 1;
		else
			high = middle;
	}
	low -= low > 0; /* it may begin in the one before */
	errint_t e = 0;
	for (high = low; !e && high < parts && (high == low || x->first_key[high] <= key); high++)
		e = audit_index_part(x, high);
	*ret_from = low * INDEX_POSTINGS;
	*ret_to = high * (size_t)INDEX_POSTINGS < x->postings ? high * INDEX_POSTINGS : x->postings;
	return e;
}

errint_t audit_index_find(struct audit_index *x, uint32_t key, size_t *ret_from, size_t *ret_to)
{
	size_t low = 0, high = x->postings, end;
	errint_t e = x->file ? have_parts(x, key, &low, &high) : 0;
	if (e)
		return e;
	end = high;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (x->posting[middle].key < key)
			low = middle + 1;
		else
			high = middle;
	}
	*ret_from = low;
	while (low < end && x->posting[low].key == key)
		low++;
	*ret_to = low;
	return 0;
}

errint_t audit_index_place(struct audit_index *x, uint32_t record, const struct index_place **ret)
{
	const size_t at = record / INDEX_STRIDE, before = (x->postings + (size_t)INDEX_POSTINGS - 1) / INDEX_POSTINGS;
	errint_t e = x->file ? audit_index_part(x, before + at / INDEX_PLACES) : 0;
	*ret = &x->place[at];
	return e;
}
