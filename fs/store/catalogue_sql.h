/* catalogue_sql.h - what catalogue_db.c (connections) and catalogue_sql.c (statements) share. */
#pragma once

#include "store/catalogue_db.h"

#include <sqlite3.h>

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
struct cdb {
	sqlite3 *db;
	sqlite3_stmt *stmt[SQL_COUNT_OF_STATEMENTS];
	bool durable; /* what `synchronous` is set to */
};

/* What SQLite's result means, and what the system said where that is about space or a disk that may not be written. */
errint_t cdb_failure(sqlite3 *db, int rc);
errint_t cdb_exec(struct cdb *d, const char *statements);
errint_t cdb_prepare(struct cdb *d);
