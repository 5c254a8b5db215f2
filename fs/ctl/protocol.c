#include "ctl/protocol.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Decodes the value in place; -EBADMSG for a bad escape, an escaped NUL or a raw control character. */
static errint_t value_decode(char *value)
{
	char *out = value;
	for (const char *in = value; *in; in++) {
		unsigned char c = (unsigned char)*in;
		if (c < 0x20 || c == 0x7f)
			return -EBADMSG;
		if (c == '%') {
			int high = hex_digit(in[1]), low = high < 0 ? -1 : hex_digit(in[2]);
			if (low < 0 || (high == 0 && low == 0))
				return -EBADMSG;
			c = (unsigned char)(high << 4 | low);
			in += 2;
		}
		*out++ = (char)c;
	}
	*out = '\0';
	return 0;
}

static bool word_valid(const char *word)
{
	size_t len = strlen(word);
	return len > 0 && len <= 32 && strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

static errint_t field_parse(char *text, struct ctl_line *l)
{
	char *equals = strchr(text, '=');
	if (!equals || l->count == CTL_FIELDS_MAX)
		return -EBADMSG;
	*equals = '\0';
	if (!word_valid(text) || ctl_get(l, text) || value_decode(equals + 1))
		return -EBADMSG;
	l->field[l->count++] = (struct ctl_field){text, equals + 1};
	return 0;
}

errint_t ctl_line_parse(char *line, size_t len, struct ctl_line *ret)
{
	if (len >= CTL_LINE_MAX || memchr(line, '\0', len))
		return -EBADMSG;
	line[len] = '\0';
	ret->count = 0;
	char *rest = line;
	ret->word = strsep(&rest, "\t");
	if (!word_valid(ret->word))
		return -EBADMSG;
	while (rest) {
		errint_t r = field_parse(strsep(&rest, "\t"), ret);
		if (r)
			return r;
	}
	return 0;
}

errint_t ctl_request_parse(char *line, size_t len, struct ctl_line *ret, size_t *ret_payload)
{
	static const char family[] = "lapse ";
	size_t greeting = sizeof CTL_GREETING - 1;
	if (len < greeting || memcmp(line, CTL_GREETING, greeting))
		return len >= sizeof family && !memcmp(line, family, sizeof family - 1) ? -EPROTONOSUPPORT : -EBADMSG;
	errint_t r = ctl_line_parse(line + greeting, len - greeting, ret);
	if (r)
		return r;
	uint64_t payload = 0;
	r = ctl_u64(ret, "payload", &payload);
	if ((r && r != -ENOENT) || payload > CTL_PAYLOAD_MAX)
		return -EBADMSG;
	*ret_payload = (size_t)payload;
	return 0;
}

const char *ctl_get(const struct ctl_line *l, const char *key)
{
	for (size_t i = 0; i < l->count; i++)
		if (!strcmp(l->field[i].key, key))
			return l->field[i].value;
	return NULL;
}

const char *ctl_str(const struct ctl_line *l, const char *key)
{
	const char *value = ctl_get(l, key);
	return value ? value : "";
}

/* Digits only, so that blanks, signs and hexadecimal, which strtoull takes, are refused. */
static errint_t digits_parse(const char *text, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;
	size_t len = strlen(text);
	if (len == 0 || len > 20 || (len > 1 && text[0] == '0'))
		return -EBADMSG;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -EBADMSG;
		if (__builtin_mul_overflow(v, UINT64_C(10), &v) ||
			__builtin_add_overflow(v, (uint64_t)(text[i] - '0'), &v))
			return -EBADMSG;
	}
	if (v > max)
		return -EBADMSG;
	*ret = v;
	return 0;
}

errint_t ctl_u64(const struct ctl_line *l, const char *key, uint64_t *ret)
{
	const char *value = ctl_get(l, key);
	return value ? digits_parse(value, UINT64_MAX, ret) : -ENOENT;
}

errint_t ctl_i64(const struct ctl_line *l, const char *key, int64_t *ret)
{
	const char *value = ctl_get(l, key);
	if (!value)
		return -ENOENT;
	bool negative = value[0] == '-';
	uint64_t v;
	errint_t r = digits_parse(value + negative, (uint64_t)INT64_MAX + negative, &v);
	if (r)
		return r;
	if (negative && v == 0)
		return -EBADMSG;
	*ret = negative ? (int64_t)(0 - v) : (int64_t)v;
	return 0;
}

int64_t ctl_num(const struct ctl_line *l, const char *key, int64_t otherwise)
{
	ctl_i64(l, key, &otherwise);
	return otherwise;
}

void ctl_text_free(struct ctl_text *t)
{
	free(t->p);
	*t = (struct ctl_text){0};
}

static void append(struct ctl_text *t, const char *bytes, size_t len)
{
	if (t->bad)
		return;
	if (t->cap - t->len < len) {
		size_t cap = t->cap ? t->cap : 512;
		while (cap - t->len < len)
			cap *= 2;
		char *p = realloc(t->p, cap);
		if (!p) {
			t->bad = true;
			return;
		}
		t->p = p;
		t->cap = cap;
	}
	memcpy(t->p + t->len, bytes, len);
	t->len += len;
}

void ctl_begin(struct ctl_text *t, const char *word)
{
	append(t, word, strlen(word));
}

void ctl_put(struct ctl_text *t, const char *key, const char *value)
{
	append(t, "\t", 1);
	append(t, key, strlen(key));
	append(t, "=", 1);
	while (*value) {
		size_t plain = 0;
		while ((unsigned char)value[plain] >= 0x20 && value[plain] != '%' && value[plain] != 0x7f)
			plain++;
		append(t, value, plain);
		value += plain;
		if (*value) {
			char escape[4];
			snprintf(escape, sizeof escape, "%%%02X", (unsigned char)*value++);
			append(t, escape, 3);
		}
	}
}

void ctl_put_i64(struct ctl_text *t, const char *key, int64_t value)
{
	char text[24];
	snprintf(text, sizeof text, "%" PRId64, value);
	ctl_put(t, key, text);
}

void ctl_put_u64(struct ctl_text *t, const char *key, uint64_t value)
{
	char text[24];
	snprintf(text, sizeof text, "%" PRIu64, value);
	ctl_put(t, key, text);
}

void ctl_put_hex(struct ctl_text *t, const char *key, const uint8_t *bytes, size_t len)
{
	static const char digit[] = "0123456789abcdef";
	append(t, "\t", 1);
	append(t, key, strlen(key));
	append(t, "=", 1);
	for (size_t i = 0; i < len; i++)
		append(t, (char[2]){digit[bytes[i] >> 4], digit[bytes[i] & 15]}, 2);
}

void ctl_end(struct ctl_text *t)
{
	append(t, "\n", 1);
}
