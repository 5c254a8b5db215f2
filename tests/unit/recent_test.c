#include "policy/guard_internal.h"
#include "policy_fixture.h"

/* Random adds, touches and drops, against an array. */
Test(recent, against_an_array)
{
	enum { N = 400 };
	struct recent r;
	int64_t at[N], now = 0;
	bool in[N] = {false};
	uint32_t count = 0;
	unsigned seed = 2;
	uint8_t id[POLICY_FILE_ID_BYTES];

	memset(&r, 0, sizeof(r));
	recent_clear(&r);
	for (int step = 0; step < 200000; step++) {
		int n = rand_r(&seed) % N;
		uint32_t i;

		fixture_id((uint64_t)n, id);
		i = recent_find(&r, id);
		cr_assert_eq(i != RECENT_NONE, in[n]);
		if (rand_r(&seed) % 100 < (step / 1000 % 2 ? 30 : 60)) {
			at[n] = ++now;
			if (in[n]) {
				recent_touch(&r, i, now);
			} else {
				cr_assert_eq(recent_reserve(&r), 0);
				recent_add(&r, id, now, (uint64_t)n);
				in[n] = true;
				count++;
			}
		} else if (count) {
			int64_t oldest = INT64_MAX;
			int which = 0;

			for (int k = 0; k < N; k++)
				if (in[k] && at[k] < oldest)
					oldest = at[which = k];
			cr_assert_eq(r.entry[r.oldest].at_ms, oldest);
			cr_assert_eq(r.entry[r.oldest].bytes, (uint64_t)which);
			recent_drop_oldest(&r);
			in[which] = false;
			count--;
		}
		cr_assert_eq(r.count, count);
	}
	uint32_t walked = 0;
	int64_t last = -1;
	for (uint32_t i = r.oldest; i != RECENT_NONE; i = r.entry[i].newer, walked++) {
		cr_assert_gt(r.entry[i].at_ms, last);
		last = r.entry[i].at_ms;
	}
	cr_expect_eq(walked, count);
	recent_clear(&r);
}
