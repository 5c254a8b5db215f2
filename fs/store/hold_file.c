#include "store/hold_internal.h"

#include "base/io.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define HOLDS_DIR "holds"

errint_t hold_dir_open(struct archive *a, int *ret)
{
	*ret = openat(a->lapse_fd, HOLDS_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return *ret < 0 ? -errno : 0;
}

static void file_name(uint32_t number, char out[static 16])
{
	snprintf(out, 16, "%08" PRIx32, number);
}

static errint_t need_dir(struct holds *s)
{
	if (s->fd >= 0)
		return 0;
	if (mkdirat(s->a->lapse_fd, HOLDS_DIR, 0700) && errno != EEXIST)
		return -errno;
	errint_t r = io_fsync_dir(s->a->lapse_fd);
	return r ? r : hold_dir_open(s->a, &s->fd);
}

errint_t hold_file_write(struct holds *s, const struct hold_object *o)
{
	cleanup_free uint8_t *sealed = NULL;
	char name[16];
	size_t len;
	errint_t r = need_dir(s);
	if (!r)
		r = hold_object_encode(s->a->keys, s->a->uuid, o, &sealed, &len);
	if (r)
		return r;
	file_name(o->number, name);
	return io_replace_file(s->fd, name, sealed, len, 0600);
}

errint_t hold_save(struct holds *s, const struct hold_object *o)
{
	struct hold_object text = *o;
	cleanup_free char *globs = malloc(o->globs_len + 1);
	if (!globs)
		return -ENOMEM;
	for (size_t i = 0; i < o->globs_len; i++)
		globs[i] = o->globs[i] ? o->globs[i] : '\n';
	text.globs = globs;
	return hold_file_write(s, &text);
}

errint_t hold_file_read(struct holds *s, uint32_t number, struct hold_object *ret)
{
	cleanup_free uint8_t *sealed = NULL;
	char name[16];
	size_t len;
	file_name(number, name);
	errint_t r = s->fd < 0 ? -ENOENT : io_read_file(s->fd, name, HOLD_OBJECT_MAX, &sealed, &len);
	if (!r)
		r = hold_object_decode(s->a->keys, s->a->uuid, sealed, len, ret);
	if (!r && ret->number != number) { /* put under another name */
		hold_object_free(ret);
		r = -EBADMSG;
	}
	return r;
}

void hold_file_remove(struct holds *s, uint32_t number)
{
	char name[16];
	file_name(number, name);
	if (s->fd >= 0 && !unlinkat(s->fd, name, 0))
		io_fsync_dir(s->fd);
}

void hold_file_clean(struct holds *s)
{
	int fd = s->fd < 0 ? -1 : openat(s->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		if (fd >= 0)
			close(fd);
		return;
	}
	for (struct dirent *e; (e = readdir(d));) {
		char *end, name[16];
		unsigned long number = strtoul(e->d_name, &end, 16);
		file_name((uint32_t)number, name);
		bool known = !*end && number <= UINT32_MAX && !strcmp(name, e->d_name) && hold_by_number(s, (uint32_t)number);
		if (e->d_name[0] != '.' && !known)
			unlinkat(s->fd, e->d_name, 0);
	}
	closedir(d);
}
