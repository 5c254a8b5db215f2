/* anchor_copies.c - copies of the anchor that come and go while it is in use, and backups of it. */
#include "store/anchor_internal.h"

#include "base/io.h"
#include "base/secret.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static struct anchor_copy *find(struct anchor *a, const char *path)
{
	for (size_t i = 0; i < a->count; i++)
		if (!strcmp(a->copy[i].path, path))
			return &a->copy[i];
	return NULL;
}

/* `write` held: a new file of the state as it is; what it holds is read back. */
static errint_t write_new(struct anchor *a, struct anchor_copy *c, const struct stat *dir)
{
	struct anchor_found found;
	size_t len;
	pthread_mutex_lock(&a->lock);
	uint64_t sequence = a->state->sequence;
	errint_t r = anchor_encode(a->state, &a->secret->key, a->image, &len);
	pthread_mutex_unlock(&a->lock);
	if (r)
		return r;
	r = anchor_copy_create(c->path, dir, a->image, len);
	secret_wipe(a->image, len);
	if (r)
		return r;
	r = anchor_copy_open(c, false, a->uuid, &a->secret->key, &found);
	if (!r && (!found.state || found.state->sequence != sequence))
		r = -EIO;
	anchor_state_free(found.state);
	if (r) {
		anchor_copy_close(c);
		unlink(c->path);
	}
	return r;
}

static void show_all(struct anchor *a)
{
	pthread_mutex_lock(&a->lock);
	for (size_t i = 0; i < a->count; i++)
		anchor_show(a, i);
	pthread_mutex_unlock(&a->lock);
}

errint_t anchor_copy_add(struct anchor *a, const char *path, const struct stat *dir)
{
	if (a->readonly)
		return -EROFS;
	pthread_mutex_lock(&a->write);
	struct anchor_copy *known = find(a, path), new = {.fd = -1};
	errint_t r = 0;
	if (known && (known->fd >= 0 || known->error != -ENOENT))
		r = -EEXIST;
	else if (known)
		r = write_new(a, known, dir);
	else if (a->count == ANCHOR_COPIES_MAX)
		r = -E2BIG;
	else if (!(new.path = strdup(path)))
		r = -ENOMEM;
	else if ((r = write_new(a, &new, dir)))
		free(new.path);
	if (!r && known)
		known->error = 0;
	pthread_mutex_lock(&a->lock);
	if (!r && !known)
		a->copy[a->count++] = new;
	pthread_mutex_unlock(&a->lock);
	show_all(a);
	pthread_mutex_unlock(&a->write);
	return r;
}

/* What a drop that was killed has left: of an anchor's size, and it begins with zeros. */
static int open_half_erased(const char *path)
{
	static const uint8_t zeros[4096];
	uint8_t head[sizeof zeros];
	struct stat st;
	cleanup_fd int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	bool is = fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size == ANCHOR_FILE_BYTES &&
		  io_pread(fd, head, sizeof head, 0) == (ssize_t)sizeof head && !memcmp(head, zeros, sizeof head);
	return is ? steal_fd(&fd) : -1;
}

static errint_t erase_copy(struct anchor *a, struct anchor_copy *c)
{
	struct anchor_found found;
	if (c->fd < 0) {
		errint_t r = anchor_copy_open(c, false, a->uuid, &a->secret->key, &found);
		if (r && (c->fd = open_half_erased(c->path)) < 0)
			return r;
		anchor_state_free(found.state);
	}
	return anchor_file_erase(c->path, c->fd);
}

errint_t anchor_copy_drop(struct anchor *a, const char *path, errint_t *ret_erased)
{
	size_t whole = 0;
	if (a->readonly)
		return -EROFS;
	pthread_mutex_lock(&a->write);
	struct anchor_copy *c = find(a, path), gone;
	for (size_t i = 0; c && i < a->count; i++)
		whole += &a->copy[i] != c && !a->copy[i].error;
	errint_t r = !c ? -ENOENT : !whole ? -EBUSY : 0;
	if (!r) {
		gone = *c;
		pthread_mutex_lock(&a->lock);
		memmove(c, c + 1, (a->count - (size_t)(c - a->copy) - 1) * sizeof *c);
		a->copy[--a->count] = (struct anchor_copy){.fd = -1};
		pthread_mutex_unlock(&a->lock);
		show_all(a);
		anchor_keep_lock(a);
		*ret_erased = erase_copy(a, &gone);
		anchor_copy_close(&gone);
		free(gone.path);
	}
	pthread_mutex_unlock(&a->write);
	return r;
}

errint_t anchor_erase(const char *path)
{
	cleanup_fd int fd = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : anchor_file_erase(path, fd);
}

errint_t anchor_backup_image(struct anchor *a, uint32_t first, uint8_t *out, size_t *ret_len, uint64_t *ret_sequence)
{
	struct anchor_state *b = NULL;
	pthread_mutex_lock(&a->lock);
	errint_t r = anchor_horizon(&b, a->state, first);
	if (!r)
		r = anchor_backup_encode(b, &a->secret->key, out, ret_len);
	*ret_sequence = a->state->sequence;
	pthread_mutex_unlock(&a->lock);
	anchor_state_free(b);
	return r;
}

bool anchor_degraded(struct anchor *a)
{
	bool degraded = false;
	pthread_mutex_lock(&a->lock);
	for (size_t i = 0; i < a->count; i++)
		degraded = degraded || a->shown[i].error;
	pthread_mutex_unlock(&a->lock);
	return degraded;
}

size_t anchor_trees(struct anchor *a, struct anchor_tree_info out[static ANCHOR_TREES_MAX])
{
	pthread_mutex_lock(&a->lock);
	size_t count = a->state->tree_count;
	for (size_t i = 0; i < count; i++) {
		const struct epoch_tree *t = &a->state->tree[i];
		out[i] = (struct anchor_tree_info){.number = t->number,
			.next = t->next,
			.nodes = t->count,
			.current = t->number == a->state->current_tree};
	}
	pthread_mutex_unlock(&a->lock);
	return count;
}
