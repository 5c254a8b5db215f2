/* once_plain.c - which paths held files of the archive in plain: kept until somebody says that they are sanitised. */
#include "crypt/once_plain.h"
#include "store/import.h"
#include "store/internal.h"

#include "base/io.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define NAME "once-plain"

struct list {
	size_t count;
	struct once_plain_entry item[ONCE_PLAIN_ENTRIES];
};

static errint_t read_list(struct archive *a, struct list *l)
{
	cleanup_free uint8_t *bytes = NULL;
	size_t len;
	l->count = 0;
	errint_t r = io_read_file(a->lapse_fd, NAME, ONCE_PLAIN_FILE_MAX, &bytes, &len);
	if (r)
		return r == -ENOENT ? 0 : r;
	return once_plain_open(a->keys, a->uuid, bytes, len, l->item, &l->count);
}

static errint_t write_list(struct archive *a, const struct list *l)
{
	size_t len = once_plain_bytes(l->item, l->count);
	cleanup_free uint8_t *bytes = malloc(len);
	if (!bytes)
		return -ENOMEM;
	once_plain_seal(a->keys, a->uuid, l->item, l->count, bytes);
	return io_replace_file(a->lapse_fd, NAME, bytes, len, 0600);
}

static void add(struct list *l, int64_t now, const char *path, bool in_place)
{
	size_t i = 0;
	while (i < l->count && (strcmp(l->item[i].path, path) || l->item[i].in_place != in_place))
		i++;
	if (i == l->count && l->count == ONCE_PLAIN_ENTRIES)
		i = 0;
	if (i < l->count)
		memmove(&l->item[i], &l->item[i + 1], (--l->count - i) * sizeof *l->item);
	struct once_plain_entry *e = &l->item[l->count++];
	*e = (struct once_plain_entry){.since = now, .in_place = in_place};
	snprintf(e->path, sizeof e->path, "%s", path);
}

/* Writers hold the lock of the keys: they are as rare. */
errint_t once_plain_note(struct archive *a, const char *path, bool in_place)
{
	cleanup_free struct list *l = calloc(1, sizeof *l);
	if (!l)
		return -ENOMEM;
	if (!*path || strlen(path) > ONCE_PLAIN_PATH_MAX)
		return -EINVAL;
	pthread_mutex_lock(&a->key_lock);
	errint_t r = read_list(a, l);
	if (!r) {
		add(l, tclock_trusted(a->clock), path, in_place);
		r = write_list(a, l);
	}
	pthread_mutex_unlock(&a->key_lock);
	return r;
}

errint_t once_plain_each(struct archive *a, errint_t (*cb)(void *ctx, const struct once_plain *p), void *ctx)
{
	cleanup_free struct list *l = calloc(1, sizeof *l);
	if (!l)
		return -ENOMEM;
	errint_t r = read_list(a, l);
	for (size_t i = 0; !r && i < l->count; i++)
		r = cb(ctx, &(struct once_plain){l->item[i].since, l->item[i].in_place, l->item[i].path});
	return r;
}

bool import_unfinished(const struct archive *a)
{
	static const char *const names[] = {"import", "import.moving", "import.wipe"};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!faccessat(a->lapse_fd, names[i], F_OK, AT_SYMLINK_NOFOLLOW))
			return true;
	return false;
}

errint_t once_plain_forget(struct archive *a, const struct subject *who, const char *reason)
{
	char text[RECORD_TEXT_MAX];
	snprintf(text, sizeof text, "paths that were once plain are no longer named: %s", reason);
	errint_t r = gate_record(a, RECORD_ADMIN, who, NULL, NULL, text);
	if (!r)
		r = audit_sync(a->audit);
	if (r)
		return r;
	pthread_mutex_lock(&a->key_lock);
	r = unlinkat(a->lapse_fd, NAME, 0) && errno != ENOENT ? -errno : io_fsync_dir(a->lapse_fd);
	pthread_mutex_unlock(&a->key_lock);
	return r;
}
