#include "store/checkpoint.h"

#include "base/io.h"

#include <ctype.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BEGIN "lapse-checkpoint 1 "
#define FILE_MAX (256u << 20)

static size_t put_hex(char *out, const char *key, const uint8_t *bytes, size_t len)
{
	size_t n = (size_t)sprintf(out, " %s=", key);
	for (size_t i = 0; i < len; i++)
		n += (size_t)sprintf(out + n, "%02x", bytes[i]);
	return n;
}

void checkpoint_text(const struct checkpoint *c, char out[static CHECKPOINT_BYTES])
{
	const struct log_seal *s = &c->seal;
	size_t n = strlen(BEGIN) - 1;
	memcpy(out, BEGIN, n);
	n += put_hex(out + n, "archive", c->uuid, sizeof c->uuid);
	n += put_hex(out + n, "log", c->log_id, sizeof c->log_id);
	n += (size_t)sprintf(out + n, " after=%" PRIu64 " write=%" PRIu64 " first=%" PRIu64 " record=%" PRIu64, s->after, s->anchor, s->first, s->last);
	n += put_hex(out + n, "head", s->head, sizeof s->head);
	n += (size_t)sprintf(out + n, " ns=%" PRId64, s->trusted_ns);
	n += put_hex(out + n, "next-key", s->next, sizeof s->next);
	put_hex(out + n, "signature", s->signature, sizeof s->signature);
}

/* ---- parsing: the fields in that order, each once --------------------------------------------------------------------------- */

static bool skip(const char **p, const char *key)
{
	size_t len = strlen(key);
	if (**p != ' ' || strncmp(*p + 1, key, len) || (*p)[1 + len] != '=')
		return false;
	*p += len + 2;
	return true;
}

static bool get_hex(const char **p, const char *key, uint8_t *out, size_t len)
{
	if (!skip(p, key))
		return false;
	for (size_t i = 0; i < 2 * len; i++, (*p)++) {
		const char *digits = "0123456789abcdef", *d = **p ? strchr(digits, **p) : NULL;
		if (!d)
			return false;
		out[i / 2] = (uint8_t)(out[i / 2] << 4 | (uint8_t)(d - digits));
	}
	return true;
}

static bool get_number(const char **p, const char *key, uint64_t *ret)
{
	char *end;
	if (!skip(p, key) || !isdigit((unsigned char)**p))
		return false;
	errno = 0;
	*ret = strtoull(*p, &end, 10);
	*p = end;
	return !errno;
}

errint_t checkpoint_parse(const char *line, struct checkpoint *ret)
{
	struct checkpoint c = {.uuid = {0}};
	struct log_seal *s = &c.seal, checked;
	uint8_t bytes[LOG_SEAL_BYTES];
	uint64_t ns;
	const char *p = strstr(line, BEGIN);
	if (!p)
		return -ENOENT;
	p += strlen(BEGIN) - 1;
	bool whole = get_hex(&p, "archive", c.uuid, sizeof c.uuid) && get_hex(&p, "log", c.log_id, sizeof c.log_id) && get_number(&p, "after", &s->after) &&
		     get_number(&p, "write", &s->anchor) && get_number(&p, "first", &s->first) && get_number(&p, "record", &s->last) &&
		     get_hex(&p, "head", s->head, sizeof s->head) && get_number(&p, "ns", &ns) && get_hex(&p, "next-key", s->next, sizeof s->next) &&
		     get_hex(&p, "signature", s->signature, sizeof s->signature);
	if (!whole || ns > INT64_MAX || (*p && !isspace((unsigned char)*p)))
		return -EBADMSG;
	s->trusted_ns = (int64_t)ns;
	log_seal_encode(s, bytes);
	if (log_seal_decode(bytes, &checked))
		return -EBADMSG;
	*ret = c;
	return 0;
}

static errint_t keep(struct checkpoint **list, size_t *count, size_t *cap, const struct checkpoint *c)
{
	if (*count == *cap) {
		*cap = *cap ? 2 * *cap : 64;
		struct checkpoint *more = reallocarray(*list, *cap, sizeof **list);
		if (!more)
			return -ENOMEM;
		*list = more;
	}
	(*list)[(*count)++] = *c;
	return 0;
}

errint_t checkpoint_read(const char *path, struct checkpoint **ret, size_t *ret_count, struct fault *f)
{
	cleanup_free uint8_t *text = NULL;
	cleanup_free struct checkpoint *list = NULL;
	size_t len, count = 0, cap = 0, number = 0;
	struct checkpoint c;
	char *rest, *line;
	errint_t r = io_read_file(AT_FDCWD, path, FILE_MAX, &text, &len);
	if (r)
		return fault_set(f, r, "%s: %s", path, strerror(-r));
	for (rest = (char *)text; (line = strsep(&rest, "\n"));) {
		number++;
		r = checkpoint_parse(line, &c);
		if (r == -EBADMSG)
			return fault_set(f, r, "%s: line %zu is a checkpoint, but not a whole one", path, number);
		if (!r && (r = keep(&list, &count, &cap, &c)))
			return r;
	}
	if (!count)
		return fault_set(f, -ENOENT, "%s: there is no checkpoint in it", path);
	*ret = steal_ptr(&list);
	*ret_count = count;
	return 0;
}
