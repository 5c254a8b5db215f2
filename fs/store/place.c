/* place.c - where an archive's anchor lies when nobody says, and where other copies are remembered. */
#include "store/place.h"

#include "base/io.h"

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define COPIES_NAME      "copies"
#define COPIES_MAX_BYTES (ANCHOR_COPIES_MAX * (PATH_MAX + 1))

void uuid_text(const uint8_t uuid[static UUID_BYTES], char out[static 37])
{
	char *at = out;
	for (size_t i = 0; i < UUID_BYTES; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*at++ = '-';
		at += snprintf(at, 3, "%02x", uuid[i]);
	}
}

/* Root's state directory is systemd's if it gives one. */
static errint_t state_dir(char *out, size_t cap)
{
	const char *given = geteuid() ? getenv("XDG_STATE_HOME") : getenv("STATE_DIRECTORY"), *home = getenv("HOME");
	int n;
	if (given && given[0] == '/' && !strchr(given, ':'))
		n = snprintf(out, cap, geteuid() ? "%s/lapse" : "%s", given);
	else if (!geteuid())
		n = snprintf(out, cap, "/var/lib/lapse");
	else if (home && home[0] == '/')
		n = snprintf(out, cap, "%s/.local/state/lapse", home);
	else
		return -ENOENT;
	return n < 0 || (size_t)n >= cap ? -ENAMETOOLONG : 0;
}

static errint_t in_state_dir(const uint8_t uuid[static UUID_BYTES], const char *name, char *out, size_t cap)
{
	char dir[PATH_MAX], text[37];
	errint_t r = state_dir(dir, sizeof dir);
	if (r)
		return r;
	uuid_text(uuid, text);
	int n = snprintf(out, cap, "%s/%s%s%s", dir, text, name[0] ? "/" : "", name);
	return n < 0 || (size_t)n >= cap ? -ENAMETOOLONG : 0;
}

errint_t archive_default_anchor(const uint8_t uuid[static UUID_BYTES], char *out, size_t cap)
{
	return in_state_dir(uuid, "anchor", out, cap);
}

void anchor_paths_free(struct anchor_paths *p)
{
	for (size_t i = 0; i < p->count; i++)
		free(p->path[i]);
	*p = (struct anchor_paths){0};
}

static errint_t add_path(struct anchor_paths *p, const char *path)
{
	if (p->count == ANCHOR_COPIES_MAX)
		return -E2BIG;
	if (!(p->path[p->count] = strdup(path)))
		return -ENOMEM;
	p->count++;
	return 0;
}

static errint_t read_remembered(const uint8_t uuid[static UUID_BYTES], struct anchor_paths *ret)
{
	char path[PATH_MAX];
	cleanup_free uint8_t *text = NULL;
	size_t len;
	errint_t r = in_state_dir(uuid, COPIES_NAME, path, sizeof path);
	if (!r)
		r = io_read_file(AT_FDCWD, path, COPIES_MAX_BYTES, &text, &len);
	char *save, *line = r ? NULL : strtok_r((char *)text, "\n", &save);
	for (; !r && line; line = strtok_r(NULL, "\n", &save))
		r = line[0] == '/' ? add_path(ret, line) : -EBADMSG;
	return r ? r : ret->count ? 0 : -ENOENT;
}

errint_t anchor_paths_find(const uint8_t uuid[static UUID_BYTES], const char *const *given, struct anchor_paths *ret)
{
	char path[PATH_MAX];
	errint_t r = 0;
	*ret = (struct anchor_paths){0};
	for (; given && *given && !r; given++)
		r = add_path(ret, *given);
	if (!r && !ret->count && read_remembered(uuid, ret)) {
		anchor_paths_free(ret);
		r = archive_default_anchor(uuid, path, sizeof path);
		if (!r)
			r = add_path(ret, path);
	}
	if (r)
		anchor_paths_free(ret);
	return r;
}

static errint_t forget_copies(const uint8_t uuid[static UUID_BYTES])
{
	char path[PATH_MAX];
	errint_t r = in_state_dir(uuid, COPIES_NAME, path, sizeof path);
	return r || !unlink(path) || errno == ENOENT ? r : -errno;
}

errint_t anchor_paths_remember(const uint8_t uuid[static UUID_BYTES], const struct anchor_paths *p)
{
	char dir[PATH_MAX], text[COPIES_MAX_BYTES], whole[PATH_MAX];
	size_t len = 0;
	errint_t r = in_state_dir(uuid, "anchor", dir, sizeof dir);
	if (r)
		return r;
	if (p->count == 1 && !strcmp(p->path[0], dir))
		return forget_copies(uuid);
	for (size_t i = 0; i < p->count; i++) {
		/* One that cannot be reached is a copy all the same. */
		if (access(p->path[i], F_OK) && p->path[i][0] == '/' && strlen(p->path[i]) < sizeof whole)
			strcpy(whole, p->path[i]);
		else if (!realpath(p->path[i], whole))
			return -errno;
		if (strchr(whole, '\n'))
			return -EINVAL;
		len += (size_t)snprintf(text + len, sizeof text - len, "%s\n", whole);
	}
	if ((r = in_state_dir(uuid, "", dir, sizeof dir)) || (r = io_mkdirs(dir, 0700)))
		return r;
	cleanup_fd int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : io_replace_file(fd, COPIES_NAME, text, len, 0600);
}

void anchor_paths_forget(const uint8_t uuid[static UUID_BYTES])
{
	char path[PATH_MAX];
	forget_copies(uuid);
	if (!in_state_dir(uuid, "", path, sizeof path))
		rmdir(path); /* stays unless it is empty */
}

void archive_state_dirs_free(char **dirs)
{
	for (size_t i = 0; dirs && dirs[i]; i++)
		free(dirs[i]);
	free(dirs);
}

errint_t archive_state_dirs(const uint8_t uuid[static UUID_BYTES], char ***ret)
{
	char dir[PATH_MAX];
	struct anchor_paths p = {0};
	char **list = calloc(ANCHOR_COPIES_MAX + 2, sizeof *list);
	errint_t r = list ? in_state_dir(uuid, "", dir, sizeof dir) : -ENOMEM;
	if (!r && !(list[0] = strdup(dir)))
		r = -ENOMEM;
	if (!r)
		r = anchor_paths_find(uuid, NULL, &p);
	for (size_t i = 0; !r && i < p.count; i++) {
		snprintf(dir, sizeof dir, "%s", p.path[i]);
		const char *parent = dirname(dir);
		if (!(list[i + 1] = strdup(strcmp(parent, "/") ? parent : p.path[i])))
			r = -ENOMEM;
	}
	anchor_paths_free(&p);
	if (r)
		archive_state_dirs_free(list);
	else
		*ret = list;
	return r;
}
