#include "base/buf.h"

#include <criterion/criterion.h>
#include <string.h>

Test(buf, integers_are_little_endian)
{
	uint8_t bytes[23];
	struct wbuf w;
	wbuf_init(&w, bytes, sizeof bytes);
	wbuf_u8(&w, 0x01);
	wbuf_u16(&w, 0x0302);
	wbuf_u32(&w, 0x07060504);
	wbuf_u64(&w, 0x0f0e0d0c0b0a0908);
	wbuf_i64(&w, -2);
	cr_assert(!w.bad);
	cr_assert_eq(w.len, sizeof bytes);
	for (uint8_t i = 0; i < 15; i++)
		cr_assert_eq(bytes[i], i + 1);
	cr_assert_eq(bytes[15], 0xfe);
	cr_assert_eq(bytes[22], 0xff);

	struct rbuf r;
	rbuf_init(&r, bytes, sizeof bytes);
	cr_assert_eq(rbuf_u8(&r), 0x01);
	cr_assert_eq(rbuf_u16(&r), 0x0302);
	cr_assert_eq(rbuf_u32(&r), 0x07060504);
	cr_assert_eq(rbuf_u64(&r), 0x0f0e0d0c0b0a0908);
	cr_assert(!rbuf_done(&r));
	cr_assert_eq(rbuf_i64(&r), -2);
	cr_assert(rbuf_done(&r));
}

Test(buf, numbers_take_what_they_need)
{
	static const struct {
		int64_t v;
		size_t len, zigzag_len;
	} of[] = {{0, 1, 1}, {63, 1, 1}, {64, 1, 2}, {127, 1, 2}, {128, 2, 2}, {16383, 2, 3}, {16384, 3, 3},
		{INT64_MAX, 9, 10}, {-1, 10, 1}, {-64, 10, 1}, {-65, 10, 2}, {INT64_MIN, 10, 10}};
	for (size_t i = 0; i < sizeof of / sizeof of[0]; i++) {
		uint8_t bytes[20];
		struct wbuf w;
		struct rbuf r;
		wbuf_init(&w, bytes, sizeof bytes);
		wbuf_var(&w, (uint64_t)of[i].v);
		cr_assert_eq(w.len, of[i].len, "%zu", i);
		wbuf_ivar(&w, of[i].v);
		cr_assert_eq(w.len, of[i].len + of[i].zigzag_len, "%zu", i);
		rbuf_init(&r, bytes, w.len);
		cr_assert_eq(rbuf_var(&r), (uint64_t)of[i].v);
		cr_assert_eq(rbuf_ivar(&r), of[i].v);
		cr_assert(rbuf_done(&r));
		for (size_t cut = 0; cut < of[i].len; cut++) {
			rbuf_init(&r, bytes, cut);
			cr_assert_eq(rbuf_var(&r), 0);
			cr_assert(r.bad);
		}
	}
	struct rbuf r;
	rbuf_init(&r, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10);
	cr_assert_eq(rbuf_var(&r), 0);
	cr_assert(r.bad, "65 bits");
}

Test(buf, reading_past_the_end_is_sticky)
{
	const uint8_t bytes[3] = {1, 2, 3};
	uint8_t out[4] = {9, 9, 9, 9};
	struct rbuf r;
	rbuf_init(&r, bytes, sizeof bytes);
	cr_assert_eq(rbuf_u32(&r), 0);
	cr_assert(r.bad);
	cr_assert_eq(rbuf_u8(&r), 0, "nothing is read after a failure");
	cr_assert_null(rbuf_take(&r, 1));
	rbuf_bytes(&r, out, sizeof out);
	for (int i = 0; i < 4; i++)
		cr_assert_eq(out[i], 0);
	cr_assert(!rbuf_done(&r));
}

Test(buf, a_length_near_the_end_of_memory_does_not_wrap)
{
	const uint8_t bytes[3] = {0};
	struct rbuf r;
	rbuf_init(&r, bytes, sizeof bytes);
	rbuf_u8(&r);
	cr_assert_null(rbuf_take(&r, SIZE_MAX));
	cr_assert(r.bad);
}

Test(buf, writing_past_the_end_writes_nothing)
{
	uint8_t bytes[4] = {7, 7, 7, 7};
	struct wbuf w;
	wbuf_init(&w, bytes, 3);
	wbuf_u16(&w, 0);
	wbuf_u16(&w, 0);
	cr_assert(w.bad);
	cr_assert_eq(w.len, 2);
	wbuf_u8(&w, 0);
	wbuf_zeros(&w, 1);
	cr_assert_eq(w.len, 2, "nothing is written after a failure");
	cr_assert_eq(bytes[2], 7);
	cr_assert_eq(bytes[3], 7);
}

Test(buf, strings)
{
	uint8_t bytes[16];
	char out[5];
	struct wbuf w;
	struct rbuf r;
	wbuf_init(&w, bytes, sizeof bytes);
	wbuf_str(&w, "four");
	wbuf_str(&w, "");
	cr_assert_eq(w.len, 8);
	rbuf_init(&r, bytes, w.len);
	rbuf_str(&r, out, sizeof out);
	cr_assert_str_eq(out, "four");
	rbuf_str(&r, out, sizeof out);
	cr_assert_str_eq(out, "");
	cr_assert(rbuf_done(&r));

	rbuf_init(&r, bytes, w.len);
	rbuf_str(&r, out, 4);
	cr_assert(r.bad, "no room for the NUL");
	cr_assert_str_eq(out, "");

	rbuf_init(&r, bytes, 5);
	rbuf_str(&r, out, sizeof out);
	cr_assert(r.bad, "cut");

	bytes[3] = 0;
	rbuf_init(&r, bytes, w.len);
	rbuf_str(&r, out, sizeof out);
	cr_assert(r.bad, "a NUL inside");
}

Test(buf, a_string_longer_than_its_length_field_is_refused)
{
	static char longest[UINT16_MAX + 2];
	static uint8_t bytes[sizeof longest + 2];
	struct wbuf w;
	memset(longest, 'a', UINT16_MAX + 1);
	wbuf_init(&w, bytes, sizeof bytes);
	wbuf_str(&w, longest);
	cr_assert(w.bad);
	longest[UINT16_MAX] = 0;
	wbuf_init(&w, bytes, sizeof bytes);
	wbuf_str(&w, longest);
	cr_assert(!w.bad);
}

Test(buf, zeros)
{
	uint8_t bytes[4];
	struct wbuf w;
	struct rbuf r;
	wbuf_init(&w, bytes, sizeof bytes);
	wbuf_zeros(&w, 4);
	cr_assert(!w.bad);
	rbuf_init(&r, bytes, sizeof bytes);
	rbuf_zeros(&r, 4);
	cr_assert(rbuf_done(&r));
	bytes[3] = 1;
	rbuf_init(&r, bytes, sizeof bytes);
	rbuf_zeros(&r, 3);
	cr_assert(!r.bad);
	rbuf_zeros(&r, 1);
	cr_assert(r.bad);
}
