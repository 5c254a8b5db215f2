#include "base/secret.h"
#include "ctl/client.h"
#include "ctl/server.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

/* The server without an archive: what it does with requests before, and instead of, asking one. */
static struct ctl_server *server;
static struct ctl_place place;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static int umounts;

static void count_umount(void *ctx)
{
	umounts++;
}

static const struct ctl_hooks hooks = {.mountpoint = "/mnt", .umount = count_umount};

static void start(void)
{
	cr_assert_eq(secret_init(), 0);
	place.listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "lapse-server-test-%d", getpid());
	cr_assert_eq(bind(place.listen_fd, (struct sockaddr *)&address, sizeof address), 0);
	cr_assert_eq(listen(place.listen_fd, 16), 0);
	cr_assert_eq(ctl_server_new(&place, NULL, &hooks, &server), 0);
	cr_assert_eq(ctl_server_start(server), 0);
}

static void stop(void)
{
	ctl_server_stop(server);
	close(place.listen_fd);
}

TestSuite(server, .init = start, .fini = stop, .timeout = 60);

static int connected(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
	return fd;
}

/* Everything that comes until the server hangs up or `wanted` has come. */
static const char *answer(int fd, const char *wanted)
{
	static char text[4096];
	size_t len = 0;
	text[0] = '\0';
	while (!wanted || !strstr(text, wanted)) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		cr_assert_eq(poll(&p, 1, 10000), 1, "no answer, so far: %s", text);
		ssize_t n = recv(fd, text + len, sizeof text - 1 - len, 0);
		if (n <= 0)
			break;
		text[len += (size_t)n] = '\0';
	}
	return text;
}

static void put(int fd, const char *text)
{
	cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

Test(server, a_request_in_single_bytes_is_answered)
{
	int fd = connected();
	const char *request = "lapse 1 no-such-verb\n";
	for (size_t i = 0; request[i]; i++)
		cr_assert_eq(send(fd, request + i, 1, 0), 1);
	cr_assert_not_null(
		strstr(answer(fd, "\n"), "error\terrno=95\ttext=This daemon does not know the verb 'no-such-verb'"));
	close(fd);
}

Test(server, requests_in_one_packet_are_answered_in_order)
{
	int fd = connected();
	put(fd, "lapse 1 umount\nlapse 1 second-verb\nlapse 1 um");
	const char *text = answer(fd, "second-verb");
	cr_assert_eq(strncmp(text, "ok\nerror", 8), 0);
	put(fd, "ount\n");
	cr_assert_str_eq(answer(fd, "ok\n"), "ok\n");
	cr_assert_eq(umounts, 2);
	close(fd);
}

Test(server, what_cannot_be_read_ends_the_connection)
{
	static const struct {
		const char *request, *error;
	} bad[] = {
		{"GET / HTTP/1.1\n", "errno=74"},
		{"lapse 2 status\n", "errno=93"},
		{"lapse 1 status\tx\nlapse 1 umount\n", "errno=74"},
		{"lapse 1 policy-apply\tpayload=99999999\n", "errno=74"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		int fd = connected();
		put(fd, bad[i].request);
		cr_assert_not_null(strstr(answer(fd, NULL), bad[i].error), "%s", bad[i].request);
		close(fd);
	}
	cr_assert_eq(umounts, 0);
}

Test(server, a_line_without_end_is_refused)
{
	int fd = connected();
	static char flood[CTL_LINE_MAX];
	memset(flood, 'x', sizeof flood);
	cr_assert_eq(send(fd, flood, sizeof flood, MSG_NOSIGNAL), (ssize_t)sizeof flood);
	cr_assert_not_null(strstr(answer(fd, NULL), "errno=90"));
	close(fd);
}

Test(server, a_payload_belongs_to_the_verbs_that_take_one)
{
	int fd = connected();
	put(fd, "lapse 1 umount\tpayload=5\nhello");
	cr_assert_not_null(strstr(answer(fd, "\n"), "takes no payload"));
	put(fd, "lapse 1 policy-apply\n");
	cr_assert_not_null(strstr(answer(fd, "\n"), "needs a payload"));
	cr_assert_eq(umounts, 0);
	close(fd);
}

Test(server, one_client_too_many_is_told_so_and_a_place_is_free_again_later)
{
	int fd[17];
	for (size_t i = 0; i < 16; i++) {
		fd[i] = connected();
		put(fd[i], "lapse 1 nothing\n");
		answer(fd[i], "\n"); /* it has been accepted */
	}
	fd[16] = connected();
	cr_assert_not_null(strstr(answer(fd[16], NULL), "errno=16"));
	for (size_t i = 0; i < 17; i++)
		close(fd[i]);
	for (;;) { /* until the server has seen the others hang up */
		int again = connected();
		put(again, "lapse 1 umount\n");
		bool served = strstr(answer(again, "\n"), "ok") != NULL;
		close(again);
		if (served)
			break;
	}
}

Test(server, others_are_refused_with_a_sentence)
{
	if (geteuid() != 0) /* needs a second user */
		return;
	pid_t child = fork();
	if (child == 0) {
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);
		char text[512] = "";
		if (setuid(65534) || connect(fd, (struct sockaddr *)&address, sizeof address))
			_exit(1);
		(void)!write(fd, "lapse 1 umount\n", 15);
		(void)!read(fd, text, sizeof text - 1);
		_exit(strstr(text, "errno=13\ttext=Only root and the user who mounted") ? 0 : 2);
	}
	int status;
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert_eq(status, 0);
	cr_assert_eq(umounts, 0);
}

/* Asks and asks, and reads nothing; until it is hung up on, or, if it does not wait, until no more can be sent. */
static int flood(int fd, int flags)
{
	while (send(fd, "lapse 1 nothing\n", 16, MSG_NOSIGNAL | flags) == 16)
		;
	return errno;
}

Test(server, who_has_no_role_and_does_not_read_is_dropped_at_once)
{
	if (geteuid() != 0) /* needs a second user */
		return;
	pid_t child = fork();
	if (child == 0) {
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);
		alarm(5);
		if (setuid(65534) || connect(fd, (struct sockaddr *)&address, sizeof address))
			_exit(1);
		int r = flood(fd, 0);
		_exit(r == EPIPE || r == ECONNRESET ? 0 : 2);
	}
	int status;
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert_eq(status, 0);
}

Test(server, who_may_not_gets_no_stream)
{
	if (geteuid() != 0) /* needs a second user */
		return;
	pid_t child = fork();
	if (child == 0) {
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);
		if (setuid(65534) || connect(fd, (struct sockaddr *)&address, sizeof address))
			_exit(1);
		put(fd, "lapse 1 audit-tail\nlapse 1 nothing\n");
		const char *text = answer(fd, "errno=95"); /* the connection goes on in the loop */
		_exit(strstr(text, "errno=13") && strstr(text, "errno=95") ? 0 : 2);
	}
	int status;
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert_eq(status, 0);
}

Test(server, the_end_waits_for_nobody_who_does_not_read, .timeout = 8)
{
	int fd = connected();
	struct pollfd full = {.fd = fd, .events = POLLOUT};
	do
		flood(fd, MSG_DONTWAIT);
	while (poll(&full, 1, 500) == 1);
	ctl_server_stop(server);
	server = NULL;
	close(fd);
}

static void put_fds(int fd, const int *fds, size_t count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(8 * sizeof(int))];
	} control = {.bytes = {0}};
	struct iovec iov = {(char[]){"lapse"}, 5};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = CMSG_SPACE(count * sizeof(int))};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(h), fds, count * sizeof(int));
	cr_assert_eq(sendmsg(fd, &m, MSG_NOSIGNAL), 5);
}

Test(server, no_descriptor_outlives_its_connection)
{
	for (size_t count = 1; count <= 8; count++) {
		int end[2], same[8], fd = connected();
		cr_assert_eq(pipe(end), 0);
		for (size_t i = 0; i < 8; i++)
			same[i] = end[1];
		put_fds(fd, same, count);
		close(end[1]);
		if (count > 2) /* than the kernel could install */
			cr_assert_not_null(strstr(answer(fd, NULL), "errno=74"));
		close(fd);
		struct pollfd p = {.fd = end[0]};
		cr_assert_eq(poll(&p, 1, 10000), 1, "%zu: a descriptor is still open", count);
		cr_assert(p.revents & POLLHUP);
		close(end[0]);
	}
}

static errint_t no_row(void *ctx, const struct ctl_line *row)
{
	return 0;
}

Test(server, the_client_gets_the_error_and_its_sentence)
{
	struct ctl_request q;
	struct fault f = {0};
	int fd = connected();
	ctl_request_begin(&q, "no-such-verb");
	cr_assert_eq(ctl_ask(fd, &q, no_row, NULL, &f), -EOPNOTSUPP);
	cr_assert_str_eq(f.text, "This daemon does not know the verb 'no-such-verb'");
	ctl_request_free(&q);
	ctl_request_begin(&q, "umount");
	cr_assert_eq(ctl_ask(fd, &q, no_row, NULL, NULL), 0);
	ctl_request_free(&q);
	ctl_server_stop(server);
	server = NULL;
	f.text[0] = '\0';
	ctl_request_begin(&q, "umount");
	cr_assert_eq(ctl_ask(fd, &q, no_row, NULL, &f), -ECONNRESET);
	cr_assert(f.text[0]);
	ctl_request_free(&q);
	close(fd);
}
