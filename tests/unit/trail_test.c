/* Which records the commands that ask the log count. */
#include "store/trail.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct audit_record record(enum record_kind kind, enum record_decision decision)
{
	struct audit_record r;
	audit_record_clear(&r);
	r.kind = kind;
	r.decision = decision;
	r.trusted_ns = 100;
	r.uid = 1;
	r.login_uid = 2;
	r.real_uid = 3;
	return r;
}

Test(trail, since_is_in_and_until_is_out)
{
	struct audit_record r = record(RECORD_OPEN, DECISION_PERMIT);
	struct trail_filter f = {.since_ns = 100, .until_ns = 101};
	cr_assert(trail_wants(&f, &r));
	f.until_ns = 100;
	cr_assert_not(trail_wants(&f, &r));
	f = (struct trail_filter){.since_ns = 101, .until_ns = INT64_MAX};
	cr_assert_not(trail_wants(&f, &r));
}

Test(trail, a_user_is_any_of_the_three)
{
	struct audit_record r = record(RECORD_OPEN, DECISION_PERMIT);
	for (uint32_t uid = 0; uid < 6; uid++) {
		struct trail_filter f = {.until_ns = INT64_MAX, .by_user = true, .uid = uid};
		cr_assert_eq(trail_wants(&f, &r), uid >= 1 && uid <= 3);
	}
}

Test(trail, kinds_and_decisions_are_sets_and_none_is_all)
{
	for (unsigned kind = RECORD_OPEN; kind <= RECORD_DATED; kind++)
		for (unsigned d = DECISION_NONE; d <= DECISION_ALERT; d++) {
			struct audit_record r = record(kind, d);
			struct trail_filter f = {.until_ns = INT64_MAX};
			cr_assert(trail_wants(&f, &r));
			f.kinds = 1u << RECORD_OPEN | 1u << RECORD_DATED;
			f.decisions = 1u << DECISION_DENY;
			cr_assert_eq(trail_wants(&f, &r), (kind == RECORD_OPEN || kind == RECORD_DATED) && d == DECISION_DENY);
		}
}

Test(trail, a_file_is_one_id)
{
	struct audit_record r = record(RECORD_OPEN, DECISION_PERMIT);
	struct trail_filter f = {.until_ns = INT64_MAX, .by_file = true, .file_id = {9}};
	cr_assert_not(trail_wants(&f, &r));
	r.file_id[0] = 9;
	cr_assert(trail_wants(&f, &r));
	r.file_id[15] = 1;
	cr_assert_not(trail_wants(&f, &r));
}

Test(trail, an_open_that_was_let_through_is_a_read_and_so_is_an_export)
{
	struct audit_record r = record(RECORD_OPEN, DECISION_PERMIT);
	cr_assert(trail_is_read(&r) && trail_is_permitted(&r));
	r.decision = DECISION_ALERT;
	cr_assert(trail_is_permitted(&r));
	r.error = -EDQUOT;
	cr_assert(trail_is_read(&r) && !trail_is_permitted(&r));
	r = record(RECORD_OPEN, DECISION_DENY);
	cr_assert(trail_is_read(&r) && !trail_is_permitted(&r));
	r = record(RECORD_WRITE_OPEN, DECISION_PERMIT);
	cr_assert_not(trail_is_read(&r));
	r = record(RECORD_ADMIN, DECISION_NONE);
	snprintf(r.text, sizeof r.text, "exported: for the court");
	cr_assert_not(trail_is_read(&r), "of no file");
	r.file_id[3] = 1;
	cr_assert(trail_is_read(&r) && trail_is_permitted(&r));
	snprintf(r.text, sizeof r.text, "floor set by hand");
	cr_assert_not(trail_is_read(&r));
}

Test(trail, every_kind_decision_and_flaw_has_a_word_of_its_own)
{
	for (unsigned i = RECORD_OPEN; i <= RECORD_RAISED; i++)
		for (unsigned j = RECORD_OPEN; j <= i; j++)
			cr_assert_eq(!strcmp(trail_kind_word(i), trail_kind_word(j)), i == j);
	cr_assert_str_eq(trail_kind_word(0), "?");
	cr_assert_str_eq(trail_kind_word(RECORD_RAISED + 1), "?");
	cr_assert_str_eq(trail_decision_word(DECISION_DENY), "deny");
	cr_assert_str_eq(trail_decision_word(9), "?");
	for (unsigned i = FLAW_EDITED; i <= FLAW_ROLLBACK; i++)
		for (unsigned j = FLAW_EDITED; j <= i; j++)
			cr_assert_eq(!strcmp(trail_flaw_word(i), trail_flaw_word(j)), i == j);
}
