#include "tools/paths.h"

#include <stdio.h>
#include <string.h>

size_t path_control(const char *at)
{
	unsigned char a = (unsigned char)at[0], b = (unsigned char)at[1];
	if (a == 0xc2 && b >= 0x80 && b < 0xa0)
		return 2;
	return a < 0x20 || a == 0x7f;
}

void path_put(FILE *out, const char *path)
{
	for (size_t bytes = 0; *path; path++) {
		if (!bytes)
			bytes = *path == '\\' ? 1 : path_control(path);
		if (!bytes) {
			fputc(*path, out);
			continue;
		}
		fprintf(out, "\\x%02x", (unsigned char)*path);
		bytes--;
	}
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
