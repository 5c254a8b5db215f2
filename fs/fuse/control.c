#include "fuse/internal.h"

#include "base/log.h"

#include <signal.h>
#include <string.h>

/* Signals, and what must not be done by a thread that serves. */

/* Also from a signal handler. */
void control_event(struct session *s, unsigned event)
{
	uint64_t one = 1;
	ssize_t n;

	atomic_fetch_or(&s->events, event);
	n = write(s->event_fd, &one, sizeof(one));
	(void)n; /* cannot fail before 2^64 of them are waiting */
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
void session_end(struct session *s)
{
	if (atomic_exchange(&s->ending, true))
		return;
	throttle_end(s);
	mounter_do(PLACE_RELEASE);
	fuse_session_exit(s->se);
}

static void stop(struct session *s, bool by_signal)
{
	if (by_signal)
		log_line(LOG_LEVEL_INFO, "told by a signal to end: unmounting");
	atomic_store(&s->stop_wanted, true);
	if (atomic_load(&s->mounted))
		session_end(s);
}

/* The rings are there, and the kernel has set its read-ahead. */
static void settle(void)
{
	errint_t error = calls_limit(false);

	if (error)
		log_line(LOG_LEVEL_WARNING, "the system calls that only the start needs stay permitted: %s", strerror(-error));
	mounter_do(PLACE_READ_AHEAD);
}

static void *control(void *arg)
{
	struct session *s = arg;
	unsigned events = 0;

	pthread_setname_np(pthread_self(), "lapse-control");
	while (!(events & EVENT_END)) {
		uint64_t count;

		if (read(s->event_fd, &count, sizeof(count)) < 0)
			continue;
		events = atomic_exchange(&s->events, 0);
		if (events & EVENT_SERVING)
			tell_ready(s);
		if (events & EVENT_FIRST)
			settle();
		if (events & (EVENT_STOP | EVENT_SIGNAL))
			stop(s, events & EVENT_SIGNAL);
	}
	return NULL;
}

static struct session *_Atomic signalled;

static void on_signal(int signal_no)
{
	struct session *s = atomic_load(&signalled);
	int saved = errno;

	if (s)
		control_event(s, EVENT_SIGNAL);
	errno = saved;
}

errint_t control_start(struct session *s)
{
	struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	int error = pthread_create(&s->control, NULL, control, s);

	if (error)
		return -error;
	s->controlled = true;
	atomic_store(&signalled, s);
	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGHUP, &act, NULL);
	signal(SIGPIPE, SIG_IGN);
	return 0;
}

void control_end(struct session *s)
{
	if (!s->controlled)
		return;
	atomic_store(&signalled, NULL);
	control_event(s, EVENT_END);
	pthread_join(s->control, NULL);
	s->controlled = false;
}
