#include "exif/confine.h"
#include "exif/reader.h"
#include "exif/stamp.h"
#include "exif/wire.h"
#include "exif/zone.h"

#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static uint8_t image[EXIF_HEAD_MAX];

static bool take(void *to, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = read(STDIN_FILENO, (uint8_t *)to + done, len - done);
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

static bool give(const void *from, size_t len)
{
	return write(STDIN_FILENO, from, len) == (ssize_t)len;
}

static void answer_for(size_t len, struct exif_answer *ret)
{
	struct exif_stamp s;
	memset(ret, 0, sizeof *ret);
	if (!exif_stamp_read(image, len, &s))
		return;
	if (s.has_offset) {
		ret->count = 1;
		ret->at[0] = s.local - s.offset;
	} else {
		ret->count = zone_instants(s.local, ret->at);
	}
}

int exif_serve(const char *zone)
{
	struct exif_answer answer;
	uint32_t len;
	char state = zone_enter(zone) ? EXIF_READY : EXIF_ZONE_UNKNOWN;
	prctl(PR_SET_NAME, EXIF_ARGV0, 0, 0, 0);
	if (exif_confine() || !give(&state, 1))
		_exit(EXIT_FAILURE);
	while (take(&len, sizeof len) && len <= sizeof image && take(image, len)) {
		answer_for(len, &answer);
		if (!give(&answer, sizeof answer))
			break;
		memset(image, 0, len); /* of the next one, at least this is not left to be found */
	}
	_exit(EXIT_SUCCESS);
}
