/* fresh_fold.c - what the log says of files that were changed. */
#include "store/fresh_internal.h"
#include "store/rollback.h"

#include <stdlib.h>
#include <string.h>

#define REACHED_NS (INT64_C(60) * 1000000000) /* until what was written without fsync has reached the disk; Linux takes some 35 s */

static errint_t push(struct fresh_fold *f, const struct fresh_item *i, uint32_t until, int64_t at_ns)
{
	if (f->first && f->first >= f->count / 2) {
		f->count -= f->first;
		memmove(f->event, f->event + f->first, f->count * sizeof *f->event);
		f->first = 0;
	}
	if (f->count == f->cap) {
		size_t cap = 2 * f->cap + 64;
		struct fresh_event *more = realloc(f->event, cap * sizeof *more);
		if (!more)
			return -ENOMEM;
		f->event = more;
		f->cap = cap;
	}
	f->event[f->count++] = (struct fresh_event){i->key, i->floor, until, at_ns};
	return 0;
}

/* Those up to `until_ns` count. */
static errint_t settle(struct fresh_fold *f, int64_t until_ns)
{
	struct fresh *fresh = f->archive->fresh;
	errint_t r = 0;
	for (; !r && f->first < f->count && f->event[f->first].at_ns <= until_ns; f->first++) {
		const struct fresh_event *e = &f->event[f->first];
		r = e->floor ? fresh_set(fresh, &(struct fresh_item){e->key, e->floor}) : fresh_set_gone(fresh, e->key, e->until);
	}
	return r;
}

/* A crash: each of those may have been lost, or not. */
static errint_t unsettle(struct fresh_fold *f)
{
	errint_t r = 0;
	for (size_t i = f->first; !r && i < f->count; i++)
		if (f->event[i].floor)
			r = fresh_table_raise(f->archive->fresh->soft, &(struct fresh_item){f->event[i].key, f->event[i].floor});
	f->first = f->count = 0;
	return r;
}

static bool same_session(const struct fresh_fold *f, const uint8_t session[static SESSION_BYTES])
{
	static const uint8_t unknown[SESSION_BYTES];
	return memcmp(session, unknown, SESSION_BYTES) && !memcmp(session, f->session, SESSION_BYTES);
}

static errint_t begins(struct fresh_fold *f, const uint8_t session[static SESSION_BYTES])
{
	/* What the kernel kept of a daemon that was killed may be on its way to the disk still: it is no surer than before. */
	errint_t r = same_session(f, session) ? 0 : unsettle(f);
	memcpy(f->session, session, SESSION_BYTES);
	return r;
}

static errint_t raised(struct fresh_fold *f, const struct audit_record *r)
{
	struct fresh_item i;
	errint_t e = 0;
	for (size_t at = 0; !e && at + FRESH_ITEM_BYTES <= r->name_len; at += FRESH_ITEM_BYTES) {
		fresh_item_get(r->name + at, &i);
		if (i.key) /* without a floor: a directory that is gone */
			e = push(f, &i, 0, r->trusted_ns);
	}
	return e;
}

/* The others may be of a session that begins: its mount record, and what stands before that (what it carries over, a gap, a rollback that is accepted). */
static bool proves_session(enum record_kind k)
{
	switch (k) {
	case RECORD_MOUNT:
	case RECORD_WRITE_OPEN:
	case RECORD_GUARD:
	case RECORD_GRANT:
	case RECORD_ADMIN:
		return false;
	default:
		return true;
	}
}

errint_t fresh_fold(void *fold, const struct audit_record *r)
{
	struct fresh_fold *f = fold;
	const struct fresh_item i = fresh_item(r->file_id, r->generation), gone = {.key = i.key};
	errint_t e = proves_session(r->kind) ? settle(f, r->trusted_ns - REACHED_NS) : 0;
	f->began = f->began ? f->began : r->sequence;
	if (e)
		return e;
	switch (r->kind) {
	case RECORD_RAISED:
		return raised(f, r);
	case RECORD_CLOSE:
		return r->generation > FIRST_CLOSE ? push(f, &i, 0, r->trusted_ns) : 0;
	case RECORD_RENAME:
	case RECORD_LINK:
	case RECORD_DATED:
		return r->generation ? push(f, &i, 0, r->trusted_ns) : 0;
	case RECORD_UNLINK: /* without a generation it had not been there yet */
		return r->error || !i.key || !r->generation ? 0 : push(f, &gone, fresh_minute(r->expires_at), r->trusted_ns);
	case RECORD_EXPIRE:
	case RECORD_DESTROY:
		return r->error || !i.key ? 0 : push(f, &gone, 0, r->trusted_ns);
	case RECORD_MOUNT:
		return begins(f, r->place);
	case RECORD_UMOUNT:
		return settle(f, INT64_MAX);
	case RECORD_ADMIN:
		if (!strncmp(r->text, ROLLBACK_ACCEPTED, sizeof ROLLBACK_ACCEPTED - 1))
			fresh_fold_forget(f);
		return 0;
	default:
		return 0;
	}
}

errint_t fresh_fold_end(struct fresh_fold *f)
{
	struct fresh *fresh = f->archive->fresh;
	fresh->kept = same_session(f, fresh->session);
	return fresh->kept ? settle(f, INT64_MAX) : unsettle(f);
}

void fresh_fold_forget(struct fresh_fold *f)
{
	f->first = f->count = 0;
	fresh_forget(f->archive);
}

void fresh_fold_free(struct fresh_fold *f)
{
	free(f->event);
	f->event = NULL;
}
