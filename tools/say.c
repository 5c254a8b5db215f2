#include "tools/say.h"

#include "tools/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static char program[64] = "lapse";

void say_set_program(const char *words)
{
	snprintf(program, sizeof program, "%s", words);
}

static void say_v(const char *prefix, const char *format, va_list ap) __attribute__((format(printf, 2, 0)));

static void say_v(const char *prefix, const char *format, va_list ap)
{
	fflush(stdout);
	fprintf(stderr, "%s: %s", program, prefix);
	vfprintf(stderr, format, ap);
	fputc('\n', stderr);
}

void say(const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	say_v("", format, ap);
	va_end(ap);
}

void say_warning(const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	say_v("warning: ", format, ap);
	va_end(ap);
}

int say_usage(const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	say_v("", format, ap);
	va_end(ap);
	fprintf(stderr, "Try '%s --help'.\n", program);
	return EXIT_USAGE;
}

int say_error(const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	say_v("", format, ap);
	va_end(ap);
	return EXIT_ERROR;
}

const char *say_errno(errint_t error)
{
	switch (-error) {
	case EKEYEXPIRED:
		return "it has expired; its key is gone or about to go";
	case ENOKEY:
		return "the wall clock and the archive's own clock disagree about its deadline (lapse status shows "
		       "both)";
	case EBADMSG:
		return "it is damaged or has been tampered with";
	case ENOTCONN:
		return "the daemon that served this mount has died; lapse umount clears it away, then mount it again";
	case ENOSPC:
		return "no space is left on the disk; make room and try again, nothing was half done";
	case EPROTONOSUPPORT:
		return "it was written by a newer lapse; use that one";
	default:
		return strerror(-error);
	}
}

int say_fault(const struct fault *f, errint_t error, const char *what)
{
	if (f->text[0])
		say("%s", f->text);
	else
		say("%s: %s", what, say_errno(error));
	return EXIT_ERROR;
}

int say_open_fault(const struct fault *f, errint_t error, const char *archive)
{
	int e = say_fault(f, error, archive);
	if (error == -ENOKEY)
		fprintf(stderr,
			"'lapse key list %s' shows what opens it; a recovery key can be given wherever a key is.\n",
			archive);
	return e;
}

void say_diag(const char *file, unsigned line, bool warning, const char *text)
{
	fprintf(stderr, "%s:%u: %s%s\n", file, line, warning ? "warning: " : "", text);
}

void say_diags(const char *file, const struct policy_diags *d)
{
	fflush(stdout);
	for (size_t i = 0; i < d->count; i++)
		say_diag(file, d->item[i].line, d->item[i].warning, d->item[i].text);
}
