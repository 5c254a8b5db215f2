#include "base/helper.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

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

Test(helper_alerts, are_given_away_once, .fini = helper_stop)
{
	struct helper_answer a;
	helper_provide(HELPER_ALERTS, act_where);
	cr_assert_eq(helper_start(false), 0);
	cr_assert_eq(helper_ask(HELPER_ALERTS, "", 0, NULL, &a), 0);
	free(a.out);
	cr_assert_eq(helper_ask(HELPER_ALERTS, "", 0, NULL, &a), -EPERM);
}

Test(no_helper, nothing_is_done)
{
	struct helper_answer a;
	cr_assert_eq(helper_ask(HELPER_PLACE, "", 0, NULL, &a), -ENOTCONN);
}
