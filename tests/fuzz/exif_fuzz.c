/* exif_fuzz.c - any bytes as an image: what its reader's process makes of them. */
#include <stdlib.h>

#include "exif/stamp.h"
#include "exif/zone.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	check(zone_enter("Europe/Berlin"));
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct exif_stamp s;
	int64_t at[2];
	if (!exif_stamp_read(data, size, &s))
		return 0;
	check(s.local >= -62135596800 && s.local <= 253402300799);
	check(!s.has_offset || (s.offset >= -43200 && s.offset <= 50400));
	size_t n = zone_instants(s.local, at);
	check(n <= 2 && (n < 2 || at[0] < at[1]));
	for (size_t i = 0; i < n; i++)
		check(llabs(at[i] - s.local) <= 86400);
	return 0;
}
