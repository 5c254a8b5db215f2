/* queue_rows ARCHIVE ANCHOR KEY-FILE FILES LANES DAYS [flat]: fills the catalogue of an archive, which nobody has mounted, with rows of files that are not there, in
 * the order in which cameras would have made them: each lane has a directory for each of DAYS days, or with `flat` one for all of them (they are made), and all have as
 * many as come to FILES, whose deadlines lie in the next DAYS days. Then measures what rows cost; with FILES 0, of a catalogue that was filled before, only what changes
 * of it cost. For tests/bench/queue; prints "name value" lines. */
#include "base/io.h"
#include "base/secret.h"
#include "store/core.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define DAY     86400
#define CLASSES 8
#define BURST   2000
#define SINGLES 500

static const struct subject subject = {.uid = 0, .login_uid = POLICY_NO_UID, .real_uid = POLICY_NO_UID, .pid = 1};
static const struct caller caller = {.subject = &subject};

static struct archive *a;
static unsigned lanes, days;
static bool flat;
static uint64_t each; /* files of a lane and day */
static int64_t now;

static void check(errint_t r, const char *what)
{
	if (!r)
		return;
	fprintf(stderr, "queue_rows: %s: %s\n", what, strerror(-r));
	exit(1);
}

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Of one file: what it was filled with it is found again by. */
static uint64_t drawn(unsigned lane, unsigned day, uint64_t n)
{
	uint64_t x = ((uint64_t)lane << 48 ^ (uint64_t)day << 32 ^ n) + 0x9e3779b97f4a7c15;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static struct inode *subdirectory(struct inode *in, const char *name)
{
	struct fs_entry e;
	errint_t r = fs_lookup(a, in, name, &e);
	if (r == -ENOENT)
		r = fs_mkdir(a, in, name, 0755, &caller, &e);
	check(r, name);
	return e.inode;
}

/* Lanes have a class each; all live about as many days as there are. */
static int64_t lifetime_of(unsigned lane)
{
	return ((int64_t)days + lane % CLASSES) * DAY;
}

static void fill_row(struct catalogue_row *row, struct inode *dir, unsigned lane, int64_t created_at, uint64_t number, uint64_t random)
{
	char name[64], class_[16];
	struct sealed_name sealed;
	int len = snprintf(name, sizeof name, "%05" PRId64 "_lane%02u_%06" PRIu64 ".jpg", created_at % DAY, lane, number);
	check(dir_seal(dir, name, (size_t)len, &sealed), "name");
	memset(row, 0, sizeof *row);
	home_compute(row->place, a->keys, dir->dir->record.dir_id, name, (size_t)len);
	memcpy(row->dir_id, dir->dir->record.dir_id, DIR_ID_BYTES);
	crypt_random(row->file_id, sizeof row->file_id);
	snprintf(class_, sizeof class_, "class%u", lane % CLASSES);
	class_fingerprint(row->class_fp, a->keys, class_);
	row->generation = 2;
	row->size = 20000 + random % 100000;
	row->created_at = row->basis_at = created_at;
	row->expires_at = created_at + lifetime_of(lane);
	row->modified_at = created_at + (int64_t)(random % 3);
	row->retain_until = INT64_MIN;
	row->state = HEADER_CLOSED;
	row->basis_kind = POLICY_BASIS_CREATED;
	row->key_kind = KEY_KIND_EPOCH;
	row->tree = 1;
	row->epoch = (uint32_t)((row->expires_at - 1) / 60);
	strcpy(row->backing, sealed.backing);
}

/* The file number `n` of one lane's day: at about even intervals. */
static void fill_old_row(struct catalogue_row *row, struct inode *dir, unsigned lane, unsigned day, uint64_t n)
{
	uint64_t random = drawn(lane, day, n);
	int64_t second = (int64_t)((n * DAY + random % DAY) / each);
	fill_row(row, dir, lane, now + 60 + (int64_t)day * DAY + second - lifetime_of(lane), day * each + n, random);
}

static struct inode *directory_of(unsigned lane, unsigned day)
{
	char name[32];
	snprintf(name, sizeof name, "lane%02u", lane);
	struct inode *up = subdirectory(fs_root(a), name);
	snprintf(name, sizeof name, "day%03u", flat ? 0 : day);
	struct inode *dir = subdirectory(up, name);
	struct dir_use u;
	check(dir_enter(a, dir, false, &u), name); /* loads its keys */
	dir_leave(a, &u);
	fs_forget(a, up, 1);
	return dir;
}

static void fill(uint64_t files)
{
	struct catalogue_row row;
	struct inode **dir = calloc(lanes, sizeof *dir);
	double start = seconds();
	check(dir ? 0 : -ENOMEM, "fill");
	for (unsigned day = 0; day < days; day++) {
		for (unsigned lane = 0; lane < lanes; lane++)
			dir[lane] = directory_of(lane, day);
		for (uint64_t n = 0; files && n < each; n++)
			for (unsigned lane = 0; lane < lanes; lane++) {
				fill_old_row(&row, dir[lane], lane, day, n);
				catalogue_put(a->catalogue, &row);
			}
		for (unsigned lane = 0; lane < lanes; lane++)
			fs_forget(a, dir[lane], 1);
	}
	free(dir);
	check(catalogue_flush(a->catalogue), "flush");
	if (files)
		printf("filled-rows-per-second %.0f\n", (double)each * lanes * days / (seconds() - start));
}

/* Of this process: on a machine that has other work the time that passes says little. */
static double cpu_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Calls that read and write files, which do not depend on what else the machine does. */
static void count_calls(double ret[static 2])
{
	char line[64];
	FILE *f = fopen("/proc/self/io", "re");
	check(f ? 0 : -errno, "/proc/self/io");
	while (fgets(line, sizeof line, f)) {
		sscanf(line, "syscr: %lf", &ret[0]);
		sscanf(line, "syscw: %lf", &ret[1]);
	}
	fclose(f);
}

struct cost {
	double start, cpu, calls[2];
};

static void cost_begin(struct cost *c)
{
	count_calls(c->calls);
	c->cpu = cpu_seconds();
	c->start = seconds();
}

static void cost_print(const struct cost *c, const char *name, const char *what, size_t count)
{
	double wall = seconds() - c->start, cpu = cpu_seconds() - c->cpu, calls[2], n = (double)count;
	count_calls(calls);
	printf("%s-%s-us %.1f cpu %.1f reads %.2f writes %.2f\n", name, what, wall / n * 1e6, cpu / n * 1e6, (calls[0] - c->calls[0]) / n,
		(calls[1] - c->calls[1]) / n);
}

/* One at a time: each is on its way to the disk before the next is put. */
static void one_by_one(const char *name, const struct catalogue_row *row, size_t count, bool put)
{
	struct cost c;
	cost_begin(&c);
	for (size_t i = 0; i < count; i++) {
		if (put)
			catalogue_put(a->catalogue, &row[i]);
		else
			catalogue_remove(a->catalogue, row[i].dir_id, row[i].place, row[i].created_at);
		check(catalogue_flush(a->catalogue), "flush");
	}
	cost_print(&c, name, put ? "single-insert" : "single-delete", count);
}

static void together(const char *name, const struct catalogue_row *row, size_t count, bool put)
{
	struct cost c;
	cost_begin(&c);
	for (size_t i = 0; i < count; i++)
		if (put)
			catalogue_put(a->catalogue, &row[i]);
		else
			catalogue_remove(a->catalogue, row[i].dir_id, row[i].place, row[i].created_at);
	check(catalogue_flush(a->catalogue), "flush");
	cost_print(&c, name, put ? "insert" : "delete", count);
}

static void quietly(const struct catalogue_row *row, size_t count, bool put)
{
	for (size_t i = 0; i < count; i++)
		if (put)
			catalogue_put(a->catalogue, &row[i]);
		else
			catalogue_remove(a->catalogue, row[i].dir_id, row[i].place, row[i].created_at);
	check(catalogue_flush(a->catalogue), "flush");
}

/* Files that come into `dirs` directories now, and the oldest of as many that go; then all is as it was. With `today` they come into the last day's directories and
 * go from the first day's. */
static void measure_changes(const char *name, unsigned dirs, bool today)
{
	struct catalogue_row *new = calloc(BURST, sizeof *new), *old = calloc(BURST, sizeof *old);
	check(new && old ? 0 : -ENOMEM, name);
	for (unsigned i = 0; i < BURST; i++) {
		unsigned k = i % dirs, lane = k % lanes, day = k / lanes * 7 % days;
		struct inode *to = directory_of(lane, today ? days - 1 : day), *from = directory_of(lane, today ? 0 : day);
		fill_row(&new[i], to, lane, now + 60 + i / dirs, 10000000 + i, drawn(lane, days, i));
		fill_old_row(&old[i], from, lane, today ? 0 : day, i / dirs);
		fs_forget(a, to, 1);
		fs_forget(a, from, 1);
	}
	together(name, new, BURST, true);
	together(name, old, BURST, false);
	quietly(new, BURST, false);
	quietly(old, BURST, true);
	one_by_one(name, new, SINGLES, true);
	one_by_one(name, old, SINGLES, false);
	quietly(new, SINGLES, false);
	quietly(old, SINGLES, true);
	free(new);
	free(old);
}

/* Until what was begun at the opening, or by what was put, is done. */
static void come_to_rest(void)
{
	double before;
	do {
		before = cpu_seconds();
		nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
	} while (cpu_seconds() - before > 0.002);
}

struct walk {
	uint64_t rows, groups;
	size_t limit;
	uint8_t dir_id[DIR_ID_BYTES];
};

static errint_t walk_row(void *ctx, const struct catalogue_row *row)
{
	struct walk *w = ctx;
	if (memcmp(w->dir_id, row->dir_id, DIR_ID_BYTES))
		w->groups++;
	memcpy(w->dir_id, row->dir_id, DIR_ID_BYTES);
	return ++w->rows == w->limit;
}

static errint_t count_sum(void *ctx, const struct catalogue_sum *sum)
{
	*(uint64_t *)ctx += sum->files;
	return 0;
}

static void measure_reads(void)
{
	struct walk all = {0}, first = {.limit = 100};
	uint64_t summed = 0;
	double start = seconds();
	check(catalogue_each(a->catalogue, walk_row, &all), "walk");
	printf("walk-all-ms %.1f\nrows %" PRIu64 "\ngroups %" PRIu64 "\n", (seconds() - start) * 1e3, all.rows,
		all.groups);
	start = seconds();
	catalogue_each_by_deadline(a->catalogue, INT64_MAX, walk_row, &first);
	printf("first-hundred-ms %.1f\n", (seconds() - start) * 1e3);
	start = seconds();
	check(catalogue_each_sum(a->catalogue, count_sum, &summed), "sums");
	printf("sums-ms %.1f\nsummed %" PRIu64 "\n", (seconds() - start) * 1e3, summed);
}

static void open_it(char **argv)
{
	static uint8_t key[KEY_BYTES];
	uint8_t *p;
	size_t len;
	struct fault f = {{0}};
	const char *const anchors[] = {argv[2], NULL};
	check(secret_init(), "secret memory");
	check(io_read_file(AT_FDCWD, argv[3], KEY_BYTES, &p, &len), argv[3]);
	check(len == KEY_BYTES ? 0 : -EINVAL, argv[3]);
	memcpy(key, p, sizeof key);
	free(p);
	struct archive_open o = {.path = argv[1], .secret = {SLOT_KEY_FILE, key, sizeof key}, .anchor = anchors};
	if (archive_open(&o, &a, &f)) {
		fprintf(stderr, "queue_rows: %s\n", f.text);
		exit(1);
	}
	check(catalogue_start(a->catalogue), "writer");
}

/* That of the filling, which is kept beside the archive. */
static void find_now(const char *archive, bool filling)
{
	char path[4096];
	snprintf(path, sizeof path, "%s.now", archive);
	FILE *f = fopen(path, filling ? "we" : "re");
	check(f ? 0 : -errno, path);
	if (filling)
		fprintf(f, "%" PRId64 "\n", now = tclock_trusted(a->clock));
	else
		check(fscanf(f, "%" SCNd64, &now) == 1 ? 0 : -EINVAL, path);
	fclose(f);
}

int main(int argc, char **argv)
{
	if (argc < 7 || argc > 8) {
		fprintf(stderr, "queue_rows ARCHIVE ANCHOR KEY-FILE FILES LANES DAYS [flat]\n");
		return 2;
	}
	lanes = (unsigned)atoi(argv[5]);
	days = (unsigned)atoi(argv[6]);
	flat = argc == 8;
	check(lanes && days ? 0 : -EINVAL, "lanes and days");
	open_it(argv);
	const uint64_t files = strtoull(argv[4], NULL, 10);
	find_now(argv[1], files);
	each = (files ? files : catalogue_count(a->catalogue)) / ((uint64_t)lanes * days);
	check(each ? 0 : -EINVAL, "files");
	fill(files);
	come_to_rest();
	measure_changes("ingest", lanes, true);
	if (!flat)
		measure_changes("scattered", BURST < lanes * days ? BURST : lanes * days, false);
	if (files)
		measure_reads();
	catalogue_complete(a->catalogue);
	double start = seconds();
	archive_close(a);
	printf("close-ms %.1f\n", (seconds() - start) * 1e3);
	return 0;
}
