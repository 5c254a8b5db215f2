#include "fuse/internal.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/* What the child tells: an error (0: it serves), then the sentence. */
struct told {
	int32_t error;
	char text[sizeof(((struct fault *)0)->text)];
};

/* It has told nothing: what the system says of its end. */
static errint_t ended_untold(int status, struct fault *f)
{
	const int signal_no = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

	if (!signal_no)
		return fault_set(f, -ECHILD,
			"the daemon ended before it served anything, with exit status %d and without saying why: that is an error of lapse; "
			"mount with --foreground to see what it says",
			WEXITSTATUS(status));
	return fault_set(f, -ECHILD, "the daemon died before it served anything: signal %d (%s)%s", signal_no, strsignal(signal_no),
		signal_no == SIGKILL  ? "; somebody killed it, or the kernel for want of memory (dmesg)"
		: signal_no == SIGSYS ? "; the filter of system calls ended it, which is an error of lapse"
		: signal_no == SIGTERM || signal_no == SIGINT || signal_no == SIGHUP ? "; somebody ended it"
						: "; that is an error of lapse; mount with --foreground to see what it says");
}

static errint_t listen_to(int fd, pid_t child, struct fault *f)
{
	struct told told = {.error = 0};
	size_t len = 0;
	ssize_t n;
	int status;

	while (len < sizeof(told) && (n = read(fd, (char *)&told + len, sizeof(told) - len)) != 0) {
		if (n > 0)
			len += (size_t)n;
		else if (errno != EINTR)
			break;
	}
	if (len >= sizeof(told.error) && told.error == 0)
		return 0;
	if (len == sizeof(told)) {
		told.text[sizeof(told.text) - 1] = '\0';
		while (waitpid(child, &status, 0) < 0 && errno == EINTR)
			;
		return told.text[0] ? fault_set(f, told.error, "%s", told.text) : told.error;
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return ended_untold(status, f);
}

errint_t session_daemonize(bool *ret_child, int *ret_ready_fd, struct fault *f)
{
	int fds[2];
	pid_t pid;
	errint_t error;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return fault_set(f, -errno, "cannot make a pipe: %s", strerror(errno));
	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		error = fault_set(f, -errno, "cannot fork: %s", strerror(errno));
		close(fds[0]);
		close(fds[1]);
		return error;
	}
	if (pid == 0) {
		close(fds[0]);
		*ret_child = true;
		*ret_ready_fd = fds[1];
		return 0;
	}
	close(fds[1]);
	error = listen_to(fds[0], pid, f);
	close(fds[0]);
	*ret_child = false;
	*ret_ready_fd = -1;
	return error;
}

static void tell(int fd, const struct told *told)
{
	size_t done = 0;
	ssize_t n;

	while (done < sizeof(*told)) {
		n = write(fd, (const char *)told + done, sizeof(*told) - done);
		if (n < 0 && errno != EINTR)
			break;
		if (n > 0)
			done += (size_t)n;
	}
	close(fd);
}

void session_failed(int ready_fd, errint_t error, const struct fault *f)
{
	struct told told = {.error = error ? error : -ECANCELED};

	if (ready_fd < 0)
		return;
	if (f)
		snprintf(told.text, sizeof(told.text), "%s", f->text);
	tell(ready_fd, &told);
}

void session_tell_ready(int ready_fd)
{
	struct told told = {.error = 0};

	if (ready_fd >= 0)
		tell(ready_fd, &told);
}

void session_leave_terminal(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	if (chdir("/") < 0 || fd < 0)
		return;
	dup2(fd, STDIN_FILENO);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}
