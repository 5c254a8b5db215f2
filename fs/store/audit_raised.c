/* audit_raised.c - changes of files that have no record of their own: gathered, and written with the group commit. FORMAT.md "Raised". */
#include "store/audit_internal.h"

#include <string.h>

errint_t audit_raised_flush(struct audit *l)
{
	struct audit_record r;
	if (!l->raised_len)
		return 0;
	audit_record_clear(&r);
	r.kind = RECORD_RAISED;
	r.trusted_ns = l->raised_trusted_ns;
	r.wall_ns = l->raised_wall_ns;
	r.name_len = (uint16_t)l->raised_len;
	memcpy(r.name, l->raised, l->raised_len);
	errint_t e = audit_append_locked(l, &r);
	if (!e)
		l->raised_len = 0;
	return e;
}

void audit_raised(struct audit *l, const uint8_t *item, size_t len, int64_t trusted_ns, int64_t wall_ns)
{
	if (l->readonly)
		return;
	pthread_mutex_lock(&l->lock);
	if (l->raised_len + len > sizeof l->raised && audit_raised_flush(l))
		l->raised_len = 0; /* the table has them, and so has its next snapshot */
	bool first = !l->raised_len;
	memcpy(l->raised + l->raised_len, item, len);
	l->raised_len += len;
	l->raised_trusted_ns = trusted_ns;
	l->raised_wall_ns = wall_ns;
	pthread_mutex_unlock(&l->lock);
	if (!atomic_load(&l->fsync_ms))
		audit_sync(l);
	else if (first)
		pthread_cond_signal(&l->wake);
}
