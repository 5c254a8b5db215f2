/* audit_tombs.h - the file of the log's tombstones, beside its segments. FORMAT.md "Tombstones". The caller serialises writes. */
#pragma once

#include "crypt/tombstone.h"

#define TOMBSTONES_MAX (1u << 17)

struct audit_tombs {
	uint8_t uuid[UUID_BYTES], log_id[16];
	size_t count;
	struct log_tombstone *item; /* NULL: none */
};
/* All of a file, as it lies. -ENOENT, -EBADMSG (not such a file, or one of its tombstones cannot be), -EPROTONOSUPPORT, -ENOMEM. */
errint_t audit_tombs_read(int dirfd, struct audit_tombs *ret);
void audit_tombs_free(struct audit_tombs *t);
/* The same of bytes, for tests. */
errint_t audit_tombs_parse(const uint8_t *in, size_t len, struct audit_tombs *ret);
/* How many of them, from the first on, follow each other from record 1 on. */
size_t audit_tombs_in_line(const struct audit_tombs *t);
/* Adds one, durably: the file is replaced. */
errint_t audit_tombs_append(int dirfd, const uint8_t uuid[static UUID_BYTES], const uint8_t log_id[static 16], const struct log_tombstone *t);
