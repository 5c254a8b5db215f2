/* catalogue_db.h - the catalogue's tables. The one place that knows SQLite. Keys and sealed blobs in and out; a connection is for one thread at a time. */
#pragma once

#include "crypt/types.h"

#define CATALOGUE_FILE   "catalogue.db"
#define CATALOGUE_SCHEMA 4

struct cdb;

/* The one that writes; another connection of the same process that reads; one on an archive that is not mounted, which writes nothing. */
enum cdb_mode { CDB_WRITE, CDB_READ, CDB_OBSERVE };

/* `dirfd` must stay open as long as the connection. CDB_WRITE makes missing tables. -ENOENT (no database, CDB_READ and CDB_OBSERVE), -EBADMSG (not a
 * database, damaged), -ESTALE (tables of another version), other errors of the disk.
 * CDB_OBSERVE: with a log left by a crash the database is opened for writing but never written, if permissions allow; else it is read as it stood at its
 * last checkpoint, without the log. */
errint_t cdb_open(int dirfd, enum cdb_mode mode, struct cdb **ret);
void cdb_close(struct cdb *d);
/* Removes the database and its companions. */
errint_t cdb_destroy(int dirfd);

/* `durable`: on disk when its commit returns, with everything before it; else the last transactions before a crash may be missing. */
errint_t cdb_begin(struct cdb *d, bool durable);
errint_t cdb_commit(struct cdb *d);
void cdb_rollback(struct cdb *d);

/* A pack has all keys from its id to the next pack's. -ENOENT (none begins at or before the key), -EMSGSIZE if it is longer than `cap`: then only id
 * and length are told. */
errint_t cdb_pack_at(struct cdb *d, int64_t key, int64_t *ret_id, uint8_t *sealed, size_t cap, size_t *ret_len);
/* The next one, and how long it is. -ENOENT. */
errint_t cdb_pack_after(struct cdb *d, int64_t id, int64_t *ret_id, size_t *ret_len);
errint_t cdb_pack_put(struct cdb *d, int64_t id, const uint8_t *sealed, size_t len);
errint_t cdb_pack_remove(struct cdb *d, int64_t id);
/* This pack has rows of that bucket, or has no more. */
errint_t cdb_mark(struct cdb *d, int64_t bucket, int64_t id, bool has);
typedef void (*cdb_pack_cb)(void *ctx, int64_t id, const uint8_t *sealed, size_t len);
/* At most `max` packs with an id from `from` on, ascending; with a bucket those marked so. */
errint_t cdb_each_pack(
	struct cdb *d, const int64_t *bucket, int64_t from, size_t max, cdb_pack_cb cb, void *ctx, size_t *ret_count);

errint_t cdb_sum_put(struct cdb *d, int64_t id, const uint8_t *sealed, size_t len);
errint_t cdb_sum_remove(struct cdb *d, int64_t id);
errint_t cdb_each_sum(struct cdb *d, cdb_pack_cb cb, void *ctx);

errint_t cdb_put_dir(
	struct cdb *d, const uint8_t key[static HOME_BYTES], int64_t seen, const uint8_t *sealed, size_t len);
errint_t cdb_remove_dir(struct cdb *d, const uint8_t key[static HOME_BYTES]);
/* -ENOENT; -EMSGSIZE if it is longer than `cap`. */
errint_t cdb_get_dir(struct cdb *d, const uint8_t key[static HOME_BYTES], uint8_t *sealed, size_t cap, size_t *ret_len);

/* Position in a table's keys. Zero it to begin. */
struct cdb_cursor {
	bool begun;
	uint8_t key[HOME_BYTES];
};
typedef void (*cdb_row_cb)(
	void *ctx, const uint8_t key[static HOME_BYTES], int64_t seen, const uint8_t *sealed, size_t len);
/* At most `max` rows after the cursor, which moves on; *ret_count < max at the end. */
errint_t cdb_each_dir(struct cdb *d, struct cdb_cursor *c, size_t max, cdb_row_cb cb, void *ctx, size_t *ret_count);

/* Numbers and small blobs by name. -ENOENT. */
errint_t cdb_get_number(struct cdb *d, const char *name, int64_t *ret);
errint_t cdb_set_number(struct cdb *d, const char *name, int64_t value);
errint_t cdb_get_bytes(struct cdb *d, const char *name, uint8_t *out, size_t len); /* exactly len, else -EBADMSG */
errint_t cdb_set_bytes(struct cdb *d, const char *name, const uint8_t *in, size_t len);
