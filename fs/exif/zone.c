#include "exif/zone.h"

#include "exif/reader.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ZONES "/usr/share/zoneinfo"
#define DAY   86400
#define YEARS INT64_C(9999) * 366 * DAY

bool exif_zone_exists(const char *name)
{
	char path[sizeof ZONES + EXIF_ZONE_MAX + 1], magic[4];
	struct stat st;
	size_t len = strlen(name);
	if (!len || len > EXIF_ZONE_MAX || name[0] == '/' || name[0] == '.' || strstr(name, "/."))
		return false;
	snprintf(path, sizeof path, "%s/%s", ZONES, name);
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	return fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) && read(fd, magic, sizeof magic) == (ssize_t)sizeof magic &&
	       !memcmp(magic, "TZif", sizeof magic);
}

static bool entered;

bool zone_enter(const char *name)
{
	char value[EXIF_ZONE_MAX + 2];
	if (!exif_zone_exists(name))
		return false;
	snprintf(value, sizeof value, ":%s", name);
	entered = !setenv("TZ", value, 1);
	tzset();
	return entered;
}

/* How far east of UTC the zone's clocks are at an instant. */
static bool offset_at(int64_t at, int64_t *ret)
{
	struct tm tm;
	time_t t = (time_t)at;
	if (!localtime_r(&t, &tm))
		return false;
	*ret = tm.tm_gmtoff;
	return true;
}

size_t zone_instants(int64_t local, int64_t ret[static 2])
{
	size_t n = 0;
	if (!entered || local > YEARS || local < -YEARS)
		return 0;
	/* Offsets before and after whatever change of them is near; the greater one gives the earlier instant. */
	int64_t offset[2], is;
	if (!offset_at(local - DAY, &offset[0]) || !offset_at(local + DAY, &offset[1]))
		return 0;
	bool swap = offset[0] < offset[1];
	for (size_t i = 0; i < 2 - (size_t)(offset[0] == offset[1]); i++) {
		int64_t o = offset[swap ? 1 - i : i];
		if (offset_at(local - o, &is) && is == o)
			ret[n++] = local - o;
	}
	return n;
}
