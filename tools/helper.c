#include "tools/command.h"
#include "tools/mount.h"
#include "tools/nearest.h"
#include "tools/say.h"

#include "base/secret.h"

#include <stdio.h>
#include <string.h>

/* mount(8)'s own exit codes. */
enum { MOUNT_DONE = 0, MOUNT_USAGE = 1, MOUNT_SYSTEM = 2, MOUNT_FAILED = 32 };

/* What mount(8) and fstab pass on that changes nothing here. A mount of lapse is always nosuid and nodev. */
static const char *const ignored[] = {
	"defaults",
	"rw",
	"auto",
	"noauto",
	"user",
	"nouser",
	"users",
	"owner",
	"group",
	"nofail",
	"_netdev",
	"nosuid",
	"nodev",
	"exec",
	"async",
	"atime",
	"noatime",
	"diratime",
	"nodiratime",
	"relatime",
	"norelatime",
	"lazytime",
	"nolazytime",
	"silent",
	"loud",
};

static const struct {
	const char *name, *why;
} refused[] = {
	{"ro", "lapse cannot mount read-only"},
	{"suid", "files of an archive never gain rights when they are run"},
	{"dev", "an archive holds no devices"},
	{"remount", "unmount it and mount it again; a policy is changed with lapse policy apply"},
	{"bind", "an archive is not bound but mounted"},
	{"foreground", "use lapse mount --foreground"},
};

struct helper {
	struct mount_request request;
	bool sloppy, fake, verbose;
};

static bool is_ignored(const char *option)
{
	if (!strncmp(option, "x-", 2) || !strncmp(option, "X-", 2) || !strncmp(option, "comment=", 8))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		if (!strcmp(ignored[i], option))
			return true;
	return false;
}

static int refuse(const struct helper *h, const char *option)
{
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		if (!strcmp(refused[i].name, option)) {
			say("option '%s' is not supported: %s", option, refused[i].why);
			return MOUNT_USAGE;
		}
	if (h->sloppy)
		return MOUNT_DONE;
	char name[64];
	snprintf(name, sizeof name, "%.*s", (int)strcspn(option, "="), option);
	struct nearest_word n = {.word = name};
	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		nearest_word_offer(&n, ignored[i]);
	for (size_t i = 0; i < 3; i++)
		nearest_word_offer(&n, (const char *const[]){"key-file", "policy", "transport"}[i]);
	say("unknown option '%s'%s%s%s", option, n.best ? "; did you mean '" : "", n.best ? n.best : "",
		n.best ? "'?" : "");
	return MOUNT_USAGE;
}

static int option(struct helper *h, const char *o)
{
	struct mount_request *m = &h->request;
	if (!*o || is_ignored(o))
		return MOUNT_DONE;
	if (!strncmp(o, "key-file=", 9))
		m->key_file = o + 9;
	else if (!strncmp(o, "policy=", 7))
		m->policy = o + 7;
	else if (!strcmp(o, "transport=device") || !strcmp(o, "transport=auto"))
		m->only_device = o[10] == 'd';
	else if (!strcmp(o, "noexec"))
		m->noexec = true;
	else
		return refuse(h, o);
	return MOUNT_DONE;
}

/* Splits at commas; a backslash keeps one (in a file's name). */
static int options(struct helper *h, char *list)
{
	while (list) {
		char *in = list, *out = list;
		for (; *in && *in != ','; in++) {
			if (*in == '\\' && in[1])
				in++;
			*out++ = *in;
		}
		char *next = *in ? in + 1 : NULL;
		*out = '\0';
		int e = option(h, list);
		if (e != MOUNT_DONE)
			return e;
		list = next;
	}
	return MOUNT_DONE;
}

static int usage(void)
{
	fprintf(stderr, "Usage: mount.lapse ARCHIVE MOUNTPOINT [-sfnv] [-N NAMESPACE] [-t TYPE] [-o OPTIONS]\n"
			"Options: key-file=FILE, policy=FILE, transport=auto|device, noexec; see mount.lapse(8)\n");
	return MOUNT_USAGE;
}

static int parse(struct helper *h, int argc, char *const *argv)
{
	const char *operand[2] = {NULL};
	size_t operands = 0;
	for (int i = 1; i < argc; i++) {
		char *word = argv[i];
		if (word[0] != '-' || !word[1]) {
			if (operands == 2)
				return usage();
			operand[operands++] = word;
			continue;
		}
		for (char *c = word + 1; *c; c++) {
			if (!strchr("sfnvNto", *c))
				return usage();
			h->sloppy |= *c == 's';
			h->fake |= *c == 'f';
			h->verbose |= *c == 'v';
			if (!strchr("Nto", *c))
				continue;
			char *value = c[1] ? c + 1 : i + 1 < argc ? argv[++i] : NULL;
			int e = !value ? usage() : *c == 'o' ? options(h, value) : MOUNT_DONE;
			if (e != MOUNT_DONE)
				return e;
			break;
		}
	}
	h->request.archive = operand[0];
	h->request.mountpoint = operand[1];
	return operands == 2 ? MOUNT_DONE : usage();
}

int mount_helper_main(int argc, char *const *argv)
{
	struct helper h = {0};
	say_set_program("mount.lapse");
	if (argc == 2 && (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))) {
		printf("lapse %s\n", LAPSE_VERSION);
		return MOUNT_DONE;
	}
	int e = argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) ? usage() : parse(&h, argc, argv);
	if (e != MOUNT_DONE)
		return e;
	if (h.verbose)
		say("mounting %s at %s", h.request.archive, h.request.mountpoint);
	if (h.fake)
		return MOUNT_DONE;
	if (secret_init()) {
		say("libsodium cannot start");
		return MOUNT_SYSTEM;
	}
	switch (mount_go(&h.request)) {
	case EXIT_DONE:
		return MOUNT_DONE;
	case EXIT_USAGE:
		return MOUNT_USAGE;
	default:
		return MOUNT_FAILED;
	}
}
