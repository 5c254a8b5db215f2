/* buf.h - one bounded reader and one bounded writer, with a sticky error, for every byte that is parsed or built.
 * All integers are little-endian. After the first failure reads give zeros and writes do nothing; test `bad` once at the end. */
#pragma once

#include "base/base.h"

struct rbuf {
	const uint8_t *p;
	size_t left;
	bool bad;
};

void rbuf_init(struct rbuf *r, const void *p, size_t len);
uint8_t rbuf_u8(struct rbuf *r);
uint16_t rbuf_u16(struct rbuf *r);
uint32_t rbuf_u32(struct rbuf *r);
uint64_t rbuf_u64(struct rbuf *r);
int64_t rbuf_i64(struct rbuf *r);
uint64_t rbuf_var(struct rbuf *r);  /* LEB128: seven bits a byte, the lowest first; more than 64 bits fail */
int64_t rbuf_ivar(struct rbuf *r); /* zigzag */
void rbuf_bytes(struct rbuf *r, void *out, size_t len); /* zeros on failure */
const uint8_t *rbuf_take(struct rbuf *r, size_t len);   /* points into the input; NULL on failure */
/* A u16 length and that many bytes, of which at most `cap - 1` are accepted, none of them NUL; `out` is terminated. */
void rbuf_str(struct rbuf *r, char *out, size_t cap);
void rbuf_zeros(struct rbuf *r, size_t len); /* fails unless all are zero */
/* True if nothing failed and nothing is left. */
bool rbuf_done(const struct rbuf *r);

struct wbuf {
	uint8_t *p;
	size_t len, cap;
	bool bad;
};

void wbuf_init(struct wbuf *w, void *p, size_t cap);
void wbuf_u8(struct wbuf *w, uint8_t v);
void wbuf_u16(struct wbuf *w, uint16_t v);
void wbuf_u32(struct wbuf *w, uint32_t v);
void wbuf_u64(struct wbuf *w, uint64_t v);
void wbuf_i64(struct wbuf *w, int64_t v);
void wbuf_var(struct wbuf *w, uint64_t v);
void wbuf_ivar(struct wbuf *w, int64_t v);
void wbuf_bytes(struct wbuf *w, const void *in, size_t len);
void wbuf_str(struct wbuf *w, const char *s); /* u16 length, bytes */
void wbuf_zeros(struct wbuf *w, size_t len);
