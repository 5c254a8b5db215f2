/* seals.c - the seals of an archive's log: each is in the anchor first, then in the file beside the segments. KEYS.md "Writing". */
#include "store/audit_seals.h"
#include "store/checkpoint.h"
#include "store/core.h"
#include "store/open.h"

#include "base/log.h"

#include <inttypes.h>
#include <string.h>

errint_t store_keep_seal(void *archive, const struct log_seal *s)
{
	struct archive *a = archive;
	struct seals_head h;
	struct anchor_status anchor;
	anchor_get_status(a->anchor, &anchor);
	memcpy(h.uuid, a->uuid, sizeof h.uuid);
	memcpy(h.log_id, anchor.log_id, sizeof h.log_id);
	memcpy(h.public_key, a->keyring.log_public_key, sizeof h.public_key);
	errint_t r = audit_seals_append(a->audit_fd, &h, s);
	while (audit_is_full(r) && audit_use_reserve(a->audit)) {
		audit_seals_take_room(a->audit_fd);
		r = audit_seals_append(a->audit_fd, &h, s);
	}
	if (!r) /* on disk: no checkpoint has a seal that the file has not */
		checkpoints_note(a, s);
	return r;
}

/* How far seals behind the anchor's go that its key, or those after it, did sign: the anchor was put back from before them. Others tell nothing. */
static errint_t signed_ahead(struct archive *a, const struct log_seal *anchors, uint64_t *ret)
{
	struct audit_seals s;
	struct anchor_status anchor;
	uint64_t rest;
	errint_t r = audit_seals_read(a->audit_fd, &s, &rest);
	if (r)
		return r;
	anchor_get_status(a->anchor, &anchor);
	struct seal_line line = {.uuid = a->uuid, .log_id = anchor.log_id, .anchor = anchors->anchor, .last = anchors->last};
	memcpy(line.next, anchors->anchor ? anchors->next : a->keyring.log_public_key, sizeof line.next);
	for (size_t i = 0; i < s.count; i++)
		if (s.seal[i].after == line.anchor)
			seal_line_see(&line, &s.seal[i]);
	*ret = line.anchor;
	audit_seals_free(&s);
	return 0;
}

errint_t store_open_seals(struct archive *a, struct fault *f)
{
	struct log_seal last;
	enum seals_state state;
	uint64_t ends;
	anchor_last_seal(a->anchor, &last);
	errint_t r = audit_seals_look(a->audit_fd, &last, &state, &ends);
	if (!r && state == SEALS_AHEAD)
		r = signed_ahead(a, &last, &a->sealed_anchor);
	if (!r && (state == SEALS_LACK || state == SEALS_BEHIND) && !a->observe)
		r = store_keep_seal(a, &last);
	if (!r && (state == SEALS_BEHIND || (state == SEALS_AHEAD && a->sealed_anchor <= last.anchor)))
		log_line(LOG_LEVEL_ERROR,
			"audit: seals of the log are missing or forged: the anchor has that of its write %" PRIu64
			", the file ended with that of write %" PRIu64 "; lapse audit verify says what is not proven",
			last.anchor, ends);
	return r ? fault_set(f, r, "the seals of the audit log cannot be read or written: %s", strerror(-r)) : 0;
}
