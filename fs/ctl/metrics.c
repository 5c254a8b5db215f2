/* metrics.c - numbers for those who watch, beside those of the status. */
#include "ctl/verb.h"

#include "store/alert.h"
#include "store/fs.h"
#include "store/refusals.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void put_refusals(void *ctx, const char *rule, enum guard_effect effect, uint64_t count)
{
	struct ctl_call *c = ctx;
	ctl_begin(&c->out, "refusals");
	ctl_put(&c->out, "rule", rule);
	ctl_put(&c->out, "reason", guard_effect_name(effect));
	ctl_put_u64(&c->out, "count", count);
	ctl_end(&c->out);
}

static void put_alerts(struct ctl_call *c)
{
	struct alert_counts n;
	archive_alert_counts(c->archive, &n);
	for (unsigned e = 0; e < ALERT_EVENTS; e++) {
		ctl_begin(&c->out, "alert");
		ctl_put(&c->out, "event", alert_name((enum alert_event)e));
		ctl_put_u64(&c->out, "count", n.raised[e]);
		ctl_end(&c->out);
	}
	ctl_begin(&c->out, "alerts");
	ctl_put_u64(&c->out, "lost", n.lost);
	ctl_put_u64(&c->out, "suppressed", n.suppressed);
	ctl_put_u64(&c->out, "waiting", n.waiting);
	ctl_end(&c->out);
}

static void put_space(struct ctl_call *c, const struct archive_status *s)
{
	struct statvfs vfs;
	if (fs_statfs(c->archive, &vfs))
		return;
	ctl_begin(&c->out, "space");
	ctl_put_u64(&c->out, "log-bytes", s->log_bytes);
	ctl_put_u64(&c->out, "log-reserved", s->log_reserved);
	ctl_put_u64(&c->out, "free-bytes", (uint64_t)vfs.f_bavail * vfs.f_frsize);
	ctl_end(&c->out);
}

static void put_latency(void *ctx, const char *op, const uint64_t *bucket, size_t count, uint64_t sum_ns)
{
	struct ctl_call *c = ctx;
	char text[512];
	int len = 0;
	for (size_t i = 0; i < count && len < (int)sizeof text; i++)
		len += snprintf(text + len, sizeof text - (size_t)len, "%s%" PRIu64, i ? "," : "", bucket[i]);
	ctl_begin(&c->out, "latency");
	ctl_put(&c->out, "operation", op);
	ctl_put(&c->out, "buckets", text);
	ctl_put_u64(&c->out, "sum-ns", sum_ns);
	ctl_end(&c->out);
}

errint_t verb_metrics(struct ctl_call *c)
{
	cleanup_free struct archive_status *s = calloc(1, sizeof *s);
	if (!s)
		return -ENOMEM;
	archive_get_status(c->archive, s);
	put_space(c, s);
	archive_each_refusal_count(c->archive, put_refusals, c);
	put_alerts(c);
	if (c->hooks && c->hooks->latency)
		c->hooks->latency(c->hooks->ctx, put_latency, c);
	return c->out.bad ? -EPIPE : 0;
}
