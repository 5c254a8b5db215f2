/* workload.c - what an image archive does all day, timed. Built and run by tests/bench/run.
 *
 *   workload PHASE DIRECTORY [-n FILES] [-k KIB] [-f FOLDERS] [-t THREADS] [-p PIECE]
 *
 * Says in one line: seconds, files, bytes, and its own processor time in microseconds. What a file holds, and how much, follows from its number, so
 * that what one run wrote another one can check. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NOISE_BYTES (8u << 20)
#define MIB         (1u << 20)
#define THREADS_MAX 256

struct job {
	const char *directory;
	long files, kib, folders, threads, piece;
	uint8_t *noise;
	long *shuffled;
	atomic_long next, done, bytes;
};

static void stop(const char *what)
{
	fprintf(stderr, "workload: %s: %s\n", what, errno ? strerror(errno) : "not what was written");
	exit(1);
}

static uint64_t scramble(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdull;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ull;
	return x ^ x >> 33;
}

/* A quarter to seven quarters of the mean. */
static size_t size_of(const struct job *j, long file)
{
	uint64_t mean = (uint64_t)j->kib * 1024;
	return (size_t)(mean / 4 + scramble((uint64_t)file + 1) % (mean * 3 / 2 + 1)) + 1;
}

static const uint8_t *content_of(const struct job *j, long file)
{
	return j->noise + scramble((uint64_t)file + 1000003) % (NOISE_BYTES / 2);
}

static void folder_path(const struct job *j, long folder, char out[static 4096])
{
	snprintf(out, 4096, "%s/camera-%03ld", j->directory, folder);
}

static void file_path(const struct job *j, long file, char out[static 4096])
{
	snprintf(out, 4096, "%s/camera-%03ld/image_%07ld_%06x.jpg", j->directory, file % j->folders, file, (unsigned)(scramble((uint64_t)file) & 0xffffff));
}

static void make_noise(struct job *j)
{
	j->noise = malloc(NOISE_BYTES);
	j->shuffled = malloc(sizeof(long) * (size_t)(j->files + 1));
	if (!j->noise || !j->shuffled)
		stop("memory");
	for (size_t i = 0; i < NOISE_BYTES / 8; i++)
		((uint64_t *)(void *)j->noise)[i] = scramble(i + 17);
	for (long i = 0; i < j->files; i++) {
		long k = (long)(scramble((uint64_t)i + 99) % (uint64_t)(i + 1));
		j->shuffled[i] = j->shuffled[k];
		j->shuffled[k] = i;
	}
}

/* ---- one file ------------------------------------------------------------------------------------------------------------------ */

static void write_file(struct job *j, long file)
{
	char path[4096];
	const uint8_t *from = content_of(j, file);
	size_t left = size_of(j, file), most = j->piece ? (size_t)j->piece : left;
	file_path(j, file, path);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
	if (fd < 0)
		stop(path);
	while (left) {
		ssize_t n = write(fd, from, left < most ? left : most);
		if (n <= 0)
			stop(path);
		from += n;
		left -= (size_t)n;
		j->bytes += n;
	}
	if (close(fd))
		stop(path);
}

static void read_file(struct job *j, long file, size_t most)
{
	static __thread uint8_t *buffer;
	char path[4096];
	size_t size = size_of(j, file), want = most && most < size ? most : size, got = 0;
	if (!buffer && !(buffer = malloc(NOISE_BYTES)))
		stop("memory");
	file_path(j, file, path);
	int fd = open(path, O_RDONLY);
	if (fd < 0)
		stop(path);
	for (;;) {
		ssize_t n = read(fd, buffer + got, most ? want - got : NOISE_BYTES - got);
		if (n < 0)
			stop(path);
		got += (size_t)n;
		if (n == 0 || (most && got == want))
			break;
	}
	errno = 0;
	if (got != want || memcmp(buffer, content_of(j, file), got))
		stop(path);
	close(fd);
	j->bytes += (long)got;
}

/* ---- phases ------------------------------------------------------------------------------------------------------------------------ */

static void write_next(struct job *j, long n) { write_file(j, n); }
static void read_next(struct job *j, long n) { read_file(j, j->shuffled[n], 0); }
static void head_next(struct job *j, long n) { read_file(j, j->shuffled[n], 4096); }

static void name_next(struct job *j, long n)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/image_%09ld.jpg", j->directory, n);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
	if (fd < 0 || close(fd))
		stop(path);
}

static void (*each)(struct job *j, long n);

static void *work(void *arg)
{
	struct job *j = arg;
	for (long n; (n = atomic_fetch_add(&j->next, 1)) < j->files; j->done++)
		each(j, n);
	return NULL;
}

static void in_threads(struct job *j, void (*what)(struct job *j, long n))
{
	pthread_t thread[THREADS_MAX];
	each = what;
	for (long i = 1; i < j->threads; i++)
		if (pthread_create(&thread[i], NULL, work, j))
			stop("threads");
	work(j);
	for (long i = 1; i < j->threads; i++)
		pthread_join(thread[i], NULL);
}

static void make_folders(const struct job *j)
{
	char path[4096];
	for (long i = 0; i < j->folders; i++) {
		folder_path(j, i, path);
		if (mkdir(path, 0755) && errno != EEXIST)
			stop(path);
	}
}

static void each_entry(struct job *j, bool remove)
{
	char path[4096];
	struct stat st;
	for (long i = 0; i < j->folders; i++) {
		folder_path(j, i, path);
		DIR *d = opendir(path);
		if (!d)
			stop(path);
		for (struct dirent *e; (e = readdir(d));) {
			if (e->d_name[0] == '.')
				continue;
			if (remove ? unlinkat(dirfd(d), e->d_name, 0) : fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW))
				stop(e->d_name);
			j->bytes += remove ? 0 : st.st_size;
			j->done++;
		}
		closedir(d);
		if (remove && rmdir(path))
			stop(path);
	}
	errno = 0;
	if (j->done != j->files)
		stop(j->directory);
}

static int open_large(const struct job *j, int flags)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/large.tar", j->directory);
	int fd = open(path, flags, 0644);
	if (fd < 0)
		stop(path);
	return fd;
}

/* FILES counts MiB here, and random reads of 4 KiB in `random`. */
static void large_write(struct job *j)
{
	int fd = open_large(j, O_WRONLY | O_CREAT | O_TRUNC);
	for (; j->done < j->files; j->done += 1, j->bytes += MIB)
		if (write(fd, j->noise + j->done % 4 * MIB, MIB) != MIB)
			stop("large.tar");
	if (fsync(fd) || close(fd))
		stop("large.tar");
}

static void large_read(struct job *j)
{
	uint8_t *buffer = malloc(MIB);
	int fd = open_large(j, O_RDONLY);
	for (ssize_t n; (n = read(fd, buffer, MIB)); j->done += 1, j->bytes += n)
		if (n != MIB || memcmp(buffer, j->noise + j->done % 4 * MIB, MIB)) {
			errno = n < 0 ? errno : 0;
			stop("large.tar");
		}
	close(fd);
	free(buffer);
}

static void large_random(struct job *j)
{
	uint8_t buffer[4096];
	struct stat st;
	int fd = open_large(j, O_RDONLY);
	if (fstat(fd, &st))
		stop("large.tar");
	for (; j->done < j->files; j->done += 1, j->bytes += sizeof buffer)
		if (pread(fd, buffer, sizeof buffer, (off_t)(scramble((uint64_t)j->done) % (uint64_t)(st.st_size / 4096)) * 4096) != sizeof buffer)
			stop("large.tar");
	close(fd);
}

static bool run(struct job *j, const char *phase)
{
	if (!strcmp(phase, "write")) {
		make_folders(j);
		in_threads(j, write_next);
	} else if (!strcmp(phase, "read")) {
		in_threads(j, read_next);
	} else if (!strcmp(phase, "head")) {
		in_threads(j, head_next);
	} else if (!strcmp(phase, "names")) {
		in_threads(j, name_next);
	} else if (!strcmp(phase, "walk") || !strcmp(phase, "delete")) {
		each_entry(j, phase[0] == 'd');
	} else if (!strcmp(phase, "seqwrite")) {
		large_write(j);
	} else if (!strcmp(phase, "seqread")) {
		large_read(j);
	} else if (!strcmp(phase, "random")) {
		large_random(j);
	} else {
		return false;
	}
	return true;
}

static double seconds(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	struct job j = {.files = 3000, .kib = 60, .folders = 20, .threads = 1};
	if (argc < 3)
		return 2;
	j.directory = argv[2];
	for (int c; (c = getopt(argc - 2, argv + 2, "n:k:f:t:p:")) != -1;)
		*(c == 'n' ? &j.files : c == 'k' ? &j.kib : c == 'f' ? &j.folders : c == 't' ? &j.threads : &j.piece) = atol(optarg);
	if (j.files < 1 || j.kib < 1 || j.kib > 2048 || j.folders < 1 || j.threads < 1 || j.threads > THREADS_MAX)
		return 2;
	make_noise(&j);
	double wall = seconds(CLOCK_MONOTONIC), own = seconds(CLOCK_PROCESS_CPUTIME_ID);
	if (!run(&j, argv[1]))
		return 2;
	wall = seconds(CLOCK_MONOTONIC) - wall;
	printf("%.6f %ld %ld %.0f\n", wall, (long)j.done, (long)j.bytes, (seconds(CLOCK_PROCESS_CPUTIME_ID) - own) * 1e6);
	return 0;
}
