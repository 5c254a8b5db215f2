#include "tools/import.h"

#include <fcntl.h>
#include <poll.h>
#include <search.h>
#include <stdio.h>
#include <string.h>

#define WINDOW    16384 /* items that are not settled, at most: several batches of the archive's */
#define SEND_EACH 48   /* descriptors, which stay below CTL_STREAM_FDS */

/* A file with several names, by where it lies. */
struct names {
	dev_t dev;
	ino_t ino;
	uint64_t item;
	char *path; /* of the first */
};

struct sender {
	int socket;
	struct ctl_stream *in;
	struct sender_hooks hooks;
	struct sent *window[WINDOW];
	uint64_t first, next; /* items: the oldest that is not settled, the next one */
	uint64_t durable;
	struct ctl_text out;
	int fd[CTL_STREAM_FDS];
	size_t fds;
	void *names; /* of tsearch */
	struct sent **retry;
	size_t retry_count, retry_cap;
	bool no_space, full, ended;
	struct import_totals totals;
	errint_t failed;
	struct fault fault;
};

struct sender *sender_new(int socket, struct ctl_stream *in, const struct sender_hooks *hooks)
{
	struct sender *s = calloc(1, sizeof *s);
	if (s)
		*s = (struct sender){.socket = socket, .in = in, .hooks = *hooks, .first = 1, .next = 1};
	return s;
}

static void sent_free(struct sent *t)
{
	if (t)
		walk_dir_unref(t->dir);
	if (t)
		free(t->name);
	free(t);
}

static void names_free(void *p)
{
	struct names *n = p;
	free(n->path);
	free(n);
}

void sender_free(struct sender *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < WINDOW; i++)
		sent_free(s->window[i]);
	for (size_t i = 0; i < s->retry_count; i++)
		sent_free(s->retry[i]);
	for (size_t i = 0; i < s->fds; i++)
		close(s->fd[i]);
	free(s->retry);
	tdestroy(s->names, names_free);
	ctl_text_free(&s->out);
	free(s);
}

char *sender_path(const struct walk_dir *d, const char *name)
{
	char *path = NULL;
	if (!name)
		return strdup(d->path);
	return asprintf(&path, "%s%s%s", d->path, *d->path ? "/" : "", name) < 0 ? NULL : path;
}

/* ---- what comes back ----------------------------------------------------------------------------------------------------- */

static const char *why_left(const char *what, errint_t error)
{
	if (!strcmp(what, "clash"))
		return "something else has this name in the archive";
	if (!strcmp(what, "changing"))
		return "it was being written to each time that it was read";
	if (!strcmp(what, "now-overdue"))
		return "its date has passed since the plan was made";
	switch (-error) {
	case ERANGE:
		return "it has an extended attribute whose name is too long for an archive";
	case ENOSPC:
		return "no space is left on the archive's disk, or an extended attribute is too large for it";
	case EPERM:
		return "the archive does not keep this kind of file, or its policy forbids it";
	default:
		return strerror(-error);
	}
}

static errint_t retry_add(struct sender *s, struct sent *t)
{
	if (s->retry_count == s->retry_cap) {
		size_t cap = 2 * s->retry_cap + 16;
		struct sent **more = realloc(s->retry, cap * sizeof(struct sent *));
		if (!more)
			return -ENOMEM;
		s->retry = more;
		s->retry_cap = cap;
	}
	s->retry[s->retry_count++] = t;
	return 0;
}

/* A name whose first one did not come in, or that may not be one, is sent as a file of its own; what found no space, once more. */
static errint_t outcome(struct sender *s, const struct ctl_line *l)
{
	uint64_t item = (uint64_t)ctl_num(l, "item", 0);
	const char *what = ctl_str(l, "what");
	errint_t error = -(errint_t)ctl_num(l, "errno", 0);
	struct sent *t = item >= s->first && item < s->next ? s->window[item % WINDOW] : NULL;
	if (!t || t->item != item || t->told)
		return -EBADMSG;
	t->told = true;
	t->taken = !strcmp(what, "placed") || !strcmp(what, "present") || !strcmp(what, "overdue");
	if (t->taken) {
		s->hooks.taken(s->hooks.ctx, t, what);
		return 0;
	}
	bool separate = t->kind == SENT_LINK && (error == -ESTALE || error == -EPERM);
	bool space = error == -ENOSPC && !t->again && t->kind == SENT_FILE;
	s->full = s->full || (error == -ENOSPC && t->again);
	s->no_space = s->no_space || space;
	if (separate || space) {
		s->window[item % WINDOW] = NULL;
		return retry_add(s, t);
	}
	cleanup_free char *path = sender_path(t->dir, t->name);
	s->hooks.left(s->hooks.ctx, path ? path : t->name, &t->st, why_left(what, error));
	return 0;
}

static void forget_settled(struct sender *s)
{
	while (s->first < s->next) {
		struct sent **t = &s->window[s->first % WINDOW];
		if (*t && (!(*t)->told || ((*t)->taken && s->first > s->durable)))
			return;
		if (*t && (*t)->taken && s->hooks.durable)
			s->hooks.durable(s->hooks.ctx, *t);
		sent_free(*t);
		*t = NULL;
		s->first++;
	}
}

static errint_t row(struct sender *s, const struct ctl_line *l)
{
	errint_t r = 0;
	if (!strcmp(l->word, "outcome"))
		r = outcome(s, l);
	else if (!strcmp(l->word, "durable"))
		s->durable = (uint64_t)ctl_num(l, "item", 0);
	else if (!strcmp(l->word, "sum"))
		s->totals = (struct import_totals){(uint64_t)ctl_num(l, "lists-dropped", 0), (uint64_t)ctl_num(l, "captured", 0), (uint64_t)ctl_num(l, "undated", 0)};
	else if (!strcmp(l->word, "ok"))
		s->ended = true;
	else if (!strcmp(l->word, "error")) {
		int64_t code = ctl_num(l, "errno", EIO);
		r = fault_set(&s->fault, code > 0 && code < 4096 ? -(errint_t)code : -EIO, "%s", ctl_str(l, "text"));
	}
	if (!r)
		forget_settled(s);
	return r;
}

/* At least one row, and what has come with it. */
static errint_t read_rows(struct sender *s)
{
	errint_t r;
	do {
		struct ctl_line l;
		r = ctl_stream_line(s->in, &l, NULL);
		if (r == -ENODATA || r == -ECONNRESET)
			r = fault_set(&s->fault, -EPIPE, "the daemon went away; what is in the archive stays, and the import can be begun again");
		if (!r)
			r = row(s, &l);
	} while (!r && !s->ended && !ctl_stream_idle(s->in));
	return r;
}

/* ---- what goes out --------------------------------------------------------------------------------------------------------- */

/* Never waits for one side alone: the other may be waiting for this one. */
static errint_t flush(struct sender *s)
{
	size_t at = 0;
	while (!s->failed && at < s->out.len) {
		struct pollfd p = {.fd = s->socket, .events = POLLIN | POLLOUT};
		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			s->failed = -errno;
		else if (p.revents & POLLIN)
			s->failed = read_rows(s);
		else if (p.revents) {
			ssize_t n = ctl_stream_send(s->socket, s->out.p + at, s->out.len - at, s->fd, s->fds);
			if (n < 0) {
				s->failed = n == -EAGAIN ? 0 : n == -EPIPE ? read_rows(s) : (errint_t)n;
				continue;
			}
			at += (size_t)n;
			for (size_t i = 0; i < s->fds; i++)
				close(s->fd[i]);
			s->fds = 0;
		}
	}
	s->out.len = 0;
	return s->failed;
}

static errint_t wait_for(struct sender *s, uint64_t item)
{
	while (!s->failed && s->first <= item)
		s->failed = read_rows(s);
	return s->failed;
}

/* Adds a line; fd (-1: none) is taken. */
static errint_t put(struct sender *s, const char *word, struct sent *t, int fd, void (*more)(struct ctl_text *, const void *), const void *ctx)
{
	cleanup_free char *path = sender_path(t->dir, t->name);
	t->item = s->next++;
	t->told = t->taken = false;
	s->window[t->item % WINDOW] = t;
	ctl_begin(&s->out, word);
	ctl_put_u64(&s->out, "item", t->item);
	ctl_put(&s->out, "path", path ? path : "");
	if (more)
		more(&s->out, ctx);
	if (fd >= 0) {
		ctl_put(&s->out, "fd", "1");
		s->fd[s->fds++] = fd;
	}
	ctl_end(&s->out);
	if (s->out.bad || !path)
		return s->failed = -ENOMEM;
	errint_t r = s->fds >= SEND_EACH || s->out.len > CTL_LINE_MAX / 2 ? flush(s) : 0;
	/* The archive keeps two batches at most before they are on disk. */
	return r || s->next - s->first < WINDOW / 2 ? r : wait_for(s, s->next - WINDOW / 4);
}

static struct sent *sent_new(enum sent_kind kind, struct walk_dir *d, const char *name, const struct stat *st)
{
	struct sent *t = calloc(1, sizeof *t);
	if (t && name && !(t->name = strdup(name))) {
		free(t);
		return NULL;
	}
	if (t) {
		t->kind = kind;
		t->dir = walk_dir_ref(d);
		t->st = *st;
	}
	return t;
}

static errint_t left(struct sender *s, struct sent *t, errint_t error)
{
	cleanup_free char *path = sender_path(t->dir, t->name);
	s->hooks.left(s->hooks.ctx, path ? path : "?", &t->st, strerror(-error));
	sent_free(t);
	return 0;
}

static void put_file(struct ctl_text *out, const void *ctx)
{
	const struct stat *st = ctx;
	if (st->st_nlink > 1)
		ctl_put(out, "names", "1");
}

static void put_replace(struct ctl_text *out, const void *ctx)
{
	put_file(out, ctx);
	ctl_put(out, "replace", "1");
}

static void put_link(struct ctl_text *out, const void *ctx)
{
	const struct names *n = ctx;
	ctl_put(out, "to", n->path);
	ctl_put_u64(out, "first", n->item);
}

static errint_t send_file(struct sender *s, struct sent *t, bool replace)
{
	t->kind = SENT_FILE;
	int fd = walk_open(t->dir->fd, t->name, O_RDONLY);
	if (fd < 0)
		return left(s, t, -errno);
	return put(s, "file", t, fd, replace ? put_replace : put_file, &t->st);
}

static int names_compare(const void *a, const void *b)
{
	const struct names *x = a, *y = b;
	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

/* The first name is sent as the file, the others as links to it. */
static errint_t send_named(struct sender *s, struct sent *t)
{
	const struct names key = {.dev = t->st.st_dev, .ino = t->st.st_ino};
	struct names **found = tfind(&key, &s->names, names_compare);
	if (found) {
		t->kind = SENT_LINK;
		return put(s, "link", t, -1, put_link, *found);
	}
	int fd = walk_open(t->dir->fd, t->name, O_RDONLY);
	if (fd < 0)
		return left(s, t, -errno);
	struct names *n = calloc(1, sizeof *n);
	if (n)
		*n = (struct names){.dev = key.dev, .ino = key.ino, .item = s->next, .path = sender_path(t->dir, t->name)};
	if (!n || !n->path || !tsearch(n, &s->names, names_compare)) {
		close(fd);
		sent_free(t);
		return s->failed = -ENOMEM;
	}
	return put(s, "file", t, fd, put_file, &t->st);
}

static errint_t send_retries(struct sender *s)
{
	errint_t r = 0;
	size_t count = s->retry_count;
	for (size_t i = 0; i < count; i++) {
		struct sent *t = s->retry[i];
		t->again = true;
		if (r)
			sent_free(t);
		else
			r = send_file(s, t, false);
	}
	memmove(s->retry, s->retry + count, (s->retry_count - count) * sizeof *s->retry);
	s->retry_count -= count;
	return r;
}

static void put_commit(struct sender *s)
{
	ctl_begin(&s->out, "commit");
	ctl_end(&s->out);
}

static errint_t settle_once(struct sender *s)
{
	put_commit(s);
	put_commit(s);
	errint_t r = flush(s);
	return r ? r : wait_for(s, s->next - 1);
}

errint_t sender_settle(struct sender *s)
{
	errint_t r = settle_once(s);
	while (!r && s->retry_count && !(r = send_retries(s)))
		r = settle_once(s);
	s->no_space = false;
	return r;
}

/* What is on disk may go, and then there may be space again. */
static errint_t make_space(struct sender *s)
{
	errint_t r = s->no_space ? sender_settle(s) : 0;
	if (!r && s->full)
		r = s->failed = fault_set(&s->fault, -ENOSPC, "no space is left on the archive's disk; make room, then begin the same import again");
	return r;
}

errint_t sender_entry(struct sender *s, struct walk_dir *d, const char *name, const struct stat *st, bool replace)
{
	struct sent *t = sent_new(S_ISREG(st->st_mode) ? SENT_FILE : SENT_OTHER, d, name, st);
	errint_t r = t ? make_space(s) : -ENOMEM;
	if (r) {
		sent_free(t);
		return r;
	}
	if (S_ISREG(st->st_mode))
		return st->st_nlink > 1 && !replace ? send_named(s, t) : send_file(s, t, replace);
	int fd = openat(d->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return left(s, t, -errno);
	return put(s, "other", t, fd, NULL, NULL);
}

errint_t sender_dir(struct sender *s, struct walk_dir *d, bool end)
{
	struct sent *t = sent_new(end ? SENT_DIR_END : SENT_DIR, d, NULL, &d->st);
	if (!t)
		return -ENOMEM;
	int fd = fcntl(d->fd, F_DUPFD_CLOEXEC, 3);
	return fd < 0 ? left(s, t, -errno) : put(s, end ? "dir-end" : "dir", t, fd, NULL, NULL);
}

errint_t sender_end(struct sender *s, struct import_totals *ret, struct fault *f)
{
	errint_t r = s->failed ? s->failed : sender_settle(s);
	if (!r) {
		ctl_begin(&s->out, "end");
		ctl_end(&s->out);
		r = flush(s);
	}
	while (!r && !s->ended)
		r = read_rows(s);
	*ret = s->totals;
	if (r && s->fault.text[0])
		return fault_set(f, r, "%s", s->fault.text);
	return r;
}
