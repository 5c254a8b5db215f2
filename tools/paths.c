#include "tools/paths.h"

#include <stdio.h>
#include <string.h>

static void put(FILE *out, const char *path)
{
	for (const unsigned char *p = (const unsigned char *)path; *p; p++)
		if (*p < 0x20 || *p == 0x7f || *p == '\\')
			fprintf(out, "\\x%02x", *p);
		else
			fputc(*p, out);
}

void path_put(const char *path)
{
	put(stdout, path);
}

void path_told(const char *word, const char *path, const char *why)
{
	fprintf(stderr, "%s: ", word);
	put(stderr, path);
	fprintf(stderr, ": %s\n", why);
}

bool path_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);
	return *dir && !strncmp(path, dir, len) && (path[len] == '/' || !path[len] || !strcmp(dir, "/"));
}
