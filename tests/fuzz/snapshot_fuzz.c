/* Heads and chunks of snapshots: as raw bytes, and as authentic nonsense. What is in the chunks of the guard's is guard_fuzz.c's. */
#include "crypt_fuzz.h"

#include "crypt/snapshot.h"

static void fuzz_raw(const uint8_t *data, size_t size)
{
	static uint8_t frame[SNAPSHOT_FRAME_MAX], out[SNAPSHOT_CHUNK_MAX];
	struct snapshot_head h;
	struct snapshot_chain c = {{0}};
	uint8_t head[SNAPSHOT_HEAD_BYTES] = {0};
	size_t rest;
	bool last;
	memcpy(head, data, min_size(size, sizeof head));
	assert(snapshot_head_open(&keys, uuid, head, &h, &c));
	if (size < 4 || snapshot_chunk_length(data, &rest, &last))
		return;
	assert(rest >= SMALL_TAG_BYTES && 4 + rest <= SNAPSHOT_FRAME_MAX && (last || rest > SMALL_TAG_BYTES));
	memset(frame, 0, 4 + rest);
	memcpy(frame, data, min_size(size, 4 + rest));
	assert(snapshot_chunk_open(&keys, &c, frame, rest, out));
}

/* What opens must seal to the same bytes. */
static void fuzz_head(const uint8_t *data, size_t size)
{
	struct snapshot_head h;
	struct snapshot_chain c, d;
	uint8_t head[SNAPSHOT_HEAD_BYTES], again[SNAPSHOT_HEAD_BYTES];
	fuzz_seal(&keys.snapshot, "snapshot", "LAPSESNP", 0, data, size, head, sizeof head);
	if (snapshot_head_open(&keys, uuid, head, &h, &c))
		return;
	assert(h.segment && h.segment - 1 <= h.sequence && h.offset <= INT64_MAX);
	snapshot_head_seal(&keys, uuid, &h, again, &d);
	assert(!memcmp(head, again, sizeof head) && !memcmp(c.tag, d.tag, sizeof c.tag));
}

/* Chunks of so many bytes as the input says, the last of them too; each opens behind the one before it, and no other. */
static void fuzz_chunks(const uint8_t *data, size_t size)
{
	static uint8_t frame[SNAPSHOT_FRAME_MAX], out[SNAPSHOT_CHUNK_MAX];
	struct snapshot_chain write = {{1}}, read = write, before;
	for (size_t at = 0, n, rest, len; at < size; at += n) {
		bool last = size - at < 2, found;
		n = last ? size - at : min_size(1 + data[at], size - at);
		memcpy(frame + 4 + SMALL_TAG_BYTES, data + at, n);
		before = write;
		len = snapshot_chunk_seal(&keys, &write, n, last, frame);
		assert(!snapshot_chunk_length(frame, &rest, &found) && found == last && len == 4 + rest);
		assert(!snapshot_chunk_open(&keys, &read, frame, rest, out) && !memcmp(out, data + at, n));
		assert(!memcmp(read.tag, write.tag, sizeof read.tag));
		before.tag[0] ^= 1;
		assert(snapshot_chunk_open(&keys, &before, frame, rest, out));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_keys();
	fuzz_raw(data, size);
	fuzz_head(data, size);
	fuzz_chunks(data, size);
	return 0;
}
