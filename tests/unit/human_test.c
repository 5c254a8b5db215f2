#include "tools/human.h"

#include <criterion/criterion.h>
#include <time.h>

static char out[2 * HUMAN_BYTES];

Test(human, sizes)
{
	cr_assert_str_eq(human_size(0, out), "0B");
	cr_assert_str_eq(human_size(1023, out), "1023B");
	cr_assert_str_eq(human_size(1024, out), "1K");
	cr_assert_str_eq(human_size(60000, out), "58.5K");
	cr_assert_str_eq(human_size(1 << 20, out), "1M");
	cr_assert_str_eq(human_size((1 << 20) - 1, out), "1023.9K");
	cr_assert_str_eq(human_size(UINT64_MAX, out), "15.9E");
}

Test(human, counts)
{
	cr_assert_str_eq(human_count(0, out), "0");
	cr_assert_str_eq(human_count(999, out), "999");
	cr_assert_str_eq(human_count(1000, out), "1,000");
	cr_assert_str_eq(human_count(184000, out), "184,000");
	cr_assert_str_eq(human_count(UINT64_MAX, out), "18,446,744,073,709,551,615");
}

Test(human, times)
{
	setenv("TZ", "UTC", 1);
	tzset();
	cr_assert_str_eq(human_time(0, out), "1970-01-01 00:00:00");
	cr_assert_str_eq(human_time(INT64_C(4102444799), out), "2099-12-31 23:59:59");
	cr_assert_str_eq(human_time(INT64_MAX, out), "never");
	cr_assert_str_eq(human_when(100, 40, out), "1970-01-01 00:01:40 (in 1 min)");
	cr_assert_str_eq(human_when(INT64_MAX, 40, out), "never");
}

Test(human, spans)
{
	cr_assert_str_eq(human_span(0, out), "0 s");
	cr_assert_str_eq(human_span(59, out), "59 s");
	cr_assert_str_eq(human_span(200, out), "3 min 20 s");
	cr_assert_str_eq(human_span(86400, out), "1 d");
	cr_assert_str_eq(human_span(97200, out), "1 d 3 h");
	cr_assert_str_eq(human_span(30 * 86400 + 3600, out), "30 d");
}

Test(human, relative)
{
	cr_assert_str_eq(human_relative(5, 5, out), "now");
	cr_assert_str_eq(human_relative(5, 10, out), "5 s ago");
	cr_assert_str_eq(human_relative(3600, 0, out), "in 1 h");
	cr_assert_str_eq(human_relative(INT64_MAX, 0, out), "");
}
