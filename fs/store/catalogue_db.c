#include "store/catalogue_sql.h"

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char schema[] =
	"CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
	"CREATE TABLE pack(id INTEGER PRIMARY KEY, row BLOB NOT NULL);"
	"CREATE TABLE mark(bucket INTEGER NOT NULL, pack INTEGER NOT NULL, PRIMARY KEY(bucket, pack)) WITHOUT ROWID;"
	"CREATE TABLE sum(id INTEGER PRIMARY KEY, row BLOB NOT NULL);"
	"CREATE TABLE dir(id BLOB PRIMARY KEY, seen INTEGER NOT NULL, row BLOB NOT NULL) WITHOUT ROWID;"
	"PRAGMA user_version = 4;";

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

errint_t cdb_failure(sqlite3 *db, int rc)
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

errint_t cdb_exec(struct cdb *d, const char *statements)
{
	return cdb_failure(d->db, sqlite3_exec(d->db, statements, NULL, NULL, NULL));
}

static errint_t connect_to(int dirfd, const char *options, int flags, struct cdb *d)
{
	char uri[96];
	snprintf(uri, sizeof uri, "file:/proc/self/fd/%d/" CATALOGUE_FILE "%s", dirfd, options);
	int rc = sqlite3_open_v2(uri, &d->db, flags | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc == SQLITE_CANTOPEN && faccessat(dirfd, CATALOGUE_FILE, F_OK, AT_SYMLINK_NOFOLLOW) && errno == ENOENT)
		return -ENOENT;
	if (rc != SQLITE_OK)
		return cdb_failure(d->db, rc);
	sqlite3_extended_result_codes(d->db, 1);
	sqlite3_busy_timeout(d->db, 5000);
	/* A database is input like any other: nothing in its schema may act. */
	sqlite3_db_config(d->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(d->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(d->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	sqlite3_db_config(d->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	return cdb_exec(d, "PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0;");
}

static errint_t user_version(struct cdb *d, int *ret)
{
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(d->db, "PRAGMA user_version", -1, &s, NULL);
	if (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW)
		*ret = sqlite3_column_int(s, 0);
	sqlite3_finalize(s);
	return rc == SQLITE_ROW ? 0 : rc == SQLITE_DONE ? -EBADMSG : cdb_failure(d->db, rc);
}

static errint_t open_writer(int dirfd, struct cdb *d)
{
	int version;
	errint_t r = make_private(dirfd);
	if (!r)
		r = connect_to(dirfd, "?mode=rw", SQLITE_OPEN_READWRITE, d);
	if (!r)
		r = cdb_exec(d, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON;"
				"PRAGMA journal_size_limit = 4194304; PRAGMA cache_size = -8192;");
	if (!r)
		r = user_version(d, &version);
	if (!r && version == 0) {
		r = cdb_exec(d, "BEGIN IMMEDIATE;");
		if (!r)
			r = cdb_exec(d, schema);
		if (!r)
			r = cdb_exec(d, "COMMIT;");
	} else if (!r && version != CATALOGUE_SCHEMA) {
		r = -ESTALE;
	}
	return r ? r : cdb_prepare(d);
}

static errint_t open_reader(int dirfd, const char *options, int flags, const char *pragmas, struct cdb *d)
{
	int version;
	errint_t r = connect_to(dirfd, options, flags, d);
	if (!r) {
		sqlite3_db_config(d->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
		r = cdb_exec(d, pragmas);
	}
	if (!r)
		r = user_version(d, &version);
	if (!r && version != CATALOGUE_SCHEMA)
		r = -ESTALE;
	return r ? r : cdb_prepare(d);
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
