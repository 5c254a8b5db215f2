/* site.c - places in the program: which function an address is in, by its own symbol table, and which line, by addr2line. */
#include "trace.h"

#include <elf.h>
#include <err.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Functions that call the system for others: which of those it is for is part of the place. */
static const char *const helpers[] = {"io_", "write_all", "sync_data", "write_slot", "pwrite_some", "write_synced"};

struct symbol {
	uintptr_t from, to;
	const char *name;
};
static struct {
	pthread_once_t once;
	uintptr_t base, end;
	struct symbol *symbol;
	size_t count;
} self = {.once = PTHREAD_ONCE_INIT};

static int by_address(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;
	return x->from < y->from ? -1 : x->from > y->from;
}

static int first_object(struct dl_phdr_info *info, size_t size, void *ctx)
{
	(void)size, (void)ctx;
	self.base = info->dlpi_addr;
	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_LOAD) {
			uintptr_t to = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz;
			self.end = to > self.end ? to : self.end;
		}
	return 1;
}

static void load_section(const char *elf, const ElfW(Shdr) *section, unsigned i)
{
	const ElfW(Sym) *s = (const void *)(elf + section[i].sh_offset);
	const char *names = elf + section[section[i].sh_link].sh_offset;
	size_t n = section[i].sh_size / sizeof *s;
	self.symbol = calloc(n, sizeof *self.symbol);
	for (size_t k = 0; self.symbol && k < n; k++)
		if ((s[k].st_info & 0xf) == STT_FUNC && s[k].st_size)
			self.symbol[self.count++] = (struct symbol){
				self.base + s[k].st_value, self.base + s[k].st_value + s[k].st_size, names + s[k].st_name};
	qsort(self.symbol, self.count, sizeof *self.symbol, by_address);
}

static void load_symbols(void)
{
	dl_iterate_phdr(first_object, NULL);
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	const char *elf = size > 0 ? mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
	if (elf == MAP_FAILED)
		err(3, "/proc/self/exe");
	close(fd);
	const ElfW(Ehdr) *head = (const void *)elf;
	const ElfW(Shdr) *section = (const void *)(elf + head->e_shoff);
	for (unsigned i = 0; i < head->e_shnum; i++)
		if (section[i].sh_type == SHT_SYMTAB)
			load_section(elf, section, i);
}

static const char *function_at(const void *address)
{
	uintptr_t at = (uintptr_t)address - 1; /* the call, not what comes after it */
	size_t low = 0, high = self.count;
	while (low < high) {
		size_t mid = (low + high) / 2;
		if (self.symbol[mid].from <= at)
			low = mid + 1;
		else
			high = mid;
	}
	return low && at < self.symbol[low - 1].to ? self.symbol[low - 1].name : NULL;
}

static bool is_helper(const char *function)
{
	for (size_t i = 0; function && i < sizeof helpers / sizeof *helpers; i++)
		if (!strncmp(function, helpers[i], strlen(helpers[i])))
			return true;
	return false;
}

void site_of(const struct io_call *c, struct site *ret)
{
	const void *frame[SITE_FRAMES];
	pthread_once(&self.once, load_symbols);
	*ret = (struct site){.kind = c->kind};
	snprintf(ret->call, sizeof ret->call, "%s", c->name);
	/* A library's places are one place: its own promises are not for us to test. */
	if ((uintptr_t)c->site < self.base || (uintptr_t)c->site >= self.end)
		return;
	size_t n = io_frames(c, frame, SITE_FRAMES);
	do
		ret->frame[ret->frames] = frame[ret->frames];
	while (++ret->frames < n && is_helper(function_at(frame[ret->frames - 1])));
}

static void line_of(const void *address, char *out, size_t cap)
{
	char command[256], function[128] = "?", place[1024] = "?";
	snprintf(command, sizeof command, "addr2line -f -e /proc/%d/exe %#zx", (int)getpid(), (size_t)((uintptr_t)address - 1 - self.base));
	FILE *f = popen(command, "r");
	if (!f || fscanf(f, "%127s %1023s", function, place) != 2)
		snprintf(function, sizeof function, "%s", function_at(address) ? function_at(address) : "?");
	if (f)
		pclose(f);
	const char *file = strrchr(place, '/');
	snprintf(out, cap, "%s (%s)", function, file ? file + 1 : place);
}

void site_text(const struct site *s, char *out, size_t cap)
{
	char line[256];
	size_t at = 0;
	pthread_once(&self.once, load_symbols);
	if (!s->frames)
		snprintf(out, cap, "SQLite");
	for (unsigned i = 0; i < s->frames && at < cap; i++) {
		line_of(s->frame[i], line, sizeof line);
		at += (size_t)snprintf(out + at, cap - at, "%s%s", i ? " < " : "", line);
	}
}
