#include "tools/paths.h"

#include <stdio.h>
#include <string.h>

size_t path_char(const char *at, uint32_t *ret)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *p = (const unsigned char *)at;
	const size_t len = *p < 0x80 ? 1 : *p < 0xc2 ? 0 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : *p < 0xf5 ? 4 : 0;
	uint32_t c = len < 2 ? *p : *p & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (!len || c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0;
	*ret = c;
	return len;
}

bool path_turns(uint32_t c)
{
	return c == 0x61c || c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

size_t path_control(const char *at)
{
	uint32_t c;
	const size_t len = path_char(at, &c);
	if (!len)
		return 1;
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || path_turns(c) ? len : 0;
}

bool path_like_escape(const char *at)
{
	return at[0] == '\\' && at[1] == 'x';
}

const char *path_next(FILE *out, const char *at, bool escape)
{
	uint32_t c;
	size_t len = escape ? 1 : path_control(at);
	if (!len) {
		len = path_char(at, &c);
		fprintf(out, "%.*s", (int)len, at);
		return at + len;
	}
	for (const char *end = at + len; at < end; at++)
		fprintf(out, "\\x%02x", (unsigned char)*at);
	return at;
}

void path_put(FILE *out, const char *path)
{
	while (*path)
		path = path_next(out, path, *path == '\\');
}

void path_told(const char *word, const char *path, const char *why)
{
	fprintf(stderr, "%s: ", word);
	path_put(stderr, path);
	fprintf(stderr, ": %s\n", why);
}

bool path_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);
	return *dir && !strncmp(path, dir, len) && (path[len] == '/' || !path[len] || !strcmp(dir, "/"));
}
