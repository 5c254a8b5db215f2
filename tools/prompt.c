#include "tools/prompt.h"

#include "base/io.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <termios.h>

static volatile sig_atomic_t caught;

static void on_signal(int number)
{
	caught = number;
}

static int terminal_open(void)
{
	return open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
}

bool prompt_possible(void)
{
	cleanup_fd int fd = terminal_open();
	return fd >= 0;
}

/* Byte by byte: what follows the line is not ours. */
static errint_t line_read(int fd, uint8_t *out, size_t cap, size_t *ret_len)
{
	size_t len = 0;
	for (;;) {
		uint8_t c;
		ssize_t n = read(fd, &c, 1);
		if (n < 0 && errno == EINTR && !caught)
			continue;
		if (n < 0 || caught)
			return caught ? -EINTR : -errno;
		if (n == 0 && len == 0)
			return -EINTR;
		if (n == 0 || c == '\n')
			break;
		if (len == cap)
			return -EMSGSIZE;
		out[len++] = c;
	}
	*ret_len = len;
	return 0;
}

/* The echo comes back whatever ends the question. */
static errint_t ask(int fd, const char *question, bool echo, uint8_t *out, size_t cap, size_t *ret_len)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};
	struct sigaction before[ARRAY_SIZE(signals)], handler = {.sa_handler = on_signal};
	struct termios saved, silent;
	caught = 0;
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &handler, &before[i]);
	bool terminal = tcgetattr(fd, &saved) == 0;
	if (terminal && !echo) {
		silent = saved;
		silent.c_lflag &= ~(tcflag_t)ECHO;
		silent.c_lflag |= ECHONL;
		tcsetattr(fd, TCSAFLUSH, &silent);
	}
	errint_t r = io_write(fd, question, strlen(question));
	if (!r)
		r = line_read(fd, out, cap, ret_len);
	if (terminal && !echo)
		tcsetattr(fd, TCSAFLUSH, &saved);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &before[i], NULL);
	if (caught)
		raise(caught);
	return r;
}

errint_t prompt_secret(const char *question, uint8_t *out, size_t *ret_len)
{
	cleanup_fd int fd = terminal_open();
	return fd < 0 ? -ENXIO : ask(fd, question, false, out, PASSPHRASE_MAX, ret_len);
}

errint_t prompt_line(const char *question, char *out, size_t cap)
{
	size_t len = 0;
	cleanup_fd int fd = terminal_open();
	if (fd < 0)
		return -ENXIO;
	errint_t r = ask(fd, question, true, (uint8_t *)out, cap - 1, &len);
	out[r ? 0 : len] = '\0';
	return r;
}

errint_t prompt_tell(const char *text)
{
	cleanup_fd int fd = terminal_open();
	return fd < 0 ? -ENXIO : io_write(fd, text, strlen(text));
}
