/* protocol.h - lines of the control protocol: a word and percent-encoded fields. PROTOCOL.md is the specification. */
#pragma once

#include "base/base.h"

#define CTL_VERSION     1
#define CTL_LINE_MAX    65536u     /* a line with its newline */
#define CTL_FIELDS_MAX  64u        /* of one line */
#define CTL_PAYLOAD_MAX (2u << 20) /* bytes behind a request line */
#define CTL_GREETING    "lapse 1 " /* what a request line begins with */

struct ctl_field {
	const char *key, *value;
};

/* A parsed line. The strings lie in the buffer that was parsed. */
struct ctl_line {
	const char *word;
	size_t count;
	struct ctl_field field[CTL_FIELDS_MAX];
};

/* Parses one line in place: line[len] must be writable (it becomes NUL) and the newline is not part of it. -EBADMSG if it is malformed
 * in any way (PROTOCOL.md lists them). */
errint_t ctl_line_parse(char *line, size_t len, struct ctl_line *ret);
/* A request line: the greeting, then as ctl_line_parse. -EPROTONOSUPPORT for a greeting of another version. *ret_payload: bytes that follow. */
errint_t ctl_request_parse(char *line, size_t len, struct ctl_line *ret, size_t *ret_payload);

/* The field's value, NULL if there is none. */
const char *ctl_get(const struct ctl_line *l, const char *key);
/* Its value as text, "" if there is none. */
const char *ctl_str(const struct ctl_line *l, const char *key);
/* Its value as a number; -ENOENT if there is none, -EBADMSG if it is no number. *ret is unchanged on failure. */
errint_t ctl_i64(const struct ctl_line *l, const char *key, int64_t *ret);
errint_t ctl_u64(const struct ctl_line *l, const char *key, uint64_t *ret);
/* The same with a value to fall back on, for readers of replies. */
int64_t ctl_num(const struct ctl_line *l, const char *key, int64_t otherwise);

/* Lines being built, in growing memory; sticky error: test `bad` once at the end. Zeroed is empty. */
struct ctl_text {
	char *p;
	size_t len, cap;
	bool bad;
};
void ctl_text_free(struct ctl_text *t);
void ctl_begin(struct ctl_text *t, const char *word); /* `word` as it is: a row's kind, or the greeting and a verb */
void ctl_put(struct ctl_text *t, const char *key, const char *value);
void ctl_put_i64(struct ctl_text *t, const char *key, int64_t value);
void ctl_put_u64(struct ctl_text *t, const char *key, uint64_t value);
void ctl_put_hex(struct ctl_text *t, const char *key, const uint8_t *bytes, size_t len);
void ctl_end(struct ctl_text *t);
