#include "ctl/runtime.h"

#include <stdio.h>
#include <string.h>

/* mountinfo writes blanks and backslashes as octal. */
static void octal_decode(char *text)
{
	char *out = text;
	for (char *in = text; *in; in++) {
		unsigned value;
		if (*in == '\\' && sscanf(in + 1, "%3o", &value) == 1) {
			*out++ = (char)value;
			in += 3;
		} else {
			*out++ = *in;
		}
	}
	*out = '\0';
}

bool ctl_mounted(const char *path, bool exactly)
{
	cleanup_free char *line = NULL;
	size_t cap = 0;
	bool found = false;
	FILE *f = fopen("/proc/self/mountinfo", "re");
	while (f && !found && getline(&line, &cap, f) > 0) {
		char target[CTL_PATH_MAX], type[64];
		const char *dash = strstr(line, " - ");
		if (!dash || sscanf(line, "%*s %*s %*s %*s %4095s", target) != 1 || sscanf(dash, " - %63s", type) != 1)
			continue;
		octal_decode(target);
		size_t len = strlen(target);
		found = !strcmp(type, "fuse.lapse") && !strncmp(path, target, len) &&
			(!path[len] || (path[len] == '/' && !exactly));
	}
	if (f)
		fclose(f);
	return found;
}
