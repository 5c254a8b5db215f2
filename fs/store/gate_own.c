/* gate_own.c - whose own a file is: by its create record, and until the write-open record of somebody else. */
#include "store/gate_internal.h"

static int64_t now_ms(struct archive *a)
{
	return tclock_trusted_ns(a->clock) / 1000000;
}

void gate_created(struct archive *a, const struct subject *who, const uint8_t file_id[static FILE_ID_BYTES], struct guard_principals *ret)
{
	struct gate *g = a->gate;
	pthread_mutex_lock(&g->guard_lock);
	guard_created(g->guard, who, file_id, now_ms(a), ret);
	pthread_mutex_unlock(&g->guard_lock);
}

static bool written(struct archive *a, const struct subject *who, const struct file_header *h, struct guard_principals *ret)
{
	struct gate *g = a->gate;
	pthread_mutex_lock(&g->guard_lock);
	bool changed = guard_written(g->guard, who, h->file_id, now_ms(a), ret);
	pthread_mutex_unlock(&g->guard_lock);
	return changed;
}

/* After it is so: a snapshot of the guard holds what the records tell of that it counts as known. */
static errint_t record(struct archive *a, const struct subject *who, const struct file_header *h)
{
	struct audit_record r;
	gate_fill(a, &r, RECORD_WRITE_OPEN, who, h, h->dir_id, NULL, NULL);
	r.flags |= RECORD_FLAG_OWN;
	return audit_append(a->audit, &r);
}

errint_t gate_written(struct archive *a, const struct subject *who, const struct file_header *h, struct guard_principals *ret)
{
	if (!written(a, who, h, ret))
		return 0;
	errint_t r = record(a, who, h);
	return r ? audit_told(r) : 0;
}

void gate_named(struct archive *a, const struct subject *who, const struct file_header *h)
{
	struct guard_principals by;
	if (written(a, who, h, &by))
		record(a, NULL, h); /* the create record says that it is his */
	else
		gate_created(a, who, h->file_id, &by);
}
