/* audit_survey.c - the whole log, for lapse fsck: how far its chain goes, and cutting it off there. */
#include "store/audit_internal.h"

#include "base/io.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define LOST_NAME_BYTES 64
#define COPY_BYTES      (64u << 10)

/* ---- how far it goes ---------------------------------------------------------------------------------------------------- */

struct surveying {
	int dirfd;
	const struct segment_keys *keys;
	uint64_t anchor_sequence;
	const uint8_t *anchor_head;
	struct audit_chain chain;
	bool begun;
	struct audit_survey *ret;
};

static void see_chain(struct surveying *s, const struct audit_chain *c)
{
	if (c->next - 1 == s->anchor_sequence)
		s->ret->named = crypt_equal(c->head, s->anchor_head, DIGEST_BYTES);
	s->chain = *c;
	s->ret->last = c->next - 1;
}

static void see_record(struct surveying *s, const struct audit_record *r)
{
	bool names_anchor = r->kind == RECORD_MOUNT || r->kind == RECORD_UMOUNT || r->kind == RECORD_ANCHOR;
	s->ret->last_ns = r->trusted_ns;
	if (names_anchor && r->generation > s->ret->anchor_named)
		s->ret->anchor_named = r->generation;
}

static uint64_t size_of(int dirfd, uint64_t first)
{
	struct stat st;
	char name[SEGMENT_NAME_BYTES];
	segment_name(first, name);
	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) ? 0 : (uint64_t)st.st_size;
}

static bool follows(const struct surveying *s, const struct audit_chain *c)
{
	return !s->begun || (c->next == s->chain.next && crypt_equal(c->head, s->chain.head, DIGEST_BYTES));
}

/* -ENODATA: the chain ends in it, or before it; ret->rest is what lies behind in this segment. */
static errint_t survey_segment(struct surveying *s, uint64_t first)
{
	struct segment_reader r;
	struct audit_record rec;
	uint64_t size = size_of(s->dirfd, first);
	errint_t e = segment_open(&r, s->dirfd, s->keys, first);
	if (!e && !follows(s, &r.chain)) {
		segment_close(&r);
		e = -EBADMSG;
	}
	if (e) {
		s->ret->rest = size;
		s->ret->broken = e == -EBADMSG;
		return e == -EBADMSG ? -ENODATA : e;
	}
	s->begun = true;
	s->ret->segments++;
	see_chain(s, &r.chain);
	while (!(e = segment_next(&r, &rec))) {
		see_record(s, &rec);
		see_chain(s, &r.chain);
	}
	bool whole = e == -ENODATA && segment_at_end(&r);
	s->ret->rest = whole ? 0 : size - (uint64_t)r.at;
	segment_close(&r);
	return whole ? 0 : e == -EBADMSG ? -ENODATA : e;
}

errint_t audit_survey(int dirfd, const struct small_key *log_key, const uint8_t uuid[static UUID_BYTES],
	const uint8_t log_id[static 16], uint64_t anchor_sequence, const uint8_t anchor_head[static DIGEST_BYTES],
	struct audit_survey *ret)
{
	struct segment_keys k = {.log = (struct small_key *)log_key};
	struct surveying s = {
		.dirfd = dirfd, .keys = &k, .anchor_sequence = anchor_sequence, .anchor_head = anchor_head, .ret = ret};
	struct audit_pruned pruned;
	cleanup_free uint64_t *first = NULL;
	size_t count, i;
	memcpy(k.uuid, uuid, UUID_BYTES);
	memcpy(k.log_id, log_id, sizeof k.log_id);
	errint_t e = audit_pruned_load(dirfd, &k, &pruned);
	if (e && e != -EBADMSG && e != -EPROTONOSUPPORT)
		return e;
	*ret = (struct audit_survey){.first = pruned.last + 1, .last = pruned.last, .dropped = pruned.last, .named = !anchor_sequence};
	e = segment_list(dirfd, &first, &count);
	if (!e && count)
		ret->first = first[0];
	if (!e && count && pruned.last && first[0] == pruned.last + 1) {
		s.chain = (struct audit_chain){.next = first[0]};
		memcpy(s.chain.head, pruned.head, sizeof s.chain.head);
		s.begun = true;
	}
	for (i = 0; !e && i < count; i++)
		e = survey_segment(&s, first[i]);
	if (e != -ENODATA)
		return e;
	ret->broken = ret->broken || i < count;
	for (; i < count; i++)
		ret->rest += size_of(dirfd, first[i]);
	return 0;
}

/* ---- cutting it off ------------------------------------------------------------------------------------------------------- */

static void lost_name(uint64_t first, uint64_t mark, char out[static LOST_NAME_BYTES])
{
	char name[SEGMENT_NAME_BYTES];
	segment_name(first, name);
	snprintf(out, LOST_NAME_BYTES, "%s.lost-%016" PRIx64, name, mark);
}

static errint_t set_aside(int dirfd, uint64_t first, uint64_t mark)
{
	char name[SEGMENT_NAME_BYTES], lost[LOST_NAME_BYTES];
	segment_name(first, name);
	lost_name(first, mark, lost);
	return renameat(dirfd, name, dirfd, lost) ? -errno : 0;
}

static errint_t copy_from(int fd, off_t at, int to)
{
	cleanup_free uint8_t *buf = malloc(COPY_BYTES);
	if (!buf)
		return -ENOMEM;
	for (;;) {
		ssize_t n = io_pread(fd, buf, COPY_BYTES, at);
		errint_t r = n < 0 ? (errint_t)n : io_write(to, buf, (size_t)n);
		if (r || !n)
			return r;
		at += n;
	}
}

/* What lies behind `end` is on disk a second time before it goes. */
static errint_t cut_behind(int dirfd, uint64_t first, off_t end, uint64_t mark)
{
	char name[SEGMENT_NAME_BYTES], lost[LOST_NAME_BYTES];
	segment_name(first, name);
	lost_name(first, mark, lost);
	cleanup_fd int fd = openat(dirfd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (lseek(fd, 0, SEEK_END) <= end)
		return 0;
	cleanup_fd int to = openat(dirfd, lost, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (to < 0)
		return -errno;
	errint_t r = copy_from(fd, end, to);
	if (!r && fsync(to))
		r = -errno;
	if (!r)
		r = io_fsync_dir(dirfd);
	return r ? r : ftruncate(fd, end) || fsync(fd) ? -errno : 0;
}

/* The segment that has record `last` ends with it. */
static errint_t cut_in(int dirfd, const struct segment_keys *k, uint64_t first, uint64_t last, uint64_t mark,
	uint8_t ret_head[static DIGEST_BYTES])
{
	struct segment_reader r;
	struct audit_record rec;
	errint_t e = segment_open(&r, dirfd, k, first);
	if (e)
		return e == -ENODATA ? -EBADMSG : e;
	while (!e && r.chain.next <= last)
		e = segment_next(&r, &rec);
	memcpy(ret_head, r.chain.head, DIGEST_BYTES);
	off_t end = r.at;
	segment_close(&r);
	if (e)
		return e == -ENODATA ? -EBADMSG : e;
	return cut_behind(dirfd, first, end, mark);
}

errint_t audit_cut(int dirfd, const struct small_key *log_key, const uint8_t uuid[static UUID_BYTES],
	const uint8_t log_id[static 16], uint64_t last, uint64_t mark, uint8_t ret_head[static DIGEST_BYTES])
{
	struct segment_keys k = {.log = (struct small_key *)log_key};
	struct audit_pruned pruned;
	cleanup_free uint64_t *first = NULL;
	size_t i;
	memcpy(k.uuid, uuid, UUID_BYTES);
	memcpy(k.log_id, log_id, sizeof k.log_id);
	if (audit_pruned_load(dirfd, &k, &pruned))
		pruned = (struct audit_pruned){.last = 0};
	memcpy(ret_head, pruned.head, DIGEST_BYTES);
	errint_t e = segment_list(dirfd, &first, &i);
	/* From the end on: a crash on the way leaves a log that ends early, never one with a hole. */
	while (!e && i && first[i - 1] > last)
		e = set_aside(dirfd, first[--i], mark);
	if (!e && last > pruned.last)
		e = i ? cut_in(dirfd, &k, first[i - 1], last, mark, ret_head) : -EBADMSG;
	return e ? e : io_fsync_dir(dirfd);
}
