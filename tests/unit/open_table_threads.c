/* Four threads add and remove in one table. */
#include "store/internal.h"

#include <stdio.h>
#include <string.h>

#define THREADS 4
#define IDS     10000 /* of each thread; every other one is removed again */

static struct open_table *table;

static void *add_range(void *from)
{
	uint32_t first = *(uint32_t *)from;
	for (uint32_t n = first; n < first + IDS; n++) {
		uint8_t id[16] = {0};
		uint32_t mixed = n * 2654435761u;
		memcpy(id, &mixed, sizeof mixed);
		if (open_table_add(table, id) || !open_table_has(table, id))
			return from;
		if (n % 2)
			open_table_remove(table, id);
	}
	return NULL;
}

int main(void)
{
	uint32_t from[THREADS];
	pthread_t thread[THREADS];
	void *failed, *any = NULL;
	if (open_table_new(&table))
		return 1;
	for (uint32_t i = 0; i < THREADS; i++) {
		from[i] = i * IDS;
		if (pthread_create(&thread[i], NULL, add_range, &from[i]))
			return 1;
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(thread[i], &failed);
		any = failed ? failed : any;
	}
	size_t count = open_table_count(table);
	open_table_free(table);
	if (any || count != THREADS * IDS / 2) {
		fprintf(stderr, "%zu ids are left, %d expected\n", count, THREADS * IDS / 2);
		return 1;
	}
	return 0;
}
