#include "store/decoy.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- names ---------------------------------------------------------------------------------------------------------- */

#define T0 INT64_C(1795774500) /* 2026-11-27 10:15:00 UTC */

static struct decoy_rng rng = {.state = 7};

static bool next(const char *const *names, size_t count, int64_t apart, int64_t now, const char *series, char *out)
{
	struct decoy_seen seen[DECOY_NAMES];

	for (size_t i = 0; i < count; i++) {
		strcpy(seen[i].name, names[i]);
		seen[i].at = T0 + (int64_t)i * apart;
	}
	return decoy_name(seen, count, now, series, &rng, out);
}

Test(decoy, names_of_a_camera)
{
	static const char *const names[] = {"cam3_20261127-111500_0140.jpg", "cam3_20261127-111600_0103.jpg", "cam3_20261127-111700_0109.jpg"};
	char out[DECOY_NAME_MAX + 1];

	for (int i = 0; i < 20; i++) {
		cr_assert(next(names, 3, 60, T0 + 150, "", out));
		cr_expect_eq(strncmp(out, "cam3_20261127-111730_", 21), 0, "%s: in the camera's time", out);
		cr_expect_eq(strspn(out + 21, "0123456789"), 4);
		cr_expect_str_eq(out + 25, ".jpg");
	}
	cr_assert(next(names, 3, 60, T0 + 46000, "", out));
	cr_expect_eq(strncmp(out, "cam3_20261128-000140_", 21), 0, "%s: another day", out);
}

Test(decoy, plates_by_chance_or_of_a_series)
{
	static const char *const names[] = {"AB123CD.jpg", "XY987QR.jpg", "KL555MM.jpg", "ZZ101AA.jpg"};
	char out[DECOY_NAME_MAX + 1], before[DECOY_NAME_MAX + 1] = "";

	for (int i = 0; i < 20; i++) {
		cr_assert(next(names, 4, 60, T0, "", out));
		cr_expect_eq(strlen(out), 11);
		cr_expect(strspn(out, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 2 && strspn(out + 2, "0123456789") == 3, "%s", out);
		cr_expect_str_neq(out, before);
		strcpy(before, out);
		cr_assert(next(names, 4, 60, T0, "QQ###ZZ", out));
		cr_expect(!strncmp(out, "QQ", 2) && !strcmp(out + 5, "ZZ.jpg"), "%s", out);
	}
}

/* Words of different names, which together are longer than any name may be. */
Test(decoy, names_that_do_not_fit)
{
	char name[6][DECOY_NAME_MAX + 1];
	const char *names[6];
	char out[DECOY_NAME_MAX + 1 + 64], *end = out + DECOY_NAME_MAX + 1;

	for (int i = 0; i < 6; i++) {
		char *p = name[i];

		memset(p, 'a' + i, 62);
		p[i % 2 ? 1 : 60] = '_';
		memset(p + 62, '_', 190);
		p[252] = '\0';
		names[i] = p;
	}
	for (int i = 0; i < 50; i++) {
		memset(out, '?', sizeof out);
		if (next(names, 6, 61, T0 + 400, "", out))
			cr_expect_leq(strlen(out), DECOY_NAME_MAX);
		cr_assert(memchr(end, '?', 1) && !memcmp(end, end + 1, 63), "nothing is written behind the end");
	}
}

Test(decoy, names_that_leave_no_room)
{
	static const char *const tight[] = {"IMG_0001.jpg", "IMG_0002.jpg", "IMG_0003.jpg"}, *const gaps[] = {"IMG_0001.jpg", "IMG_0012.jpg", "IMG_0053.jpg"};
	static const char *const other[] = {"a.jpg", "b-1.jpg", "c.jpg"};
	static const char *const same[] = {"a.jpg", "a.jpg", "a.jpg"};
	static const char *const control[] = {"a\x01.jpg", "b\x01.jpg", "c\x01.jpg"};
	char out[DECOY_NAME_MAX + 1];

	cr_expect_not(next(tight, 3, 1, T0, "", out));
	cr_expect_not(next(gaps, 3, 1, T0, "", out), "its order would tell");
	cr_expect_not(next(tight, 2, 1, T0, "", out), "too few");
	cr_expect_not(next(other, 3, 1, T0, "", out));
	cr_expect_not(next(same, 3, 1, T0, "", out));
	cr_expect_not(next(control, 3, 1, T0, "", out));
}

Test(decoy, hexadecimal_stays_so)
{
	static const char *const names[] = {"3fa9c2d1.jpg", "00ab12ff.jpg", "9c0d1e2f.jpg"};
	char out[DECOY_NAME_MAX + 1];

	for (int i = 0; i < 20; i++) {
		cr_assert(next(names, 3, 1, T0, "AA##", out));
		cr_expect(strspn(out, "0123456789abcdef") == 8 && !strcmp(out + 8, ".jpg"), "%s", out);
	}
}

Test(decoy, series)
{
	cr_expect(decoy_series_valid("QQ###ZZ"));
	cr_expect(decoy_series_valid("@"));
	cr_expect_not(decoy_series_valid(""));
	cr_expect_not(decoy_series_valid("A B"));
	cr_expect_not(decoy_series_valid("A/B"));
	cr_expect_not(decoy_series_valid("AAAAAAAAAAAAAAAAAAAAAAAA"));
}

/* ---- pictures --------------------------------------------------------------------------------------------------------- */

/* The beginning of a JPEG of 64 × 48, 4:2:0, with EXIF data: a camera, a date, a serial number and a comment. */
static size_t neighbour(uint8_t *out)
{
	static const uint8_t exif[] = "\0\x6e"
				      "Exif\0\0II*\0\x08\0\0\0\x03\0" /* three entries */
				      "\x0f\x01\x02\0\x04\0\0\0Cam\0"
				      "\x32\x01\x02\0\x14\0\0\0\x32\0\0\0"
				      "\x31\xa4\x02\0\x10\0\0\0\x46\0\0\0"
				      "\0\0\0\0"
				      "2026:11:27 10:15:00\0"
				      "SECRET-SERIAL-1\0"
				      "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
	size_t n = 0;

	memcpy(out, "\xff\xd8\xff\xe1\0\x6e", 6);
	memcpy(out + 6, exif + 2, 0x6e - 2);
	n = 4 + 0x6e;
	memcpy(out + n, "\xff\xfe\0\x0aWHO-IT-IS", 12); /* a comment, cut: 8 of its bytes */
	n += 12;
	memcpy(out + n, "\xff\xdb\0\x84\0", 5);
	memset(out + n + 5, 16, 64);
	out[n + 69] = 1;
	memset(out + n + 70, 17, 64);
	n += 134;
	memcpy(out + n, "\xff\xc0\0\x11\x08\0\x30\0\x40\x03\1\x22\0\2\x11\1\3\x11\1", 19);
	n += 19;
	memcpy(out + n, "\xff\xda\0\x0c\3\1\0\2\x11\3\x11\0\x3f\0", 14);
	return n + 14;
}

static errint_t make(const uint8_t *in, size_t len, size_t target, uint8_t **ret, size_t *ret_len)
{
	struct decoy_rng r = {.state = 3};

	return decoy_jpeg(in, len, target, 3600, &r, NULL, ret, ret_len);
}

Test(decoy, a_picture_of_that_size_with_nothing_of_the_neighbour)
{
	uint8_t in[1024], *out;
	size_t len = neighbour(in), n;

	for (size_t target = 900; target < 2800; target += 310) {
		cr_assert_eq(make(in, len, target, &out, &n), 0, "%zu", target);
		cr_expect(n > target - target / 15 && n < target + target / 15, "%zu of %zu", n, target);
		free(out);
	}
	cr_assert_eq(make(in, len, 2500, &out, &n), 0);
	cr_expect_eq(memcmp(out, "\xff\xd8\xff\xe1", 4), 0);
	cr_expect_eq(memcmp(out + n - 2, "\xff\xd9", 2), 0);
	cr_expect_not_null(memmem(out, n, "Cam", 4));
	cr_expect_not_null(memmem(out, n, "2026:11:27 11:15:00", 20), "an hour later");
	cr_expect_null(memmem(out, n, "SECRET", 6));
	cr_expect_null(memmem(out, n, "WHO-IT-IS", 8));
	free(out);
}

/* Else decoys of a camera whose pictures show little, as at night, are the larger ones. */
Test(decoy, a_picture_of_next_to_nothing)
{
	uint8_t in[1024], *out;
	size_t len = neighbour(in), n, head;

	cr_assert_eq(make(in, len, 2500, &out, &n), 0);
	head = (size_t)((uint8_t *)memmem(out, n, "\xff\xda", 2) - out) + 14;
	free(out);
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct decoy_rng r = {.state = seed};
		cr_assert_eq(decoy_jpeg(in, len, head + 60, 3600, &r, NULL, &out, &n), 0, "scene %zu", (size_t)seed);
		cr_expect(n < head + 100, "%zu", n);
		free(out);
	}
}

Test(decoy, what_no_picture_is_made_from)
{
	uint8_t in[1024], *out;
	size_t len = neighbour(in), n;

	cr_expect_eq(make(in, len, 100, &out, &n), -ERANGE, "too small for its tables");
	cr_expect_eq(make(in, len, (size_t)65 << 20, &out, &n), -ERANGE);
	cr_expect_eq(make((const uint8_t *)"GIF89a", 6, 3000, &out, &n), -EOPNOTSUPP);
	cr_expect_eq(make(in, 0, 3000, &out, &n), -EOPNOTSUPP);
	for (size_t cut = 1; cut < len; cut++) {
		uint8_t *part = malloc(cut);

		memcpy(part, in, cut);
		cr_expect_eq(make(part, cut, 3000, &out, &n), -EOPNOTSUPP, "cut at %zu", cut);
		free(part);
	}
}

Test(decoy, a_large_one_by_a_part_of_it_and_stopped)
{
	uint8_t in[1024], *out;
	size_t len = neighbour(in), n, frame = len - 14 - 19;
	atomic_bool stop = true;
	struct decoy_rng r = {.state = 3};

	memcpy(in + frame + 5, "\x04\xb0\x06\x40", 4); /* 1600 × 1200 */
	cr_assert_eq(make(in, len, 400000, &out, &n), 0);
	cr_expect(n > 390000 && n < 410000, "%zu", n);
	free(out);
	cr_expect_eq(decoy_jpeg(in, len, 400000, 0, &r, &stop, &out, &n), -EINTR);
	memcpy(in + frame + 5, "\x40\0\x40\0", 4);
	cr_expect_eq(make(in, len, 400000, &out, &n), -EOPNOTSUPP, "256 million pixels");
}

/* Whatever is changed in it: a picture, or a refusal, and nothing is read beyond it. */
Test(decoy, a_hostile_neighbour)
{
	uint8_t in[1024], *out;
	size_t len = neighbour(in), n;

	for (size_t i = 0; i < len; i++)
		for (unsigned v = 0; v < 256; v += 51) {
			uint8_t *copy = malloc(len);

			memcpy(copy, in, len);
			copy[i] ^= (uint8_t)(v ? v : 1);
			if (i >= len - 33 + 5 && i < len - 33 + 9)
				copy[i] = in[i]; /* its dimensions, which only cost time */
			errint_t e = make(copy, len, 3000, &out, &n);

			cr_assert(e == 0 || e == -EOPNOTSUPP || e == -ERANGE, "%d", e);
			if (!e)
				free(out);
			free(copy);
		}
}

/* ---- a value among others ---------------------------------------------------------------------------------------------- */

static uint64_t state = 1;

static double skewed(void)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	double u = (double)((state >> 11) + 1) / 9007199254740993.0;
	return log(-log(u));
}

/* Of 20 values and one like them: how often the last is one of the two that lie closest together. One that is as they are is that twice in 21 times. */
Test(decoy, a_value_like_others_is_no_closer_to_them)
{
	unsigned closest = 0, among[21] = {0}, rounds = 20000;

	for (unsigned i = 0; i < rounds; i++) {
		double v[21], least[21];
		for (int k = 0; k < 20; k++)
			v[k] = skewed();
		v[20] = decoy_like(v, 20, &rng);
		unsigned below = 0, at = 20;
		for (int k = 0; k < 21; k++) {
			below += v[k] < v[20];
			least[k] = INFINITY;
			for (int m = 0; m < 21; m++)
				if (m != k)
					least[k] = fmin(least[k], fabs(v[k] - v[m]));
		}
		for (unsigned k = 0; k < 20; k++)
			at = least[k] < least[at] ? k : at; /* the last, where another is as close */
		closest += at == 20;
		among[below]++;
	}
	cr_expect(closest > rounds * 2 / 21 * 8 / 10 && closest < rounds * 2 / 21 * 12 / 10, "%u of %u", closest, rounds);
	for (int k = 0; k < 21; k++)
		cr_expect(among[k] > rounds / 21 * 7 / 10 && among[k] < rounds / 21 * 17 / 10, "%u below: %u times", k, among[k]);
}

/* Of 31 values the last is one more of them, or one that is like the first 30: it is as often above another of them, and as often further from their middle. */
Test(decoy, a_value_like_others_is_no_further_out)
{
	unsigned rounds = 20000, above = 0, further = 0;

	for (unsigned i = 0; i < rounds; i++) {
		double v[30], other = skewed(), middle;
		for (int k = 0; k < 30; k++)
			v[k] = skewed();
		double like = decoy_like(v, 30, &rng);
		middle = v[15]; /* they are sorted now */
		above += like > other;
		further += fabs(like - middle) > fabs(other - middle);
	}
	cr_expect(above > rounds * 49 / 100 && above < rounds * 51 / 100, "%u of %u", above, rounds);
	cr_expect(further > rounds * 49 / 100 && further < rounds * 51 / 100, "%u of %u", further, rounds);
}

Test(decoy, a_value_like_one_other)
{
	double one = 5, equal[3] = {7, 7, 7};

	cr_expect_eq(decoy_like(&one, 1, &rng), 5);
	for (int i = 0; i < 20; i++)
		cr_expect_eq(decoy_like(equal, 3, &rng), 7);
}
