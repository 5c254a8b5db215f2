#include "store/catalogue_sums.h"

#include "base/buf.h"

#include <string.h>

#define FIRST_SLOTS 256u

void sums_free(struct sums *s)
{
	free(s->slot);
	free(s->classes);
	*s = (struct sums){0};
}

static size_t hash_of(int64_t mark, uint32_t class_)
{
	uint64_t h = ((uint64_t)mark << 12 ^ class_) * UINT64_C(0x9e3779b97f4a7c15);
	return (size_t)(h ^ h >> 32);
}

static struct sum *slot_for(struct sum *slot, size_t cap, int64_t mark, uint32_t class_)
{
	size_t i = hash_of(mark, class_) & (cap - 1);
	while (slot[i].used && (slot[i].mark != mark || slot[i].class_ != class_))
		i = (i + 1) & (cap - 1);
	return &slot[i];
}

/* UINT32_MAX: unknown. */
static uint32_t class_number(const struct sums *s, const uint8_t *class_fp)
{
	for (uint32_t i = s->class_count; i--;)
		if (!memcmp(s->classes[i], class_fp, CLASS_FP_BYTES))
			return i;
	return UINT32_MAX;
}

static errint_t add_class(struct sums *s, const uint8_t *class_fp, uint32_t *ret)
{
	if (s->class_count == s->class_cap) {
		uint32_t cap = s->class_cap ? 2 * s->class_cap : 16;
		void *classes = realloc(s->classes, cap * sizeof *s->classes);
		if (!classes)
			return -ENOMEM;
		s->classes = classes;
		s->class_cap = cap;
	}
	memcpy(s->classes[s->class_count], class_fp, CLASS_FP_BYTES);
	*ret = s->class_count++;
	return 0;
}

static bool is_something(const struct sum *one)
{
	return one->used && (one->files || one->bytes);
}

/* Room for one more; what came to nothing is left behind. */
static errint_t make_room(struct sums *s)
{
	size_t live = 0;
	if (s->count + 1 <= s->cap / 2)
		return 0;
	for (size_t i = 0; i < s->cap; i++)
		live += is_something(&s->slot[i]);
	size_t cap = FIRST_SLOTS;
	while (cap < 4 * (live + 1))
		cap *= 2;
	struct sum *slot = calloc(cap, sizeof *slot);
	if (!slot)
		return -ENOMEM;
	for (size_t i = 0; i < s->cap; i++)
		if (is_something(&s->slot[i]))
			*slot_for(slot, cap, s->slot[i].mark, s->slot[i].class_) = s->slot[i];
	free(s->slot);
	s->slot = slot;
	s->cap = cap;
	s->count = live;
	return 0;
}

errint_t sums_add(struct sums *s, int64_t mark, const uint8_t class_fp[static CLASS_FP_BYTES], uint64_t files,
	uint64_t bytes, struct sum **ret)
{
	uint32_t class_ = class_number(s, class_fp);
	errint_t r = class_ == UINT32_MAX ? add_class(s, class_fp, &class_) : 0;
	struct sum *one = !r && s->cap ? slot_for(s->slot, s->cap, mark, class_) : NULL;
	if (!r && (!one || !one->used)) {
		r = make_room(s);
		one = r ? NULL : slot_for(s->slot, s->cap, mark, class_);
	}
	if (r)
		return r;
	if (!one->used) {
		*one = (struct sum){.mark = mark, .class_ = class_, .used = true};
		s->count++;
	}
	one->files += files;
	one->bytes += bytes;
	if (ret)
		*ret = one;
	return 0;
}

struct sum *sums_find(const struct sums *s, int64_t mark, const uint8_t class_fp[static CLASS_FP_BYTES])
{
	uint32_t class_ = class_number(s, class_fp);
	struct sum *one = class_ == UINT32_MAX || !s->cap ? NULL : slot_for(s->slot, s->cap, mark, class_);
	return one && one->used ? one : NULL;
}

const uint8_t *sums_class(const struct sums *s, const struct sum *one)
{
	return s->classes[one->class_];
}

size_t sum_encode(
	const struct sum *one, const uint8_t class_fp[static CLASS_FP_BYTES], uint8_t out[static SUM_BODY_MAX])
{
	struct wbuf w;
	wbuf_init(&w, out, SUM_BODY_MAX);
	wbuf_ivar(&w, one->mark);
	wbuf_bytes(&w, class_fp, CLASS_FP_BYTES);
	wbuf_var(&w, one->files);
	wbuf_var(&w, one->bytes);
	return w.len;
}

errint_t sum_decode(const uint8_t *body, size_t len, struct sum *ret, uint8_t class_fp[static CLASS_FP_BYTES])
{
	struct rbuf r;
	rbuf_init(&r, body, len);
	*ret = (struct sum){.mark = rbuf_ivar(&r)};
	rbuf_bytes(&r, class_fp, CLASS_FP_BYTES);
	ret->files = rbuf_var(&r);
	ret->bytes = rbuf_var(&r);
	return rbuf_done(&r) && ret->files ? 0 : -EBADMSG;
}
