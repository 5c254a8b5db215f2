/* The index beside the log's segments: what is found through it is what reading everything finds; without it, or with a wrong one, too. */
#include "place_fixture.h"
#include "store/audit.h"
#include "store/audit_index.h"

#define RECORDS 900
#define FILES	37
#define USERS	5

static const uint8_t uuid[UUID_BYTES] = {1, 2, 3}, log_id[16] = {5}, zero[DIGEST_BYTES];
static struct small_key key;
static struct audit *l;
static int fd;

static void append(int i)
{
	static const enum record_kind kinds[] = {RECORD_OPEN, RECORD_OPEN, RECORD_CLOSE, RECORD_UNLINK, RECORD_LIST, RECORD_EXPIRE, RECORD_OPEN, RECORD_OPEN, RECORD_GRANT, RECORD_OPEN, RECORD_GUARD};
	struct audit_record r;
	audit_record_clear(&r);
	r.kind = kinds[i % ARRAY_SIZE(kinds)];
	r.trusted_ns = i * SECOND;
	if (r.kind != RECORD_LIST && r.kind != RECORD_GRANT && r.kind != RECORD_GUARD) {
		r.file_id[0] = (uint8_t)(i * 31 % FILES + 1);
		r.file_id[9] = (uint8_t)(i % 2); /* two files under one key */
	}
	r.uid = (uint32_t)(i * 17 % USERS);
	r.login_uid = i % 3 ? UINT32_MAX : r.uid + 100;
	cr_assert_eq(audit_append(l, &r), 0);
}

static void setup(void)
{
	struct fault f = {{0}};
	place_setup();
	memset(&key, 1, sizeof key);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_assert_eq(audit_open(fd, &key, uuid, log_id, 0, zero, 200, &l, &f), 0, "%s", f.text);
	audit_segment_bytes(l, 20000);
	for (int i = 0; i < RECORDS; i++)
		append(i);
}

static void teardown(void)
{
	audit_close(l);
	close(fd);
	place_teardown();
}

TestSuite(audit_index, .init = setup, .fini = teardown);

struct sum {
	const struct audit_pick *pick;
	uint64_t found, hash, last, told;
};

static errint_t add(void *ctx, const struct audit_record *r)
{
	struct sum *s = ctx;
	const struct audit_pick *p = s->pick;
	bool ends = r->kind == RECORD_UNLINK || r->kind == RECORD_EXPIRE || r->kind == RECORD_GRANT || r->kind == RECORD_GUARD; /* whoever made them */
	bool user = r->uid == p->uid || r->login_uid == p->uid || r->real_uid == p->uid;
	cr_assert_gt(r->sequence, s->last, "ascending, each once");
	s->last = r->sequence;
	s->told++;
	if (p->by_file ? memcmp(r->file_id, p->file_id, 16) : p->by_user && !user && !ends)
		return 0;
	s->found++;
	s->hash = s->hash * 31 + r->sequence;
	return 0;
}

/* *ret_told: of how many records. */
static void same_as_all(const struct audit_pick *pick, uint64_t *ret_told)
{
	struct sum all = {.pick = pick}, some = {.pick = pick};
	cr_assert_eq(audit_each(l, pick->since_ns, add, &all), 0);
	cr_assert_eq(audit_pick(l, pick, add, &some), 0);
	cr_assert_eq(all.found, some.found, "%d for %d", (int)some.found, (int)all.found);
	cr_assert_eq(all.hash, some.hash);
	*ret_told = some.told;
}

static void every_pick(void)
{
	uint64_t told;
	for (int since = 0; since <= RECORDS; since += RECORDS / 4) {
		for (uint32_t uid = 0; uid < USERS + 2; uid++)
			same_as_all(&(struct audit_pick){.since_ns = since * SECOND, .by_user = true, .uid = uid}, &told);
		same_as_all(&(struct audit_pick){.by_user = true, .uid = 102}, &told);
		for (uint8_t file = 1; file < FILES + 2; file++)
			for (uint8_t second = 0; second < 2; second++)
				same_as_all(&(struct audit_pick){.since_ns = since * SECOND, .by_file = true, .file_id = {[0] = file, [9] = second}}, &told);
	}
	same_as_all(&(struct audit_pick){.since_ns = 0}, &told);
	cr_assert_eq(told, RECORDS);
}

Test(audit_index, finds_what_reading_everything_finds)
{
	uint64_t told;
	every_pick();
	same_as_all(&(struct audit_pick){.by_file = true, .file_id = {3}}, &told);
	cr_assert_lt(told, RECORDS / 4, "and does not read everything");
}

static size_t indexes(int (*change)(const char *name))
{
	DIR *d = opendir(dir);
	size_t count = 0;
	for (struct dirent *e; (e = readdir(d));)
		if (strlen(e->d_name) == 20 && !strcmp(e->d_name + 16, ".idx")) {
			count++;
			cr_assert_eq(change ? change(e->d_name) : 0, 0);
		}
	closedir(d);
	return count;
}

static int take(const char *name)
{
	return unlinkat(fd, name, 0);
}

static int spoil(const char *name)
{
	uint8_t b = 0;
	int f = openat(fd, name, O_RDWR);
	int e = pread(f, &b, 1, 40) != 1;
	b ^= 1;
	e = e || pwrite(f, &b, 1, 40) != 1;
	return close(f) || e;
}

static int cut(const char *name)
{
	int f = openat(fd, name, O_RDWR);
	int e = ftruncate(f, 30);
	return close(f) || e;
}

Test(audit_index, is_made_again_when_it_is_gone_damaged_or_anothers)
{
	bool more = true;
	uint64_t told;
	size_t made = 0;
	for (; more; made += more)
		cr_assert_eq(audit_index_some(l, &more), 0);
	cr_assert_gt(made, 4);
	cr_assert_eq(indexes(NULL), made);
	same_as_all(&(struct audit_pick){.by_user = true, .uid = 1}, &told);
	cr_assert_eq(indexes(spoil), made);
	same_as_all(&(struct audit_pick){.by_user = true, .uid = 1}, &told);
	cr_assert_eq(indexes(cut), made);
	same_as_all(&(struct audit_pick){.by_user = true, .uid = 1}, &told);
	cr_assert_eq(renameat(fd, "0000000000000001.idx", fd, "kept"), 0);
	cr_assert_eq(indexes(take), made - 1);
	DIR *d = opendir(dir); /* the first segment's, for another one */
	for (struct dirent *e; (e = readdir(d));)
		if (strstr(e->d_name, ".seg") && strcmp(e->d_name, "0000000000000001.seg")) {
			char name[32];
			snprintf(name, sizeof name, "%.16s.idx", e->d_name);
			cr_assert_eq(renameat(fd, "kept", fd, name), 0);
			break;
		}
	closedir(d);
	every_pick();
}

Test(audit_index, a_damaged_segment_keeps_no_other_from_having_one)
{
	bool more = true;
	size_t made = 0;
	cr_assert_eq(spoil("0000000000000001.seg"), 0);
	for (; more; made += more)
		cr_assert_eq(audit_index_some(l, &more), 0);
	cr_assert_gt(made, 3);
	cr_assert_eq(indexes(NULL), made);
	cr_assert_eq(spoil("0000000000000001.seg"), 0); /* undone, and not looked at again */
	cr_assert_eq(audit_index_some(l, &more), 0);
	cr_assert_not(more);
}

static int spoil_part(const char *name)
{
	struct stat st;
	uint8_t b = 0;
	int f = openat(fd, name, O_RDWR);
	int e = fstat(f, &st) || pread(f, &b, 1, st.st_size - 40) != 1; /* of the places: found when they are needed */
	b ^= 1;
	e = e || pwrite(f, &b, 1, st.st_size - 40) != 1;
	return close(f) || e;
}

Test(audit_index, a_damaged_part_is_found_before_anything_is_told)
{
	bool more = true;
	uint64_t told;
	for (size_t i = 0; more; i++)
		cr_assert_eq(audit_index_some(l, &more), 0);
	cr_assert_gt(indexes(spoil_part), 4);
	same_as_all(&(struct audit_pick){.by_user = true, .uid = 1}, &told);
	every_pick();
}

/* More than one part of each kind. */
Test(audit_index, of_many_records_reads_some)
{
	struct segment_keys k = {.log = &key};
	struct audit_chain end;
	struct audit_index made, read;
	struct audit_record r;
	audit_segment_bytes(l, UINT64_MAX);
	uint64_t begins, sequence;
	audit_head(l, &begins, end.head);
	for (int i = 0; i < 40000; i++)
		append(i);
	audit_record_clear(&r);
	memcpy(k.uuid, uuid, sizeof k.uuid);
	memcpy(k.log_id, log_id, sizeof k.log_id);
	audit_head(l, &sequence, end.head);
	end.next = sequence + 1;
	uint64_t first = 0;
	DIR *d = opendir(dir);
	for (struct dirent *e; (e = readdir(d));)
		if (strstr(e->d_name, ".seg") && strtoull(e->d_name, NULL, 16) > first)
			first = strtoull(e->d_name, NULL, 16);
	closedir(d);
	cr_assert_eq(audit_index_make(fd, &k, first, &end, &made), 0);
	cr_assert_eq(audit_index_save(fd, &k, first, &end, &made), 0);
	cr_assert_eq(audit_index_load(fd, &k, first, &end, &read), 0);
	cr_assert_eq(read.postings, made.postings);
	const size_t parts = audit_index_parts(&read);
	cr_assert_gt(parts, 40);
	cr_assert_gt(made.places, INDEX_PLACES);
	size_t from, to, wanted_from, wanted_to, had = 0;
	for (uint32_t i = 0; i < made.postings; i += 997) {
		const uint32_t at = made.posting[i].key;
		cr_assert_eq(audit_index_find(&made, at, &wanted_from, &wanted_to), 0);
		cr_assert_eq(audit_index_find(&read, at, &from, &to), 0);
		cr_assert(from == wanted_from && to == wanted_to, "%zu to %zu, not %zu to %zu", from, to, wanted_from, wanted_to);
		cr_assert_arr_eq(&read.posting[from], &made.posting[from], (to - from) * sizeof *made.posting);
		for (size_t n = 0; !i && n < parts; n++)
			had += read.have[n];
	}
	cr_assert(had > 0 && had < parts / 2, "%zu of %zu parts for one key", had, parts);
	cr_assert_eq(audit_index_find(&read, 0x12345678, &from, &to), 0);
	cr_assert_eq(from, to);
	for (uint32_t i = 0; i < made.records; i += 61) {
		const struct index_place *a, *b;
		cr_assert_eq(audit_index_place(&made, i, &a), 0);
		cr_assert_eq(audit_index_place(&read, i, &b), 0);
		cr_assert_arr_eq(a, b, sizeof *a);
	}
	audit_index_free(&read);
	audit_index_free(&made);
}

Test(audit_index, a_parser_takes_no_part_of_one)
{
	struct audit_index x;
	uint8_t plain[16 + 4] = {3, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 7};
	uint8_t postings[2 * 8] = {7, 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 2}, places[36] = {128};
	cr_assert_eq(audit_index_parse(plain, sizeof plain, &x), 0);
	cr_assert_eq(audit_index_parts(&x), 2);
	cr_assert_eq(audit_index_part_bytes(&x, 0), sizeof postings);
	cr_assert_eq(audit_index_part_bytes(&x, 1), sizeof places);
	cr_assert_eq(audit_index_parse_part(&x, 0, postings), 0);
	cr_assert_eq(audit_index_parse_part(&x, 1, places), 0);
	size_t from, to;
	cr_assert_eq(audit_index_find(&x, 7, &from, &to), 0);
	cr_assert(from == 0 && to == 2);
	cr_assert_eq(audit_index_find(&x, 8, &from, &to), 0);
	cr_assert(from == 2 && to == 2);
	static const struct {
		size_t at;
		uint8_t value;
	} bad_posting[] = {{0, 8}, {4, 3}, {4, 2}, {8, 6}, {12, 1}, {12, 3}};
	for (size_t i = 0; i < ARRAY_SIZE(bad_posting); i++) {
		uint8_t was = postings[bad_posting[i].at];
		postings[bad_posting[i].at] = bad_posting[i].value;
		cr_assert_eq(audit_index_parse_part(&x, 0, postings), -EBADMSG, "byte %zu", bad_posting[i].at);
		postings[bad_posting[i].at] = was;
	}
	places[0] = 127;
	cr_assert_eq(audit_index_parse_part(&x, 1, places), -EBADMSG);
	audit_index_free(&x);
	for (size_t len = 0; len < sizeof plain; len++)
		cr_assert_eq(audit_index_parse(plain, len, &x), -EBADMSG, "%zu", len);
	static const struct {
		size_t at;
		uint8_t value;
	} bad[] = {{0, 1}, {4, 65}, {8, 0}, {11, 255}, {12, 2}};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		uint8_t was = plain[bad[i].at];
		plain[bad[i].at] = bad[i].value;
		cr_assert_eq(audit_index_parse(plain, sizeof plain, &x), -EBADMSG, "byte %zu", bad[i].at);
		plain[bad[i].at] = was;
	}
}
