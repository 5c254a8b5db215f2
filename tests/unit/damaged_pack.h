/* damaged_pack.h - a pack of the catalogue's that is damaged behind its back. */
#pragma once

#include "store/catalogue_internal.h"

#include <criterion/criterion.h>

static inline void damage_last_pack(int in)
{
	struct cdb *d;
	int64_t id;
	size_t len;
	uint8_t sealed[SMALL_TAG_BYTES + PACK_CAP];
	cr_assert_eq(cdb_open(in, CDB_WRITE, &d), 0);
	cr_assert_eq(cdb_pack_at(d, INT64_MAX, &id, sealed, sizeof sealed, &len), 0);
	sealed[len / 2] ^= 1;
	cr_assert_eq(cdb_begin(d, true), 0);
	cr_assert_eq(cdb_pack_put(d, id, sealed, len), 0);
	cr_assert_eq(cdb_commit(d), 0);
	cdb_close(d);
}
