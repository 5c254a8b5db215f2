/* The anchor's slot image: as raw bytes, and with the input as an authentic body, which must encode to the same bytes again. */
#include "crypt_fuzz.h"

#include "crypt/anchor.h"

#define HEAD 80
#define BODY (HEAD + SMALL_TAG_BYTES)

static uint8_t image[ANCHOR_SLOT_BYTES], again[ANCHOR_SLOT_BYTES];

static void fuzz_raw(const uint8_t *data, size_t size)
{
	struct anchor_state *a;
	uint8_t id[UUID_BYTES];
	uint64_t sequence;
	size_t used;
	(void)!anchor_peek(data, size, id, &sequence, &used);
	if (!anchor_decode(data, size, uuid, &keys.header, &a))
		anchor_state_free(a);
}

static void fuzz_authentic(const uint8_t *data, size_t size)
{
	struct anchor_state *a;
	uint32_t reached, used = (uint32_t)(BODY + size);
	size_t len;
	if (size > ANCHOR_SLOT_BYTES - BODY)
		return;
	memset(image, 0, BODY);
	memcpy(image, "LAPSEANC\1", 9);
	memcpy(image + 16, uuid, UUID_BYTES);
	image[32] = 1;
	for (int i = 0; i < 4; i++)
		image[40 + i] = (uint8_t)(used >> 8 * i);
	memcpy(image + BODY, data, size);
	small_seal(&keys.header, "anchor", image, HEAD, image + BODY, size, image + HEAD);
	if (anchor_decode(image, used, uuid, &keys.header, &a))
		return;
	assert(anchor_encode(a, &keys.header, again, &len) == 0);
	assert(len == used && memcmp(image, again, len) == 0);
	/* Whatever was accepted can be worked with. */
	(void)!anchor_puncture(a, a->current_tree, a->tree[0].next, 1);
	(void)!anchor_advance(a, a->tree[0].next + 1, &reached);
	anchor_state_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_keys();
	fuzz_raw(data, size);
	fuzz_authentic(data, size);
	return 0;
}
