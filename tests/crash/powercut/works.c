/* works.c - the workloads. */
#include "run.h"

#include "world.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define LONG_NAME                                                                                                \
	"a name that is longer than a hundred and sixty bytes is stored under a hash, and its sealed form lies " \
	"beside it in a companion, without which nobody could read it in a listing again, ever"

static uint64_t draw(struct run *r, uint64_t below)
{
	return world_random(&r->chance) % below;
}

static void put_file(struct run *r, const char *path, size_t len, bool sync)
{
	struct open_file f = do_create(r, path);
	if (len)
		do_write(r, f, 0, len);
	if (sync)
		do_fsync(r, f, false);
	do_close(r, f);
}

static void next_session(struct run *r)
{
	run_close(r);
	run_open(r);
}

static void ingest(struct run *r)
{
	char part[64], last[64];
	do_mkdir(r, "in");
	do_fsync_dir(r, "");
	for (int i = 0; i < 6; i++) {
		snprintf(part, sizeof part, "in/%d.part", i);
		snprintf(last, sizeof last, "in/%d.jpg", i);
		struct open_file f = do_create(r, i % 2 ? last : part);
		do_write(r, f, 0, 3000);
		do_write(r, f, 3000, 9000);
		if (i != 4)
			do_fsync(r, f, i == 3);
		do_close(r, f);
		if (i % 2 == 0)
			do_rename(r, part, last);
		if (i == 2)
			do_fsync_dir(r, "in");
	}
	put_file(r, "empty", 0, true);
	/* Nobody remembers at its first sync that it is new. */
	put_file(r, "in/reopened", 4000, false);
	struct open_file again = do_open(r, "in/reopened", O_RDWR);
	do_fsync(r, again, true);
	do_close(r, again);
	next_session(r);
	put_file(r, "in/after", 5000, true);
	run_close(r);
}

static void import(struct run *r)
{
	static const char *const path[] = {"one", "in/two", "in/three", LONG_NAME, "in/four", "five", "in/six"};
	do_mkdir(r, "in");
	do_fsync_dir(r, "");
	put_file(r, "before", 5000, false);
	do_import(r, path, 5, 9000, 2);
	put_file(r, "between", 5000, true);
	do_import(r, path + 5, 2, 0, 3);
	do_chmod(r, "in/two", 0640);
	run_close(r);
}

static void save(struct run *r)
{
	put_file(r, "document", 6000, true);
	do_tag(r, "document", "first");
	struct open_file f = do_open(r, "document", O_RDONLY);
	do_fsync(r, f, false);
	do_close(r, f);
	for (size_t i = 0; i < 4; i++) {
		if (i == 2)
			next_session(r);
		f = do_create(r, "document.tmp");
		do_write(r, f, 0, 5000 + 1000 * i);
		do_fsync(r, f, false);
		do_close(r, f);
		do_rename(r, "document.tmp", "document");
		if (i % 2)
			do_fsync_dir(r, "");
	}
	run_close(r);
}

/* What was closed and synced in an earlier session is written again. */
static void overwrite(struct run *r)
{
	put_file(r, "database", 5 * BLOCK + 700, true);
	put_file(r, "quiet", 2 * BLOCK, true);
	next_session(r);
	struct open_file f = do_open(r, "database", O_RDWR);
	do_write(r, f, 100, 50);
	do_fsync(r, f, true);
	do_write(r, f, BLOCK - 20, 40);
	do_write(r, f, 3 * BLOCK, BLOCK);
	do_write(r, f, 100, 60);
	do_fsync(r, f, false);
	do_chmod(r, "database", 0640);
	do_write(r, f, 120, 60); /* goes to the journal, its mode does not */
	do_fsync(r, f, false);
	do_write(r, f, 2 * BLOCK + 10, 2 * BLOCK);
	do_close(r, f);
	f = do_open(r, "quiet", O_RDWR);
	do_write(r, f, 10, 10);
	do_close(r, f);
	f = do_open(r, "database", O_RDWR);
	do_write(r, f, 0, 3 * BLOCK);
	do_fsync(r, f, false);
	do_close(r, f);
	run_close(r);
}

/* A daemon is killed, and the next one goes on from what it left in the kernel's memory; then the power goes. */
static void killed(struct run *r)
{
	put_file(r, "first", 3 * BLOCK + 5, true);
	run_close(r);
	run_open(r);
	put_file(r, "new", 5000, false);
	struct open_file f = do_open(r, "first", O_RDWR);
	do_write(r, f, 50, 500);
	run_kill(r);
	run_open(r);
	f = do_open(r, "new", O_RDWR);
	do_fsync(r, f, false);
	do_close(r, f);
	f = do_open(r, "first", O_RDWR);
	do_write(r, f, 3 * BLOCK, 700);
	do_fsync(r, f, true);
	do_close(r, f);
	do_unlink(r, "new");
	run_kill(r);
	run_open(r);
	f = do_open(r, "first", O_RDWR);
	do_fsync(r, f, true);
	do_resize(r, f, BLOCK + 9);
	do_close(r, f);
	put_file(r, "last", 100, true);
	run_close(r);
}

static void append(struct run *r)
{
	struct open_file f = do_create(r, "log");
	uint64_t at = 0;
	for (size_t i = 0; i < 8; i++) {
		size_t len = 500 + 900 * i;
		do_write(r, f, at, len);
		at += len;
		if (i % 3 != 2)
			do_fsync(r, f, i % 2);
		if (i == 4) {
			do_close(r, f);
			next_session(r);
			f = do_open(r, "log", O_RDWR);
		}
	}
	do_close(r, f);
	f = do_open(r, "log", O_RDWR);
	do_write(r, f, at + 3 * BLOCK, 100); /* behind a hole */
	do_fsync(r, f, false);
	do_close(r, f);
	run_close(r);
}

static void truncate_inside(struct run *r)
{
	put_file(r, "shrinks", 6 * BLOCK + 100, true);
	struct open_file f = do_open(r, "shrinks", O_RDWR);
	do_resize(r, f, 4 * BLOCK + 50);
	do_fsync(r, f, false);
	do_resize(r, f, 2 * BLOCK + 7);
	do_write(r, f, 2 * BLOCK + 7, 3000);
	do_fsync(r, f, true);
	do_close(r, f);
	next_session(r);
	f = do_open(r, "shrinks", O_RDWR);
	do_resize(r, f, BLOCK + 1);
	do_resize(r, f, 3 * BLOCK + 9);
	do_close(r, f);
	f = do_open(r, "shrinks", O_RDWR | O_TRUNC);
	do_write(r, f, 0, 900);
	do_fsync(r, f, false);
	do_close(r, f);
	run_close(r);
}

static void trees(struct run *r)
{
	do_mkdir(r, "a");
	do_mkdir(r, "a/b");
	do_mkdir(r, "a/b/c");
	put_file(r, "a/b/c/file", 2000, true);
	do_symlink(r, "a/link", "b/c/file");
	do_fsync_dir(r, "a");
	do_mkdir(r, "x");
	do_rename(r, "a/b", "x/b");
	do_fsync_dir(r, "x");
	do_chmod(r, "x/b/c/file", 0600);
	do_rename(r, "a/link", "x/link");
	do_link(r, "x/b/c/file", "x/second");
	struct open_file f = do_open(r, "x/second", O_RDWR);
	do_fsync(r, f, false);
	do_close(r, f);
	do_fsync_dir(r, "x");
	next_session(r);
	do_mkdir(r, "x/empty");
	do_mkdir(r, "x/other");
	do_rename(r, "x/empty", "x/other");
	put_file(r, "x/other/file", 700, true);
	do_mkdir(r, "a/empty");
	do_fsync_dir(r, "a");
	do_rename(r, "x/other", "a/empty");
	do_fsync_dir(r, "a");
	do_fsync_dir(r, "x");
	do_unlink(r, "a/empty/file");
	do_rmdir(r, "a/empty");
	do_unlink(r, "x/b/c/file");
	do_fsync_dir(r, "x/b/c");
	do_rmdir(r, "x/b/c");
	do_rename(r, "x", "y");
	do_fsync_dir(r, "");
	put_file(r, "y/b/new", 100, true);
	do_rename(r, "y/b", "a/b");
	put_file(r, "one", 300, true);
	put_file(r, "two", 400, true);
	do_exchange(r, "one", "two");
	do_fsync_dir(r, "");
	run_close(r);
}

static void long_names(struct run *r)
{
	put_file(r, LONG_NAME " one", 1000, true);
	do_mkdir(r, LONG_NAME);
	do_fsync_dir(r, "");
	put_file(r, LONG_NAME "/" LONG_NAME, 2000, true);
	put_file(r, "short", 2000, true);
	do_rename(r, "short", LONG_NAME " two");
	do_fsync_dir(r, "");
	do_rename(r, LONG_NAME " one", LONG_NAME " two");
	do_symlink(r, LONG_NAME " link", "short");
	do_fsync_dir(r, "");
	do_rename(r, LONG_NAME " two", "short");
	do_unlink(r, LONG_NAME "/" LONG_NAME);
	put_file(r, LONG_NAME "/" LONG_NAME, 10, true);
	next_session(r);
	do_rename(r, LONG_NAME "/" LONG_NAME, LONG_NAME " three");
	do_rmdir(r, LONG_NAME);
	do_fsync_dir(r, "");
	run_close(r);
}

/* Files without a name that are synced before they get one, after that, never, and whose session ends before. */
static void unnamed(struct run *r)
{
	do_mkdir(r, "in");
	do_fsync_dir(r, "");
	struct open_file f = do_tmpfile(r, "in");
	do_write(r, f, 0, 2 * BLOCK + 100);
	do_fsync(r, f, false);
	do_name(r, f, "in/first");
	do_fsync_dir(r, "in");
	do_write(r, f, 100, 50);
	do_fsync(r, f, true);
	do_close(r, f);
	f = do_tmpfile(r, "");
	do_write(r, f, 0, 5000);
	do_name(r, f, LONG_NAME);
	do_write(r, f, 5000, 700);
	do_fsync(r, f, false);
	do_link(r, LONG_NAME, "in/second");
	do_close(r, f);
	f = do_tmpfile(r, "in");
	do_write(r, f, 0, 300);
	do_fsync(r, f, true);
	do_close(r, f);
	f = do_tmpfile(r, "");
	do_write(r, f, 0, 9000);
	do_name(r, f, "in/quiet");
	do_close(r, f);
	do_rename(r, "in/first", "first");
	next_session(r);
	f = do_open(r, "first", O_RDWR);
	do_write(r, f, BLOCK - 9, 20);
	do_fsync(r, f, true);
	do_close(r, f);
	f = do_tmpfile(r, "");
	do_resize(r, f, 3000);
	do_fsync(r, f, false);
	do_name(r, f, "last");
	do_close(r, f);
	run_close(r);
}

/* Names go and are replaced while the disk still has the file open for writing. */
static void removal(struct run *r)
{
	put_file(r, "kept", 5000, true);
	put_file(r, "goes", 5000, true);
	do_unlink(r, "goes");
	put_file(r, "other", 300, true);
	put_file(r, "new", 200, true);
	do_rename(r, "new", "other");
	struct open_file f = do_open(r, "kept", O_RDWR);
	do_write(r, f, 5000, 5000);
	do_fsync(r, f, false);
	do_link(r, "kept", "second");
	do_unlink(r, "kept");
	do_write(r, f, 10000, 10);
	do_fsync(r, f, true);
	do_close(r, f);
	do_unlink(r, "second");
	put_file(r, "last", 10, true);
	next_session(r);
	put_file(r, "goes", 4000, true);
	f = do_open(r, "goes", O_RDONLY);
	do_unlink(r, "goes");
	do_mkdir(r, "dir");
	do_close(r, f);
	put_file(r, "dir/one", 100, true);
	do_unlink(r, "dir/one");
	do_rmdir(r, "dir");
	do_fsync_dir(r, "");
	run_close(r);
}

static void expiry(struct run *r)
{
	do_mkdir(r, "short");
	do_fsync_dir(r, "");
	put_file(r, "short/one", 5000, true);
	put_file(r, "short/two", 5000, false);
	put_file(r, "keep", 5000, true);
	do_pass(r, 61);
	put_file(r, "short/three", 100, true);
	struct open_file f = do_open(r, "keep", O_RDWR);
	do_write(r, f, 5000, 4000);
	do_fsync(r, f, false);
	do_pass(r, 30); /* one and two go */
	put_file(r, "short/four", 100, true);
	do_close(r, f);
	next_session(r);
	do_pass(r, 61); /* three */
	put_file(r, "later", 100, true);
	do_pass(r, 120);
	run_close(r);
}

/* Two holds on a file that outlives its date under them, one on a file that does not reach it; each released at another stage. */
static void held(struct run *r)
{
	do_mkdir(r, "short");
	do_fsync_dir(r, "");
	put_file(r, "short/one", 5000, true);
	put_file(r, "short/two", 5000, true);
	put_file(r, "keep", 5000, true);
	do_hold(r, "case", "short/one");
	do_hold(r, "case-keep", "keep");
	do_hold_work(r);
	do_pass(r, 61);
	do_pass(r, 90); /* two goes; one is past its date */
	do_hold(r, "second", "short/one");
	do_hold_work(r);
	do_release(r, "case", "short/one");
	do_hold_work(r);
	next_session(r);
	do_release(r, "case-keep", "keep");
	do_hold_work(r);
	put_file(r, "other", 100, true);
	do_release(r, "second", "short/one");
	do_hold_work(r);
	do_pass(r, 61);
	run_close(r);
}

static void keys(struct run *r)
{
	put_file(r, "file", 5000, true);
	do_key_add(r);
	put_file(r, "other", 100, true);
	do_key_remove(r);
	struct open_file f = do_open(r, "file", O_RDWR);
	do_write(r, f, 5000, 4000);
	do_fsync(r, f, false);
	do_close(r, f);
	do_key_add(r);
	run_close(r);
}

static void policies(struct run *r)
{
	put_file(r, "file", 5000, true);
	do_policy(r, policy_two);
	put_file(r, "other", 100, true);
	do_policy(r, policy_one);
	next_session(r);
	do_policy(r, policy_two);
	run_close(r);
}

static void init(struct run *r)
{
	run_init(r);
	r->story.ready = trace_position(&r->trace);
	run_open(r);
	put_file(r, "first", 5000, true);
	run_close(r);
}

/* ---- mixed ---------------------------------------------------------------------------------------------------------------------------- */

static void any_name(struct run *r, char out[static 64])
{
	static const char *const dir[] = {"", "d0/", "d1/"};
	snprintf(out, 64, "%sf%u", dir[draw(r, 3)], (unsigned)draw(r, 4));
}

static bool exists(struct run *r, const char *path)
{
	return view_find(&r->now, path) != UINT32_MAX;
}

static void write_some(struct run *r, const char *path)
{
	struct open_file f = !exists(r, path) ? do_create(r, path) : do_open(r, path, draw(r, 5) ? O_RDWR : O_RDWR | O_TRUNC);
	for (uint64_t n = draw(r, 4) + 1; n--;) {
		if (draw(r, 6) == 0)
			do_resize(r, f, draw(r, 4 * BLOCK));
		else
			do_write(r, f, draw(r, 4 * BLOCK), 1 + draw(r, draw(r, 2) ? 200 : 2 * BLOCK));
		if (draw(r, 3) == 0)
			do_fsync(r, f, draw(r, 2));
	}
	do_close(r, f);
}

static void any_act(struct run *r)
{
	char path[64], to[64];
	any_name(r, path);
	any_name(r, to);
	const bool there = exists(r, path);
	uint64_t what = draw(r, 10);
	if (what < 4)
		write_some(r, path);
	else if (what < 6 && there && strcmp(path, to))
		do_rename(r, path, to);
	else if (what == 6 && there)
		do_unlink(r, path);
	else if (what == 7)
		do_fsync_dir(r, path[0] == 'd' ? (char[]){'d', path[1], 0} : "");
	else if (what == 8 && there && !exists(r, to))
		do_link(r, path, to);
	else if (what == 9 && draw(r, 3) == 0)
		next_session(r);
	else if (what == 9 && there)
		do_chmod(r, path, 0600 + (mode_t)draw(r, 8));
}

static void mixed(struct run *r)
{
	do_mkdir(r, "d0");
	do_mkdir(r, "d1");
	for (int i = 0; i < 40; i++)
		any_act(r);
	run_close(r);
}

const struct workload workloads[] = {
	{"ingest", ingest, false},
	{"import", import, false},
	{"save", save, false},
	{"overwrite", overwrite, false},
	{"killed", killed, false},
	{"append", append, false},
	{"truncate", truncate_inside, false},
	{"trees", trees, false},
	{"long-names", long_names, false},
	{"unnamed", unnamed, false},
	{"removal", removal, false},
	{"expiry", expiry, false},
	{"held", held, false},
	{"keys", keys, false},
	{"policy", policies, false},
	{"init", init, true},
	{"mixed", mixed, false},
};
const size_t workload_count = sizeof workloads / sizeof *workloads;
