#include "fuse/internal.h"

#include "base/log.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>

/* Signals, and what must not be done by a thread that serves. */

void control_event(struct session *s, uint64_t event)
{
	ssize_t n = write(s->event_fd, &event, sizeof(event));

	(void)n; /* the counter cannot overflow with these */
}

void session_stop(struct session *s)
{
	control_event(s, EVENT_STOP);
}

void session_first_request(struct session *s)
{
	if (!atomic_exchange(&s->first_seen, true))
		control_event(s, EVENT_FIRST);
}

static void tell_ready(struct session *s)
{
	int fd = atomic_exchange(&s->ready_fd, -1);

	if (s->options.serving)
		s->options.serving(s->options.ctx);
	if (!s->options.foreground)
		session_leave_terminal();
	session_tell_ready(fd);
}

/* Unmounting by ourselves first lets the kernel write back what it holds while everything is still served. */
static void end_by_request(struct session *s)
{
	mountpoint_release(s->mountpoint, s->device);
	fuse_session_exit(s->se);
}

static void *control(void *arg)
{
	struct session *s = arg;
	struct pollfd fds[2] = {{.fd = s->signal_fd, .events = POLLIN}, {.fd = s->event_fd, .events = POLLIN}};
	bool ended = false, stopped = false;

	while (!ended) {
		struct signalfd_siginfo info;
		uint64_t events = 0;
		bool stop = false;

		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[1].revents && read(s->event_fd, &events, sizeof(events)) != sizeof(events))
			events = 0;
		if (fds[0].revents && read(s->signal_fd, &info, sizeof(info)) == sizeof(info)) {
			log_line(LOG_LEVEL_INFO, "signal %u: unmounting", info.ssi_signo);
			stop = true;
		}
		if (events & 0xff)
			tell_ready(s);
		if (events & 0xff00)
			read_ahead_raise(s->device);
		ended = events >> 32;
		if ((stop || events & 0xff0000) && !stopped && !ended) {
			stopped = true;
			end_by_request(s);
		}
	}
	return NULL;
}

errint_t control_start(struct session *s)
{
	sigset_t set;
	int error;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL); /* here, and so in every thread made from now on */
	signal(SIGPIPE, SIG_IGN);
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (s->signal_fd < 0)
		return -errno;
	error = pthread_create(&s->control, NULL, control, s);
	if (!error)
		pthread_setname_np(s->control, "lapse-control");
	return -error;
}

void control_end(struct session *s)
{
	if (s->signal_fd < 0)
		return;
	control_event(s, EVENT_END);
	pthread_join(s->control, NULL);
	close(s->signal_fd);
	s->signal_fd = -1;
}
