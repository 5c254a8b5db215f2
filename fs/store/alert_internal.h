/* alert_internal.h - the queue of alerts, for those who open and close an archive and for the guard's gate. */
#pragma once

#include "store/alert.h"
#include "store/internal.h"

errint_t alerts_new(struct archive *a);
/* The thread that delivers, and watches for what nobody raises. */
errint_t alerts_start(struct archive *a);
/* After what is queued has been delivered, or some seconds, if nobody takes it. */
void alerts_stop(struct archive *a);
void alerts_free(struct archive *a);

/* alert_watch.c: conditions that are looked at once a second, and told of when they change. */
struct alert_watch {
	errint_t log_error;
	bool degraded, lagging;
	int doubt;
	uint64_t foreign, foreign_before, damaged;
};
void alert_watch(struct archive *a, struct alert_watch *w);
