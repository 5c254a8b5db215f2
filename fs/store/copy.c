#include "store/copy.h"

#include "base/io.h"
#include "base/secret.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* ---- directories --------------------------------------------------------------------------------------------------------- */

static int open_quietly(int at, const char *name, int flags)
{
	flags |= O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
	int fd = openat(at, name, flags | O_NOATIME);
	return fd < 0 && errno == EPERM ? openat(at, name, flags) : fd;
}

errint_t copy_dir_open(struct archive *a, int at, const char *name, struct copy_dir *ret)
{
	uint8_t raw[DIR_RECORD_BYTES + 1];
	*ret = (struct copy_dir){.fd = open_quietly(at, name, O_DIRECTORY)};
	if (ret->fd < 0)
		return -errno;
	cleanup_fd int record = open_quietly(ret->fd, DIR_FILE_NAME, 0);
	ssize_t n = record < 0 ? -errno : io_pread(record, raw, sizeof raw, 0);
	if (n != DIR_RECORD_BYTES)
		return n < 0 && n != -ENOENT && n != -ELOOP ? (errint_t)n : -EBADMSG;
	errint_t r = dir_record_open(a->keys, a->uuid, raw, &ret->record);
	if (!r && !(ret->keys = secret_alloc(sizeof *ret->keys)))
		r = -ENOMEM;
	if (!r)
		name_keys_derive(ret->keys, ret->record.name_key);
	secret_wipe(ret->record.name_key, KEY_BYTES);
	return r;
}

void copy_dir_close(struct copy_dir *d)
{
	if (d->fd >= 0)
		close(d->fd);
	secret_free(d->keys, sizeof *d->keys);
	*d = (struct copy_dir){.fd = -1};
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static errint_t read_names(DIR *dir, FILE *out, size_t *count)
{
	struct dirent *e;
	while ((errno = 0, e = readdir(dir)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) {
			fwrite(e->d_name, 1, strlen(e->d_name) + 1, out);
			++*count;
		}
	return -errno;
}

errint_t copy_dir_list(const struct copy_dir *d, char ***ret, size_t *ret_count, char **ret_bytes)
{
	char *bytes = NULL;
	size_t len, count = 0;
	int fd = openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	FILE *out = dir ? open_memstream(&bytes, &len) : NULL;
	errint_t r = out ? read_names(dir, out, &count) : -errno;
	if (out && fclose(out))
		r = -ENOMEM;
	if (dir)
		closedir(dir);
	else if (fd >= 0)
		close(fd);
	char **names = r ? NULL : calloc(count + 1, sizeof *names);
	if (!names) {
		free(bytes);
		return r ? r : -ENOMEM;
	}
	char *p = bytes;
	for (size_t i = 0; i < count; i++, p += strlen(p) + 1)
		names[i] = p;
	qsort(names, count, sizeof *names, compare);
	*ret = names;
	*ret_count = count;
	*ret_bytes = bytes;
	return 0;
}

bool copy_is_part(const char *backing, bool root)
{
	size_t len = strlen(backing), suffix = strlen(NAME_COMPANION_SUFFIX);
	if (!strncmp(backing, DIR_FILE_NAME, strlen(DIR_FILE_NAME)) || (root && (!strcmp(backing, ARCHIVE_DIR_NAME) || !strcmp(backing, "lost+found"))))
		return true;
	return backing[0] == NAME_LONG_PREFIX && len > suffix && !strcmp(backing + len - suffix, NAME_COMPANION_SUFFIX);
}

errint_t copy_name_open(const struct copy_dir *d, const char *backing, char out[static NAME_PLAIN_MAX + 1], size_t *ret_len)
{
	char companion[NAME_BACKING_MAX + 8];
	uint8_t raw[NAME_RAW_MAX + 1];
	if (backing[0] != NAME_LONG_PREFIX)
		return name_open(d->keys, backing, out, ret_len);
	snprintf(companion, sizeof companion, "%s" NAME_COMPANION_SUFFIX, backing);
	cleanup_fd int fd = open_quietly(d->fd, companion, 0);
	ssize_t n = fd < 0 ? -1 : io_pread(fd, raw, sizeof raw, 0);
	return n < 0 || (size_t)n > NAME_RAW_MAX ? -EBADMSG : name_open_long(d->keys, backing, raw, (size_t)n, out, ret_len);
}

bool copy_at_home(struct archive *a, const uint8_t home[2][HOME_BYTES], bool two, const struct copy_dir *d, const char *name, size_t len)
{
	uint8_t here[HOME_BYTES];
	home_compute(here, a->keys, d->record.dir_id, name, len);
	return crypt_equal(here, home[0], HOME_BYTES) || (two && crypt_equal(here, home[1], HOME_BYTES));
}

/* ---- files --------------------------------------------------------------------------------------------------------------- */

static errint_t derive_keys(struct archive *a, struct copy_file *f)
{
	uint8_t under[KEY_BYTES], file_key[KEY_BYTES];
	errint_t r = anchor_wrap_key(a->anchor, a->keys->archive_wrap, &f->h, under);
	if (!r)
		r = file_key_unwrap(under, a->uuid, &f->h, file_key);
	if (!r && !(f->keys = secret_alloc(sizeof *f->keys)))
		r = -ENOMEM;
	if (!r)
		content_keys_derive(f->keys, a->suite, file_key, f->h.file_id);
	secret_wipe(under, sizeof under);
	secret_wipe(file_key, sizeof file_key);
	return r;
}

static errint_t bad(const char **ret_why, const char *why)
{
	*ret_why = why;
	return -EBADMSG;
}

errint_t copy_file_open(struct archive *a, const struct copy_dir *d, const char *backing, const char *name, size_t len, struct copy_file *ret,
			const char **ret_why)
{
	uint8_t head[FILE_HEADER_BYTES];
	int slot;
	*ret = (struct copy_file){.fd = open_quietly(d->fd, backing, 0)};
	if (ret->fd < 0 || fstat(ret->fd, &ret->st))
		return -errno;
	struct file_header *h = &ret->h;
	ssize_t n = io_pread(ret->fd, head, sizeof head, 0);
	if (n < 0)
		return (errint_t)n;
	errint_t r = n == (ssize_t)sizeof head ? header_choose(a->keys, a->uuid, a->suite, head, h, &slot) : -EBADMSG;
	if (r == -EBADMSG)
		return bad(ret_why, n ? "header forged, torn or of another archive" : "empty: its content and its header are gone");
	if (r)
		return r;
	if (!(h->flags & HEADER_FLAG_LINKED) && !copy_at_home(a, h->home, h->flags & HEADER_FLAG_TWO_HOMES, d, name, len))
		return bad(ret_why, "not at home here: moved or swapped in the store");
	if (h->state != HEADER_OPEN && (uint64_t)ret->st.st_size != backing_size(a->suite, a->block_size, h->size))
		return bad(ret_why, "size differs from the sealed one: truncated or extended in the store");
	r = derive_keys(a, ret);
	return r == -EBADMSG ? bad(ret_why, "its key does not open: the header was put together from parts") : r;
}

void copy_file_close(struct copy_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	secret_free(f->keys, sizeof *f->keys);
	*f = (struct copy_file){.fd = -1};
}

errint_t copy_run(const struct archive *a, int fd, const struct content_keys *k, uint64_t index, size_t len, uint8_t *sealed, uint8_t *out,
		  uint8_t root[static LEAF_BYTES], uint64_t *ret_block)
{
	const size_t nonce = suite_nonce_bytes(a->suite), tag = suite_tag_bytes(a->suite), blocks = (len + a->block_size - 1) / a->block_size;
	size_t want = len + blocks * (nonce + tag);
	uint8_t *from = sealed, leaf[LEAF_BYTES];
	*ret_block = index;
	ssize_t got = io_pread(fd, from, want, (off_t)block_offset(a->suite, a->block_size, index));
	if (got != (ssize_t)want)
		return got < 0 ? (errint_t)got : -EBADMSG;
	for (size_t at = 0; at < len; at += a->block_size, index++) {
		size_t n = min_size(a->block_size, len - at);
		*ret_block = index;
		if (block_open(k, index, from, from + nonce, n, from + nonce + n, out + at))
			return -EBADMSG;
		block_leaf(k, index, from, from + nonce + n, leaf);
		for (size_t i = 0; i < LEAF_BYTES; i++)
			root[i] ^= leaf[i];
		from += nonce + n + tag;
	}
	return 0;
}
