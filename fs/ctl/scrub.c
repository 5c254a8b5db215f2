#include "ctl/verb.h"

#include "store/scrub.h"

#include <string.h>
#include <time.h>

#define ROW_MS  200
#define SAVE_MS 10000

struct scrubbing {
	struct ctl_call *call;
	bool live;
	int64_t told_ms, saved_ms;
	errint_t lost;
	char *place;
};

static int64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void put_finding(void *ctx, const char *path, const char *cause)
{
	struct scrubbing *s = ctx;
	ctl_begin(&s->call->out, "finding");
	ctl_put(&s->call->out, "path", path);
	ctl_put(&s->call->out, "cause", cause);
	s->lost = s->lost ? s->lost : verb_row(s->call);
}

static errint_t put_counts(struct ctl_call *c, const char *word, const struct scrub_counts *n)
{
	ctl_begin(&c->out, word);
	ctl_put_u64(&c->out, "files", n->files);
	ctl_put_u64(&c->out, "bytes", n->bytes);
	ctl_put_u64(&c->out, "directories", n->dirs);
	ctl_put_u64(&c->out, "others", n->others);
	ctl_put_u64(&c->out, "dead", n->dead);
	ctl_put_u64(&c->out, "busy", n->busy);
	ctl_put_u64(&c->out, "foreign", n->foreign);
	ctl_put_u64(&c->out, "findings", n->findings);
	return verb_row(c);
}

/* Whoever hangs up ends it; where it was is kept then, and now and then before. */
static bool put_progress(void *ctx, const struct scrub_counts *n, const char *place)
{
	struct scrubbing *s = ctx;
	int64_t now = now_ms();
	if (now - s->told_ms >= ROW_MS && !s->lost) {
		s->told_ms = now;
		s->lost = put_counts(s->call, "progress", n);
		if (!s->lost)
			s->lost = s->call->flush(s->call);
	}
	if (s->live && (s->lost || now - s->saved_ms >= SAVE_MS)) {
		s->saved_ms = now;
		scrub_place_save(s->call->archive, place);
	}
	return !s->lost;
}

static errint_t run(struct scrubbing *s, int copy_fd, const char *after)
{
	struct scrub_counts n = {0};
	struct ctl_call *c = s->call;
	const struct scrub_options o = {
		.copy_fd = copy_fd, .after = after && *after ? after : NULL, .finding = put_finding, .progress = put_progress, .ctx = s};
	s->saved_ms = now_ms();
	errint_t r = archive_scrub(c->archive, &o, &n);
	if (r == -EINTR)
		return -EPIPE;
	if (r)
		return r == -EBADMSG ? verb_fail(c, r, "This is no store of this archive: its root does not open with the archive's keys") : r;
	if (s->live)
		scrub_place_save(c->archive, NULL);
	return put_counts(c, "done", &n);
}

errint_t verb_scrub(struct ctl_call *c)
{
	struct scrubbing s = {.call = c, .live = !verb_flag(c, "store")};
	cleanup_free char *after = NULL;
	struct ctl_line l;
	int fd = -1;
	ctl_begin(&c->out, "ready");
	errint_t r = verb_row(c);
	if (!r)
		r = c->flush(c);
	if (!r && !s.live && (r = ctl_stream_line(c->stream, &l, &fd)) == 0 && (strcmp(l.word, "store") || fd < 0))
		r = verb_fail(c, -EBADMSG, "A scrub of a copy needs its directory");
	if (!r && s.live && verb_flag(c, "resume"))
		r = scrub_place_load(c->archive, &after);
	if (!r)
		r = run(&s, fd, after);
	if (fd >= 0)
		close(fd);
	return r;
}
