#include "base/buf.h"

#include <string.h>

void rbuf_init(struct rbuf *r, const void *p, size_t len)
{
	*r = (struct rbuf){.p = p, .left = len};
}

const uint8_t *rbuf_take(struct rbuf *r, size_t len)
{
	if (r->bad || len > r->left) {
		r->bad = true;
		return NULL;
	}
	const uint8_t *p = r->p;
	r->p += len;
	r->left -= len;
	return p;
}

static uint64_t take_le(struct rbuf *r, size_t bytes)
{
	const uint8_t *p = rbuf_take(r, bytes);
	uint64_t v = 0;
	if (p)
		for (size_t i = 0; i < bytes; i++)
			v |= (uint64_t)p[i] << (8 * i);
	return v;
}

uint8_t rbuf_u8(struct rbuf *r) { return (uint8_t)take_le(r, 1); }
uint16_t rbuf_u16(struct rbuf *r) { return (uint16_t)take_le(r, 2); }
uint32_t rbuf_u32(struct rbuf *r) { return (uint32_t)take_le(r, 4); }
uint64_t rbuf_u64(struct rbuf *r) { return take_le(r, 8); }
int64_t rbuf_i64(struct rbuf *r) { return (int64_t)take_le(r, 8); }

uint64_t rbuf_var(struct rbuf *r)
{
	uint64_t v = 0;
	size_t left = r->bad ? 0 : r->left;
	const uint8_t *p = r->p;
	for (unsigned shift = 0; left && shift < 64; shift += 7, left--) {
		uint8_t b = *p++;
		if (shift == 63 && b > 1)
			break;
		v |= (uint64_t)(b & 0x7f) << shift;
		if (b >= 0x80)
			continue;
		r->left = left - 1;
		r->p = p;
		return v;
	}
	r->bad = true;
	return 0;
}

int64_t rbuf_ivar(struct rbuf *r)
{
	uint64_t v = rbuf_var(r);
	return (int64_t)(v >> 1 ^ -(v & 1));
}

void rbuf_bytes(struct rbuf *r, void *out, size_t len)
{
	const uint8_t *p = rbuf_take(r, len);
	if (p)
		memcpy(out, p, len);
	else
		memset(out, 0, len);
}

void rbuf_str(struct rbuf *r, char *out, size_t cap)
{
	size_t len = rbuf_u16(r);
	const uint8_t *p = rbuf_take(r, len);
	if (!p || len >= cap || memchr(p, 0, len)) {
		r->bad = true;
		out[0] = 0;
		return;
	}
	memcpy(out, p, len);
	out[len] = 0;
}

void rbuf_zeros(struct rbuf *r, size_t len)
{
	const uint8_t *p = rbuf_take(r, len);
	for (size_t i = 0; p && i < len; i++)
		if (p[i])
			r->bad = true;
}

bool rbuf_done(const struct rbuf *r) { return !r->bad && r->left == 0; }

void wbuf_init(struct wbuf *w, void *p, size_t cap)
{
	*w = (struct wbuf){.p = p, .cap = cap};
}

void wbuf_var(struct wbuf *w, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		wbuf_u8(w, (uint8_t)(v | 0x80));
	wbuf_u8(w, (uint8_t)v);
}

void wbuf_ivar(struct wbuf *w, int64_t v)
{
	wbuf_var(w, (uint64_t)v << 1 ^ (uint64_t)(v >> 63));
}

void wbuf_bytes(struct wbuf *w, const void *in, size_t len)
{
	if (w->bad || len > w->cap - w->len) {
		w->bad = true;
		return;
	}
	if (len)
		memcpy(w->p + w->len, in, len);
	w->len += len;
}

static void put_le(struct wbuf *w, uint64_t v, size_t bytes)
{
	uint8_t b[8];
	for (size_t i = 0; i < bytes; i++)
		b[i] = (uint8_t)(v >> (8 * i));
	wbuf_bytes(w, b, bytes);
}

void wbuf_u8(struct wbuf *w, uint8_t v) { put_le(w, v, 1); }
void wbuf_u16(struct wbuf *w, uint16_t v) { put_le(w, v, 2); }
void wbuf_u32(struct wbuf *w, uint32_t v) { put_le(w, v, 4); }
void wbuf_u64(struct wbuf *w, uint64_t v) { put_le(w, v, 8); }
void wbuf_i64(struct wbuf *w, int64_t v) { put_le(w, (uint64_t)v, 8); }

void wbuf_str(struct wbuf *w, const char *s)
{
	size_t len = strlen(s);
	if (len > UINT16_MAX) {
		w->bad = true;
		return;
	}
	wbuf_u16(w, (uint16_t)len);
	wbuf_bytes(w, s, len);
}

void wbuf_zeros(struct wbuf *w, size_t len)
{
	if (w->bad || len > w->cap - w->len) {
		w->bad = true;
		return;
	}
	memset(w->p + w->len, 0, len);
	w->len += len;
}
