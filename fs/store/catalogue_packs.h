/* catalogue_packs.h - the catalogue's table of packs: edited by the writer within a transaction, walked over through any connection. */
#pragma once

#include "store/catalogue_db.h"
#include "store/catalogue_pack.h"
#include "store/catalogue_sums.h"

struct catalogue;

struct packs_edit {
	int64_t key, seen;
	uint32_t time; /* row_time; of one that is removed it is not looked at */
	const uint8_t *place;
	const uint8_t *body; /* row_encode; NULL: it is removed */
	size_t len;
};
struct loaded_pack;

/* What the writer works with: rows of the packs that are being edited, and what changes in the sums by this transaction. */
struct packs {
	struct loaded_pack *pack; /* two */
	struct pack_row *row;     /* what is to lie in their place */
	size_t count, cap;
	size_t grown; /* pack_cut */
	struct packs_mark *was, *is;
	size_t was_count, was_cap, is_count, is_cap;
	struct sums changes;
};
errint_t packs_init(struct packs *t);
void packs_free(struct packs *t);

/* A transaction of edits. Edits come ascending by (key, place), each pair once. A pack that cannot be opened loses its rows, and the database is marked
 * damaged; rows of one key that are more than a pack can hold are left out, and it is marked incomplete. `packs_end` commits if r is 0, else rolls back; sums follow. */
errint_t packs_begin(struct catalogue *c);
errint_t packs_apply(struct catalogue *c, const struct packs_edit *edit, size_t count);
errint_t packs_end(struct catalogue *c, errint_t r);
/* Reads all sums at the start. -EBADMSG. */
errint_t packs_load_sums(struct catalogue *c);

/* Every row with a key up to `done` has been told: exact whatever is edited between two steps. Zero it to begin. */
struct packs_cursor {
	bool begun, end;
	int64_t done;
};
/* So that the walk begins with the rows of this key. */
struct packs_cursor packs_cursor_at(int64_t key);
/* The rows of some packs after the cursor, all or those in packs with that mark (the pack's other rows too); `end` when there are no more. A pack that cannot
 * be opened is passed over, and the catalogue marked damaged. */
errint_t packs_walk(struct catalogue *c, struct cdb *db, int64_t mark, struct packs_cursor *cursor,
	void (*cb)(void *ctx, const struct pack_row *row), void *ctx);
#define MARK_ANY (INT64_MIN + 1)
