/* Many threads asking at once, some as users that nobody knows, while the tables overflow. */
#include "fuse/subject.h"

#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#define THREADS 8

static struct subjects *subjects;
static atomic_bool stop;

static void *ask(void *arg)
{
	uint32_t uid = (uint32_t)(uintptr_t)arg, tid = (uint32_t)gettid(), n = 0;
	struct who w;

	while (!stop) {
		subject_get(subjects, tid, uid, 0, &w);
		assert(!w.subject.unidentified);
		assert(w.subject.uid == uid);
		assert(w.subject.real_uid == getuid());
		subject_put(&w);
		subject_get(subjects, 0, 4000000000u + n++ % 2000, 0, &w);
		assert(w.subject.unidentified && w.subject.group_count == 0);
		subject_put(&w);
		subject_ready(subjects, uid);
	}
	return NULL;
}

int main(void)
{
	pthread_t t[THREADS];

	assert(subjects_new(&subjects) == 0);
	for (size_t i = 0; i < THREADS; i++)
		assert(pthread_create(&t[i], NULL, ask, (void *)i) == 0);
	poll(NULL, 0, 1000);
	stop = true;
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	subjects_free(subjects);
	return 0;
}
