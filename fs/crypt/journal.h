/* journal.h - the double-write journal's laps and records. FORMAT.md "Journal". */
#pragma once

#include "crypt/small.h"

#define LAP_ID_BYTES 16
#define LAP_HEAD_BYTES 128

/* A lap is one file of the journal. Records are bound to its random id and to where they lie in it. */
struct journal_lap {
	uint8_t id[LAP_ID_BYTES];
	uint64_t number; /* laps of an archive count up; later ones are newer */
};
void journal_lap_seal(const struct small_key *k, const uint8_t uuid[static UUID_BYTES], const struct journal_lap *l,
		      uint8_t out[static LAP_HEAD_BYTES]);
/* -EBADMSG, -EPROTONOSUPPORT. */
errint_t journal_lap_open(const struct small_key *k, const uint8_t uuid[static UUID_BYTES], const uint8_t in[static LAP_HEAD_BYTES],
			  struct journal_lap *ret);

enum journal_kind {
	JOURNAL_BLOCK = 1, /* a sealed block follows: nonce, ciphertext, tag */
	JOURNAL_SIZE = 2,  /* the file is cut to `at` bytes; with `len`, its last block follows, which becomes so long */
	JOURNAL_DONE = 3,  /* the file is durably what the records so far say: they are void */
};

#define JOURNAL_RECORD_BYTES 96
struct journal_record {
	enum journal_kind kind;
	uint32_t len;	     /* of the plaintext of the block that follows: at most BLOCK_SIZE_MAX; 0: none */
	uint64_t generation; /* of the file's header when it was recorded */
	uint8_t file_id[FILE_ID_BYTES];
	uint64_t at; /* block: its index; size: bytes of plaintext; done: 0 */
};
/* `offset`: where the record begins in its lap. */
void journal_record_seal(const struct small_key *k, const struct journal_lap *l, uint64_t offset, const struct journal_record *r,
			 uint8_t out[static JOURNAL_RECORD_BYTES]);
/* -EBADMSG: torn, never written, or of another place. */
errint_t journal_record_open(const struct small_key *k, const struct journal_lap *l, uint64_t offset,
			     const uint8_t in[static JOURNAL_RECORD_BYTES], struct journal_record *ret);
