/* audit_verify.c - the whole log, for lapse audit verify: what its chain proves, and what was done to it. */
#include "store/audit_verify_internal.h"

#include "base/io.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define IN_MEMORY_MAX (256u << 20) /* of a segment that is looked into more closely */
#define LENGTH_BYTES  4

/* The chain of what is there is whole nevertheless. */
static bool breaks(enum audit_flaw_kind kind)
{
	return kind < FLAW_ROLLBACK || kind == FLAW_UNSEALED;
}

void verify_flaw(struct verifying *s, enum audit_flaw_kind kind, uint64_t record, uint64_t count, uint64_t segment, uint64_t offset)
{
	struct audit_verdict *v = s->v;
	if (v->flaws < AUDIT_FLAWS_MAX)
		v->flaw[v->flaws] =
			(struct audit_flaw){.kind = kind, .record = record, .count = count, .segment = segment, .offset = offset};
	v->flaws++;
	s->broken = s->broken || breaks(kind);
}

/* ---- records ---------------------------------------------------------------------------------------------------------------- */

/* What a broken chain still shows opens, but proves nothing. */
static void see(struct verifying *s, const struct audit_record *r, const struct audit_chain *c, bool proven)
{
	struct audit_verdict *v = s->v;
	if (!proven) {
		v->beyond++;
	} else if (s->keys->log) {
		v->first_ns = v->last < v->first ? r->trusted_ns : v->first_ns;
		v->last_ns = r->trusted_ns;
		v->last = r->sequence;
		memcpy(v->head, c->head, DIGEST_BYTES);
	}
	s->chain = *c;
}

/* It may have been chained into another history, or be the place where the log went on after a loss. */
static void judge(struct verifying *s, const struct audit_record *r, const struct audit_chain *c, uint64_t segment)
{
	static const char accepted[] = "rollback accepted: ";
	if (r->sequence == s->proof->named && !crypt_equal(c->head, s->proof->named_head, DIGEST_BYTES))
		verify_flaw(s, FLAW_OTHER, r->sequence, 0, segment, 0);
	const bool goes_on = r->kind == RECORD_ADMIN && !strncmp(r->text, accepted, sizeof accepted - 1);
	if (goes_on)
		s->policy_generation = 0; /* the policy may be one of an earlier time */
	if (goes_on && r->bytes >= r->sequence)
		verify_flaw(s, FLAW_ROLLBACK, r->sequence, r->bytes - r->sequence + 1, segment, 0);
	verify_tomb_record(s, r);
}

/* ---- a frame that does not open ------------------------------------------------------------------------------------------------- */

struct frames {
	uint8_t *bytes;
	size_t len, count, at; /* at: the one that did not open */
	size_t *offset;	       /* count + 1 of them: the last is where whole frames end */
};

static void frames_free(struct frames *f)
{
	free(f->bytes);
	free(f->offset);
}

static size_t frame_at(const struct frames *f, size_t at)
{
	if (f->len - at < LENGTH_BYTES)
		return 0;
	const uint8_t *p = f->bytes + at;
	size_t n = (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
	return n && n <= RECORD_MAX_BYTES - LENGTH_BYTES && n <= f->len - at - LENGTH_BYTES ? n + LENGTH_BYTES : 0;
}

static errint_t frames_load(struct frames *f, int fd, off_t broken_at)
{
	struct stat st;
	*f = (struct frames){0};
	if (fstat(fd, &st))
		return -errno;
	f->len = (size_t)st.st_size;
	if (f->len > IN_MEMORY_MAX || !(f->bytes = malloc(f->len + 1)))
		return -ENOMEM;
	ssize_t n = io_pread(fd, f->bytes, f->len, 0);
	if (n < 0)
		return (errint_t)n;
	f->len = (size_t)n;
	size_t cap = 0, at = SEGMENT_HEAD_BYTES;
	for (;; f->count++) {
		if (f->count == cap) {
			cap = cap ? 2 * cap : 1024;
			size_t *more = reallocarray(f->offset, cap, sizeof *more);
			if (!more)
				return -ENOMEM;
			f->offset = more;
		}
		f->offset[f->count] = at;
		if ((off_t)at == broken_at)
			f->at = f->count;
		size_t len = at < f->len ? frame_at(f, at) : 0;
		if (!len)
			return 0;
		at += len;
	}
}

static bool has_copy(const struct frames *in, size_t before, const uint8_t *frame, size_t len)
{
	for (size_t i = 0; i < before; i++)
		if (in->offset[i + 1] - in->offset[i] == len && !memcmp(in->bytes + in->offset[i], frame, len))
			return true;
	return false;
}

static errint_t other_has_copy(const struct verifying *s, uint64_t first, const uint8_t *frame, size_t len, bool *ret)
{
	char name[SEGMENT_NAME_BYTES];
	struct frames f = {0};
	segment_name(first, name);
	cleanup_fd int fd = openat(s->dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	errint_t r = fd < 0 ? -errno : frames_load(&f, fd, 0);
	*ret = !r && has_copy(&f, f.count, frame, len);
	frames_free(&f);
	return r;
}

/* Of an earlier frame of its segment, or of any of another. */
static errint_t is_copy(const struct verifying *s, const struct frames *f, uint64_t first, bool *ret)
{
	const uint8_t *frame = f->bytes + f->offset[f->at];
	size_t len = f->offset[f->at + 1] - f->offset[f->at];
	errint_t r = 0;
	*ret = has_copy(f, f->at, frame, len);
	for (size_t i = 0; !r && !*ret && i < s->segments; i++)
		if (s->segment[i] != first)
			r = other_has_copy(s, s->segment[i], frame, len, ret);
	return r;
}

static bool lies_behind(const struct verifying *s, const struct frames *f)
{
	struct audit_record rec;
	size_t used;
	for (size_t i = f->at + 1; s->keys->log && i < f->count; i++) {
		struct audit_chain c = s->chain;
		if (!audit_frame_open(s->keys->log, &c, f->bytes + f->offset[i], f->offset[i + 1] - f->offset[i], &used, &rec))
			return true;
	}
	return false;
}

/* How many records a segment has at least, by what comes after it, by the seals or by who names its end. */
static uint64_t frames_known(const struct verifying *s, uint64_t first, uint64_t next)
{
	const uint64_t sealed = verify_sealed_to(s), end = next ? next - 1 : sealed > s->proof->named ? sealed : s->proof->named;
	return end < first ? 0 : end - first + 1;
}

/* `next`: the first record of the segment that follows; 0: none does. */
static errint_t what_happened(const struct verifying *s, const struct frames *f, uint64_t first, uint64_t next, struct audit_flaw *ret)
{
	bool copy;
	const uint64_t known = frames_known(s, first, next);
	ret->kind = FLAW_CUT;
	if (f->at == f->count)
		return 0;
	errint_t r = is_copy(s, f, first, &copy);
	if (r)
		return r;
	ret->kind = copy ? FLAW_DUPLICATED : lies_behind(s, f) ? FLAW_REORDERED : FLAW_EDITED;
	bool fewer = f->count < known;
	if (ret->kind != FLAW_EDITED || f->count == known || (!fewer && !next))
		return 0;
	ret->kind = fewer ? FLAW_REMOVED : FLAW_INSERTED;
	ret->count = fewer ? known - f->count : f->count - known;
	return 0;
}

static errint_t look_closer(struct verifying *s, int fd, off_t at, uint64_t first, uint64_t next)
{
	struct frames f;
	struct audit_flaw found = {0};
	errint_t r = frames_load(&f, fd, at);
	if (!r)
		r = what_happened(s, &f, first, next, &found);
	if (!r) {
		const uint64_t sealed = verify_sealed_to(s), known = sealed > s->proof->named ? sealed : s->proof->named;
		bool unnamed = !next && !s->proof->upto && s->chain.next > known;
		if (unnamed && (found.kind == FLAW_CUT || found.kind == FLAW_EDITED))
			s->v->torn = f.len - (size_t)at;
		else
			verify_flaw(s, found.kind, s->chain.next, found.count, first, (uint64_t)at);
		s->ended = !next && s->broken;
	}
	frames_free(&f);
	return r;
}

/* ---- segments -------------------------------------------------------------------------------------------------------------------- */

static void link_up(struct verifying *s, const struct audit_chain *c, uint64_t first)
{
	const uint64_t expected = s->begun ? s->chain.next : s->v->pruned + 1;
	if (first > expected)
		verify_flaw(s, FLAW_MISSING, expected, first - expected, first, 0);
	else if (first < expected)
		verify_flaw(s, FLAW_REPEATED, first, expected - first, first, 0);
	else if ((s->begun || s->v->pruned) && !crypt_equal(c->head, s->chain.head, DIGEST_BYTES))
		verify_flaw(s, FLAW_UNLINKED, first, 0, first, 0);
}

static errint_t bad_head(struct verifying *s, uint64_t first, bool last, errint_t e)
{
	char name[SEGMENT_NAME_BYTES];
	uint8_t head[SEGMENT_HEAD_BYTES];
	struct audit_chain c;
	if (e == -ENODATA) {
		if (last && first > s->proof->named && first > verify_sealed_to(s))
			s->v->torn++;
		else
			verify_flaw(s, FLAW_CUT, first, 0, first, 0);
		return 0;
	}
	segment_name(first, name);
	cleanup_fd int fd = openat(s->dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	bool opens = fd >= 0 && io_pread(fd, head, sizeof head, 0) == (ssize_t)sizeof head &&
		     !(s->keys->log ? segment_head_open(s->keys->log, s->keys->uuid, head, &c) : segment_head_peek(s->keys->uuid, head, &c));
	bool other_log = opens && memcmp(c.log_id, s->keys->log_id, sizeof c.log_id);
	verify_flaw(s, !opens ? FLAW_HEAD : other_log ? FLAW_STARTED_OVER : FLAW_MISPLACED, first, opens ? c.next : 0, first, 0);
	return 0;
}

static errint_t verify_segment(struct verifying *s, uint64_t first, uint64_t next)
{
	struct segment_reader r;
	struct audit_record rec;
	errint_t e = segment_open(&r, s->dirfd, s->keys, first);
	if (e)
		return e == -EBADMSG || e == -ENODATA || e == -EPROTONOSUPPORT ? bad_head(s, first, !next, e) : e;
	link_up(s, &r.chain, first);
	if (!s->begun)
		verify_point(s, &r.chain, first);
	s->begun = true;
	s->chain = r.chain;
	const uint64_t upto = s->proof->upto;
	while (!e && !(upto && r.chain.next > upto) && !(e = segment_next(&r, &rec))) {
		judge(s, &rec, &r.chain, first);
		see(s, &rec, &r.chain, !s->broken);
		verify_point(s, &r.chain, first);
	}
	if (e == -EBADMSG || (e == -ENODATA && !segment_at_end(&r)))
		e = look_closer(s, r.fd, r.at, first, next);
	segment_close(&r);
	return e == -ENODATA ? 0 : e;
}

/* What lies before the first segment that the tombstones leave, if that is there, was to go. */
static void pass_dropped(struct verifying *s)
{
	size_t n = 0;
	while (s->v->pruned && n < s->segments && s->segment[n] <= s->v->pruned)
		n++;
	if (!n || n == s->segments || s->segment[n] != s->v->pruned + 1)
		return;
	s->v->left = n;
	s->segment += n;
	s->segments -= n;
}

static errint_t each_segment(struct verifying *s)
{
	const struct audit_proof *p = s->proof;
	errint_t e = 0;
	for (size_t i = 0; !e && i < s->segments; i++)
		e = p->go_on && !p->go_on(p->ctx) ? -EINTR : verify_segment(s, s->segment[i], i + 1 < s->segments ? s->segment[i + 1] : 0);
	return e;
}

/* Of what is named by the anchor or covered by a seal. */
static void look_for_end(struct verifying *s)
{
	const uint64_t sealed = verify_sealed_to(s), named = s->proof->named > sealed ? s->proof->named : sealed;
	const uint64_t last = s->begun ? s->chain.next - 1 : s->v->pruned;
	if (last < named && !s->ended)
		verify_flaw(s, FLAW_SHORT, last + 1, named - last, s->segments ? s->segment[s->segments - 1] : 0, 0);
	if (!s->keys->log && s->begun && s->v->last < last)
		s->v->beyond = last - s->v->last;
}

errint_t audit_verify(int dirfd, const struct audit_proof *p, struct audit_verdict *ret)
{
	struct segment_keys k = {.log = (struct small_key *)p->log_key};
	struct verifying s = {.dirfd = dirfd, .keys = &k, .proof = p, .v = ret};
	cleanup_free uint64_t *first = NULL;
	size_t count;
	if (p->log_key) {
		memcpy(k.uuid, p->uuid, UUID_BYTES);
		memcpy(k.log_id, p->log_id, sizeof k.log_id);
	}
	*ret = (struct audit_verdict){.first = 1};
	errint_t e = segment_list(dirfd, &first, &count);
	if (!e)
		e = verify_seals(&s, &k);
	while (!e && p->upto && count && first[count - 1] > p->upto)
		count--;
	s.segment = first;
	s.segments = count;
	pass_dropped(&s);
	if (!e)
		e = each_segment(&s);
	if (!e) {
		ret->segments = s.segments;
		look_for_end(&s);
		verify_tombs_told(&s);
	}
	verify_tombs_free(&s);
	free(s.point);
	return e;
}
