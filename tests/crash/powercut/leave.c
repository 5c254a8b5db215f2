/* leave.c - each call to the system left out in turn, as a build without it would: does a power cut tell? */
#include "powercut.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct known_site {
	struct site site;
	bool in[64]; /* which workloads come by */
};

struct finding {
	char by[64], how[64];
};

static void collect(struct known_site *list, uint32_t *count, const struct report *r, size_t workload)
{
	for (uint32_t i = 0; i < r->sites; i++) {
		uint32_t k = 0;
		while (k < *count && !site_equal(&list[k].site, &r->site[i]))
			k++;
		if (k == SITES_MAX)
			return;
		if (k == *count)
			list[(*count)++] = (struct known_site){.site = r->site[i]};
		else
			list[k].site.count += r->site[i].count;
		list[k].in[workload] = true;
	}
}

/* The first workload that notices. */
static bool notice(const struct options *o, const struct known_site *s, struct report *const known[], struct finding *ret)
{
	for (size_t w = 0; w < workload_count; w++) {
		if (!s->in[w])
			continue;
		struct report *r = report_new();
		int status = run_workload(o, &workloads[w], &s->site, known[w], r);
		snprintf(ret->by, sizeof ret->by, "%s", workloads[w].name);
		if (r->classes)
			snprintf(ret->how, sizeof ret->how, "%s, state %llu", r->class_[0].class_, (unsigned long long)r->states);
		else
			snprintf(ret->how, sizeof ret->how, "%s", status == RUN_FAILED ? "the program fails" : status > 128 ? "crashes" : "cannot be run");
		bool noticed = r->classes || (status && status != 2 && status != 128 + SIGALRM);
		munmap(r, sizeof *r);
		if (noticed)
			return true;
	}
	return false;
}

/* Files' times are not looked at, and without what makes a file nothing goes on. */
static const enum io_kind kinds[] = {IO_SYNC, IO_RENAME, IO_UNLINK, IO_LINK, IO_TRUNCATE, IO_WRITE, IO_SYMLINK, IO_MKDIR, IO_CHMOD, IO_CHOWN, IO_SETXATTR,
	IO_REMOVEXATTR, IO_ALLOCATE};

int leave_out_all(const struct options *o, const struct workload *only)
{
	static struct known_site list[SITES_MAX];
	struct report *known[64] = {NULL};
	uint32_t count = 0, unnoticed = 0, tried = 0;
	for (size_t w = 0; w < workload_count; w++) {
		known[w] = report_new();
		if (only && only != &workloads[w])
			continue;
		run_workload(o, &workloads[w], NULL, NULL, known[w]);
		collect(list, &count, known[w], w);
	}
	printf("\nEach call left out in turn:\n");
	for (size_t n = 0; n < (o->syncs ? 2 : sizeof kinds / sizeof *kinds); n++)
		for (uint32_t i = 0; i < count; i++) {
			struct finding f;
			char where[1024];
			if (list[i].site.kind != kinds[n])
				continue;
			tried++;
			bool noticed = notice(o, &list[i], known, &f);
			unnoticed += !noticed;
			site_text(&list[i].site, where, sizeof where);
			printf("%-12s %-60s %s%s%s\n", list[i].site.call, where, noticed ? f.by : "NOT NOTICED", noticed ? ": " : "", noticed ? f.how : "");
			fflush(stdout);
		}
	printf("%u of %u calls are not noticed\n", unnoticed, tried);
	return unnoticed ? 1 : 0;
}
