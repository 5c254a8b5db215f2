#include "ctl/protocol.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static errint_t parse(const char *text, struct ctl_line *ret)
{
	static char line[2 * CTL_LINE_MAX];
	size_t len = strlen(text);
	memcpy(line, text, len);
	return ctl_line_parse(line, len, ret);
}

Test(protocol, a_line_says_what_was_put)
{
	struct ctl_text t = {0};
	struct ctl_line l;
	uint64_t u;
	int64_t i;
	ctl_begin(&t, "row");
	ctl_put(&t, "name", "tab\there, 100 %, \x01 and caf\xc3\xa9 = all");
	ctl_put(&t, "empty", "");
	ctl_put_u64(&t, "most", UINT64_MAX);
	ctl_put_i64(&t, "least", INT64_MIN);
	ctl_put_hex(&t, "id", (const uint8_t[]){0x00, 0x7f, 0xff}, 3);
	ctl_end(&t);
	cr_assert_not(t.bad);
	cr_assert_eq(t.p[t.len - 1], '\n');
	cr_assert_eq(ctl_line_parse(t.p, t.len - 1, &l), 0);
	cr_assert_str_eq(l.word, "row");
	cr_assert_eq(l.count, 5u);
	cr_assert_str_eq(ctl_str(&l, "name"), "tab\there, 100 %, \x01 and caf\xc3\xa9 = all");
	cr_assert_str_eq(ctl_get(&l, "empty"), "");
	cr_assert_null(ctl_get(&l, "nothing"));
	cr_assert_str_eq(ctl_str(&l, "nothing"), "");
	cr_assert_str_eq(ctl_str(&l, "id"), "007fff");
	cr_assert_eq(ctl_u64(&l, "most", &u), 0);
	cr_assert_eq(u, UINT64_MAX);
	cr_assert_eq(ctl_i64(&l, "least", &i), 0);
	cr_assert_eq(i, INT64_MIN);
	ctl_text_free(&t);
}

Test(protocol, every_byte_string_comes_back)
{
	char value[256];
	for (int i = 1; i < 256; i++)
		value[i - 1] = (char)i;
	value[255] = '\0';
	struct ctl_text t = {0};
	struct ctl_line l;
	ctl_begin(&t, "row");
	ctl_put(&t, "all", value);
	for (size_t i = 0; i < t.len; i++)
		cr_assert(t.p[i] == '\t' || (unsigned char)t.p[i] >= 0x20);
	ctl_end(&t);
	cr_assert_eq(ctl_line_parse(t.p, t.len - 1, &l), 0);
	cr_assert_str_eq(ctl_str(&l, "all"), value);
	ctl_text_free(&t);
}

Test(protocol, malformed_lines_are_refused)
{
	static const char *const bad[] = {
		"",
		" ",
		"Row",
		"row ",
		"row\t",
		"row\tx",
		"row\t=1",
		"row\tX=1",
		"row\ta b=1",
		"row\ta=1\t",
		"row\ta=1\t\tb=2",
		"row\ta=1\ta=1",
		"row\ta=%",
		"row\ta=%4",
		"row\ta=%4g",
		"row\ta=%4a",
		"row\ta=%00",
		"row\ta=\x01",
		"row\ta=\x7f",
		"row\ra=1",
		"row\ta=1\r",
		"word-that-is-longer-than-thirty-two-bytes",
		"\trow",
		"row\tkey=1\n",
	};
	struct ctl_line l;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_expect_eq(parse(bad[i], &l), -EBADMSG, "accepted: %s", bad[i]);
	char nul[] = "row\ta=1\0b";
	cr_assert_eq(ctl_line_parse(nul, sizeof nul - 1, &l), -EBADMSG);
}

Test(protocol, limits_hold)
{
	struct ctl_line l;
	char text[CTL_FIELDS_MAX * 8 + 32] = "row";
	for (unsigned i = 0; i < CTL_FIELDS_MAX; i++)
		snprintf(text + strlen(text), 16, "\tk%u=1", i);
	cr_assert_eq(parse(text, &l), 0);
	cr_assert_eq(l.count, CTL_FIELDS_MAX);
	strcat(text, "\tmore=1");
	cr_assert_eq(parse(text, &l), -EBADMSG);
	static char longest[CTL_LINE_MAX + 1] = "row\ta=";
	memset(longest + 6, 'x', CTL_LINE_MAX - 6);
	cr_assert_eq(ctl_line_parse(longest, CTL_LINE_MAX, &l), -EBADMSG);
	cr_assert_eq(ctl_line_parse(longest, CTL_LINE_MAX - 1, &l), 0);
}

Test(protocol, numbers_are_digits)
{
	static const char *const bad[] = {"", "-", "+1", " 1", "1 ", "0x1", "1e3", "00", "01", "-0", "1.0",
		"18446744073709551616", "99999999999999999999"};
	struct ctl_line l;
	char text[64];
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		uint64_t u = 7;
		int64_t s = 7;
		snprintf(text, sizeof text, "row\tn=%s", bad[i]);
		cr_assert_eq(parse(text, &l), 0);
		cr_expect_eq(ctl_u64(&l, "n", &u), -EBADMSG, "%s", bad[i]);
		cr_expect_eq(ctl_i64(&l, "n", &s), -EBADMSG, "%s", bad[i]);
		cr_expect_eq(u, 7u);
		cr_expect_eq(ctl_num(&l, "n", 42), 42);
	}
	int64_t s;
	uint64_t u;
	cr_assert_eq(parse("row\tn=9223372036854775808\tm=-9223372036854775809\to=-1", &l), 0);
	cr_assert_eq(ctl_i64(&l, "n", &s), -EBADMSG);
	cr_assert_eq(ctl_i64(&l, "m", &s), -EBADMSG);
	cr_assert_eq(ctl_u64(&l, "o", &u), -EBADMSG);
	cr_assert_eq(ctl_i64(&l, "absent", &s), -ENOENT);
}

Test(protocol, a_request_names_its_version_and_payload)
{
	struct ctl_line l;
	size_t payload = 99;
	char good[] = "lapse 1 queue\tlimit=3", with[] = "lapse 1 policy-apply\tpayload=12",
	     huge[] = "lapse 1 x\tpayload=99999999", sign[] = "lapse 1 x\tpayload=-1", next[] = "lapse 2 queue",
	     other[] = "GET / HTTP/1.1", cut[] = "lapse 1 ", none[] = "";
	cr_assert_eq(ctl_request_parse(good, strlen(good), &l, &payload), 0);
	cr_assert_str_eq(l.word, "queue");
	cr_assert_eq(payload, 0u);
	cr_assert_eq(ctl_request_parse(with, strlen(with), &l, &payload), 0);
	cr_assert_eq(payload, 12u);
	cr_assert_eq(ctl_request_parse(huge, strlen(huge), &l, &payload), -EBADMSG);
	cr_assert_eq(ctl_request_parse(sign, strlen(sign), &l, &payload), -EBADMSG);
	cr_assert_eq(ctl_request_parse(next, strlen(next), &l, &payload), -EPROTONOSUPPORT);
	cr_assert_eq(ctl_request_parse(other, strlen(other), &l, &payload), -EBADMSG);
	cr_assert_eq(ctl_request_parse(cut, strlen(cut), &l, &payload), -EBADMSG);
	cr_assert_eq(ctl_request_parse(none, 0, &l, &payload), -EBADMSG);
}

/* No truncation and no flipped bit of a valid request may read out of bounds or be taken for something that its bytes do not say: whatever is
 * accepted must come back from being written again. */
Test(protocol, damaged_requests_are_refused_or_mean_what_they_say)
{
	static const char request[] = "lapse 1 explain\tpath=in/a%25b%09c.jpg\tuid=1000\tgroups=1,2";
	for (size_t len = 0; len < sizeof request; len++)
		for (unsigned bit = 0; bit < 8 * len + 1; bit++) {
			char *copy = malloc(len + 1); /* exactly, so that a sanitizer sees an overrun */
			memcpy(copy, request, len);
			if (bit)
				copy[(bit - 1) / 8] ^= (char)(1 << (bit - 1) % 8);
			struct ctl_line l, again;
			size_t payload;
			if (ctl_request_parse(copy, len, &l, &payload) == 0) {
				struct ctl_text t = {0};
				ctl_begin(&t, l.word);
				for (size_t i = 0; i < l.count; i++)
					ctl_put(&t, l.field[i].key, l.field[i].value);
				ctl_end(&t);
				cr_assert_eq(ctl_line_parse(t.p, t.len - 1, &again), 0);
				cr_assert_eq(again.count, l.count);
				for (size_t i = 0; i < l.count; i++)
					cr_assert_str_eq(again.field[i].value, l.field[i].value);
				ctl_text_free(&t);
			}
			free(copy);
		}
}
