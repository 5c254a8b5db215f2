#include "base/closer.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>

/* The writing end of a pipe that the closer has; the reading end tells of its closing. */
static int put_pipe(struct closer *c)
{
	int fd[2];
	cr_assert_eq(pipe(fd), 0);
	closer_put(c, fd[1]);
	return fd[0];
}

static bool closed(int fd, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	return poll(&p, 1, timeout_ms) == 1 && p.revents & POLLHUP;
}

Test(closer, closes_by_itself)
{
	struct closer *c;
	cr_assert_eq(closer_start(&c), 0);
	for (int i = 0; i < 3; i++) { /* asleep, and not yet asleep again */
		int fd = put_pipe(c);
		cr_assert(closed(fd, 10000));
		close(fd);
	}
	closer_stop(c);
}

Test(closer, none_is_left_open)
{
	enum { MANY = 400 };
	struct closer *c;
	int fd[MANY];
	cr_assert_eq(closer_start(&c), 0);
	for (int i = 0; i < MANY; i++)
		fd[i] = put_pipe(c);
	closer_stop(c);
	for (int i = 0; i < MANY; i++)
		cr_assert(closed(fd[i], 0));
}

Test(closer, without_a_thread_at_once)
{
	int fd = put_pipe(NULL);
	cr_assert(closed(fd, 0));
	close(fd);
	closer_stop(NULL);
}
