/* say.h - the one place where a message for a person is made. */
#pragma once

#include "policy/policy.h"
#include "store/fault.h"

/* What messages begin with, "lapse init". */
void say_set_program(const char *words);
void say(const char *format, ...) __attribute__((format(printf, 1, 2))); /* to stderr, after the program's name */
void say_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
int say_usage(const char *format, ...) __attribute__((format(printf, 1, 2))); /* EXIT_USAGE, with a hint at --help */
int say_error(const char *format, ...) __attribute__((format(printf, 1, 2))); /* EXIT_ERROR */
/* EXIT_ERROR: the fault's sentence, or `what` and the error's name; for errors that ask for it, what to do. */
int say_fault(const struct fault *f, errint_t error, const char *what);
/* The same for opening an archive: what to do about a wrong key is said too. */
int say_open_fault(const struct fault *f, errint_t error, const char *archive);
/* A sentence for the errnos that mean something of their own here. */
const char *say_errno(errint_t error);
/* Each as FILE:LINE: text. */
void say_diags(const char *file, const struct policy_diags *d);
void say_diag(const char *file, unsigned line, bool warning, const char *text);
