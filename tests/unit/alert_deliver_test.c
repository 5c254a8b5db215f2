#include "tools/alert_wire.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The process that delivers, with a command that writes what it gets into a file of its own name. */

static char dir[] = "/tmp/lapse-deliver-XXXXXX";
static int sock = -1;
static pid_t deliverer;

static void start(void)
{
	int pair[2];

	strcpy(dir + strlen(dir) - 6, "XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	cr_assert_eq(chmod(dir, 01777), 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	deliverer = fork();
	if (!deliverer) {
		close(pair[0]);
		alert_deliver(pair[1]);
		_exit(0);
	}
	close(pair[1]);
	sock = pair[0];
}

static void stop(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -r %s", dir);
	cr_expect_eq(system(command), 0);
}

TestSuite(deliver, .init = start, .fini = stop, .timeout = 60);

static const char *program = "/bin/sh";

static void set_up(uint32_t uid, const char *script)
{
	struct wire_setup s = {.kind = WIRE_SETUP, .uid = uid, .arguments = 4};
	size_t at = 0;
	const char *const argument[] = {program, "-c", script, dir};

	for (size_t i = 0; i < 4; i++) {
		strcpy(s.command + at, argument[i]);
		at += strlen(argument[i]) + 1;
	}
	cr_assert_eq(send(sock, &s, sizeof(s), 0), (ssize_t)sizeof(s));
}

static void tell(const char *json)
{
	struct wire_alert w = {.kind = WIRE_ALERT, .flags = WIRE_RUN, .json = (uint32_t)strlen(json)};

	strcpy(w.text, json);
	cr_assert_eq(send(sock, &w, offsetof(struct wire_alert, text) + w.json, 0), (ssize_t)(offsetof(struct wire_alert, text) + w.json));
}

/* Closes, and waits until it has ended: normally, that is. */
static void end(void)
{
	int status;

	close(sock);
	cr_assert_eq(waitpid(deliverer, &status, 0), deliverer);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
}

static int lines(const char *name)
{
	char path[128];
	int n = 0;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	FILE *f = fopen(path, "r");
	for (int c; f && (c = fgetc(f)) != EOF;)
		n += c == '\n';
	if (f)
		fclose(f);
	return n;
}

#define NOBODY 65534

Test(deliver, the_command_gets_each)
{
	set_up(NOBODY, "cat >>$0/got");
	for (int i = 0; i < 20; i++)
		tell("{\"event\":\"x\"}\n");
	end();
	cr_expect_eq(lines("got"), 20);
}

/* A process that was killed has ended before somebody has reaped it. */
static bool ends(int pid)
{
	char path[64], state = 0;
	for (int i = 0; i < 200; i++, usleep(10000)) {
		snprintf(path, sizeof(path), "/proc/%d/stat", pid);
		FILE *f = fopen(path, "r");
		bool there = f && fscanf(f, "%*d (%*[^)]) %c", &state) == 1 && state != 'Z' && state != 'X';
		if (f)
			fclose(f);
		if (!there)
			return true;
	}
	return false;
}

Test(deliver, what_a_command_leaves_running_holds_up_no_other_and_is_killed)
{
	char path[64];
	int pid, left = 0;
	time_t began = time(NULL);
	set_up(NOBODY, "cat >>$0/got; sleep 300 & echo $! >>$0/left");
	for (int i = 0; i < 20; i++)
		tell("{}\n");
	end();
	cr_expect_eq(lines("got"), 20);
	cr_expect_lt(time(NULL) - began, 9, "each waits for what the one before left");
	snprintf(path, sizeof(path), "%s/left", dir);
	FILE *f = fopen(path, "r");
	cr_assert_not_null(f);
	while (fscanf(f, "%d", &pid) == 1) {
		left++;
		cr_expect(ends(pid), "%d is there", pid);
	}
	fclose(f);
	cr_expect_eq(left, 20);
}

Test(deliver, nobody_but_the_first_says_what_is_run)
{
	set_up(NOBODY, "cat >>$0/got");
	set_up(NOBODY, "cat >>$0/other");
	tell("{}\n");
	end();
	cr_expect_eq(lines("got"), 1);
	cr_expect_eq(lines("other"), 0);
}

Test(deliver, never_as_root)
{
	if (geteuid())
		cr_skip_test("needs root");
	set_up(0, "cat >>$0/got");
	tell("{}\n");
	end();
	cr_expect_eq(lines("got"), 0);
}

Test(deliver, never_as_somebody_unknown)
{
	if (geteuid())
		cr_skip_test("needs root");
	set_up(3000000000u, "cat >>$0/got");
	tell("{}\n");
	end();
	cr_expect_eq(lines("got"), 0);
}

static bool is_run(const char *path)
{
	program = path;
	set_up(NOBODY, "cat >>$0/got");
	tell("{}\n");
	end();
	return lines("got") > 0;
}

/* A copy of the shell at a path below a directory of root's. */
static void at_place(const char *path, bool wanted)
{
	char place[] = "/run/lapse-deliver-XXXXXX", whole[64], command[384];
	bool run;

	if (geteuid())
		cr_skip_test("needs root");
	cr_assert_not_null(mkdtemp(place));
	cr_assert_eq(chmod(place, 0755), 0);
	snprintf(command, sizeof(command),
		"cd %s && mkdir roots theirs anybodys && cp /bin/sh roots/sh && cp /bin/sh theirs/sh && cp /bin/sh anybodys/sh && ln -s ../roots theirs/link &&"
		" ln -s ../theirs/link roots/byway && ln -s ../roots roots/link && chown %d theirs && chmod 1777 anybodys",
		place, NOBODY);
	cr_assert_eq(system(command), 0);
	snprintf(whole, sizeof(whole), "%s/%s", place, path);
	run = is_run(whole);
	snprintf(command, sizeof(command), "rm -r %s", place);
	cr_expect_eq(system(command), 0);
	cr_expect_eq(run, wanted, "%s", path);
}

Test(deliver, a_program_of_roots) { at_place("roots/sh", true); }
Test(deliver, by_a_link_of_roots) { at_place("roots/link/link/sh", true); }
Test(deliver, not_in_somebodys_directory) { at_place("theirs/sh", false); }
Test(deliver, not_in_one_that_all_may_write) { at_place("anybodys/sh", false); }
Test(deliver, not_by_somebodys_link) { at_place("theirs/link/sh", false); }
Test(deliver, not_by_somebodys_link_behind_one_of_roots) { at_place("roots/byway/sh", false); }

/* Four at a time, 64 wait; of the rest the command is told how many they were. */
Test(deliver, what_finds_no_room_is_counted)
{
	set_up(NOBODY, "sleep 0.3; cat >>$0/$$");
	for (int i = 0; i < 200; i++)
		tell("{\"event\":\"x\"}\n");
	end();
	char command[160];
	snprintf(command, sizeof(command), "cat %s/* | grep -q '\"event\":\"suppressed\".*\"count\":1[0-9][0-9],'", dir);
	cr_expect_eq(system(command), 0);
}

static void send_bytes(const void *bytes, size_t len) { cr_assert_eq(send(sock, bytes, len, 0), (ssize_t)len); }

Test(deliver, malformed_packets_are_nothing)
{
	struct wire_alert w = {.kind = WIRE_ALERT, .flags = WIRE_RUN, .json = 4};
	struct wire_setup s = {.kind = WIRE_SETUP, .uid = NOBODY};
	const size_t head = offsetof(struct wire_alert, text);

	send_bytes("x", 1);
	send_bytes(&w, 4);
	send_bytes(&w, head);
	send_bytes(&w, head + 3);
	send_bytes(&w, sizeof(w));
	w.json = UINT32_MAX;
	send_bytes(&w, sizeof(w));
	w.journal = w.syslog = w.json = 0x80000000u;
	send_bytes(&w, sizeof(w));
	w.kind = 77;
	send_bytes(&w, sizeof(w));
	/* arguments that are not there, or are not ended */
	s.arguments = UINT32_MAX;
	memset(s.command, 'x', sizeof(s.command));
	memset(s.archive, 'x', sizeof(s.archive));
	send_bytes(&s, sizeof(s) - 1);
	send_bytes(&s, sizeof(s));
	tell("{}\n");
	for (size_t n = 1; n < 64; n++)
		send_bytes(&s, n);
	end();
	cr_expect_eq(lines("got"), 0);
}
