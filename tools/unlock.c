#include "tools/unlock.h"

#include "base/io.h"
#include "base/secret.h"
#include "tools/prompt.h"
#include "tools/say.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define ASK_PASSWORD "/usr/bin/systemd-ask-password"

const struct option_def unlock_options[] = {
	{"key-file", 'k', "FILE", "file of 32 random bytes, or a recovery key, that opens the archive"},
	{"passphrase-fd", '\0', "N", "read the passphrase from file descriptor N, up to the end of the line"},
	OPTIONS_END,
};

void unlock_free(struct unlock *u)
{
	secret_free(u->bytes, PASSPHRASE_MAX);
	*u = (struct unlock){0};
}

const char *unlock_kind(const struct unlock *u)
{
	return u->secret.kind == SLOT_KEY_FILE   ? "key-file"
	       : u->secret.kind == SLOT_RECOVERY ? "recovery"
						 : "passphrase";
}

/* As text, a final newline left out. */
static bool is_recovery(const uint8_t *bytes, size_t len, char *text, uint8_t key[static KEY_BYTES])
{
	memcpy(text, bytes, len);
	if (len && text[len - 1] == '\n')
		text[len - 1] = '\0';
	return recovery_parse(text, key) == 0;
}

/* Takes what was read; a recovery key is recognised by its checksum. */
static int taken(struct unlock *u, size_t len, bool passphrase, enum unlock_purpose purpose, const char *where)
{
	uint8_t *key = secret_alloc(KEY_BYTES);
	char *text = secret_alloc(PASSPHRASE_MAX + 1);
	int r = EXIT_DONE;
	u->secret = (struct slot_secret){SLOT_PASSPHRASE, u->bytes, len};
	if (!key || !text) {
		r = say_error("out of memory");
	} else if (purpose == UNLOCK_OPEN && is_recovery(u->bytes, len, text, key)) {
		memcpy(u->bytes, key, KEY_BYTES);
		u->secret = (struct slot_secret){SLOT_RECOVERY, u->bytes, KEY_BYTES};
	} else if (!passphrase && len != KEY_BYTES) {
		r = say_error("%s is no key file: it has %s32 bytes. Make one with: (umask 077; head -c 32 "
			      "/dev/urandom >FILE)",
			where, len > KEY_BYTES ? "more than " : "fewer than ");
	} else if (!passphrase) {
		u->secret.kind = SLOT_KEY_FILE;
	} else if (len == 0) {
		r = say_error("the passphrase from %s is empty", where);
	}
	secret_free(key, KEY_BYTES);
	secret_free(text, PASSPHRASE_MAX + 1);
	return r;
}

/* Up to the end of the file or, for a passphrase, of the line; -EMSGSIZE. */
static errint_t descriptor_read(int fd, bool line, uint8_t *out, size_t *ret_len)
{
	size_t len = 0;
	for (;;) {
		uint8_t c;
		ssize_t n = read(fd, &c, 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0 || (line && c == '\n'))
			break;
		if (len == PASSPHRASE_MAX)
			return -EMSGSIZE;
		out[len++] = c;
	}
	*ret_len = len;
	return 0;
}

static int from_key_file(const char *path, enum unlock_purpose purpose, struct unlock *u)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	size_t len;
	if (fd < 0 && errno == ENOENT)
		return say_error("there is no key file %s. Make one with: (umask 077; head -c 32 /dev/urandom >%s), "
				 "and keep a copy "
				 "in a safe place: without it the archive cannot be opened",
			path, path);
	if (fd < 0 || fstat(fd, &st))
		return say_error("cannot open key file %s: %s", path, strerror(errno));
	if (S_ISREG(st.st_mode) && (st.st_mode & 077))
		say_warning("key file %s can be read by others than its owner; chmod 600 it", path);
	errint_t r = descriptor_read(fd, false, u->bytes, &len);
	if (r)
		return say_error("cannot read key file %s: %s", path,
			r == -EMSGSIZE ? "it is too long to be one" : strerror(-r));
	return taken(u, len, false, purpose, path);
}

static int from_descriptor(const char *number, enum unlock_purpose purpose, struct unlock *u)
{
	char *end, where[48];
	size_t len;
	long fd = strtol(number, &end, 10);
	if (end == number || *end || fd < 0 || fd > INT_MAX)
		return say_usage("--passphrase-fd needs the number of an open file descriptor, not '%s'", number);
	errint_t r = descriptor_read((int)fd, true, u->bytes, &len);
	if (r)
		return say_error("cannot read a passphrase from descriptor %ld: %s", fd,
			r == -EMSGSIZE ? "it is longer than 1,024 bytes" : strerror(-r));
	snprintf(where, sizeof where, "descriptor %ld", fd);
	return taken(u, len, true, purpose, where);
}

/* -1: there is no credential. */
static int from_credentials(struct unlock *u)
{
	const char *dir = getenv("CREDENTIALS_DIRECTORY");
	for (int passphrase = 0; dir && passphrase < 2; passphrase++) {
		char path[PATH_MAX];
		size_t len;
		snprintf(path, sizeof path, "%s/%s", dir, passphrase ? "lapse.passphrase" : "lapse.key");
		cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		errint_t r = descriptor_read(fd, passphrase, u->bytes, &len);
		if (r)
			return say_error("cannot read the credential %s: %s", path,
				r == -EMSGSIZE ? "it is too long" : strerror(-r));
		return taken(u, len, passphrase, UNLOCK_OPEN, path);
	}
	return -1;
}

static int from_terminal(const char *archive, enum unlock_purpose purpose, struct unlock *u)
{
	char question[PATH_MAX + 64];
	size_t len, again_len;
	snprintf(question, sizeof question,
		purpose == UNLOCK_NEW ? "New passphrase for %s: " : "Passphrase of %s: ", archive);
	errint_t r = prompt_secret(question, u->bytes, &len);
	if (!r && purpose == UNLOCK_NEW) {
		uint8_t *again = secret_alloc(PASSPHRASE_MAX);
		r = again ? prompt_secret("Once more, so that a slip shows: ", again, &again_len) : -ENOMEM;
		bool same = !r && len == again_len && !memcmp(again, u->bytes, len);
		secret_free(again, PASSPHRASE_MAX);
		if (!r && !same)
			return say_error("the two passphrases differ; nothing was done");
	}
	if (r)
		return say_error("no passphrase: %s", r == -EINTR ? "given up" : strerror(-r));
	return taken(u, len, true, purpose, "the terminal");
}

static int from_agent(const char *archive, struct unlock *u)
{
	int out[2];
	if (pipe2(out, O_CLOEXEC))
		return say_error("no passphrase: %s", strerror(errno));
	pid_t pid = fork();
	if (pid == 0) {
		char question[PATH_MAX + 64];
		snprintf(question, sizeof question, "Passphrase of the lapse archive %s:", archive);
		if (dup2(out[1], STDOUT_FILENO) >= 0)
			execl(ASK_PASSWORD, "systemd-ask-password", "--icon=drive-harddisk", question, (char *)NULL);
		_exit(127);
	}
	close(out[1]);
	cleanup_fd int fd = out[0];
	size_t len = 0;
	errint_t r = pid < 0 ? -EAGAIN : descriptor_read(fd, true, u->bytes, &len);
	int status = 0;
	if (pid > 0)
		waitpid(pid, &status, 0);
	if (r || status)
		return say_error("no passphrase: systemd-ask-password got none");
	return taken(u, len, true, UNLOCK_OPEN, "systemd-ask-password");
}

int unlock_get(const char *archive, const char *key_file, const char *passphrase_fd, enum unlock_purpose purpose,
	struct unlock *ret)
{
	struct unlock u = {.bytes = secret_alloc(PASSPHRASE_MAX)};
	int r = -1;
	if (!u.bytes)
		return say_error("out of memory");
	if (key_file && passphrase_fd)
		r = say_usage("give a key file or a passphrase, not both");
	else if (key_file)
		r = from_key_file(key_file, purpose, &u);
	else if (passphrase_fd)
		r = from_descriptor(passphrase_fd, purpose, &u);
	else if (purpose == UNLOCK_OPEN)
		r = from_credentials(&u);
	if (r < 0 && prompt_possible())
		r = from_terminal(archive, purpose, &u);
	if (r < 0 && purpose == UNLOCK_OPEN && !access("/run/systemd/system", F_OK) && !access(ASK_PASSWORD, X_OK))
		r = from_agent(archive, &u);
	if (r < 0)
		r = say_usage(
			"no key for %s: give --key-file FILE or --passphrase-fd N, there is no terminal to ask at",
			archive);
	if (r == EXIT_DONE)
		*ret = u;
	else
		unlock_free(&u);
	return r;
}

int unlock_cost(const struct unlock *u, struct slot_cost *ret)
{
	*ret = (struct slot_cost){0};
	if (u->secret.kind != SLOT_PASSPHRASE)
		return EXIT_DONE;
	uint64_t ram = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	errint_t r = slot_calibrate(1000, ram, ret);
	return r ? say_error("this machine has too little memory for a passphrase (%s); use a key file", strerror(-r))
		 : EXIT_DONE;
}
