/* What a thread runs, its service and its session: as /proc and the login manager write it, and of real processes. */
#include "fuse/execs.h"
#include "fuse/subject.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ALL (NEED_SESSION | NEED_ORIGIN | NEED_SERVICE | NEED_PROGRAM | NEED_DIGEST)

static void expect_unit(const char *text, bool ok, const char *want)
{
	char unit[SUBJECT_UNIT_MAX] = "?";

	cr_expect_eq(unit_parse(text, unit), ok, "%s", text);
	if (ok)
		cr_expect_str_eq(unit, want, "%s", text);
}

Test(asker, units)
{
	char text[600] = "0::/system.slice/";

	expect_unit("0::/system.slice/imgindex.service\n", true, "imgindex.service");
	expect_unit("0::/system.slice/imgindex.service", true, "imgindex.service");
	expect_unit("0::/system.slice/system-getty.slice/getty@tty1.service\n", true, "getty@tty1.service");
	expect_unit("0::/system.slice/docker-1.scope/system.slice/imgindex.service\n", true, "docker-1.scope");
	expect_unit("0::/system.slice/x.service/system.slice/y.service\n", true, "x.service");
	expect_unit("0::/user.slice/user-1000.slice/user@1000.service/app.slice/imgindex.service\n", true, "");
	expect_unit("0::/user.slice/user-1000.slice/user@1000.service/system.slice/imgindex.service\n", true, "");
	expect_unit("0::/system.slicex/imgindex.service\n", true, "");
	expect_unit("0::/system.slice\n", true, "");
	expect_unit("0::/system.slice/\n", true, "");
	expect_unit("0::/system.slice/a/imgindex.service\n", true, "");
	expect_unit("0::/../../system.slice/imgindex.service\n", true, "");
	expect_unit("0::/system.slice/.service\n", true, "");
	expect_unit("0::/\n", true, "");
	expect_unit("9:name=systemd:/system.slice/old.service\n4:memory:/x\n0::/\n", true, "old.service");
	expect_unit("9:name=systemd:/system.slice/old.service\n0::/system.slice/new.service\n", true, "new.service");
	expect_unit("4:memory:/system.slice/no.service\n0::/\n", true, "");
	expect_unit("4:memory:/system.slice/no.service\n", false, "");
	expect_unit("", false, "");
	expect_unit("\n", false, "");
	memset(text + strlen(text), 'a', 200);
	strcat(text, ".service\n");
	expect_unit(text, false, "");
}

Test(asker, origins)
{
	static const char rest[] = "UID=1000\nUSER=alice\nACTIVE=1\nAUDIT=7\nCLASS=user\nREMOTE=0\n";
	static const struct {
		const char *more;
		enum subject_origin want;
	} cases[] = {{"SERVICE=sshd\n", ORIGIN_SSH}, {"SERVICE=cron\n", ORIGIN_CRON}, {"SERVICE=login\nSEAT=seat0\n", ORIGIN_CONSOLE}, {"SERVICE=gdm-password\n", ORIGIN_OTHER},
		{"SERVICE=sshdx\nXSERVICE=sshd\n", ORIGIN_OTHER}, {"", ORIGIN_OTHER}, {"DESKTOP=SERVICE=sshd\n", ORIGIN_OTHER}};
	char text[400];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), "%s%s", rest, cases[i].more);
		cr_expect_eq(origin_parse(text, 7, 1000), cases[i].want, "%s", cases[i].more);
		cr_expect_eq(origin_parse(text, 8, 1000), ORIGIN_OTHER);
		cr_expect_eq(origin_parse(text, 7, 1001), ORIGIN_OTHER);
	}
}

Test(asker, tracers)
{
	cr_expect_not(status_traced("Name:\tx\nTracerPid:\t0\nUid:\t1\n"));
	cr_expect(status_traced("Name:\tx\nTracerPid:\t12\nUid:\t1\n"));
	cr_expect(status_traced("Name:\tTracerPid:\t0\nUid:\t1\n"));
	cr_expect(status_traced(""));
}

/* A policy whose only rule is about this user, and a program there. */
static struct subjects *following(unsigned user, const char *path)
{
	char text[1024];
	struct policy_diags d;
	struct policy *p = NULL;
	struct subjects *s;

	snprintf(text, sizeof(text),
		"[policy]\nversion = 1\ndefault-class = a\n[class a]\nexpire-after = 1y\n[programs p]\npaths = /nowhere/x %s\nsha256 = %064d %064d\n"
		"[rule r]\nusers = %u\nprograms = p\neffect = permit\nbudget = none\n", path, 1, 2, user);
	cr_assert_eq(policy_parse(text, strlen(text), NULL, &p, &d), 0);
	policy_diags_free(&d);
	cr_assert_eq(subjects_new(&s), 0);
	subjects_follow(s, p, 1);
	policy_unref(p);
	return s;
}

static bool get(struct subjects *s, pid_t pid, unsigned needs, bool at_once, struct who *w)
{
	struct subject_query q = {.pid = (uint32_t)pid, .uid = 0, .needs = needs, .at_once = at_once};

	return subject_get(s, &q, w);
}

/* A copy of a program that sleeps, of root's and nobody else's. */
static void copy(const char *to)
{
	char command[200];

	snprintf(command, sizeof(command), "cp /bin/sleep %s && chown 0:0 %s && chmod 755 %s", to, to, to);
	cr_assert_eq(system(command), 0);
}

static pid_t run(const char *path, bool traced)
{
	int told[2];
	char byte;
	pid_t pid;

	cr_assert_eq(pipe2(told, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		if (traced)
			ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		execl(path, path, "60", NULL);
		_exit(127);
	}
	close(told[1]);
	cr_assert_eq(read(told[0], &byte, 1), 0); /* it executes the program now */
	close(told[0]);
	if (traced)
		cr_assert_eq(waitpid(pid, NULL, 0), pid);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static enum program_state state_of(struct subjects *s, const char *path, bool traced)
{
	pid_t pid = run(path, traced);
	struct who w;

	cr_assert(get(s, pid, ALL, false, &w));
	enum program_state state = w.subject.program.state;
	subject_put(&w);
	end(pid);
	return state;
}

Test(asker, states_of_real_programs)
{
	char dir[] = "/tmp/lapse-asker-XXXXXX", path[64], moved[64];
	struct subjects *s;
	struct who w;
	pid_t pid;

	if (geteuid() != 0)
		cr_skip_test("needs root");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/viewer", dir);
	snprintf(moved, sizeof(moved), "%s/moved", dir);
	copy(path);
	s = following(0, path);

	pid = run(path, false);
	cr_expect_not(get(s, pid, ALL, true, &w), "looking at a program for the first time was said not to wait");
	cr_assert(get(s, pid, ALL, false, &w));
	cr_expect_eq(w.subject.program.state, PROGRAM_VALID);
	cr_expect(w.subject.program.hashed);
	cr_expect_str_eq(w.subject.program.known[0], path);
	cr_expect_null(w.subject.program.known[1]);
	cr_expect_str_eq(w.subject.program.path, path);
	subject_put(&w);
	cr_assert(get(s, pid, ALL, true, &w), "what is known is told at once");
	cr_expect_eq(w.subject.program.state, PROGRAM_VALID);
	subject_put(&w);

	/* What happens to its file is seen at the next request. */
	cr_assert_eq(chmod(path, 0775), 0);
	cr_assert(get(s, pid, ALL, false, &w));
	cr_expect_eq(w.subject.program.state, PROGRAM_WRITABLE);
	subject_put(&w);
	cr_assert_eq(chmod(path, 0755), 0);
	cr_assert_eq(rename(path, moved), 0);
	bool known = true;
	for (int i = 0; known && i < 100; i++) { /* where paths lead is looked at every second or two */
		pid_t other = run(moved, false);

		poll(NULL, 0, 50);
		cr_assert(get(s, other, ALL, false, &w));
		known = w.subject.program.known[0] != NULL;
		subject_put(&w);
		end(other);
	}
	cr_expect_not(known);
	cr_assert_eq(unlink(moved), 0);
	cr_assert(get(s, pid, ALL, false, &w));
	cr_expect_eq(w.subject.program.state, PROGRAM_DELETED);
	subject_put(&w);
	end(pid);

	copy(path);
	cr_expect_eq(state_of(s, path, true), PROGRAM_TRACED);
	cr_assert_eq(chown(path, 1000, 0), 0);
	cr_expect_eq(state_of(s, path, false), PROGRAM_WRITABLE);
	cr_expect_eq(unlink(path), 0);
	cr_expect_eq(rmdir(dir), 0);
	subjects_free(s);
}

/* The program that the process runs, if that is the one that the rule names. */
static bool is_viewer(struct subjects *s, pid_t pid)
{
	struct who w;

	cr_assert(get(s, pid, ALL, false, &w));
	bool is = w.subject.program.state == PROGRAM_VALID && w.subject.program.known[0];
	subject_put(&w);
	return is;
}

/* A viewer that is asked about becomes another program, and is asked about again as soon as that runs. */
static void becomes_another(struct subjects *s, const char *path)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		execl(path, path, "-c", "kill -STOP $$; exec /bin/sh -c 'kill -STOP $$'", NULL);
		_exit(127);
	}
	cr_assert_eq(waitpid(pid, &status, WUNTRACED), pid);
	cr_assert(WIFSTOPPED(status));
	for (int i = 0; i < 3; i++)
		cr_expect(is_viewer(s, pid));
	cr_assert_eq(kill(pid, SIGCONT), 0);
	cr_assert_eq(waitpid(pid, &status, WUNTRACED), pid);
	cr_assert(WIFSTOPPED(status));
	cr_expect_not(is_viewer(s, pid));
	end(pid);
}

Test(asker, a_thread_that_executes_another_program)
{
	char dir[] = "/tmp/lapse-asker-XXXXXX", path[64], command[200];
	uint64_t before;
	struct subjects *s;

	if (geteuid() != 0)
		cr_skip_test("needs root");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/viewer", dir);
	snprintf(command, sizeof(command), "cp /bin/sh %s && chmod 755 %s", path, path);
	cr_assert_eq(system(command), 0);
	s = following(0, path);
	cr_expect_eq(execs_count(), 0, "counted before anybody asked for it");
	becomes_another(s, path);

	execs_watch();
	before = execs_count();
	if (before) {
		cr_expect_eq(system(":"), 0);
		cr_expect_gt(execs_count(), before);
		for (int i = 0; i < 20; i++)
			becomes_another(s, path);
		pid_t pid = fork();
		if (pid == 0) {
			execl(path, path, "-c", "kill -STOP $$", NULL);
			_exit(127);
		}
		cr_assert_eq(waitpid(pid, NULL, WUNTRACED), pid);
		cr_expect(is_viewer(s, pid));
		cr_assert_eq(chmod(path, 0775), 0);
		bool is = true;
		for (int i = 0; is && i < 100; i++) { /* what root does to its file is seen within a second */
			poll(NULL, 0, 20);
			is = is_viewer(s, pid);
		}
		cr_expect_not(is);
		end(pid);
		execs_forget();
		cr_expect_eq(execs_count(), 0);
	}
	subjects_free(s);
	cr_expect_eq(unlink(path), 0);
	cr_expect_eq(rmdir(dir), 0);
}

/* Nothing is looked at that is not asked for. */
Test(asker, what_is_not_needed_is_not_known)
{
	struct subjects *s = following(0, "/bin/x");
	struct who w;

	cr_assert(get(s, getpid(), 0, true, &w));
	cr_expect_eq(w.subject.program.state, PROGRAM_UNREAD);
	cr_expect_null(w.subject.service);
	cr_expect_eq(w.subject.session, 0);
	cr_expect_eq(w.subject.origin, ORIGIN_UNKNOWN);
	subject_put(&w);
	cr_assert(get(s, getpid(), NEED_SERVICE | NEED_SESSION, true, &w));
	cr_expect_not_null(w.subject.service);
	cr_expect_neq(w.subject.session, 0);
	cr_expect_eq(w.subject.program.state, PROGRAM_UNREAD);
	subject_put(&w);

	subjects_free(s);
}

/* Nor what only rules about others ask for. */
Test(asker, what_others_are_asked_is_not_known)
{
	struct subjects *s = following(1234, "/bin/x");
	struct subject_query about = {.pid = (uint32_t)getpid(), .uid = 1234, .needs = NEED_PROGRAM};
	struct who w;

	cr_assert(get(s, getpid(), NEED_PROGRAM, true, &w), "it is not to be looked at");
	cr_expect_eq(w.subject.program.state, PROGRAM_UNREAD);
	subject_put(&w);
	cr_assert(subject_get(s, &about, &w));
	cr_expect_neq(w.subject.program.state, PROGRAM_UNREAD);
	subject_put(&w);
	subjects_free(s);
}
