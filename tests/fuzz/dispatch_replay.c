/* The fuzzer of the verbs without libFuzzer, for every run of the tests: each request of the corpus as each peer, then so many of them changed by a seeded generator.
 * dispatch_replay [CHANGED [SEED]]; an input that failed is run by `fuzz_dispatch FILE`. */
#include "dispatch_fuzz.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define CORPUS	  LAPSE_SOURCE_DIR "/tests/fuzz/corpus/dispatch"
#define FILES_MAX 500
#define BYTES_MAX 8192
#define WHOS	  8u

static struct input {
	uint8_t bytes[BYTES_MAX];
	size_t len;
} corpus[FILES_MAX];
static size_t files;
static uint64_t state;

static uint32_t below(uint32_t n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((state >> 33) % n);
}

static void read_corpus(void)
{
	struct dirent **e;
	int n = scandir(CORPUS, &e, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		char path[PATH_MAX];
		snprintf(path, sizeof path, "%s/%s", CORPUS, e[i]->d_name);
		FILE *f = e[i]->d_name[0] != '.' && files < FILES_MAX ? fopen(path, "rb") : NULL;
		if (f) {
			corpus[files].len = fread(corpus[files].bytes, 1, BYTES_MAX, f);
			files++;
			fclose(f);
		}
		free(e[i]);
	}
	if (n > 0)
		free(e);
}

/* Another's bytes, a field's value, a byte: here and there. */
static void change(struct input *x)
{
	static const char *const words[] = {"0", "-1", "9223372036854775807", "18446744073709551615", "%00", "%0A", "%1B", "\t", "\n", "=", "../../etc/passwd", "short/a.jpg", "*", "payload=4",
		"plan=00000000", "dir=/", "reason=why", "number=1", "id=1", "uid=5010", "fd=1"};
	for (uint32_t n = 1 + below(4); n; n--) {
		const char *word = words[below(ARRAY_SIZE(words))];
		const struct input *other = &corpus[below((uint32_t)files)];
		size_t at = 2 + below((uint32_t)(x->len > 2 ? x->len - 2 : 1)), len = strlen(word);
		switch (below(5)) {
		case 0:
			x->bytes[at] ^= (uint8_t)(1u << below(8));
			break;
		case 1:
			x->len -= below((uint32_t)(x->len - at) + 1);
			break;
		case 2:
			if (x->len + len < BYTES_MAX) {
				memmove(x->bytes + at + len, x->bytes + at, x->len - at);
				memcpy(x->bytes + at, word, len);
				x->len += len;
			}
			break;
		case 3:
			if (x->len + other->len < BYTES_MAX && other->len > 2) {
				memcpy(x->bytes + x->len, other->bytes + 2, other->len - 2);
				x->len += other->len - 2;
			}
			break;
		default:
			x->bytes[1] = (uint8_t)below(8);
		}
		if (x->len < 3)
			return;
	}
}

int main(int argc, char **argv)
{
	unsigned long changed = argc > 1 ? strtoul(argv[1], NULL, 10) : 3000;
	static struct input x;
	state = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
	read_corpus();
	if (files < 40) {
		fprintf(stderr, "only %zu files in %s\n", files, CORPUS);
		return 1;
	}
	for (size_t i = 0; i < files; i++)
		for (unsigned who = 0; who < WHOS; who++) {
			x = corpus[i];
			x.bytes[0] = (uint8_t)who;
			LLVMFuzzerTestOneInput(x.bytes, x.len);
		}
	for (unsigned long n = 0; n < changed; n++) {
		x = corpus[below((uint32_t)files)];
		x.bytes[0] = (uint8_t)below(WHOS);
		change(&x);
		LLVMFuzzerTestOneInput(x.bytes, x.len);
	}
	dispatch_end();
	printf("%zu requests as %u peers, %lu changed\n", files, WHOS, changed);
	return 0;
}
