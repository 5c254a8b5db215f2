/* human.h - numbers and times as people read them. Each writes into `out` and returns it. */
#pragma once

#include "base/base.h"

#define HUMAN_BYTES 64

/* "58.6K", powers of 1024, as lsblk writes them. */
const char *human_size(uint64_t bytes, char out[static HUMAN_BYTES]);
/* "48,120" */
const char *human_count(uint64_t n, char out[static HUMAN_BYTES]);
/* "2026-11-23 14:02:11" in the local zone; "never" for INT64_MAX. Seconds since 1970. */
const char *human_time(int64_t t, char out[static HUMAN_BYTES]);
/* "1 d 3 h", "20 s": the two largest units. */
const char *human_span(int64_t seconds, char out[static HUMAN_BYTES]);
/* "in 3 min", "2 d ago", "now"; "" for INT64_MAX. */
const char *human_relative(int64_t t, int64_t now, char out[static HUMAN_BYTES]);
/* "2026-11-23 14:02:11 (in 3 min)"; "never". */
const char *human_when(int64_t t, int64_t now, char out[static 2 * HUMAN_BYTES]);
/* "root", or "1234" where it has no name. */
const char *human_user_name(uint32_t uid, char out[static HUMAN_BYTES]);
/* "root (uid 0)", or "uid 1234" where it has no name. */
const char *human_user(uint32_t uid, char out[static HUMAN_BYTES]);
