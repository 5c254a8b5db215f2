/* alert.h - what happens to an archive is told to whoever delivers it: the journal, syslog, a command. Raising one never waits, and may be done under any
 * lock. */
#pragma once

#include "policy/alert.h"
#include "store/archive.h"

/* Delivers one alert, as `how` says. From one thread, which it may keep waiting for a while. `command`: it is for the command too, if there is one. */
typedef void (*alert_sink)(void *ctx, const struct alert *al, const struct policy_alerting *how, bool command);
/* Before archive_start. `lines`: the sink writes lines for people; without a sink, or if it does not, log_line has them as they are raised. */
void archive_alert_sink(struct archive *a, alert_sink sink, void *ctx, bool lines);

/* Fills in archive, times and contact, and queues it. One that finds no room is counted and told of as lost; what is urgent finds room that other events do
 * not take. */
void archive_alert(struct archive *a, struct alert *al);
/* The same for an event with a sentence; `who`, `file_id` may be NULL. */
void archive_tell(struct archive *a, enum alert_event e, const struct subject *who, const uint8_t *file_id, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

struct alert_counts {
	uint64_t raised[ALERT_EVENTS];
	uint64_t lost, suppressed; /* for want of room; not given to the command */
	uint64_t waiting;
};
void archive_alert_counts(struct archive *a, struct alert_counts *ret);
