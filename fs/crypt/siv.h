/* siv.h - deterministic sealing of short byte strings (names). Inside fs/crypt only. FORMAT.md "Sealed strings". */
#pragma once

#include "crypt/kdf.h"

#define SIV_TAG_BYTES 16
#define SIV_PAD 16

/* Bytes of the sealed form of len bytes. */
static inline size_t siv_sealed_len(size_t len) { return SIV_TAG_BYTES + (len + SIV_PAD - 1) / SIV_PAD * SIV_PAD; }

/* raw[siv_sealed_len(len)]. `in` has no NUL bytes and len is at least 1. */
void siv_seal(const struct small_key *k, const void *in, size_t len, uint8_t *raw);
/* out[raw_len - SIV_TAG_BYTES]: the string and zeros behind it. -EBADMSG, and then out is all zero: forged, of an impossible length,
 * empty, with NUL bytes inside or with more padding than needed. */
errint_t siv_open(const struct small_key *k, const uint8_t *raw, size_t raw_len, uint8_t *out, size_t *ret_len);
