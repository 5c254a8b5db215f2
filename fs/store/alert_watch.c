/* alert_watch.c - conditions that come and go without an act of anybody. */
#include "store/alert_internal.h"

#include <inttypes.h>
#include <string.h>

static void watch_log(struct archive *a, struct alert_watch *w)
{
	struct audit_status l;
	audit_get_status(a->audit, &l);
	if (!l.error == !w->log_error)
		return;
	w->log_error = l.error;
	if (l.error)
		archive_tell(a, ALERT_LOG_FAILED, NULL, NULL, "the audit log cannot be written (%s): reads are refused until it can; make room or repair the disk",
			strerror(-l.error));
	else
		archive_tell(a, ALERT_LOG_WRITTEN, NULL, NULL, "the audit log is written again");
}

static void watch_anchor(struct archive *a, struct alert_watch *w)
{
	struct anchor_status s;
	const char *path = NULL;
	errint_t error = 0;
	anchor_get_status(a->anchor, &s);
	for (size_t i = 0; i < s.copies && !error; i++) {
		error = s.copy[i].error;
		path = s.copy[i].path;
	}
	if (w->degraded == (error != 0))
		return;
	w->degraded = error;
	if (error)
		archive_tell(a, ALERT_ANCHOR_FAILED, NULL, NULL, "degraded: not shredded on %s: %s; bring it back, or drop it with a reason", path, strerror(-error));
	else
		archive_tell(a, ALERT_ANCHOR_WRITTEN, NULL, NULL, "every copy of the anchor is written again");
}

static void watch_clock(struct archive *a, struct alert_watch *w)
{
	int64_t by;
	int doubt = tclock_doubt(a->clock, &by);
	if (doubt == w->doubt)
		return;
	w->doubt = doubt;
	if (doubt == CLOCK_FINE)
		archive_tell(a, ALERT_CLOCK_FINE, NULL, NULL, "the wall clock and the archive's clock agree again");
	else
		archive_tell(a, ALERT_CLOCK_DOUBT, NULL, NULL, "the wall clock is %" PRId64 " s %s the archive's clock: lapse clock status",
			(by < 0 ? -by : by) / 1000000000, doubt == CLOCK_WALL_AHEAD ? "ahead of" : "behind");
}

/* Told when no more come. */
static void watch_counts(struct archive *a, struct alert_watch *w)
{
	uint64_t foreign = atomic_load(&a->foreign), damaged = atomic_load(&a->damaged);
	if (foreign != w->foreign && foreign == w->foreign_before) {
		w->foreign = foreign;
		if (foreign)
			archive_tell(a, ALERT_FOREIGN, NULL, NULL, "plain files in the archive's directory: %" PRIu64 "; they are not encrypted and not shown in the mount",
				foreign);
	}
	w->foreign_before = foreign;
	if (damaged > w->damaged)
		archive_tell(a, ALERT_DAMAGED, NULL, NULL, "damaged or forged: %" PRIu64 " more; the lines before this one name them", damaged - w->damaged);
	w->damaged = damaged;
}

static void watch_shredding(struct archive *a, struct alert_watch *w)
{
	int64_t lag = sweeper_shred_lag(a);
	bool lagging = lag > 3 * (int64_t)a->epoch_seconds + 5;
	if (lagging == w->lagging)
		return;
	w->lagging = lagging;
	if (lagging)
		archive_tell(a, ALERT_SHRED_LAG, NULL, NULL, "the oldest expired file has waited %" PRId64 " s for its key to be destroyed", lag);
	else
		archive_tell(a, ALERT_SHRED_DONE, NULL, NULL, "no expired file waits for its key to be destroyed any more");
}

void alert_watch(struct archive *a, struct alert_watch *w)
{
	watch_log(a, w);
	watch_anchor(a, w);
	watch_clock(a, w);
	watch_counts(a, w);
	watch_shredding(a, w);
}
