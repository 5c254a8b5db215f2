/* fault.h - why something failed, in a sentence for the edge to print: what was being done, to what, why, and what to do. */
#pragma once

#include "base/base.h"

struct fault {
	char text[768]; /* empty: the errno says it all */
};
/* Fills *f (NULL is fine) and returns `error`, so that `return fault_set(f, -EINVAL, "…")` reads well. The first text set stays. */
errint_t fault_set(struct fault *f, errint_t error, const char *format, ...) __attribute__((format(printf, 3, 4)));
