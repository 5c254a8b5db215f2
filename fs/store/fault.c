#include "store/fault.h"

#include <stdarg.h>
#include <stdio.h>

errint_t fault_set(struct fault *f, errint_t error, const char *format, ...)
{
	if (!f || f->text[0])
		return error;
	va_list ap;
	va_start(ap, format);
	vsnprintf(f->text, sizeof f->text, format, ap);
	va_end(ap);
	return error;
}
