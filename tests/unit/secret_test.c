#include "base/secret.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

static void setup(void)
{
	cr_assert_eq(secret_init(), 0);
}

TestSuite(secret, .init = setup);

static bool is_zero(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

Test(secret, memory_is_zero_whenever_it_is_given)
{
	static const size_t sizes[] = {1, 31, 32, 33, 100, 4096, 65535, 65536, 65537, 1u << 20};
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		for (int again = 0; again < 3; again++) {
			uint8_t *p = secret_alloc(sizes[i]);
			cr_assert_not_null(p);
			cr_assert(is_zero(p, sizes[i]), "size %zu, round %d", sizes[i], again);
			memset(p, 0xa5, sizes[i]);
			secret_free(p, sizes[i]);
		}
}

Test(secret, freed_memory_is_wiped)
{
	uint8_t *p = secret_alloc(64);
	memset(p, 0xa5, 64);
	secret_free(p, 64);
	/* A free object's first bytes link it to the next one; the slab itself stays mapped. */
	cr_assert(is_zero(p + sizeof(void *), 64 - sizeof(void *)));
}

Test(secret, live_objects_do_not_overlap)
{
	enum { COUNT = 5000 };
	static uint8_t *p[COUNT];
	for (unsigned i = 0; i < COUNT; i++) {
		size_t size = 1 + i % 200;
		p[i] = secret_alloc(size);
		cr_assert_not_null(p[i]);
		memset(p[i], (int)(i % 251), size);
	}
	for (unsigned i = 0; i < COUNT; i++) {
		for (size_t j = 0; j < 1 + i % 200; j++)
			cr_assert_eq(p[i][j], i % 251);
		secret_free(p[i], 1 + i % 200);
	}
}

Test(secret, freeing_nothing_is_fine)
{
	secret_free(NULL, 32);
}

static void *churn(void *arg)
{
	uint8_t mark = (uint8_t)(uintptr_t)arg;
	for (int i = 0; i < 20000; i++) {
		uint8_t *p = secret_alloc(48);
		if (!p || !is_zero(p, 48))
			return (void *)1;
		memset(p, mark, 48);
		for (int j = 0; j < 48; j++)
			if (p[j] != mark)
				return (void *)1;
		secret_free(p, 48);
	}
	return NULL;
}

Test(secret, threads_do_not_share_objects)
{
	pthread_t t[4];
	for (uintptr_t i = 0; i < ARRAY_SIZE(t); i++)
		cr_assert_eq(pthread_create(&t[i], NULL, churn, (void *)(i + 1)), 0);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		void *failed;
		pthread_join(t[i], &failed);
		cr_assert_null(failed);
	}
}
