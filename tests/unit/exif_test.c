#include <criterion/criterion.h>

#include "exif_fixture.h"

#include "exif/reader.h"
#include "exif/stamp.h"
#include "exif/zone.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>

TestSuite(exif, .timeout = 60);

/* ---- dates ------------------------------------------------------------------------------------------------------------- */

static bool parse(const char *date, const char *offset, struct exif_stamp *s)
{
	return exif_stamp_parse((const uint8_t *)date, strlen(date) + 1, (const uint8_t *)offset, offset ? strlen(offset) + 1 : 0, s);
}

Test(exif, dates)
{
	static const struct {
		const char *date;
		int64_t expect;
	} good[] = {
		{"1970:01:01 00:00:00", 0},
		{"2026:01:31 23:59:59", 1769903999},
		{"2024:02:29 12:00:00", 1709208000},
		{"2000:02:29 00:00:00", 951782400},
		{"1969:12:31 23:59:59", -1},
		{"0001:01:01 00:00:00", -62135596800},
		{"9999:12:31 23:59:59", 253402300799},
	};
	static const char *const bad[] = {"0000:00:00 00:00:00", "0000:01:01 00:00:00", "2026:13:01 00:00:00", "2026:00:01 00:00:00", "2026:01:00 00:00:00",
		"2026:01:32 00:00:00", "2026:02:29 00:00:00", "1900:02:29 00:00:00", "2026:04:31 00:00:00", "2026:01:01 24:00:00", "2026:01:01 00:60:00",
		"2016:12:31 23:59:60", "2026:01:01 00:00:0", "", " ", "    :  :     :  :  ", "2026-01-01 00:00:00", "2026:01:01T00:00:00",
		"2026:01:01 00:00:00Z", "2026:01:01 00:00:00.5", "+026:01:01 00:00:00", "2026:1 :01 00:00:00", "\xd9\xa2\xd9\xa0:01:01 00:00:00",
		"2026:01:01 00:00:-1", "99999:01:01 00:00:00"};
	struct exif_stamp s;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		cr_assert(parse(good[i].date, NULL, &s), "%s", good[i].date);
		cr_expect_eq(s.local, good[i].expect, "%s: %lld", good[i].date, (long long)s.local);
		cr_expect_not(s.has_offset);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_expect_not(parse(bad[i], NULL, &s), "%s", bad[i]);
	cr_expect(exif_stamp_parse((const uint8_t *)"2026:01:31 23:59:59", 19, NULL, 0, &s), "without a NUL");
	cr_expect_not(exif_stamp_parse((const uint8_t *)"2026:01:31 23:59:59", 18, NULL, 0, &s));
}

/* Of a machine of its own: every day from 1 to 9999 follows the one before. */
Test(exif, the_calendar_is_without_gaps)
{
	int64_t last = -62135596800 - 86400;
	char text[64];
	struct exif_stamp s;
	for (int y = 1; y <= 9999; y++)
		for (int m = 1; m <= 12; m++)
			for (int d = 1; d <= 31; d++) {
				snprintf(text, sizeof text, "%04d:%02d:%02d 00:00:00", y, m, d);
				if (!parse(text, NULL, &s))
					continue;
				if (s.local != last + 86400)
					cr_assert_fail("%s is %lld", text, (long long)s.local);
				last = s.local;
			}
	cr_expect_eq(last, 253402300799 - 86399);
}

Test(exif, offsets)
{
	static const char *const none[] = {"", "Z", "   :  ", "+25:00", "+14:01", "-12:01", "+01:60", "01:00", "+0100", "+1:00", "-99:99", "+01-00"};
	struct exif_stamp s;
	for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
		cr_assert(parse("2026:01:01 00:00:00", none[i], &s));
		cr_expect_not(s.has_offset, "%s", none[i]);
	}
	cr_assert(parse("2026:01:01 00:00:00", "+05:30", &s));
	cr_expect(s.has_offset && s.offset == 19800);
	cr_assert(parse("2026:01:01 00:00:00", "-12:00", &s));
	cr_expect(s.has_offset && s.offset == -43200);
	cr_assert(parse("2026:01:01 00:00:00", "+14:00", &s));
	cr_expect(s.has_offset && s.offset == 50400);
}

/* ---- zones -------------------------------------------------------------------------------------------------------------- */

static size_t instants(const char *local, int64_t at[static 2])
{
	struct exif_stamp s;
	cr_assert(parse(local, NULL, &s));
	return zone_instants(s.local, at);
}

Test(exif, a_zone_sets_its_clocks)
{
	int64_t at[2];
	cr_assert(zone_enter("Europe/Berlin"));
	cr_expect_eq(instants("2026:01:31 12:00:00", at), 1);
	cr_expect_eq(at[0], 1769857200);
	cr_expect_eq(instants("2026:07:01 12:00:00", at), 1);
	cr_expect_eq(at[0], 1782900000);
	cr_expect_eq(instants("2026:03:29 01:59:59", at), 1);
	cr_expect_eq(instants("2026:03:29 02:00:00", at), 0, "no clock showed that");
	cr_expect_eq(instants("2026:03:29 02:59:59", at), 0);
	cr_expect_eq(instants("2026:03:29 03:00:00", at), 1);
	cr_expect_eq(instants("2026:10:25 01:59:59", at), 1);
	cr_expect_eq(instants("2026:10:25 02:00:00", at), 2, "they showed that twice");
	cr_expect_eq(at[0], 1792886400);
	cr_expect_eq(at[1], at[0] + 3600);
	cr_expect_eq(instants("2026:10:25 02:59:59", at), 2);
	cr_expect_eq(instants("2026:10:25 03:00:00", at), 1);
	cr_expect_leq(instants("0001:01:01 00:00:00", at), 1);
	cr_expect_eq(instants("9999:12:31 23:59:59", at), 1);
	cr_expect_eq(zone_instants(INT64_MAX, at), 0);
	cr_expect_eq(zone_instants(INT64_MIN, at), 0);
}

Test(exif, a_day_that_a_zone_left_out)
{
	int64_t at[2];
	cr_assert(zone_enter("Pacific/Apia"));
	cr_expect_eq(instants("2011:12:29 23:59:59", at), 1);
	int64_t last = at[0];
	cr_expect_eq(instants("2011:12:30 12:00:00", at), 0);
	cr_expect_eq(instants("2011:12:31 00:00:00", at), 1);
	cr_expect_eq(at[0], last + 1);
}

Test(exif, zones_that_there_are_not)
{
	static const char *const no[] = {"", "Mars/Olympus", "../../../etc/localtime", "/etc/localtime", "Europe", ".", "Europe/../Europe/Berlin", "tzdata.zi"};
	int64_t at[2];
	for (size_t i = 0; i < ARRAY_SIZE(no); i++)
		cr_expect_not(exif_zone_exists(no[i]), "%s", no[i]);
	cr_expect_not(zone_enter("Mars/Olympus"));
	cr_expect_eq(zone_instants(0, at), 0, "it is not taken for UTC");
}

/* ---- files -------------------------------------------------------------------------------------------------------------- */

Test(exif, jpeg_and_tiff)
{
	struct exif_stamp s;
	struct exif_image i = exif_jpeg_file("2026:01:31 23:59:59", "+01:00");
	cr_assert(exif_may_have(i.byte, i.len));
	cr_assert(exif_stamp_read(i.byte, i.len, &s));
	cr_expect_eq(s.local, 1769903999);
	cr_expect(s.has_offset && s.offset == 3600);
	i = exif_tiff_file("2026:01:31 23:59:59", NULL);
	cr_assert(exif_may_have(i.byte, i.len));
	cr_assert(exif_stamp_read(i.byte, i.len, &s));
	cr_expect_eq(s.local, 1769903999);
	cr_expect_not(s.has_offset);
	cr_expect_not(exif_may_have("\x89PNG\r\n\x1a\n", 8));
	cr_expect_not(exif_stamp_read((const uint8_t *)"\x89PNG\r\n\x1a\n", 8, &s));
}

/* Neither read beyond the end nor taken for another date. */
Test(exif, every_truncation_and_every_flipped_bit)
{
	struct exif_stamp s;
	for (int tiff = 0; tiff < 2; tiff++) {
		struct exif_image i = tiff ? exif_tiff_file("2026:01:31 23:59:59", NULL) : exif_jpeg_file("2026:01:31 23:59:59", NULL);
		for (size_t len = 0; len < i.len; len++) {
			uint8_t *exact = malloc(len + 1);
			cr_assert_not_null(exact);
			memcpy(exact, i.byte, len);
			if (exif_stamp_read(exact, len, &s))
				cr_expect(len >= i.date + 19, "cut to %zu bytes", len);
			free(exact);
		}
		for (size_t bit = 0; bit < i.len * 8; bit++) {
			struct exif_image bad = i;
			bad.byte[bit / 8] ^= (uint8_t)(1u << bit % 8);
			if (exif_stamp_read(bad.byte, bad.len, &s) && s.local != 1769903999)
				cr_expect(bit / 8 >= bad.date && bit / 8 < bad.date + 19, "bit %zu changed the date", bit);
		}
	}
}

/* ---- the process ---------------------------------------------------------------------------------------------------------- */

/* The reader's: this process's only child. 0: there is none. */
static pid_t child(void)
{
	char path[64];
	long pid = 0;
	snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
	FILE *f = fopen(path, "re");
	cr_assert_not_null(f);
	if (fscanf(f, "%ld", &pid) != 1)
		pid = 0;
	fclose(f);
	return (pid_t)pid;
}

static errint_t ask(struct exif_readers *r, const char *zone, const char *date, const char *offset, struct exif_instants *ret)
{
	struct exif_image i = exif_jpeg_file(date, offset);
	return exif_ask(r, zone, i.byte, i.len, ret);
}

Test(exif, a_reader_answers)
{
	struct exif_readers *r = exif_readers_new(LAPSE_BINARY);
	struct exif_instants a;
	cr_expect_eq(child(), 0, "none before it is needed");
	cr_assert_eq(ask(r, "Europe/Berlin", "2026:10:25 02:30:00", NULL, &a), 0);
	cr_expect_eq(a.count, 2);
	cr_expect_eq(a.at[0], 1792888200);
	pid_t first = child();
	cr_assert_eq(ask(r, "Europe/Berlin", "2026:10:25 02:30:00", "+01:00", &a), 0);
	cr_expect(a.count == 1 && a.at[0] == 1792891800, "the image's own offset wins");
	cr_assert_eq(ask(r, "Europe/Berlin", "0000:00:00 00:00:00", NULL, &a), 0);
	cr_expect_eq(a.count, 0);
	cr_expect_eq(child(), first, "one process for all of them");
	cr_assert_eq(ask(r, "Asia/Kolkata", "2026:01:01 00:00:00", NULL, &a), 0);
	cr_expect(a.count == 1 && a.at[0] == 1767205800);
	cr_assert_eq(ask(r, "Mars/Olympus", "2026:01:01 00:00:00", NULL, &a), 0);
	cr_expect_eq(a.count, 0, "a zone that is not known is not UTC");
	cr_assert_eq(ask(r, "Mars/Olympus", "2026:01:01 00:00:00", "-01:00", &a), 0);
	cr_expect(a.count == 1 && a.at[0] == 1767229200);
	exif_readers_free(r);
	cr_expect_eq(child(), 0, "and none is left");
}

static size_t descriptors(pid_t pid)
{
	char path[64];
	size_t n = 0;
	snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
	DIR *d = opendir(path);
	cr_assert_not_null(d);
	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static void has_line(pid_t pid, const char *file, const char *begins, const char *has)
{
	char path[64], line[256];
	bool found = false;
	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
	FILE *f = fopen(path, "re");
	cr_assert_not_null(f);
	while (!found && fgets(line, sizeof line, f))
		found = !strncmp(line, begins, strlen(begins));
	fclose(f);
	cr_assert(found, "no %s", begins);
	cr_expect(strstr(line, has), "%s", line);
}

Test(exif, a_reader_has_nothing)
{
	struct exif_readers *r = exif_readers_new(LAPSE_BINARY);
	struct exif_instants a;
	if (geteuid())
		cr_skip_test("root alone sees the descriptors of another process");
	cr_assert_eq(ask(r, "Europe/Berlin", "2026:01:01 00:00:00", NULL, &a), 0);
	pid_t pid = child();
	cr_expect_eq(descriptors(pid), 1);
	has_line(pid, "status", "Uid:", "65534\t65534\t65534\t65534");
	has_line(pid, "status", "Gid:", "65534\t65534\t65534\t65534");
	has_line(pid, "status", "Groups:", "Groups:\t \n");
	has_line(pid, "status", "CapPrm:", "0000000000000000");
	has_line(pid, "status", "CapEff:", "0000000000000000");
	has_line(pid, "status", "NoNewPrivs:", "1");
	has_line(pid, "status", "Seccomp:", "2");
	has_line(pid, "limits", "Max open files", " 0 ");
	has_line(pid, "limits", "Max processes", " 0 ");
	exif_readers_free(r);
}

Test(exif, a_reader_that_is_killed_or_hangs_is_replaced)
{
	struct exif_readers *r = exif_readers_new(LAPSE_BINARY);
	struct exif_instants a;
	struct timespec before, after;
	siginfo_t info;
	cr_assert_eq(ask(r, "UTC", "2026:01:01 00:00:00", NULL, &a), 0);
	pid_t pid = child();
	cr_assert_eq(kill(pid, SIGKILL), 0);
	cr_assert_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	cr_assert_eq(ask(r, "UTC", "2026:01:01 00:00:00", NULL, &a), 0, "no image is blamed for it");
	cr_expect_eq(a.count, 1);
	pid_t second = child();
	cr_expect_neq(second, pid);
	cr_assert_eq(kill(second, SIGSTOP), 0);
	cr_assert_eq(waitid(P_PID, (id_t)second, &info, WSTOPPED | WNOWAIT), 0);
	clock_gettime(CLOCK_MONOTONIC, &before);
	cr_assert_eq(ask(r, "UTC", "2026:01:01 00:00:00", NULL, &a), -EBADMSG);
	clock_gettime(CLOCK_MONOTONIC, &after);
	cr_expect_leq(after.tv_sec - before.tv_sec, 3);
	cr_expect_eq(child(), 0);
	cr_assert_eq(ask(r, "UTC", "2026:01:01 00:00:00", NULL, &a), 0);
	cr_expect_eq(a.count, 1);
	exif_readers_free(r);
}

Test(exif, where_none_starts_it_is_not_tried_for_ever)
{
	struct exif_readers *none = exif_readers_new("/nonexistent"), *other = exif_readers_new("/bin/true");
	struct exif_instants a;
	for (int i = 0; i < 20; i++) {
		cr_expect_eq(ask(none, "UTC", "2026:01:01 00:00:00", NULL, &a), -EAGAIN);
		cr_expect_eq(ask(other, "UTC", "2026:01:01 00:00:00", NULL, &a), -EAGAIN);
	}
	exif_readers_free(none);
	exif_readers_free(other);
}

/* Whatever is made of a file: the daemon goes on, and the next image is answered for. */
Test(exif, hostile_images)
{
	struct exif_readers *r = exif_readers_new(LAPSE_BINARY);
	struct exif_instants a;
	uint32_t seed = 1;
	uint8_t *big = malloc(EXIF_HEAD_MAX);
	cr_assert_not_null(big);
	for (int n = 0; n < 3000; n++) {
		struct exif_image i = n & 1 ? exif_jpeg_file("2026:01:31 23:59:59", "+01:00") : exif_tiff_file("2026:01:31 23:59:59", "+01:00");
		size_t len = n % 50 ? i.len : EXIF_HEAD_MAX;
		for (size_t k = 0; k < len; k++)
			big[k] = k < i.len ? i.byte[k] : (uint8_t)(seed >> (k % 24));
		for (int k = 0; k <= n % 7; k++) {
			seed = seed * 1103515245 + 12345;
			big[i.tiff + (seed >> 8) % (i.date - i.tiff)] = (seed >> 24) & 1 ? 0xff : (uint8_t)(seed >> 16);
		}
		errint_t e = exif_ask(r, "UTC", big, len, &a);
		cr_assert(e == 0 || e == -EBADMSG, "image %d: %d", n, e);
	}
	free(big);
	cr_expect_eq(exif_ask(r, "UTC", "", 0, &a), 0);
	cr_expect_eq(ask(r, "UTC", "2026:01:31 23:59:59", NULL, &a), 0);
	cr_expect_eq(a.count, 1);
	exif_readers_free(r);
}
