#include "store/audit_tombs.h"

#include "base/io.h"

#include <stdlib.h>
#include <string.h>

#define TOMBS_NAME "pruned"
#define FILE_MAX   (TOMBSTONES_HEAD_BYTES + (size_t)TOMBSTONES_MAX * LOG_TOMBSTONE_BYTES)

errint_t audit_tombs_parse(const uint8_t *in, size_t len, struct audit_tombs *ret)
{
	struct audit_tombs t = {.count = 0};
	if (len < TOMBSTONES_HEAD_BYTES || (len - TOMBSTONES_HEAD_BYTES) % LOG_TOMBSTONE_BYTES)
		return -EBADMSG;
	errint_t r = tombstones_head_decode(in, t.uuid, t.log_id);
	const size_t count = (len - TOMBSTONES_HEAD_BYTES) / LOG_TOMBSTONE_BYTES;
	if (r || !count || count > TOMBSTONES_MAX)
		return r ? r : -EBADMSG;
	t.item = reallocarray(NULL, count, sizeof *t.item);
	if (!t.item)
		return -ENOMEM;
	for (; !r && t.count < count; t.count++)
		r = log_tombstone_decode(in + TOMBSTONES_HEAD_BYTES + t.count * LOG_TOMBSTONE_BYTES, &t.item[t.count]);
	if (r)
		audit_tombs_free(&t);
	else
		*ret = t;
	return r;
}

errint_t audit_tombs_read(int dirfd, struct audit_tombs *ret)
{
	cleanup_free uint8_t *bytes = NULL;
	size_t len;
	errint_t r = io_read_file(dirfd, TOMBS_NAME, FILE_MAX, &bytes, &len);
	if (r)
		return r == -EFBIG || r == -EINVAL || r == -ELOOP ? -EBADMSG : r;
	return audit_tombs_parse(bytes, len, ret);
}

void audit_tombs_free(struct audit_tombs *t)
{
	free(t->item);
	*t = (struct audit_tombs){.count = 0};
}

size_t audit_tombs_in_line(const struct audit_tombs *t)
{
	size_t i = 0;
	while (i < t->count && t->item[i].first == (i ? t->item[i - 1].last + 1 : 1))
		i++;
	return i;
}

errint_t audit_tombs_append(int dirfd, const uint8_t uuid[static UUID_BYTES], const uint8_t log_id[static 16], const struct log_tombstone *t)
{
	cleanup_free uint8_t *there = NULL;
	size_t len = 0;
	errint_t r = io_read_file(dirfd, TOMBS_NAME, FILE_MAX, &there, &len);
	if (r && r != -ENOENT)
		return r;
	const size_t before = r ? TOMBSTONES_HEAD_BYTES : len;
	if (before + LOG_TOMBSTONE_BYTES > FILE_MAX)
		return -EFBIG;
	cleanup_free uint8_t *out = malloc(before + LOG_TOMBSTONE_BYTES);
	if (!out)
		return -ENOMEM;
	if (r)
		tombstones_head_encode(uuid, log_id, out);
	else
		memcpy(out, there, before);
	log_tombstone_encode(t, out + before);
	return io_replace_file(dirfd, TOMBS_NAME, out, before + LOG_TOMBSTONE_BYTES, 0600);
}
