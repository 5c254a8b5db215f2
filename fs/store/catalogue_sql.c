#include "store/catalogue_sql.h"

#include <string.h>

static const char *const sql[SQL_COUNT_OF_STATEMENTS] = {
	[SQL_BEGIN] = "BEGIN IMMEDIATE",
	[SQL_COMMIT] = "COMMIT",
	[SQL_ROLLBACK] = "ROLLBACK",
	[SQL_PACK_AT] = "SELECT id, row FROM pack WHERE id <= ?1 ORDER BY id DESC LIMIT 1",
	[SQL_PACK_AFTER] = "SELECT id, length(row) FROM pack WHERE id > ?1 ORDER BY id LIMIT 1",
	[SQL_PACK_PUT] = "INSERT OR REPLACE INTO pack(id, row) VALUES(?1, ?2)",
	[SQL_PACK_REMOVE] = "DELETE FROM pack WHERE id = ?1",
	[SQL_MARK] = "INSERT OR IGNORE INTO mark(bucket, pack) VALUES(?1, ?2)",
	[SQL_UNMARK] = "DELETE FROM mark WHERE bucket = ?1 AND pack = ?2",
	[SQL_EACH_PACK] = "SELECT id, row FROM pack WHERE id >= ?1 ORDER BY id LIMIT ?2",
	[SQL_EACH_MARKED] = "SELECT p.id, p.row FROM mark m CROSS JOIN pack p ON p.id = m.pack WHERE m.bucket = ?3 AND m.pack >= ?1 ORDER BY m.pack LIMIT ?2",
	[SQL_SUM_PUT] = "INSERT OR REPLACE INTO sum(id, row) VALUES(?1, ?2)",
	[SQL_SUM_REMOVE] = "DELETE FROM sum WHERE id = ?1",
	[SQL_EACH_SUM] = "SELECT id, row FROM sum ORDER BY id",
	[SQL_PUT_DIR] = "INSERT OR REPLACE INTO dir(id, seen, row) VALUES(?1, ?2, ?3)",
	[SQL_REMOVE_DIR] = "DELETE FROM dir WHERE id = ?1",
	[SQL_GET_DIR] = "SELECT id, seen, row FROM dir WHERE id = ?1",
	[SQL_EACH_DIR] = "SELECT id, seen, row FROM dir WHERE id > ?1 ORDER BY id LIMIT ?2",
	[SQL_GET_META] = "SELECT value FROM meta WHERE name = ?1",
	[SQL_SET_META] = "INSERT OR REPLACE INTO meta(name, value) VALUES(?1, ?2)",
};

errint_t cdb_prepare(struct cdb *d)
{
	for (size_t i = 0; i < SQL_COUNT_OF_STATEMENTS; i++) {
		int rc = sqlite3_prepare_v3(d->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &d->stmt[i], NULL);
		if (rc != SQLITE_OK)
			return cdb_failure(d->db, rc);
	}
	return 0;
}

static sqlite3_stmt *use(struct cdb *d, enum statement s)
{
	return d->stmt[s];
}

static errint_t done(sqlite3_stmt *s, int rc)
{
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	return cdb_failure(sqlite3_db_handle(s), rc);
}

static errint_t run(sqlite3_stmt *s)
{
	return done(s, sqlite3_step(s));
}

static void bind_key(sqlite3_stmt *s, int i, const uint8_t *key)
{
	sqlite3_bind_blob(s, i, key, HOME_BYTES, SQLITE_STATIC);
}

errint_t cdb_begin(struct cdb *d, bool durable)
{
	errint_t r = 0;
	if (d->durable != durable)
		r = cdb_exec(d, durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
	d->durable = durable;
	return r ? r : run(use(d, SQL_BEGIN));
}

errint_t cdb_commit(struct cdb *d)
{
	return run(use(d, SQL_COMMIT));
}

void cdb_rollback(struct cdb *d)
{
	if (!sqlite3_get_autocommit(d->db))
		run(use(d, SQL_ROLLBACK));
}

/* The id of the row that it stands on, and its blob. -EMSGSIZE. */
static errint_t copy_row(sqlite3_stmt *s, int64_t *ret_id, uint8_t *sealed, size_t cap, size_t *ret_len)
{
	const void *blob = sqlite3_column_blob(s, 1);
	size_t len = (size_t)sqlite3_column_bytes(s, 1);
	*ret_id = sqlite3_column_int64(s, 0);
	*ret_len = len;
	if (len > cap)
		return -EMSGSIZE;
	if (len)
		memcpy(sealed, blob, len);
	return 0;
}

errint_t cdb_pack_at(struct cdb *d, int64_t key, int64_t *ret_id, uint8_t *sealed, size_t cap, size_t *ret_len)
{
	sqlite3_stmt *s = use(d, SQL_PACK_AT);
	sqlite3_bind_int64(s, 1, key);
	int rc = sqlite3_step(s);
	errint_t r = rc == SQLITE_ROW ? copy_row(s, ret_id, sealed, cap, ret_len) : -ENOENT;
	errint_t e = done(s, rc);
	return e ? e : r;
}

errint_t cdb_pack_after(struct cdb *d, int64_t id, int64_t *ret_id, size_t *ret_len)
{
	sqlite3_stmt *s = use(d, SQL_PACK_AFTER);
	sqlite3_bind_int64(s, 1, id);
	int rc = sqlite3_step(s);
	errint_t r = rc == SQLITE_ROW ? 0 : -ENOENT;
	if (!r) {
		*ret_id = sqlite3_column_int64(s, 0);
		*ret_len = (size_t)sqlite3_column_int64(s, 1);
	}
	errint_t e = done(s, rc);
	return e ? e : r;
}

static errint_t put_blob(sqlite3_stmt *s, int64_t id, const uint8_t *sealed, size_t len)
{
	sqlite3_bind_int64(s, 1, id);
	sqlite3_bind_blob(s, 2, sealed, (int)len, SQLITE_STATIC);
	return run(s);
}

static errint_t remove_id(sqlite3_stmt *s, int64_t id)
{
	sqlite3_bind_int64(s, 1, id);
	return run(s);
}

errint_t cdb_pack_put(struct cdb *d, int64_t id, const uint8_t *sealed, size_t len)
{
	return put_blob(use(d, SQL_PACK_PUT), id, sealed, len);
}

errint_t cdb_pack_remove(struct cdb *d, int64_t id)
{
	return remove_id(use(d, SQL_PACK_REMOVE), id);
}

errint_t cdb_sum_put(struct cdb *d, int64_t id, const uint8_t *sealed, size_t len)
{
	return put_blob(use(d, SQL_SUM_PUT), id, sealed, len);
}

errint_t cdb_sum_remove(struct cdb *d, int64_t id)
{
	return remove_id(use(d, SQL_SUM_REMOVE), id);
}

errint_t cdb_mark(struct cdb *d, int64_t bucket, int64_t id, bool has)
{
	sqlite3_stmt *s = use(d, has ? SQL_MARK : SQL_UNMARK);
	sqlite3_bind_int64(s, 1, bucket);
	sqlite3_bind_int64(s, 2, id);
	return run(s);
}

static errint_t each_blob(sqlite3_stmt *s, cdb_pack_cb cb, void *ctx, size_t *ret_count)
{
	int rc;
	size_t count = 0;
	for (; (rc = sqlite3_step(s)) == SQLITE_ROW; count++) {
		const void *blob = sqlite3_column_blob(s, 1);
		cb(ctx, sqlite3_column_int64(s, 0), blob, (size_t)sqlite3_column_bytes(s, 1));
	}
	*ret_count = count;
	return done(s, rc);
}

errint_t cdb_each_pack(
	struct cdb *d, const int64_t *bucket, int64_t from, size_t max, cdb_pack_cb cb, void *ctx, size_t *ret_count)
{
	sqlite3_stmt *s = use(d, bucket ? SQL_EACH_MARKED : SQL_EACH_PACK);
	sqlite3_bind_int64(s, 1, from);
	sqlite3_bind_int64(s, 2, (int64_t)max);
	if (bucket)
		sqlite3_bind_int64(s, 3, *bucket);
	return each_blob(s, cb, ctx, ret_count);
}

errint_t cdb_each_sum(struct cdb *d, cdb_pack_cb cb, void *ctx)
{
	size_t count;
	return each_blob(use(d, SQL_EACH_SUM), cb, ctx, &count);
}

errint_t cdb_put_dir(
	struct cdb *d, const uint8_t key[static HOME_BYTES], int64_t seen, const uint8_t *sealed, size_t len)
{
	sqlite3_stmt *s = use(d, SQL_PUT_DIR);
	bind_key(s, 1, key);
	sqlite3_bind_int64(s, 2, seen);
	sqlite3_bind_blob(s, 3, sealed, (int)len, SQLITE_STATIC);
	return run(s);
}

errint_t cdb_remove_dir(struct cdb *d, const uint8_t key[static HOME_BYTES])
{
	sqlite3_stmt *s = use(d, SQL_REMOVE_DIR);
	bind_key(s, 1, key);
	return run(s);
}

errint_t cdb_get_dir(struct cdb *d, const uint8_t key[static HOME_BYTES], uint8_t *sealed, size_t cap, size_t *ret_len)
{
	sqlite3_stmt *s = use(d, SQL_GET_DIR);
	bind_key(s, 1, key);
	int rc = sqlite3_step(s);
	errint_t r = rc == SQLITE_DONE ? -ENOENT : 0;
	if (rc == SQLITE_ROW) {
		const void *blob = sqlite3_column_blob(s, 2);
		size_t len = (size_t)sqlite3_column_bytes(s, 2);
		if (len > cap)
			r = -EMSGSIZE;
		else if (len)
			memcpy(sealed, blob, len);
		*ret_len = len;
	}
	errint_t e = done(s, rc);
	return e ? e : r;
}

/* A place that is no blob sorts before the first key or breaks the cursor: both only in a database that we did not write. */
static errint_t page(sqlite3_stmt *s, struct cdb_cursor *c, size_t max, cdb_row_cb cb, void *ctx, size_t *ret_count)
{
	int rc;
	size_t count = 0;
	errint_t r = 0;
	uint8_t after[HOME_BYTES];
	memcpy(after, c->key, sizeof after);
	if (c->begun)
		bind_key(s, 1, after);
	else
		sqlite3_bind_blob(s, 1, "", 0, SQLITE_STATIC);
	sqlite3_bind_int64(s, 2, (int64_t)max);
	while (!r && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		const void *key = sqlite3_column_blob(s, 0);
		if (sqlite3_column_bytes(s, 0) != HOME_BYTES) {
			r = -EBADMSG;
			break;
		}
		memcpy(c->key, key, HOME_BYTES);
		c->begun = true;
		count++;
		int64_t seen = sqlite3_column_int64(s, 1);
		const void *row = sqlite3_column_blob(s, 2);
		cb(ctx, c->key, seen, row, (size_t)sqlite3_column_bytes(s, 2));
	}
	*ret_count = count;
	errint_t e = done(s, r ? SQLITE_OK : rc);
	return r ? r : e;
}

errint_t cdb_each_dir(struct cdb *d, struct cdb_cursor *c, size_t max, cdb_row_cb cb, void *ctx, size_t *ret_count)
{
	return page(use(d, SQL_EACH_DIR), c, max, cb, ctx, ret_count);
}

static errint_t number(sqlite3_stmt *s, int64_t *ret)
{
	int rc = sqlite3_step(s);
	bool found = rc == SQLITE_ROW;
	if (found)
		*ret = sqlite3_column_int64(s, 0);
	errint_t r = done(s, rc);
	return r ? r : found ? 0 : -ENOENT;
}

errint_t cdb_get_number(struct cdb *d, const char *name, int64_t *ret)
{
	sqlite3_bind_text(use(d, SQL_GET_META), 1, name, -1, SQLITE_STATIC);
	return number(use(d, SQL_GET_META), ret);
}

errint_t cdb_set_number(struct cdb *d, const char *name, int64_t value)
{
	sqlite3_stmt *s = use(d, SQL_SET_META);
	sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 2, value);
	return run(s);
}

errint_t cdb_get_bytes(struct cdb *d, const char *name, uint8_t *out, size_t len)
{
	sqlite3_stmt *s = use(d, SQL_GET_META);
	sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
	int rc = sqlite3_step(s);
	errint_t r = rc == SQLITE_DONE ? -ENOENT : 0;
	if (rc == SQLITE_ROW) {
		const void *blob = sqlite3_column_blob(s, 0);
		if ((size_t)sqlite3_column_bytes(s, 0) != len)
			r = -EBADMSG;
		else
			memcpy(out, blob, len);
	}
	errint_t e = done(s, rc);
	return e ? e : r;
}

errint_t cdb_set_bytes(struct cdb *d, const char *name, const uint8_t *in, size_t len)
{
	sqlite3_stmt *s = use(d, SQL_SET_META);
	sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
	sqlite3_bind_blob(s, 2, in, (int)len, SQLITE_STATIC);
	return run(s);
}
