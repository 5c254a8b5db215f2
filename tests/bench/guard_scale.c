/* guard_scale.c - what many readers cost: `guard_scale [PRINCIPALS [READS]]` lets PRINCIPALS (10,000) read READS (600,000: 20,000 a day for a month, what the default
 * policy's archive budget reports beyond) distinct files spread over 30 days, lists and looks up names in the last hour, and prints memory, and the time of a decision
 * and of a replayed read. The default policy of lapse init.
 * `guard_scale log DIR RECORDS` writes a log of so many reads into the empty directory DIR and prints how long it takes to open and read again. */
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "policy/policy.h"
#include "store/audit.h"

#define MONTH_MS INT64_C(2592000000)
#define START_MS INT64_C(1700000000000)

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t mix(uint64_t h)
{
	h = (h ^ h >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	h = (h ^ h >> 27) * UINT64_C(0x94d049bb133111eb);
	return h ^ h >> 31;
}

static void file_id(uint64_t n, uint8_t *id)
{
	uint64_t a = mix(n + 1), b = mix(a + n);

	memcpy(id, &a, 8);
	memcpy(id + 8, &b, 8);
}

static struct policy *policy(void)
{
	char *text = policy_default_text("1y", NULL, false);
	struct policy_diags d;
	struct policy *p = NULL;

	if (!text || policy_parse(text, strlen(text), NULL, &p, &d)) {
		fprintf(stderr, "guard_scale: the default policy does not parse\n");
		exit(1);
	}
	policy_diags_free(&d);
	free(text);
	return p;
}

static struct subject reader(uint64_t n)
{
	return (struct subject){.uid = 10000 + (uint32_t)n, .login_uid = 10000 + (uint32_t)n, .real_uid = 10000 + (uint32_t)n};
}

static errint_t count(void *ctx, const struct audit_record *r)
{
	*(uint64_t *)ctx += r->kind == RECORD_OPEN;
	return 0;
}

static int log_bench(const char *dir, uint64_t records)
{
	static const struct small_key key = {.mac = {1}, .enc = {1}};
	static const uint8_t uuid[UUID_BYTES] = {2}, log_id[16] = {3}, none[DIGEST_BYTES] = {0};
	struct audit *l = NULL;
	struct fault f = {{0}};
	struct audit_record r;
	uint64_t found = 0;
	int fd = open(dir, O_RDONLY | O_DIRECTORY);

	if (fd < 0 || audit_open(fd, &key, uuid, log_id, 0, none, 200, &l, &f))
		return 1;
	double begun = now();
	for (uint64_t n = 0; n < records; n++) {
		audit_record_clear(&r);
		r.kind = RECORD_OPEN;
		r.decision = DECISION_PERMIT;
		r.trusted_ns = r.wall_ns = (START_MS + (int64_t)n) * 1000000;
		r.uid = r.login_uid = r.real_uid = 1000;
		r.bytes = 60000;
		snprintf(r.rule, sizeof r.rule, "everyone");
		file_id(n, r.file_id);
		if (audit_append(l, &r))
			return 1;
	}
	audit_close(l);
	double written = now();
	if (audit_open(fd, &key, uuid, log_id, 0, none, 200, &l, &f))
		return 1;
	double opened = now();
	if (audit_each(l, INT64_MIN, count, &found) || found != records)
		return 1;
	printf("%" PRIu64 " records: written in %.2f us each, opened in %.2f us each, read again in %.2f us each\n", records, (written - begun) * 1e6 / (double)records,
		(opened - written) * 1e6 / (double)records, (now() - opened) * 1e6 / (double)records);
	audit_close(l);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "log"))
		return log_bench(argv[2], strtoull(argv[3], NULL, 10));
	uint64_t principals = argc > 1 ? strtoull(argv[1], NULL, 10) : 10000, reads = argc > 2 ? strtoull(argv[2], NULL, 10) : 600000;
	struct policy *p = policy();
	struct guard *g;
	uint8_t id[POLICY_FILE_ID_BYTES];
	size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;

	if (guard_new(&g) || guard_set_policy(g, p))
		return 1;
	double begun = now();
	for (uint64_t n = 0; n < reads; n++) {
		struct subject s = reader(mix(n) % principals);

		file_id(n, id);
		guard_replay(g, &s, "everyone", id, 60000, START_MS + (int64_t)(n * (uint64_t)MONTH_MS / reads));
	}
	double replayed = now();
	for (uint64_t n = 0; n < principals; n++) {
		struct subject s = reader(n);

		guard_replay_names(g, &s, "everyone", "*", 100, START_MS + MONTH_MS);
	}
	size_t used = mallinfo2().uordblks + mallinfo2().hblkhd - before;
	double decide = now();
	uint64_t permitted = 0, decisions = 1000000;
	for (uint64_t n = 0; n < decisions; n++) {
		struct subject s = reader(mix(n + 7) % principals);
		struct guard_request r = {.who = &s, .bytes = 60000, .now_ms = START_MS + MONTH_MS, .wall_ms = START_MS + MONTH_MS};
		struct guard_verdict v;

		file_id(mix(n) % reads, r.file_id);
		guard_preview(g, &r, &v);
		permitted += !v.error;
	}
	double decided = now();
	printf("%" PRIu64 " principals, %" PRIu64 " reads in 30 days: %.1f MiB, %.2f us for a replayed read, %.2f us for a decision (%" PRIu64 " of %" PRIu64 " permitted)\n",
		principals, reads, (double)used / 1048576, (replayed - begun) * 1e6 / (double)reads, (decided - decide) * 1e6 / (double)decisions, permitted, decisions);
	guard_free(g);
	policy_unref(p);
	return 0;
}
