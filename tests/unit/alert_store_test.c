#include "fs_fixture.h"

#include "store/alert.h"
#include "store/canary.h"
#include "store/gate_internal.h"

#include <stdatomic.h>

static void begin(void)
{
	archive_make();
	archive_up();
}

TestSuite(alerts, .init = begin, .fini = archive_drop, .timeout = 60);

static _Atomic int told[ALERT_EVENTS];
static _Atomic uint64_t suppressed;
static _Atomic bool held; /* the sink does not return */

static void take(void *ctx, const struct alert *al, const struct policy_alerting *how, bool command)
{
	told[al->event]++;
	if (al->event == ALERT_SUPPRESSED)
		suppressed += al->count;
	while (held)
		usleep(1000);
}

static void await(_Atomic int *what, int least)
{
	for (int i = 0; i < 20000 && *what < least; i++)
		usleep(1000);
	cr_assert_geq(*what, least);
}

/* Whatever comes, and however slow the sink is: nobody waits, what is urgent finds room, and what found none is told of as a number. */
Test(alerts, a_flood_leaves_room_for_what_is_urgent)
{
	struct alert_counts n;
	held = true;
	archive_alert_sink(a, take, NULL, true);
	cr_assert_eq(archive_start(a, NULL), 0);
	archive_tell(a, ALERT_REFUSED, NULL, NULL, "the first");
	await(&told[ALERT_REFUSED], 1);
	for (int i = 0; i < 1000; i++)
		archive_tell(a, ALERT_REFUSED, NULL, NULL, "refusal %d", i);
	for (int i = 0; i < 50; i++)
		archive_tell(a, ALERT_CANARY, NULL, NULL, "canary %d", i);
	archive_alert_counts(a, &n);
	cr_expect_eq(n.raised[ALERT_REFUSED], 1001);
	cr_expect_eq(n.raised[ALERT_CANARY], 50);
	cr_expect_eq(n.lost, 1000 - 192);
	cr_expect_eq(n.waiting, 192 + 50);
	held = false;
	await(&told[ALERT_SUPPRESSED], 1);
	await(&told[ALERT_CANARY], 50);
	cr_expect_eq(told[ALERT_REFUSED], 193);
	cr_expect_eq(suppressed, 1000 - 192);
}

/* What is queued when the archive is closed is delivered before. */
Test(alerts, none_is_lost_at_the_end)
{
	archive_alert_sink(a, take, NULL, true);
	cr_assert_eq(archive_start(a, NULL), 0);
	for (int i = 0; i < 100; i++)
		archive_tell(a, ALERT_GRANT, NULL, NULL, "grant %d", i);
	archive_close(a);
	a = NULL;
	cr_expect_eq(told[ALERT_GRANT], 100);
}

static void dawdle(void *ctx, const struct alert *al, const struct policy_alerting *how, bool command)
{
	sleep(1);
}

/* … but who does not take them does not keep it open. */
Test(alerts, a_slow_end_is_cut_short)
{
	time_t began = time(NULL);
	archive_alert_sink(a, dawdle, NULL, true);
	cr_assert_eq(archive_start(a, NULL), 0);
	for (int i = 0; i < 100; i++)
		archive_tell(a, ALERT_GRANT, NULL, NULL, "grant %d", i);
	archive_close(a);
	a = NULL;
	cr_expect_lt(time(NULL) - began, 15);
}

static void open_decoy(uint32_t uid)
{
	struct subject who = {.uid = uid, .login_uid = uid, .real_uid = uid, .pid = 1};
	struct file_header h = {.generation = 1};
	struct audit_record r;
	gate_fill(a, &r, RECORD_OPEN, &who, &h, NULL, NULL, NULL);
	r.error = -EACCES;
	canary_opened(a, &r, &who);
}

/* Each is on the record. */
Test(alerts, of_decoys_a_reader_raises_one_a_second)
{
	struct audit_status before, after;
	struct alert_counts n;
	audit_get_status(a->audit, &before);
	for (unsigned i = 0; i < 20; i++)
		open_decoy(1000);
	open_decoy(0);
	archive_alert_counts(a, &n);
	cr_expect_eq(n.raised[ALERT_CANARY], 2);
	audit_get_status(a->audit, &after);
	cr_expect_eq(after.records - before.records, 21);
	usleep(1100000);
	open_decoy(1000);
	open_decoy(1000);
	for (uint32_t uid = 2000; uid < 2000 + 2 * CANARY_TOLD; uid++)
		open_decoy(uid);
	archive_alert_counts(a, &n);
	cr_expect_eq(n.raised[ALERT_CANARY], 3 + 2 * CANARY_TOLD);
}

Test(alerts, nobody_to_tell)
{
	struct alert_counts n;
	for (int i = 0; i < 300; i++)
		archive_tell(a, ALERT_DAMAGED, NULL, NULL, "x");
	archive_alert_counts(a, &n);
	cr_expect_eq(n.waiting, 0);
	cr_expect_eq(n.lost, 0);
	cr_expect_eq(n.raised[ALERT_DAMAGED], 300);
}
