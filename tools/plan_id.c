#include "tools/plan_id.h"

#include "tools/prompt.h"
#include "tools/say.h"
#include "store/archive.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void plan_id(int64_t at, const char *what, char out[static PLAN_ID_BYTES])
{
	uint8_t digest[DIGEST_BYTES];
	cleanup_free char *all = NULL;
	int len = asprintf(&all, "%" PRId64 "\n%s", at, what);
	if (len < 0) {
		out[0] = '\0';
		return;
	}
	crypt_hash(digest, all, (size_t)len);
	snprintf(out, PLAN_ID_BYTES, "%" PRIx64 "-%02x%02x%02x%02x", (uint64_t)at, digest[0], digest[1], digest[2], digest[3]);
}

errint_t plan_made_at(const char *id, int64_t now, int64_t *ret_at)
{
	char *end;
	errno = 0;
	unsigned long long at = strtoull(id, &end, 16);
	if (errno || end == id || *end != '-' || strlen(end) != 9 || at > INT64_MAX)
		return -EINVAL;
	if ((int64_t)at > now || now - (int64_t)at > PLAN_SECONDS)
		return -ETIME;
	*ret_at = (int64_t)at;
	return 0;
}

int confirm_number(uint64_t number, const char *question, const char *id)
{
	char answer[32], wanted[32];
	if (!prompt_possible()) {
		say("this waits for a confirmation: look at the plan above, then add --plan %s within 15 minutes", id);
		return EXIT_FINDING;
	}
	snprintf(wanted, sizeof wanted, "%" PRIu64, number);
	if (prompt_line(question, answer, sizeof answer) || strcmp(answer, wanted))
		return say_error("not confirmed; nothing was done");
	return EXIT_DONE;
}
