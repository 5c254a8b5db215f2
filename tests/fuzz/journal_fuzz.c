/* Laps and records of the journal: as raw bytes, and as authentic nonsense. */
#include "crypt_fuzz.h"

#include "crypt/journal.h"

#define PLAIN_BYTES (JOURNAL_RECORD_BYTES - SMALL_TAG_BYTES)

static const struct journal_lap lap = {.id = {16, 17}, .number = 3};

static void fuzz_raw(const uint8_t *data, size_t size)
{
	uint8_t head[LAP_HEAD_BYTES] = {0};
	struct journal_lap got;
	struct journal_record r;
	memcpy(head, data, min_size(size, sizeof head));
	(void)!journal_lap_open(&keys.journal, uuid, head, &got);
	(void)!journal_record_open(&keys.journal, &lap, 128, head, &r);
}

/* What opens must seal to the same bytes. */
static void fuzz_lap(const uint8_t *data, size_t size)
{
	uint8_t head[LAP_HEAD_BYTES] = {0}, again[LAP_HEAD_BYTES];
	const size_t clear = LAP_HEAD_BYTES - SMALL_TAG_BYTES;
	struct journal_lap got;
	memcpy(head, data, min_size(size, clear));
	small_seal(&keys.journal, "journal lap", head, clear, NULL, 0, head + clear);
	if (journal_lap_open(&keys.journal, uuid, head, &got))
		return;
	journal_lap_seal(&keys.journal, uuid, &got, again);
	assert(!memcmp(head, again, sizeof head));
}

static void fuzz_record(const uint8_t *data, size_t size)
{
	uint8_t plain[PLAIN_BYTES] = {0}, place[LAP_ID_BYTES + 8] = {0}, raw[JOURNAL_RECORD_BYTES], again[JOURNAL_RECORD_BYTES];
	struct journal_record r;
	memcpy(plain, data, min_size(size, sizeof plain));
	memcpy(place, lap.id, LAP_ID_BYTES);
	place[LAP_ID_BYTES] = 128;
	small_seal(&keys.journal, "journal", place, sizeof place, plain, sizeof plain, raw);
	if (journal_record_open(&keys.journal, &lap, 128, raw, &r))
		return;
	journal_record_seal(&keys.journal, &lap, 128, &r, again);
	assert(!memcmp(raw, again, sizeof raw));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_keys();
	fuzz_raw(data, size);
	fuzz_lap(data, size);
	fuzz_record(data, size);
	return 0;
}
