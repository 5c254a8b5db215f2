/* crypt_fixture.h - fixed keys and a repeatable random source for the tests of fs/crypt. */
#pragma once

#include "base/secret.h"
#include "crypt/head.h"
#include "crypt/small.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct master_keys keys, other_keys;
static uint8_t uuid[UUID_BYTES], other_uuid[UUID_BYTES];

/* Bytes seed, seed + 1, …; distinct seeds give distinct bytes. */
static inline void fill(void *p, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)p)[i] = (uint8_t)(seed + i * 7);
}

static inline void crypt_setup(void)
{
	uint8_t master[KEY_BYTES];
	cr_assert_eq(secret_init(), 0);
	fill(uuid, sizeof uuid, 1);
	fill(other_uuid, sizeof other_uuid, 2);
	fill(master, sizeof master, 3);
	master_keys_derive(&keys, master, uuid);
	fill(master, sizeof master, 4);
	master_keys_derive(&other_keys, master, uuid);
}

static inline uint64_t random_u64(void)
{
	static uint64_t state = 0x9e3779b97f4a7c15;
	uint64_t z = state += 0x9e3779b97f4a7c15;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* An object that is authentic and hostile: the sealed plaintext of `object` (after its clear head) with `len` bytes at `at` replaced. */
static inline void tamper_sealed(const struct small_key *k, const char *label, uint8_t *object, size_t object_len, size_t at,
				 const void *bytes, size_t len)
{
	uint8_t ad[HEAD_AD_BYTES], plain[4096];
	size_t plain_len = object_len - CLEAR_HEAD_BYTES - SMALL_TAG_BYTES;
	clear_head_ad(ad, uuid, object);
	cr_assert_eq(small_open(k, label, ad, sizeof ad, object + CLEAR_HEAD_BYTES, plain_len, plain), 0);
	cr_assert(at + len <= plain_len);
	memcpy(plain + at, bytes, len);
	small_seal(k, label, ad, sizeof ad, plain, plain_len, object + CLEAR_HEAD_BYTES);
}
