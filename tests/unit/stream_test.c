/* Lines with descriptors: each gets its own, in order, however the bytes come; what misses one, or is no line, ends the stream. */
#include "ctl/stream.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

static int pair[2];
static struct ctl_stream *s;

static void setup(void)
{
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	cr_assert_not_null(s = ctl_stream_new(pair[1]));
}

static void drop(void)
{
	ctl_stream_free(s);
	close(pair[0]);
	close(pair[1]);
}

TestSuite(stream, .init = setup, .fini = drop, .timeout = 30);

static void put(const char *text, const int *fds, size_t count)
{
	cr_assert_eq(ctl_stream_send(pair[0], text, strlen(text), fds, count), (ssize_t)strlen(text));
}

Test(stream, each_line_gets_its_descriptor)
{
	struct ctl_line l;
	struct stat a, b;
	int fds[2] = {open("/dev/null", O_RDONLY), open("/dev/zero", O_RDONLY)}, got;
	put("one\tfd=1\ntwo\nthree\tf", fds, 2);
	put("d=1\n", NULL, 0);
	cr_assert(ctl_stream_idle(s));
	cr_assert_eq(ctl_stream_line(s, &l, &got), 0);
	cr_assert_str_eq(l.word, "one");
	cr_assert(!fstat(fds[0], &a) && !fstat(got, &b) && a.st_rdev == b.st_rdev);
	cr_assert(fcntl(got, F_GETFD) & FD_CLOEXEC);
	close(got);
	cr_assert_not(ctl_stream_idle(s));
	cr_assert_eq(ctl_stream_line(s, &l, &got), 0);
	cr_assert_eq(got, -1);
	cr_assert_eq(ctl_stream_line(s, &l, &got), 0);
	cr_assert_str_eq(l.word, "three");
	cr_assert(!fstat(fds[1], &a) && !fstat(got, &b) && a.st_rdev == b.st_rdev);
	close(got);
	close(fds[0]);
	close(fds[1]);
	shutdown(pair[0], SHUT_WR);
	cr_assert_eq(ctl_stream_line(s, &l, &got), -ENODATA);
}

Test(stream, what_misses_its_descriptor_ends_it)
{
	struct ctl_line l;
	int got;
	put("one\tfd=1\n", NULL, 0);
	cr_assert_eq(ctl_stream_line(s, &l, &got), -EBADMSG);
}

Test(stream, half_a_line_is_none)
{
	struct ctl_line l;
	put("half", NULL, 0);
	shutdown(pair[0], SHUT_WR);
	cr_assert_eq(ctl_stream_line(s, &l, NULL), -EBADMSG);
}

Test(stream, a_line_that_never_ends_is_refused)
{
	struct ctl_line l;
	char many[4096];
	memset(many, 'a', sizeof many);
	for (size_t at = 0; at < CTL_LINE_MAX; at += sizeof many)
		cr_assert_eq(ctl_stream_send(pair[0], many, sizeof many, NULL, 0), (ssize_t)sizeof many);
	cr_assert_eq(ctl_stream_line(s, &l, NULL), -EBADMSG);
}

Test(stream, unwanted_descriptors_are_closed)
{
	struct ctl_line l;
	int fd = open("/dev/null", O_RDONLY), before = dup(fd);
	close(before);
	put("a\n", &fd, 1);
	cr_assert_eq(ctl_stream_line(s, &l, NULL), 0);
	ctl_stream_free(s);
	s = NULL;
	int after = dup(fd);
	cr_expect_eq(after, before, "a descriptor was kept");
}
