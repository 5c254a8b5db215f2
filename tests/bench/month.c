/* month.c - what a mount costs after a month: `month write ARCHIVE KEY-FILE [READS [PRINCIPALS [DAYS [FILE-ID]]]]` puts so many reads (3,000,000) by so many (10,000) into the log of an
 * archive that is not mounted, over the last so many days (30), one in 100,000 of that file, as a daemon would have that was then killed; `month open ARCHIVE KEY-FILE [log]` opens and closes it (without its snapshot) and prints
 * what that took. */
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/secret.h"
#include "store/gate_internal.h"

#define DAY_NS	   INT64_C(86400000000000)
#define OF_ONE_FILE 100000

static double seconds(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t mix(uint64_t h)
{
	h = (h ^ h >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	h = (h ^ h >> 27) * UINT64_C(0x94d049bb133111eb);
	return h ^ h >> 31;
}

static struct archive *open_archive(const char *path, const char *key_path)
{
	cleanup_free uint8_t *key = NULL;
	struct fault f = {{0}};
	struct archive *a;
	size_t len;
	if (secret_init() || io_read_file(AT_FDCWD, key_path, 4096, &key, &len)) {
		fprintf(stderr, "month: %s cannot be read\n", key_path);
		exit(1);
	}
	struct archive_open o = {.path = path, .secret = {.kind = SLOT_KEY_FILE, .bytes = key, .len = len}};
	if (archive_open(&o, &a, &f)) {
		fprintf(stderr, "month: %s\n", f.text);
		exit(1);
	}
	return a;
}

struct reads {
	uint64_t count, principals, days;
	const char *file_id; /* hexadecimal, or NULL */
};

static void write_reads(struct archive *a, const struct reads *w)
{
	uint8_t one[FILE_ID_BYTES];
	if (w->file_id && sodium_hex2bin(one, sizeof one, w->file_id, strlen(w->file_id), NULL, NULL, NULL)) {
		fprintf(stderr, "month: %s is no file's id\n", w->file_id);
		exit(2);
	}
	const int64_t now = tclock_trusted_ns(a->clock);
	struct audit_record r;
	for (uint64_t n = 0; n < w->count; n++) {
		const uint64_t high = mix(n + 1), low = mix(high + n);
		audit_record_clear(&r);
		r.kind = RECORD_OPEN;
		r.decision = DECISION_PERMIT;
		r.trusted_ns = r.wall_ns = now - (int64_t)w->days * DAY_NS + (int64_t)(n * (w->days * (uint64_t)DAY_NS / w->count));
		r.uid = r.login_uid = r.real_uid = 10000 + (uint32_t)(mix(n) % w->principals);
		r.bytes = 60000;
		snprintf(r.rule, sizeof r.rule, "everyone");
		memcpy(r.file_id, &high, 8);
		memcpy(r.file_id + 8, &low, 8);
		if (w->file_id && n % OF_ONE_FILE == 0)
			memcpy(r.file_id, one, sizeof one);
		if (audit_append(a->audit, &r))
			exit(1);
	}
	if (audit_sync(a->audit))
		exit(1);
}

static long resident_kib(const char *what)
{
	char line[256];
	long kib = 0;
	FILE *f = fopen("/proc/self/status", "re");
	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, what, strlen(what)))
			kib = strtol(line + strlen(what) + 1, NULL, 10);
	if (f)
		fclose(f);
	return kib;
}

static void time_open(const char *path, const char *key, bool from_log)
{
	char snapshot[PATH_MAX];
	snprintf(snapshot, sizeof snapshot, "%s/.lapse/snapshots/guard", path);
	if (from_log)
		unlink(snapshot);
	const double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	struct archive *a = open_archive(path, key);
	printf("opened from %s: %.2f s, %.2f s of processor time", a->gate->snapshot_used ? "a snapshot" : "the log", seconds(CLOCK_MONOTONIC) - wall, seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu);
	printf("; %ld MiB resident, %ld MiB at most", resident_kib("VmRSS") / 1024, resident_kib("VmHWM") / 1024);
	const double closing = seconds(CLOCK_MONOTONIC);
	const uint64_t bytes = snapshot_bytes(a, SNAPSHOT_GUARD);
	archive_close(a);
	printf("; closed in %.2f s; the snapshot had %.1f MiB\n", seconds(CLOCK_MONOTONIC) - closing, (double)bytes / 1048576);
}

int main(int argc, char **argv)
{
	if (argc >= 4 && !strcmp(argv[1], "write")) {
		const struct reads w = {.count = argc > 4 ? strtoull(argv[4], NULL, 10) : 3000000,
			.principals = argc > 5 ? strtoull(argv[5], NULL, 10) : 10000,
			.days = argc > 6 ? strtoull(argv[6], NULL, 10) : 30,
			.file_id = argc > 7 ? argv[7] : NULL};
		write_reads(open_archive(argv[2], argv[3]), &w);
		_exit(0);
	}
	if (argc < 4 || strcmp(argv[1], "open")) {
		fprintf(stderr, "usage: month write ARCHIVE KEY-FILE [READS [PRINCIPALS [DAYS [FILE-ID]]]] | month open ARCHIVE KEY-FILE [log]\n");
		return 2;
	}
	time_open(argv[2], argv[3], argc > 4);
	return 0;
}
