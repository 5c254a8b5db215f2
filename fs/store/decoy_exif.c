/* decoy_exif.c - of a neighbour's EXIF data what says which camera it was and how it was set, with other dates. */
#include "store/decoy.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define ENTRIES_MAX 64
#define TEXT_MAX    64
#define DATE_BYTES  20
#define TAG_EXIF    0x8769

/* Ascending, as in a file. Not here: thumbnail, GPS, maker's notes, comments, descriptions, serial numbers, unique ids, owners. */
static const uint16_t kept[] = {0x010f, 0x0110, 0x0112, 0x011a, 0x011b, 0x0128, 0x0131, 0x0132, 0x0213, TAG_EXIF, 0x829a, 0x829d, 0x8822, 0x8827, 0x9000, 0x9003, 0x9004,
	0x9010, 0x9011, 0x9012, 0x9101, 0x9201, 0x9202, 0x9204, 0x9207, 0x9209, 0x920a, 0xa000, 0xa001, 0xa002, 0xa003, 0xa217, 0xa402, 0xa403, 0xa406};

struct tiff {
	const uint8_t *p;
	size_t len;
	bool big;
};

static uint32_t get(const struct tiff *t, size_t at, size_t bytes)
{
	uint32_t v = 0;
	for (size_t i = 0; i < bytes && at + bytes <= t->len; i++)
		v |= (uint32_t)t->p[at + i] << 8 * (t->big ? bytes - 1 - i : i);
	return v;
}

struct made {
	uint8_t *p;
	size_t len, cap;
	bool big, bad;
};

static void put_at(struct made *m, size_t at, uint32_t v, size_t bytes)
{
	for (size_t i = 0; i < bytes && at + bytes <= m->cap; i++)
		m->p[at + i] = (uint8_t)(v >> 8 * (m->big ? bytes - 1 - i : i));
}

/* Room at the end, on an even offset, zeroed. */
static size_t room(struct made *m, size_t bytes)
{
	size_t at = m->len + (m->len & 1);
	if (at > m->cap || bytes > m->cap - at) {
		m->bad = true;
		return 0;
	}
	memset(m->p + m->len, 0, at - m->len + bytes);
	m->len = at + bytes;
	return at;
}

static size_t value_bytes(unsigned type, uint32_t count)
{
	static const uint8_t size[] = {0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8};
	return type < sizeof size && count <= TEXT_MAX ? size[type] * (size_t)count : 0;
}

static bool is_kept(uint16_t tag)
{
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		if (kept[i] == tag)
			return true;
	return false;
}

static void shift_date(uint8_t *p, int64_t later)
{
	struct tm tm = {0};
	char text[DATE_BYTES + 1] = "";
	memcpy(text, p, DATE_BYTES - 1);
	const char *end = strptime(text, "%Y:%m:%d %H:%M:%S", &tm);
	if (!end || *end)
		return;
	time_t t = timegm(&tm) + (time_t)later;
	if (gmtime_r(&t, &tm) && strftime(text, sizeof text, "%Y:%m:%d %H:%M:%S", &tm) == DATE_BYTES - 1)
		memcpy(p, text, DATE_BYTES - 1);
}

static size_t directory(struct made *m, const struct tiff *t, size_t at, int64_t later, bool top);

/* Copies an entry of 12 bytes to `to`; its value, if it is longer than four, to the end. */
static void entry(struct made *m, const struct tiff *t, size_t at, size_t to, int64_t later, bool top)
{
	uint16_t tag = (uint16_t)get(t, at, 2);
	unsigned type = get(t, at + 2, 2);
	uint32_t count = get(t, at + 4, 4);
	size_t bytes = value_bytes(type, count), from = bytes <= 4 ? at + 8 : get(t, at + 8, 4);
	put_at(m, to, tag, 2);
	put_at(m, to + 2, type, 2);
	put_at(m, to + 4, count, 4);
	if (tag == TAG_EXIF) {
		size_t below = top ? directory(m, t, get(t, at + 8, 4), later, false) : 0;
		m->bad |= !below;
		put_at(m, to + 8, (uint32_t)below, 4);
		return;
	}
	size_t where = bytes <= 4 ? to + 8 : room(m, bytes);
	if (m->bad || from > t->len || bytes > t->len - from) {
		m->bad = true;
		return;
	}
	memcpy(m->p + where, t->p + from, bytes);
	if (bytes > 4)
		put_at(m, to + 8, (uint32_t)where, 4);
	if (type == 2 && bytes == DATE_BYTES)
		shift_date(m->p + where, later);
}

/* Where it lies; 0: it cannot be read. */
static size_t directory(struct made *m, const struct tiff *t, size_t at, int64_t later, bool top)
{
	if (at < 8 || at > t->len || t->len - at < 2)
		return 0;
	size_t count = get(t, at, 2), n = 0, take[ENTRIES_MAX];
	if (count > 512 || (t->len - at - 2) / 12 < count)
		return 0;
	for (size_t i = 0; i < count; i++) {
		size_t e = at + 2 + 12 * i;
		uint16_t tag = (uint16_t)get(t, e, 2);
		if (n < ENTRIES_MAX && is_kept(tag) && (value_bytes(get(t, e + 2, 2), get(t, e + 4, 4)) || tag == TAG_EXIF))
			take[n++] = e;
	}
	size_t to = n ? room(m, 2 + 12 * n + 4) : 0;
	if (m->bad || !n)
		return 0;
	put_at(m, to, (uint32_t)n, 2);
	for (size_t i = 0; i < n && !m->bad; i++)
		entry(m, t, take[i], to + 2 + 12 * i, later, top);
	return to;
}

size_t decoy_exif(const uint8_t *in, size_t len, int64_t later, uint8_t *out, size_t cap)
{
	if (len < 8 || cap < 8 || (memcmp(in, "II*\0", 4) && memcmp(in, "MM\0*", 4)))
		return 0;
	struct tiff t = {.p = in, .len = len, .big = *in == 'M'};
	struct made m = {.p = out, .len = 8, .cap = cap, .big = t.big};
	memcpy(out, in, 4);
	size_t first = directory(&m, &t, get(&t, 4, 4), later, true);
	put_at(&m, 4, (uint32_t)first, 4);
	return m.bad || !first ? 0 : m.len;
}
