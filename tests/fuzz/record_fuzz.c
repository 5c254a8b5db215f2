/* Audit frames, segment heads, seals and the sealed policy: as raw bytes, and as authentic nonsense. */
#include "crypt_fuzz.h"

#include "crypt/log_seal.h"
#include "crypt/record.h"

static struct audit_chain chain_start(void)
{
	return (struct audit_chain){.log_id = {13, 14, 15}, .next = 1};
}

static void fuzz_raw(const uint8_t *data, size_t size)
{
	static uint8_t text[8192];
	uint8_t head[SEGMENT_HEAD_BYTES] = {0}, digest[DIGEST_BYTES];
	struct audit_chain c = chain_start(), got;
	struct audit_record r;
	uint64_t generation;
	int64_t applied_at;
	size_t used;
	(void)!audit_frame_open(&keys.log, &c, data, size, &used, &r);
	memcpy(head, data, min_size(size, sizeof head));
	(void)!segment_head_open(&keys.log, uuid, head, &got);
	(void)!audit_frame_pass(&c, data, size, &used);
	(void)!sealed_policy_decode(
		&keys, uuid, data, min_size(size, sizeof text), &generation, &applied_at, text, &used, digest);
}

/* The input as the plaintext of the first record: what opens must seal to the same frame and the same chain. */
static void fuzz_record(const uint8_t *data, size_t size)
{
	uint8_t ad[16 + 8 + DIGEST_BYTES] = {0}, frame[RECORD_MAX_BYTES], again[RECORD_MAX_BYTES];
	struct audit_chain c = chain_start(), d = c;
	struct audit_record r;
	size_t used, len, object_len = SMALL_TAG_BYTES + size;
	if (4 + object_len > sizeof frame)
		return;
	memcpy(ad, c.log_id, 16);
	ad[16] = 1;
	small_seal(&keys.log, "audit", ad, sizeof ad, data, size, frame + 4);
	for (int i = 0; i < 4; i++)
		frame[i] = (uint8_t)(object_len >> (8 * i));
	if (audit_frame_open(&keys.log, &c, frame, 4 + object_len, &used, &r))
		return;
	assert(used == 4 + object_len);
	assert(audit_frame_seal(&keys.log, &d, &r, again, &len) == 0);
	assert(len == used && memcmp(frame, again, len) == 0);
	assert(d.next == c.next && memcmp(d.head, c.head, DIGEST_BYTES) == 0);
}

/* What is taken is written the same, and nobody has signed it. */
static void fuzz_seals(const uint8_t *data, size_t size)
{
	uint8_t bytes[LOG_SEAL_BYTES] = {0}, again[LOG_SEAL_BYTES], head[SEALS_HEAD_BYTES] = {0}, head_again[SEALS_HEAD_BYTES];
	struct seals_head h;
	struct log_seal s;
	memcpy(bytes, data, min_size(size, sizeof bytes));
	memcpy(head, data, min_size(size, sizeof head));
	if (!log_seal_decode(bytes, &s)) {
		log_seal_encode(&s, again);
		assert(!memcmp(bytes, again, sizeof again));
		assert(!log_seal_is_of(&s, uuid, s.head, s.next));
	}
	if (!seals_head_decode(head, &h)) {
		seals_head_encode(&h, head_again);
		assert(!memcmp(head, head_again, sizeof head));
	}
}

static void fuzz_policy(const uint8_t *data, size_t size)
{
	static uint8_t file[8192], text[8192];
	uint8_t digest[DIGEST_BYTES];
	uint64_t generation;
	int64_t applied_at;
	size_t len, file_len = min_size(CLEAR_HEAD_BYTES + SMALL_TAG_BYTES + size, sizeof file);
	fuzz_seal(&keys.policy, "policy", "LAPSEPOL", 0, data, size, file, file_len);
	if (sealed_policy_decode(&keys, uuid, file, file_len, &generation, &applied_at, text, &len, digest))
		return;
	static uint8_t again[8192 + SEALED_POLICY_OVERHEAD];
	size_t again_len;
	assert(sealed_policy_encode(&keys, uuid, generation, applied_at, text, len, again, &again_len, digest) == 0);
	assert(again_len == file_len && memcmp(file, again, file_len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_keys();
	fuzz_raw(data, size);
	fuzz_record(data, size);
	fuzz_seals(data, size);
	fuzz_policy(data, size);
	return 0;
}
