/* audit_seals.h - the file of the log's seals, beside its segments. FORMAT.md "Seals". The caller serialises writes. */
#pragma once

#include "crypt/log_seal.h"

struct audit_seals {
	struct seals_head head;
	size_t count;
	struct log_seal *seal; /* NULL: none */
};
/* All whole seals of a file; a torn one at its end, or one that says what cannot be, ends it: *ret_rest: the bytes from there on. -ENOENT, -EBADMSG
 * (no head of such a file), -EPROTONOSUPPORT, -ENOMEM. */
errint_t audit_seals_read(int dirfd, struct audit_seals *ret, uint64_t *ret_rest);
/* Each whole one, without keeping them; a callback result other than 0 ends it. An absent file has none. */
errint_t audit_seals_each(int dirfd, errint_t (*cb)(void *ctx, const struct log_seal *s), void *ctx);
/* Its head alone. */
errint_t audit_seals_head(int dirfd, struct seals_head *ret);
void audit_seals_free(struct audit_seals *s);

enum seals_state {
	SEALS_FINE,   /* they end with the anchor's */
	SEALS_LACK,   /* they end with the one before the anchor's: a crash, which audit_seals_append completes */
	SEALS_BEHIND, /* seals are missing: the file is older than the anchor, or was cut off */
	SEALS_AHEAD,  /* they go on behind the anchor's: it is older than they are */
};
/* How the file stands to the anchor's last seal (its `anchor` is 0: it has none). *ret_last: the anchor's sequence in the last seal; 0: there is none. Only the
 * end of the file is read. An absent file has none. */
errint_t audit_seals_look(int dirfd, const struct log_seal *anchors, enum seals_state *ret, uint64_t *ret_last);
/* Adds one, durably; the file is begun with this head if need be. What is torn at its end is overwritten. */
errint_t audit_seals_append(int dirfd, const struct seals_head *head, const struct log_seal *s);
/* Space for those of the next hours, on a disk that is getting full, if there is any. */
void audit_seals_take_room(int dirfd);
