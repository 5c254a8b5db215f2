/* journal_lap.c - the journal's files: .lapse/journal/NUMBER. */
#include "store/journal_internal.h"

#include "base/io.h"
#include "base/log.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

void lap_name(uint64_t number, char out[static LAP_NAME_BYTES])
{
	snprintf(out, LAP_NAME_BYTES, "%016" PRIx64, number);
}

static bool name_parse(const char *name, uint64_t *ret)
{
	char again[LAP_NAME_BYTES], *end;
	*ret = strtoull(name, &end, 16);
	lap_name(*ret, again);
	return !strcmp(name, again) && *ret <= INT64_MAX;
}

static struct lap *lap_new(void)
{
	struct lap *l = calloc(1, sizeof *l);
	if (!l || open_table_new(&l->files)) {
		free(l);
		return NULL;
	}
	l->fd = -1;
	return l;
}

void laps_free(struct lap *l)
{
	for (struct lap *next; l; l = next) {
		next = l->next;
		open_table_free(l->files);
		if (l->fd >= 0)
			close(l->fd);
		free(l);
	}
}

errint_t lap_begin(struct archive *a, struct journal *j, struct lap **ret)
{
	uint8_t head[LAP_HEAD_BYTES];
	char name[LAP_NAME_BYTES];
	struct lap *l = lap_new();
	if (!l)
		return -ENOMEM;
	l->end = sizeof head;
	crypt_random(l->head.id, sizeof l->head.id);
	do { /* what is no lap, or was left by a failure, is in nobody's way */
		l->head.number = j->next_number++;
		lap_name(l->head.number, name);
		l->fd = openat(j->dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	} while (l->fd < 0 && errno == EEXIST);
	journal_lap_seal(&a->keys->journal, a->uuid, &l->head, head);
	errint_t r = l->fd < 0 ? -errno : io_pwrite(l->fd, head, sizeof head, 0);
	if (!r)
		r = io_fsync_dir(j->dirfd); /* the head comes to disk with the first records */
	if (r) {
		if (l->fd >= 0)
			unlinkat(j->dirfd, name, 0);
		laps_free(l);
		return r;
	}
	*ret = l;
	return 0;
}

errint_t lap_append(struct archive *a, struct lap *l, const struct journal_record *r, const uint8_t *data, size_t len)
{
	uint8_t head[JOURNAL_RECORD_BYTES];
	struct iovec iov[2] = {{head, sizeof head}, {(void *)data, len}};
	errint_t err = open_table_add(l->files, r->file_id);
	if (err)
		return err;
	journal_record_seal(&a->keys->journal, &l->head, l->end, r, head);
	/* What is left when that fails is written over by the next record. */
	if ((err = io_pwritev(l->fd, iov, len ? 2 : 1, (off_t)l->end)))
		return err;
	l->end += sizeof head + len;
	return 0;
}

static errint_t lap_open(struct archive *a, struct journal *j, uint64_t number, struct lap **ret)
{
	uint8_t head[LAP_HEAD_BYTES];
	char name[LAP_NAME_BYTES];
	struct lap *l = lap_new();
	if (!l)
		return -ENOMEM;
	lap_name(number, name);
	l->fd = openat(j->dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = l->fd < 0 ? -errno : io_pread(l->fd, head, sizeof head, 0);
	errint_t r = n < 0 ? (errint_t)n : n < (ssize_t)sizeof head ? -EBADMSG : journal_lap_open(&a->keys->journal, a->uuid, head, &l->head);
	if (!r && l->head.number != number)
		r = -EBADMSG;
	if (r) {
		laps_free(l);
		return r;
	}
	*ret = l;
	return 0;
}

errint_t lap_read(struct archive *a, const struct lap *l, uint64_t offset, struct journal_record *ret, uint64_t *ret_next)
{
	uint8_t head[JOURNAL_RECORD_BYTES];
	if (offset > LAP_FILE_MAX)
		return -ENODATA;
	ssize_t n = io_pread(l->fd, head, sizeof head, (off_t)offset);
	if (n < 0)
		return (errint_t)n;
	if (n < (ssize_t)sizeof head || journal_record_open(&a->keys->journal, &l->head, offset, head, ret))
		return -ENODATA;
	*ret_next = offset + sizeof head + (ret->len ? ret->len + a->overhead : 0);
	return 0;
}

static errint_t remove_oldest_first(struct journal *j, const struct lap *l)
{
	char name[LAP_NAME_BYTES];
	errint_t r = l->next ? remove_oldest_first(j, l->next) : 0;
	if (r)
		return r;
	lap_name(l->head.number, name);
	return unlinkat(j->dirfd, name, 0) && errno != ENOENT ? -errno : 0;
}

errint_t laps_remove(struct journal *j, struct lap *first)
{
	errint_t r = remove_oldest_first(j, first);
	return r ? r : io_fsync_dir(j->dirfd);
}

static int descending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x > y ? -1 : x < y;
}

/* Newest first. */
static errint_t list_numbers(int dirfd, uint64_t **ret, size_t *ret_count)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	errint_t r = d ? 0 : -errno;
	cleanup_free uint64_t *number = NULL;
	size_t count = 0, cap = 0;
	for (struct dirent *e; !r && (errno = 0, e = readdir(d));) {
		uint64_t n;
		if (!name_parse(e->d_name, &n))
			continue;
		if (count == cap) {
			cap = cap ? 2 * cap : 16;
			uint64_t *more = reallocarray(number, cap, sizeof *more);
			r = more ? 0 : -ENOMEM;
			number = more ? more : number;
		}
		if (!r)
			number[count++] = n;
	}
	if (!r && errno)
		r = -errno;
	if (d)
		closedir(d);
	else if (fd >= 0)
		close(fd);
	if (r)
		return r;
	if (count)
		qsort(number, count, sizeof *number, descending);
	*ret = steal_ptr(&number);
	*ret_count = count;
	return 0;
}

errint_t laps_find(struct archive *a, struct journal *j, bool remove, struct fault *f)
{
	cleanup_free uint64_t *number = NULL;
	size_t count;
	errint_t r = list_numbers(j->dirfd, &number, &count);
	if (r)
		return r;
	struct lap **end = &j->left;
	for (size_t i = 0; i < count; i++) {
		char name[LAP_NAME_BYTES];
		lap_name(number[i], name);
		r = remove ? (unlinkat(j->dirfd, name, 0) ? -errno : 0) : lap_open(a, j, number[i], end);
		if (r == -EPROTONOSUPPORT)
			return fault_set(f, r, ARCHIVE_DIR_NAME "/" JOURNAL_DIR_NAME "/%s is of a newer lapse", name);
		if (r == -EBADMSG && !a->observe) { /* nobody counts on records whose head is not on disk */
			log_line(LOG_LEVEL_WARNING, ARCHIVE_DIR_NAME "/" JOURNAL_DIR_NAME "/%s has no valid head: it is removed", name);
			unlinkat(j->dirfd, name, 0);
		}
		if (r == -EBADMSG || r == -EISDIR || r == -ELOOP || r == -ENXIO) /* the others are no files of ours */
			continue;
		if (r)
			return r;
		if (remove)
			continue;
		if (number[i] >= j->next_number)
			j->next_number = number[i] + 1;
		end = &(*end)->next;
	}
	if (remove && count)
		log_line(LOG_LEVEL_WARNING, "journal: %zu laps were there though the last session ended well; they are not used", count);
	return remove && count ? io_fsync_dir(j->dirfd) : 0;
}
