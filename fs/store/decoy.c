/* decoy.c - a baseline JPEG of a scene that nobody ever saw, by the tables and dimensions of a neighbour (ITU-T T.81). */
#include "store/decoy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COMPONENTS_MAX 3
#define SIDE_MAX       16384
#define PIXELS_MAX     (64u << 20)
#define SAMPLED	       2048u /* blocks of pixels by which the noise is found in a large picture */
#define SHAPES         7
#define TRIES	       14
#define CORRECTIONS    3 /* of what was judged by a part of the picture */
#define NOISE_MOST     96.0F

enum { M_SOF0 = 0xc0, M_DHT = 0xc4, M_SOI = 0xd8, M_EOI = 0xd9, M_SOS = 0xda, M_DQT = 0xdb, M_APP0 = 0xe0, M_APP1 = 0xe1 };

/* ---- growing bytes ------------------------------------------------------------------------------------------------------------------- */

struct bytes {
	uint8_t *p;
	size_t len, cap, most;
	bool bad;
};

static void put(struct bytes *b, const void *in, size_t len)
{
	if (b->bad || len > b->most - b->len) {
		b->bad = true;
		return;
	}
	if (b->len + len > b->cap) {
		size_t cap = (b->len + len) * 2;
		uint8_t *p = realloc(b->p, cap);
		if (!p) {
			b->bad = true;
			return;
		}
		b->p = p;
		b->cap = cap;
	}
	memcpy(b->p + b->len, in, len);
	b->len += len;
}

static void put_byte(struct bytes *b, uint8_t v)
{
	put(b, &v, 1);
}

static void put_segment(struct bytes *b, uint8_t marker, const void *in, size_t len)
{
	const uint8_t head[4] = {0xff, marker, (uint8_t)((len + 2) >> 8), (uint8_t)(len + 2)};
	put(b, head, sizeof head);
	put(b, in, len);
}

/* ---- Huffman tables of T.81, annex K ---------------------------------------------------------------------------------------------------- */

static const uint8_t dc_counts[2][16] = {{0, 1, 5, 1, 1, 1, 1, 1, 1}, {0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1}};
static const uint8_t dc_values[12] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
static const uint8_t ac_counts[2][16] = {{0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7d}, {0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77}};
static const uint8_t ac_values[2][162] = {
	{0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07, 0x22, 0x71, 0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1,
		0xc1, 0x15, 0x52, 0xd1, 0xf0, 0x24, 0x33, 0x62, 0x72, 0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x34, 0x35, 0x36,
		0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68,
		0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
		0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8,
		0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5,
		0xf6, 0xf7, 0xf8, 0xf9, 0xfa},
	{0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71, 0x13, 0x22, 0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1,
		0x09, 0x23, 0x33, 0x52, 0xf0, 0x15, 0x62, 0x72, 0xd1, 0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x35,
		0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67,
		0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97,
		0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6,
		0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5,
		0xf6, 0xf7, 0xf8, 0xf9, 0xfa}};

struct code {
	uint16_t bits[256];
	uint8_t len[256];
};

static void code_make(struct code *c, const uint8_t counts[static 16], const uint8_t *values)
{
	uint16_t bits = 0;
	size_t k = 0;
	for (unsigned len = 1; len <= 16; len++, bits = (uint16_t)(bits << 1))
		for (unsigned i = 0; i < counts[len - 1]; i++, k++) {
			c->bits[values[k]] = bits++;
			c->len[values[k]] = (uint8_t)len;
		}
}

static void put_table(struct bytes *b, unsigned class_, unsigned id)
{
	put_byte(b, (uint8_t)(class_ << 4 | id));
	put(b, class_ ? ac_counts[id] : dc_counts[id], 16);
	put(b, class_ ? ac_values[id] : dc_values, class_ ? sizeof ac_values[id] : sizeof dc_values);
}

/* All of them where the neighbour has its first: each in a segment of its own, or, as it has them, in one. */
static void put_tables(struct bytes *b, bool one, unsigned components)
{
	struct bytes t = {.most = 1024};
	for (unsigned id = 0; id < (components > 1 ? 2u : 1u); id++)
		for (unsigned class_ = 0; class_ < 2; class_++) {
			put_table(&t, class_, id);
			if (!one) {
				put_segment(b, M_DHT, t.p, t.len);
				t.len = 0;
			}
		}
	if (one)
		put_segment(b, M_DHT, t.p, t.len);
	b->bad |= t.bad;
	free(t.p);
}

/* ---- the neighbour ------------------------------------------------------------------------------------------------------------------------ */

struct component {
	uint8_t id, h, v, table;
};

struct model {
	struct bytes head; /* up to the entropy-coded data */
	unsigned width, height, components, h_most, v_most;
	struct component c[COMPONENTS_MAX];
	uint16_t quant[4][64]; /* in zigzag order; 0: not there */
	bool tables, begun;
};

static bool take_quant(struct model *m, const uint8_t *p, size_t len)
{
	while (len >= 65) {
		if (*p > 3) /* 8 bits each, four tables */
			return false;
		for (size_t i = 0; i < 64; i++) {
			if (!p[1 + i])
				return false;
			m->quant[*p][i] = p[1 + i];
		}
		p += 65;
		len -= 65;
	}
	return len == 0;
}

static bool take_frame(struct model *m, const uint8_t *p, size_t len)
{
	if (len < 6 || p[0] != 8 || (p[5] != 1 && p[5] != 3) || len != 6 + 3 * (size_t)p[5])
		return false;
	m->height = (unsigned)(p[1] << 8 | p[2]);
	m->width = (unsigned)(p[3] << 8 | p[4]);
	m->components = p[5];
	m->h_most = m->v_most = 1;
	for (unsigned i = 0; i < m->components; i++) {
		m->c[i] = (struct component){.id = p[6 + 3 * i], .h = p[7 + 3 * i] >> 4, .v = p[7 + 3 * i] & 15, .table = p[8 + 3 * i]};
		if (!m->c[i].h || m->c[i].h > 2 || !m->c[i].v || m->c[i].v > 2 || m->c[i].table > 3)
			return false;
		m->h_most = m->c[i].h > m->h_most ? m->c[i].h : m->h_most;
		m->v_most = m->c[i].v > m->v_most ? m->c[i].v : m->v_most;
	}
	if (m->components == 1) /* its one component is not interleaved: factors mean nothing */
		m->c[0].h = m->c[0].v = 1, m->h_most = m->v_most = 1;
	return m->width >= 8 && m->height >= 8 && m->width <= SIDE_MAX && m->height <= SIDE_MAX && m->width * m->height <= PIXELS_MAX && (!m->c[1].h || m->components == 3);
}

static void put_scan_head(struct model *m)
{
	uint8_t scan[4 + 2 * COMPONENTS_MAX];
	size_t n = 0;
	scan[n++] = (uint8_t)m->components;
	for (unsigned i = 0; i < m->components; i++) {
		scan[n++] = m->c[i].id;
		scan[n++] = i ? 0x11 : 0;
	}
	scan[n++] = 0;
	scan[n++] = 63;
	scan[n++] = 0;
	put_segment(&m->head, M_SOS, scan, n);
	m->begun = true;
}

static bool take_exif(struct model *m, const uint8_t *p, size_t len, int64_t later)
{
	static const uint8_t mark[6] = "Exif\0";
	uint8_t out[4096];
	if (len < sizeof mark || memcmp(p, mark, sizeof mark))
		return true; /* XMP and the like are left out */
	size_t n = decoy_exif(p + sizeof mark, len - sizeof mark, later, out + sizeof mark, sizeof out - sizeof mark);
	if (!n)
		return false;
	memcpy(out, mark, sizeof mark);
	put_segment(&m->head, M_APP1, out, n + sizeof mark);
	return true;
}

/* False: no JPEG of this kind. */
static bool take_segment(struct model *m, uint8_t marker, const uint8_t *p, size_t len, int64_t later)
{
	switch (marker) {
	case M_APP0:
		if (len == 14 && !memcmp(p, "JFIF", 5)) /* without a thumbnail */
			put_segment(&m->head, marker, p, len);
		return true;
	case M_APP1:
		return take_exif(m, p, len, later);
	case M_DQT:
		put_segment(&m->head, marker, p, len);
		return take_quant(m, p, len);
	case M_SOF0:
		put_segment(&m->head, marker, p, len);
		return !m->components && take_frame(m, p, len);
	case M_DHT:
		if (!m->tables && m->components)
			put_tables(&m->head, len > 200, m->components);
		m->tables |= m->components != 0;
		return true;
	case M_SOS:
		if (!m->tables && m->components)
			put_tables(&m->head, true, m->components);
		if (m->components)
			put_scan_head(m);
		return m->components != 0;
	default:
		return marker < M_SOF0 || marker > 0xcf; /* progressive, arithmetic, lossless frames */
	}
}

static bool model_read(struct model *m, const uint8_t *p, size_t len, int64_t later)
{
	size_t at = 2;
	*m = (struct model){.head = {.most = 65536}};
	if (len < 4 || p[0] != 0xff || p[1] != M_SOI)
		return false;
	put(&m->head, p, 2);
	while (!m->begun && len - at >= 4) {
		size_t n = (size_t)(p[at + 2] << 8 | p[at + 3]);
		if (p[at] != 0xff || n < 2 || n > len - at - 2 || !take_segment(m, p[at + 1], p + at + 4, n - 2, later))
			return false;
		at += 2 + n;
	}
	for (unsigned i = 0; i < m->components; i++)
		if (!m->quant[m->c[i].table][0])
			return false;
	return m->begun && !m->head.bad;
}

/* ---- the scene ------------------------------------------------------------------------------------------------------------------------------ */

struct shape {
	float x, y, w, h, round, light, cb, cr;
};

struct scene {
	float horizon, tilt, sky[3], sky_fall, ground[3], ground_fall;
	struct shape shape[SHAPES];
	unsigned shapes;
	uint32_t seed;
};

static float between(struct decoy_rng *r, float a, float b)
{
	return a + (b - a) * (float)(decoy_random(r) >> 40) / (float)(1 << 24);
}

static void scene_make(struct scene *s, struct decoy_rng *r)
{
	*s = (struct scene){.horizon = between(r, 0.25F, 0.6F),
		.tilt = between(r, -0.08F, 0.08F),
		.sky = {between(r, 20, 90), between(r, -2, 14), between(r, -12, 4)},
		.sky_fall = between(r, -60, 60),
		.ground = {between(r, -70, 10), between(r, -8, 6), between(r, -6, 8)},
		.ground_fall = between(r, -40, 60),
		.shapes = 2 + (unsigned)decoy_below(r, SHAPES - 1),
		.seed = (uint32_t)decoy_random(r)};
	for (unsigned i = 0; i < s->shapes; i++)
		s->shape[i] = (struct shape){between(r, 0.05F, 0.95F), between(r, 0.3F, 0.95F), between(r, 0.02F, 0.25F), between(r, 0.02F, 0.2F), between(r, 0, 1),
			between(r, -100, 100), between(r, -30, 30), between(r, -30, 30)};
}

static float hash(uint32_t x, uint32_t y, uint32_t seed)
{
	uint32_t h = x * 0x9e3779b1u ^ y * 0x85ebca77u ^ seed;
	h = (h ^ h >> 15) * 0x2c1b3c6du;
	h = (h ^ h >> 12) * 0x297a2d39u;
	h ^= h >> 15;
	return (float)(int32_t)h / 2147483648.0F;
}

/* Smooth between lattice points. */
static float cloud(float x, float y, uint32_t seed)
{
	float fx = floorf(x), fy = floorf(y), u = x - fx, v = y - fy;
	uint32_t ix = (uint32_t)(int32_t)fx, iy = (uint32_t)(int32_t)fy;
	u *= u * (3 - 2 * u);
	v *= v * (3 - 2 * v);
	float a = hash(ix, iy, seed) * (1 - u) + hash(ix + 1, iy, seed) * u, b = hash(ix, iy + 1, seed) * (1 - u) + hash(ix + 1, iy + 1, seed) * u;
	return a * (1 - v) + b * v;
}

static bool inside(const struct shape *s, float x, float y)
{
	float dx = fabsf(x - s->x) / s->w, dy = fabsf(y - s->y) / s->h;
	return s->round > 0.5F ? dx * dx + dy * dy < 1 : dx < 1 && dy < 1;
}

/* One of Y, Cb, Cr at a point of the unit square, about 0; without any detail, the same everywhere. */
static float scene_at(const struct scene *s, float x, float y, unsigned channel, float detail)
{
	float line = s->horizon + s->tilt * (x - 0.5F), v;
	bool above = y < line;
	const float *base = above ? s->sky : s->ground;
	v = base[channel] + (channel ? 0 : (above ? s->sky_fall * (line - y) : s->ground_fall * (y - line)));
	for (unsigned i = 0; i < s->shapes; i++)
		if (inside(&s->shape[i], x, y))
			v = channel == 1 ? s->shape[i].cb : channel == 2 ? s->shape[i].cr : s->shape[i].light + 40 * (y - s->shape[i].y);
	v = (s->sky[0] + s->ground[0]) / 2 * (channel ? 0 : 1 - detail) + v * detail;
	if (channel)
		return v + detail * 4 * cloud(x * 6, y * 6, s->seed + channel);
	return v + detail * 14 * cloud(x * 5, y * 5, s->seed) + detail * 7 * cloud(x * 19, y * 19, s->seed + 7) + detail * (above ? 2 : 5) * cloud(x * 73, y * 73, s->seed + 9);
}

/* ---- encoding ----------------------------------------------------------------------------------------------------------------------------------- */

static const uint8_t zigzag[64] = {0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36,
	29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

struct encoder {
	const struct model *m;
	const struct scene *s;
	float noise, detail, cosine[8][8];
	struct code dc[2], ac[2];
	const atomic_bool *stop;
	struct bytes *out;
	uint32_t acc;
	unsigned bits;
	int before[COMPONENTS_MAX];
};

static void put_bits(struct encoder *e, uint32_t bits, unsigned len)
{
	e->acc = e->acc << len | (bits & ((1u << len) - 1));
	e->bits += len;
	while (e->bits >= 8) {
		uint8_t v = (uint8_t)(e->acc >> (e->bits - 8));
		put_byte(e->out, v);
		if (v == 0xff)
			put_byte(e->out, 0);
		e->bits -= 8;
	}
}

static unsigned magnitude(int v)
{
	unsigned n = 0;
	for (unsigned a = (unsigned)(v < 0 ? -v : v); a; a >>= 1)
		n++;
	return n;
}

static void put_value(struct encoder *e, int v, unsigned len)
{
	if (len)
		put_bits(e, (uint32_t)(v < 0 ? v - 1 : v), len);
}

static void put_block(struct encoder *e, unsigned c, const int q[static 64])
{
	const struct code *dc = &e->dc[c > 0], *ac = &e->ac[c > 0];
	int diff = q[0] - e->before[c];
	unsigned len = magnitude(diff), run = 0;
	e->before[c] = q[0];
	put_bits(e, dc->bits[len], dc->len[len]);
	put_value(e, diff, len);
	for (unsigned k = 1; k < 64; k++) {
		if (!q[k]) {
			run++;
			continue;
		}
		for (; run > 15; run -= 16)
			put_bits(e, ac->bits[0xf0], ac->len[0xf0]);
		len = magnitude(q[k]);
		put_bits(e, ac->bits[run << 4 | len], ac->len[run << 4 | len]);
		put_value(e, q[k], len);
		run = 0;
	}
	if (run)
		put_bits(e, ac->bits[0], ac->len[0]);
}

static void transform(const struct encoder *e, const float in[8][8], float out[static 64])
{
	float t[8][8];
	for (unsigned y = 0; y < 8; y++)
		for (unsigned u = 0; u < 8; u++) {
			t[y][u] = 0;
			for (unsigned x = 0; x < 8; x++)
				t[y][u] += in[y][x] * e->cosine[u][x];
		}
	for (unsigned v = 0; v < 8; v++)
		for (unsigned u = 0; u < 8; u++) {
			float sum = 0;
			for (unsigned y = 0; y < 8; y++)
				sum += t[y][u] * e->cosine[v][y];
			out[8 * v + u] = sum;
		}
}

/* The block of component c whose first sample is (x0, y0) of that component. */
static void block(struct encoder *e, unsigned c, unsigned x0, unsigned y0)
{
	const struct model *m = e->m;
	float in[8][8], f[64], sx = (float)m->h_most / (float)m->c[c].h, sy = (float)m->v_most / (float)m->c[c].v;
	int q[64];
	for (unsigned y = 0; y < 8; y++)
		for (unsigned x = 0; x < 8; x++) {
			float at_x = (float)(x0 + x) * sx, at_y = (float)(y0 + y) * sy;
			float v = scene_at(e->s, at_x / (float)m->width, at_y / (float)m->height, c, e->detail) +
				  e->noise * (c ? 0.3F : 1) * hash(x0 + x, y0 + y, e->s->seed ^ (c + 1) * 0x51ed27u);
			in[y][x] = v < -128 ? -128 : v > 127 ? 127 : v;
		}
	transform(e, in, f);
	for (unsigned k = 0; k < 64; k++) {
		q[k] = (int)lrintf(f[zigzag[k]] / (float)m->quant[m->c[c].table][k]);
		q[k] = q[k] > 1023 ? 1023 : q[k] < -1023 ? -1023 : q[k];
	}
	put_block(e, c, q);
}

/* Of every so many rows of blocks. */
static void encode(struct encoder *e, unsigned every)
{
	const struct model *m = e->m;
	unsigned across = (m->width + 8 * m->h_most - 1) / (8 * m->h_most), down = (m->height + 8 * m->v_most - 1) / (8 * m->v_most);
	for (unsigned my = 0; my < down && !e->out->bad; my += every) {
		e->out->bad = e->stop && atomic_load_explicit(e->stop, memory_order_relaxed);
		for (unsigned mx = 0; mx < across; mx++)
			for (unsigned c = 0; c < m->components; c++)
				for (unsigned v = 0; v < m->c[c].v; v++)
					for (unsigned h = 0; h < m->c[c].h; h++)
						block(e, c, (mx * m->c[c].h + h) * 8, (my * m->c[c].v + v) * 8);
	}
	if (e->bits)
		put_bits(e, 0x7f, 8 - e->bits);
	put(e->out, (const uint8_t[]){0xff, M_EOI}, 2);
}

static unsigned rows_of(const struct model *m)
{
	return (m->height + 8 * m->v_most - 1) / (8 * m->v_most);
}

struct drawing {
	const struct model *m;
	const struct scene *s;
	const atomic_bool *stop;
	size_t most;
	struct bytes *out;
};

/* With so much noise, or, below 0, so much less of the scene down to nothing at -1. Its size, which for `every` above 1 is an estimate; SIZE_MAX: larger than `most`, or stopped. */
static size_t picture(const struct drawing *d, float noise, unsigned every)
{
	struct encoder e = {.m = d->m, .s = d->s, .noise = noise < 0 ? 0 : noise, .detail = noise < 0 ? 1 + noise : 1, .stop = d->stop, .out = d->out};
	for (unsigned u = 0; u < 8; u++)
		for (unsigned x = 0; x < 8; x++)
			e.cosine[u][x] = (u ? 0.5F : 0.35355339F) * cosf((float)(2 * x + 1) * (float)u * (float)M_PI / 16);
	for (unsigned i = 0; i < 2; i++) {
		code_make(&e.dc[i], dc_counts[i], dc_values);
		code_make(&e.ac[i], ac_counts[i], ac_values[i]);
	}
	d->out->len = 0;
	d->out->bad = false;
	d->out->most = d->most;
	put(d->out, d->m->head.p, d->m->head.len);
	encode(&e, every);
	if (d->out->bad)
		return SIZE_MAX;
	unsigned rows = rows_of(d->m), drawn = (rows + every - 1) / every;
	return d->m->head.len + (d->out->len - d->m->head.len) * rows / drawn;
}

static size_t apart(size_t n, size_t target)
{
	return n > target ? n - target : target - n;
}

/* More noise takes more bytes: looked for until it is within a thousandth, or as near as it comes. A size that is only nearly the one meant is as close to others as chance has it. */
static float noise_for(const struct drawing *d, size_t target, unsigned every)
{
	float least = -1, most = NOISE_MOST, noise = 6, best = noise;
	size_t nearest = SIZE_MAX;
	for (unsigned i = 0; i < TRIES; i++) {
		size_t n = picture(d, noise, every), off = apart(n, target);
		best = off < nearest ? noise : best;
		nearest = off < nearest ? off : nearest;
		if (off <= target / 1000 || (d->stop && atomic_load(d->stop)))
			break;
		if (n > target)
			most = noise;
		else
			least = noise;
		noise = least < 0 && most > 0 ? 0 : (least + most) / 2;
	}
	return best;
}

static errint_t of_size(struct drawing *d, size_t target)
{
	unsigned rows = rows_of(d->m), blocks = rows * ((d->m->width + 8 * d->m->h_most - 1) / (8 * d->m->h_most)), every = blocks / SAMPLED;
	size_t wanted = target;
	every = every > rows / 8 ? rows / 8 : every;
	every = every ? every : 1;
	d->most = 2 * target + 4096;
	for (unsigned last = every > 1 ? CORRECTIONS : 1, i = 1; i <= last; i++) {
		float noise = noise_for(d, wanted, every);
		size_t n = picture(d, noise, 1);
		if (d->stop && atomic_load(d->stop))
			return -EINTR;
		if (n == SIZE_MAX)
			return -ERANGE;
		if (apart(n, target) <= (i < last ? target / 400 + 1 : target / 50 + 16))
			return 0;
		wanted = (size_t)((double)wanted * (double)target / (double)n);
	}
	return -ERANGE;
}

errint_t decoy_jpeg(const uint8_t *neighbour, size_t len, size_t target, int64_t later, struct decoy_rng *rng, const atomic_bool *stop, uint8_t **ret, size_t *ret_len)
{
	struct bytes out = {.p = NULL};
	struct model m;
	struct scene s;
	struct drawing d = {.m = &m, .s = &s, .stop = stop, .out = &out};
	if (target > (size_t)64 << 20)
		return -ERANGE;
	errint_t r = model_read(&m, neighbour, len, later) ? 0 : -EOPNOTSUPP;
	if (!r) {
		scene_make(&s, rng);
		r = of_size(&d, target);
	}
	free(m.head.p);
	if (r) {
		free(out.p);
		return r;
	}
	*ret = out.p;
	*ret_len = out.len;
	return 0;
}
