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
	struct subject_query known = {.pid = tid, .uid = uid}, nobody = {.pid = 0};
	struct who w;

	while (!stop) {
		known.needs = n % 2 ? 0 : NEED_SESSION | NEED_ORIGIN | NEED_SERVICE | NEED_PROGRAM | NEED_DIGEST;
		assert(subject_get(subjects, &known, &w));
		assert(!w.subject.unidentified);
		assert(w.subject.uid == uid);
		assert(w.subject.real_uid == getuid());
		subject_put(&w);
		nobody.uid = 4000000000u + n++ % 2000;
		assert(subject_get(subjects, &nobody, &w));
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
