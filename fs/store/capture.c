#include "store/capture.h"

#include "store/hold.h"
#include "store/retain.h"

#include "base/io.h"
#include "base/secret.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

errint_t captured_at(struct exif_readers *readers, const struct policy_class *c, int fd, int64_t created_at, int64_t *ret)
{
	struct exif_instants found = {.count = 0};
	if (c->basis != POLICY_BASIS_CAPTURED)
		return -ENODATA;
	cleanup_free uint8_t *head = malloc(EXIF_HEAD_MAX);
	ssize_t n = head ? io_pread(fd, head, EXIF_HEAD_MAX, 0) : -ENOMEM;
	errint_t r = n < 0 ? (errint_t)n : !exif_may_have(head, (size_t)n) ? 0 : exif_ask(readers, policy_timezone(c), head, (size_t)n, &found);
	if (r)
		return r == -EBADMSG ? -ENODATA : r;
	*ret = policy_captured_at(c, created_at, found.at, found.count);
	return *ret == POLICY_NEVER ? -ENODATA : 0;
}

/* of->lock held. */
static errint_t read_head(struct archive *a, struct ofile *of, struct capture *c)
{
	if (of->dirty || atomic_load(&of->writers))
		return -EBUSY;
	c->h = of->h;
	if (of->h.state != HEADER_CLOSED || !(of->h.flags & HEADER_FLAG_UNDATED))
		return 0;
	if (!of->keys)
		return of->key_error ? of->key_error : -EKEYEXPIRED;
	c->len = (size_t)min_u64(of->size, EXIF_HEAD_MAX);
	if (!(c->head = malloc(c->len + 1)))
		return -ENOMEM;
	ssize_t n = ofile_read(a, of, c->head, c->len, 0);
	return n < 0 ? (errint_t)n : n == (ssize_t)c->len ? 0 : -EIO;
}

errint_t capture_read(struct archive *a, struct dir_use *u, const char *backing, const char *plain, size_t len, struct capture *ret)
{
	struct ofile *of;
	*ret = (struct capture){.head = NULL};
	errint_t r = ofile_acquire_named(a, u, backing, plain, len, &of);
	if (r)
		return r;
	pthread_rwlock_rdlock(&of->lock);
	r = read_head(a, of, ret);
	pthread_rwlock_unlock(&of->lock);
	ofile_release_named(a, of);
	return r;
}

void capture_free(struct capture *c)
{
	if (c->head)
		secret_wipe(c->head, c->len);
	free(c->head);
	c->head = NULL;
}

errint_t capture_ask(struct archive *a, struct capture *c)
{
	struct policy *p;
	errint_t r = 0;
	const struct policy_class *class_ = gate_class_then(a, &c->h, &p);
	if (c->head && class_ && class_->basis == POLICY_BASIS_CAPTURED && exif_may_have(c->head, c->len))
		r = exif_ask(a->exif, policy_timezone(class_), c->head, c->len, &c->found);
	policy_unref(p);
	return r == -EBADMSG ? 0 : r;
}

/* Its key is to die with its new deadline. If that has passed, and the key of its epoch with it, with the epoch that has not: it is denied from now on, and
 * unlinked at once. */
static errint_t place_key(struct archive *a, struct file_header *h)
{
	int64_t at = h->expires_at, now = tclock_trusted(a->clock);
	if (h->key_kind == KEY_KIND_HOLD)
		return 0;
	if (policy_expired(at, now))
		h->expires_at = now + 1;
	const struct file_header was = *h;
	errint_t r = anchor_place(a->anchor, h);
	h->expires_at = at;
	return !r && hold_bars(a, &was, h) ? -EAGAIN : r;
}

errint_t capture_apply(struct archive *a, struct file_header *h, void *capture)
{
	struct capture *c = capture;
	int64_t before = h->expires_at;
	if (h->state != HEADER_CLOSED || !(h->flags & HEADER_FLAG_UNDATED) || h->generation != c->h.generation)
		return AMEND_NOTHING;
	c->dated = gate_capture(a, h, c->found.at, c->found.count) || h->expires_at != before;
	return h->expires_at == before ? 0 : place_key(a, h);
}
