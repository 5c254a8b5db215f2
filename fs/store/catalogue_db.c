#include "store/catalogue_db.h"

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum statement {
	SQL_BEGIN,
	SQL_COMMIT,
	SQL_ROLLBACK,
	SQL_PACK_AT,
	SQL_PACK_AFTER,
	SQL_PACK_PUT,
	SQL_PACK_REMOVE,
	SQL_MARK,
	SQL_UNMARK,
	SQL_EACH_PACK,
	SQL_EACH_MARKED,
	SQL_SUM_PUT,
	SQL_SUM_REMOVE,
	SQL_EACH_SUM,
	SQL_PUT_DIR,
	SQL_REMOVE_DIR,
	SQL_GET_DIR,
	SQL_EACH_DIR,
	SQL_GET_META,
	SQL_SET_META,
	SQL_COUNT_OF_STATEMENTS
};
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
	[SQL_EACH_MARKED] = "SELECT p.id, p.row FROM mark m CROSS JOIN pack p ON p.id = m.pack "
			    "WHERE m.bucket = ?3 AND m.pack >= ?1 ORDER BY m.pack LIMIT ?2",
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

static const char schema[] =
	"CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
	"CREATE TABLE pack(id INTEGER PRIMARY KEY, row BLOB NOT NULL);"
	"CREATE TABLE mark(bucket INTEGER NOT NULL, pack INTEGER NOT NULL, PRIMARY KEY(bucket, pack)) WITHOUT ROWID;"
	"CREATE TABLE sum(id INTEGER PRIMARY KEY, row BLOB NOT NULL);"
	"CREATE TABLE dir(id BLOB PRIMARY KEY, seen INTEGER NOT NULL, row BLOB NOT NULL) WITHOUT ROWID;"
	"PRAGMA user_version = 3;";

struct cdb {
	sqlite3 *db;
	sqlite3_stmt *stmt[SQL_COUNT_OF_STATEMENTS];
	bool durable; /* what `synchronous` is set to */
};

static errint_t to_errint(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_ERROR: /* a table or column is missing */
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
		return -EBADMSG;
	default:
		return -EIO;
	}
}

/* The same with what SQLite calls an I/O error said more exactly, where it is about space or a disk that may not be written. */
static errint_t failure(sqlite3 *db, int rc)
{
	errint_t r = to_errint(rc);
	int e = r == -EIO && db ? sqlite3_system_errno(db) : 0;
	return e == ENOSPC || e == EDQUOT || e == EROFS ? -e : r;
}

/* SQLite resolves symlinks in the path it is given, so that /proc/self/fd/N would become the path that the mount covers (KERNEL.md 26). With stat in
 * the place of lstat it sees none. */
static void hide_symlinks(void)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
	if (sqlite3_initialize() == SQLITE_OK && !vfs)
		vfs = sqlite3_vfs_find(NULL);
	assert(vfs && vfs->iVersion >= 3);
	vfs->xSetSystemCall(vfs, "lstat", (sqlite3_syscall_ptr)stat);
}

static const char *const file_names[] = {
	CATALOGUE_FILE, CATALOGUE_FILE "-wal", CATALOGUE_FILE "-shm", CATALOGUE_FILE "-journal"};

errint_t cdb_destroy(int dirfd)
{
	for (size_t i = 0; i < ARRAY_SIZE(file_names); i++)
		if (unlinkat(dirfd, file_names[i], 0) && errno != ENOENT)
			return -errno;
	return 0;
}

/* Nobody but us writes there while we run, but somebody may have before: a symlink or a fifo in the place of a database is not opened. */
static errint_t check_files(int dirfd, bool may_remove)
{
	struct stat st;
	for (size_t i = 0; i < ARRAY_SIZE(file_names); i++) {
		if (fstatat(dirfd, file_names[i], &st, AT_SYMLINK_NOFOLLOW)) {
			if (errno != ENOENT)
				return -errno;
		} else if (!S_ISREG(st.st_mode)) {
			if (!may_remove)
				return -EBADMSG;
			if (unlinkat(dirfd, file_names[i], S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0))
				return -errno;
		}
	}
	return 0;
}

static bool has_content(int dirfd, const char *name)
{
	struct stat st;
	return !fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) && st.st_size > 0;
}

/* The log gets the mode of the database, which SQLite would make with 0644. */
static errint_t make_private(int dirfd)
{
	cleanup_fd int fd = openat(dirfd, CATALOGUE_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
	if (fd < 0 || fchmod(fd, 0600))
		return -errno;
	return 0;
}

static errint_t exec(struct cdb *d, const char *statements)
{
	return failure(d->db, sqlite3_exec(d->db, statements, NULL, NULL, NULL));
}

static errint_t connect_to(int dirfd, const char *options, int flags, struct cdb *d)
{
	char uri[96];
	snprintf(uri, sizeof uri, "file:/proc/self/fd/%d/" CATALOGUE_FILE "%s", dirfd, options);
	int rc = sqlite3_open_v2(uri, &d->db, flags | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc == SQLITE_CANTOPEN && faccessat(dirfd, CATALOGUE_FILE, F_OK, AT_SYMLINK_NOFOLLOW) && errno == ENOENT)
		return -ENOENT;
	if (rc != SQLITE_OK)
		return failure(d->db, rc);
	sqlite3_extended_result_codes(d->db, 1);
	sqlite3_busy_timeout(d->db, 5000);
	/* A database is input like any other: nothing in its schema may act. */
	sqlite3_db_config(d->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(d->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(d->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	sqlite3_db_config(d->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	return exec(d, "PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0;");
}

static errint_t user_version(struct cdb *d, int *ret)
{
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(d->db, "PRAGMA user_version", -1, &s, NULL);
	if (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW)
		*ret = sqlite3_column_int(s, 0);
	sqlite3_finalize(s);
	return rc == SQLITE_ROW ? 0 : rc == SQLITE_DONE ? -EBADMSG : failure(d->db, rc);
}

static errint_t prepare(struct cdb *d)
{
	for (size_t i = 0; i < SQL_COUNT_OF_STATEMENTS; i++) {
		int rc = sqlite3_prepare_v3(d->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &d->stmt[i], NULL);
		if (rc != SQLITE_OK)
			return failure(d->db, rc);
	}
	return 0;
}

static errint_t open_writer(int dirfd, struct cdb *d)
{
	int version;
	errint_t r = make_private(dirfd);
	if (!r)
		r = connect_to(dirfd, "?mode=rw", SQLITE_OPEN_READWRITE, d);
	if (!r)
		r = exec(d, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON;"
			    "PRAGMA journal_size_limit = 4194304; PRAGMA cache_size = -8192;");
	if (!r)
		r = user_version(d, &version);
	if (!r && version == 0) {
		r = exec(d, "BEGIN IMMEDIATE;");
		if (!r)
			r = exec(d, schema);
		if (!r)
			r = exec(d, "COMMIT;");
	} else if (!r && version != CATALOGUE_SCHEMA) {
		r = -ESTALE;
	}
	return r ? r : prepare(d);
}

static errint_t open_reader(int dirfd, const char *options, int flags, const char *pragmas, struct cdb *d)
{
	int version;
	errint_t r = connect_to(dirfd, options, flags, d);
	if (!r) {
		sqlite3_db_config(d->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
		r = exec(d, pragmas);
	}
	if (!r)
		r = user_version(d, &version);
	if (!r && version != CATALOGUE_SCHEMA)
		r = -ESTALE;
	return r ? r : prepare(d);
}

static void disconnect(struct cdb *d)
{
	for (size_t i = 0; i < SQL_COUNT_OF_STATEMENTS; i++)
		sqlite3_finalize(d->stmt[i]);
	sqlite3_close(d->db);
	*d = (struct cdb){0};
}

static errint_t open_observer(int dirfd, struct cdb *d)
{
	static const char immutable[] = "?mode=ro&immutable=1";
	if (!has_content(dirfd, CATALOGUE_FILE "-wal"))
		return open_reader(dirfd, immutable, SQLITE_OPEN_READONLY, "", d);
	/* In exclusive mode the index of the log is kept in memory and not in a file beside it. */
	errint_t r = open_reader(dirfd, "?mode=rw", SQLITE_OPEN_READWRITE,
		"PRAGMA locking_mode = EXCLUSIVE; PRAGMA query_only = ON;", d);
	if (!r || r == -EBADMSG || r == -ESTALE)
		return r;
	disconnect(d);
	return open_reader(dirfd, immutable, SQLITE_OPEN_READONLY, "", d);
}

errint_t cdb_open(int dirfd, enum cdb_mode mode, struct cdb **ret)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, hide_symlinks);
	struct cdb *d = calloc(1, sizeof *d);
	if (!d)
		return -ENOMEM;
	errint_t r = check_files(dirfd, mode == CDB_WRITE);
	if (!r && mode == CDB_WRITE)
		r = open_writer(dirfd, d);
	else if (!r && mode == CDB_READ)
		r = open_reader(dirfd, "?mode=rw", SQLITE_OPEN_READWRITE,
			"PRAGMA query_only = ON; PRAGMA cache_size = -2048;", d);
	else if (!r)
		r = open_observer(dirfd, d);
	if (r) {
		cdb_close(d);
		return r;
	}
	*ret = d;
	return 0;
}

void cdb_close(struct cdb *d)
{
	if (!d)
		return;
	disconnect(d);
	free(d);
}

/* ---- statements ----------------------------------------------------------------------------------------------------------- */

static sqlite3_stmt *use(struct cdb *d, enum statement s)
{
	return d->stmt[s];
}

static errint_t done(sqlite3_stmt *s, int rc)
{
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	return failure(sqlite3_db_handle(s), rc);
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
		r = exec(d, durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
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

errint_t cdb_each_pack(struct cdb *d, const int64_t *bucket, int64_t from, size_t max, cdb_pack_cb cb, void *ctx,
	size_t *ret_count)
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
