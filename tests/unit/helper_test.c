#include "base/helper.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <string.h>
#include <sys/wait.h>

static errint_t act_echo(struct helper_call *c)
{
	if (!strcmp((char *)c->args, "fail"))
		return -EBADF;
	if (!strcmp((char *)c->args, "die"))
		_exit(1);
	return helper_reply(c, 0, c->args, c->len, c->fd[1] >= 0 ? c->fd[1] : -1);
}

static void setup(void)
{
	helper_provide(HELPER_PLACE, act_echo);
	cr_assert_eq(helper_start(false), 0);
}

TestSuite(helper, .init = setup, .fini = helper_stop, .timeout = 60);

Test(helper, answers_with_bytes_and_descriptors)
{
	struct helper_answer a;
	int pair[2];
	char text[8] = "";
	cr_assert_eq(pipe(pair), 0);
	cr_assert_eq(helper_ask(HELPER_PLACE, "hello", 5, (int[]){pair[0], pair[1]}, &a), 0);
	cr_assert_eq(a.len, 5);
	cr_assert_str_eq((char *)a.out, "hello");
	cr_assert(a.fd >= 0 && a.fd != pair[1]);
	cr_assert_eq(write(a.fd, "through", 7), 7);
	cr_assert_eq(read(pair[0], text, 7), 7);
	cr_assert_str_eq(text, "through");
	free(a.out);
}

static errint_t act_where(struct helper_call *c)
{
	char dir[64];
	return getcwd(dir, sizeof dir) ? helper_reply(c, 0, dir, strlen(dir), -1) : -errno;
}

Test(helper_place, keeps_no_directory_of_the_caller, .fini = helper_stop)
{
	struct helper_answer a;
	cr_assert_eq(chdir("/tmp"), 0);
	helper_provide(HELPER_PLACE, act_where);
	cr_assert_eq(helper_start(false), 0);
	cr_assert_eq(helper_ask(HELPER_PLACE, "", 0, NULL, &a), 0);
	cr_assert_str_eq((char *)a.out, "/");
	free(a.out);
}

Test(helper, errors_are_told)
{
	struct helper_answer a;
	cr_assert_eq(helper_ask(HELPER_PLACE, "fail", 4, NULL, &a), -EBADF);
	cr_assert_null(a.out);
	cr_assert_eq(helper_ask(HELPER_PLACE, "die", 3, NULL, &a), -EPIPE);
	cr_assert_eq(helper_ask(HELPER_EXIF, "", 0, NULL, &a), -ENOSYS);
	cr_assert_eq(helper_ask((enum helper_act)77, "", 0, NULL, &a), -ENOSYS);
	cr_assert_eq(helper_ask(HELPER_PLACE, "still there", 11, NULL, &a), 0);
	free(a.out);
}

static void *ask_many(void *arg)
{
	char text[32];
	for (int i = 0; i < 50; i++) {
		struct helper_answer a;
		snprintf(text, sizeof text, "%p %d", arg, i);
		cr_assert_eq(helper_ask(HELPER_PLACE, text, strlen(text), NULL, &a), 0);
		cr_assert_str_eq((char *)a.out, text);
		free(a.out);
	}
	return NULL;
}

Test(helper, many_ask_at_once)
{
	pthread_t t[8];
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		cr_assert_eq(pthread_create(&t[i], NULL, ask_many, (void *)(i + 1)), 0);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		pthread_join(t[i], NULL);
}

Test(helper, a_program_reads_what_it_is_given)
{
	const char *const same[] = {"/bin/sh", "-c", "read x; test \"$x\" = '{\"event\": 1}'", NULL};
	const char *const other[] = {"/bin/sh", "-c", "exit 3", NULL};
	int status;
	cr_assert_eq(helper_exec(same, "{\"event\": 1}\n", 13, 20, &status), 0);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	cr_assert_eq(helper_exec(other, NULL, 0, 20, &status), 0);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 3);
}

Test(helper, a_program_has_no_rights)
{
	const char *const who[] = {"/bin/sh", "-c", "grep -q '^CapBnd' /proc/self/status && grep -q '^CapEff:.0000000000000000$' /proc/self/status "
		"&& grep -q '^NoNewPrivs:.1$' /proc/self/status && test $(id -u) != 0 && ! test -e /proc/self/fd/3", NULL};
	int status;
	if (geteuid())
		cr_skip_test("needs root");
	cr_assert_eq(helper_exec(who, NULL, 0, 20, &status), 0);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
}

Test(helper, a_program_that_goes_on_is_killed)
{
	const char *const slow[] = {"/bin/sleep", "1000", NULL};
	int status;
	cr_assert_eq(helper_exec(slow, NULL, 0, 1, &status), -ETIMEDOUT);
}

Test(helper, what_others_can_write_is_not_run)
{
	char path[] = "/tmp/lapse-helper-XXXXXX";
	int fd = mkstemp(path), status;
	const char *const argv[] = {path, NULL}, *const bare[] = {"sh", NULL}, *const none[] = {"/nonexistent", NULL};
	cr_assert(fd >= 0 && fchmod(fd, 0777) == 0);
	close(fd);
	if (geteuid() == 0)
		cr_expect_eq(helper_exec(argv, NULL, 0, 5, &status), -EACCES);
	cr_expect_eq(helper_exec(bare, NULL, 0, 5, &status), -EINVAL);
	cr_expect_eq(helper_exec(none, NULL, 0, 5, &status), -ENOENT);
	unlink(path);
}

Test(no_helper, nothing_is_done)
{
	struct helper_answer a;
	cr_assert_eq(helper_ask(HELPER_EXEC, "", 0, NULL, &a), -ENOTCONN);
}
