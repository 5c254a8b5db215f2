/* prompt.h - asking the person at the terminal. */
#pragma once

#include "base/base.h"

#define PASSPHRASE_MAX 1024

/* Is there a terminal to ask at? */
bool prompt_possible(void);
/* One line without echo into out[PASSPHRASE_MAX] (secret memory), without its newline. -ENXIO: no terminal; -EINTR: the person gave up; -EMSGSIZE. */
errint_t prompt_secret(const char *question, uint8_t *out, size_t *ret_len);
/* One line with echo. */
errint_t prompt_line(const char *question, char *out, size_t cap);
/* A line written to the terminal itself, whatever standard output is. -ENXIO. */
errint_t prompt_tell(const char *text);
