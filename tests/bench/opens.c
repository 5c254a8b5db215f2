/* opens DIR FILES SECONDS: opens and closes the files DIR/0 to DIR/FILES-1, one after the other and again, for so long. Prints how many, the seconds that it
 * took, and its own processor time in microseconds. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	char name[32];
	struct rusage r;
	long files = argc == 4 ? atol(argv[2]) : 0, count = 0;
	if (files < 1 || chdir(argv[1]))
		return 2;
	double begin = now(), until = begin + atof(argv[3]), at;
	while ((at = now()) < until)
		for (int i = 0; i < 100; i++, count++) {
			snprintf(name, sizeof name, "%ld", count % files);
			int fd = open(name, O_RDONLY);
			if (fd < 0) {
				perror(name);
				return 1;
			}
			close(fd);
		}
	getrusage(RUSAGE_SELF, &r);
	printf("%ld %.6f %ld\n", count, at - begin,
		(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000L + r.ru_utime.tv_usec + r.ru_stime.tv_usec);
	return 0;
}
