/* Who is asking: threads that go and come back under the same number must not be taken for one another. */
#include "fuse/subject.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static struct subjects *make(void)
{
	struct subjects *s;

	cr_assert_eq(subjects_new(&s), 0);
	return s;
}

static void get(struct subjects *s, uint32_t pid, uint32_t uid, uint32_t gid, struct who *w)
{
	struct subject_query q = {.pid = pid, .uid = uid, .gid = gid};

	cr_assert(subject_get(s, &q, w));
}

static uint32_t own_login(void)
{
	FILE *f = fopen("/proc/self/loginuid", "r");
	unsigned v = POLICY_NO_UID;

	if (f) {
		cr_assert_eq(fscanf(f, "%u", &v), 1);
		fclose(f);
	}
	return v;
}

static size_t open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* A process that waits until it is let go. */
struct child {
	pid_t pid;
	int hold;
};
static struct child spawn(uid_t real, uid_t effective)
{
	struct child c;
	int hold[2], ready[2];
	char byte;

	cr_assert_eq(pipe(hold), 0);
	cr_assert_eq(pipe(ready), 0);
	c.pid = fork();
	if (c.pid == 0) {
		close(hold[1]);
		if (setresuid(real, effective, effective) || write(ready[1], "r", 1) != 1)
			_exit(1);
		_exit(read(hold[0], &byte, 1) < 0);
	}
	close(hold[0]);
	close(ready[1]);
	cr_assert_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	c.hold = hold[1];
	return c;
}
static void let_go(struct child *c)
{
	close(c->hold);
	cr_assert_eq(waitpid(c->pid, NULL, 0), c->pid);
}

Test(subject, this_process)
{
	struct subjects *s = make();
	struct who w;

	for (int round = 0; round < 3; round++) {
		get(s, (uint32_t)getpid(), getuid(), getgid(), &w);
		cr_assert_not(w.subject.unidentified);
		cr_assert_eq(w.subject.uid, getuid());
		cr_assert_eq(w.subject.gid, getgid());
		cr_assert_eq(w.subject.real_uid, getuid());
		cr_assert_eq(w.subject.login_uid, own_login());
		cr_assert_eq(w.subject.pid, (uint32_t)getpid());
		subject_put(&w);
	}
	subjects_free(s);
}

Test(subject, nobody_is_unidentified)
{
	struct subjects *s = make();
	struct who w;
	struct child c = spawn(getuid(), getuid());
	pid_t gone = c.pid;

	get(s, 0, 1000, 1000, &w);
	cr_assert(w.subject.unidentified);
	cr_assert_eq(w.subject.uid, 1000);
	subject_put(&w);
	let_go(&c);
	get(s, (uint32_t)gone, 0, 0, &w);
	cr_assert(w.subject.unidentified);
	subject_put(&w);
	subjects_free(s);
}

Test(subject, a_kernel_thread_is_unidentified)
{
	struct subjects *s = make();
	struct who w;
	FILE *f = fopen("/proc/2/comm", "r");
	char name[32] = "";

	if (f) {
		cr_assert(fgets(name, sizeof(name), f));
		fclose(f);
	}
	if (strcmp(name, "kthreadd\n") == 0) {
		get(s, 2, 0, 0, &w);
		cr_assert(w.subject.unidentified);
		subject_put(&w);
	}
	subjects_free(s);
}

/* A set-uid program: the file system sees the effective user, and both are charged. */
Test(subject, real_uid_is_told)
{
	struct subjects *s = make();
	struct who w;
	struct child c;

	if (getuid() != 0)
		cr_skip("needs root");
	c = spawn(4711, 4712);
	get(s, (uint32_t)c.pid, 4712, 0, &w);
	cr_assert_not(w.subject.unidentified);
	cr_assert_eq(w.subject.uid, 4712);
	cr_assert_eq(w.subject.real_uid, 4711);
	subject_put(&w);
	/* Asking as another user looks again. */
	get(s, (uint32_t)c.pid, 4711, 0, &w);
	cr_assert_eq(w.subject.real_uid, 4711);
	subject_put(&w);
	let_go(&c);
	get(s, (uint32_t)c.pid, 4712, 0, &w);
	cr_assert(w.subject.unidentified, "a thread that is gone is not remembered");
	subject_put(&w);
	subjects_free(s);
}

Test(subject, a_number_taken_again_is_another)
{
	struct subjects *s = make();
	struct who w;
	struct child c;
	char text[32];
	int fd;

	fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY);
	if (getuid() != 0 || fd < 0)
		cr_skip("needs root and ns_last_pid");
	for (int tries = 0; tries < 500; tries++) {
		pid_t first;

		c = spawn(4711, 4711);
		first = c.pid;
		get(s, (uint32_t)first, 0, 0, &w);
		cr_assert_eq(w.subject.real_uid, 4711);
		subject_put(&w);
		let_go(&c);
		snprintf(text, sizeof(text), "%d", first - 1);
		cr_assert_gt(write(fd, text, strlen(text)), 0);
		c = spawn(4999, 4999);
		if (c.pid != first) {
			let_go(&c);
			continue;
		}
		get(s, (uint32_t)c.pid, 0, 0, &w);
		cr_assert_not(w.subject.unidentified);
		cr_assert_eq(w.subject.real_uid, 4999);
		subject_put(&w);
		let_go(&c);
		close(fd);
		subjects_free(s);
		return;
	}
	cr_assert_fail("the number was taken by others every time");
}

Test(subject, groups_of_the_user)
{
	struct subjects *s = make();
	struct who w;
	gid_t expected[256];
	int count = 256;
	bool member = false;

	cr_assert_not(subject_ready(s, 0));
	cr_assert_geq(getgrouplist("root", 0, expected, &count), 0);
	get(s, (uint32_t)getpid(), 0, 0, &w);
	cr_assert(subject_ready(s, 0));
	cr_assert_eq(w.subject.group_count, (size_t)count);
	for (size_t i = 0; i < w.subject.group_count; i++)
		member = member || w.subject.groups[i] == 0;
	cr_assert(member);
	subject_put(&w);
	/* A number that no name service knows has none, and that is remembered too. */
	get(s, (uint32_t)getpid(), 3999999999u, 0, &w);
	cr_assert_eq(w.subject.group_count, 0);
	cr_assert(subject_ready(s, 3999999999u));
	subject_put(&w);
	subjects_free(s);
}

/* Descriptors are kept for a bounded number of threads. */
Test(subject, bounded, .timeout = 120)
{
	struct subjects *s = make();
	struct who w;
	size_t before = open_files(), most;

	for (int i = 0; i < 300; i++) {
		struct child c = spawn(getuid(), getuid());

		get(s, (uint32_t)c.pid, 0, 0, &w);
		cr_assert_not(w.subject.unidentified);
		subject_put(&w);
		let_go(&c);
	}
	most = open_files();
	cr_assert_leq(most, before + 4096);
	subjects_free(s);
	cr_assert_leq(open_files(), before);
}

Test(subject, status_of_hostile_names)
{
	uint32_t real = 7;
	bool kernel = true;

	cr_assert(status_parse("Name:\tx\nUid:\t12\t13\t14\t15\nVmSize:\t1 kB\n", true, &real, &kernel));
	cr_assert_eq(real, 12);
	cr_assert_not(kernel);
	cr_assert(status_parse("Name:\tUid:\\n0\nUid:\t4294967294\t0\t0\t0\n", true, &real, &kernel));
	cr_assert_eq(real, 4294967294u);
	cr_assert(kernel);
	cr_assert(status_parse("Name:\tx\nUid:\t12\t13\t14\t15\nGroups:\t1 2", false, &real, &kernel));
	cr_assert_not(kernel, "a status too long for the buffer is a process with many groups");
	cr_assert_not(status_parse("", true, &real, &kernel));
	cr_assert_not(status_parse("Name:\tx\nUid:\t\n", true, &real, &kernel));
	cr_assert_not(status_parse("Name:\tx\nUid:\t-1\t0\n", true, &real, &kernel));
	cr_assert_not(status_parse("Name:\tx\nUid:\t99999999999\t0\n", true, &real, &kernel));
	cr_assert_not(status_parse("Name:\tx\nUid:\t12x\n", true, &real, &kernel));
}
