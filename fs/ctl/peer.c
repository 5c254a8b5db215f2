/* peer.c - who is at the other end of the control socket. */
#include "ctl/verb.h"

#include "base/io.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif

static size_t proc_read(uint32_t pid, const char *file, char *out, size_t cap)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%u/%s", pid, file);
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : io_pread(fd, out, cap - 1, 0);
	out[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

static size_t groups_parse(const char *list, uint32_t groups[static CTL_GROUPS_MAX])
{
	size_t count = 0;
	while (count < CTL_GROUPS_MAX) {
		char *end;
		list += strspn(list, " \t");
		unsigned long gid = strtoul(list, &end, 10);
		if (end == list || gid > UINT32_MAX)
			break;
		groups[count++] = (uint32_t)gid;
		list = end;
	}
	return count;
}

static void proc_subject(uint32_t pid, struct subject *ret, uint32_t groups[static CTL_GROUPS_MAX])
{
	char text[8192], *line;
	if (proc_read(pid, "loginuid", text, sizeof text))
		ret->login_uid = (uint32_t)strtoul(text, NULL, 10);
	if (!proc_read(pid, "status", text, sizeof text)) {
		ret->unidentified = true;
		return;
	}
	line = strstr(text, "\nUid:");
	if (line)
		ret->real_uid = (uint32_t)strtoul(line + 5, NULL, 10);
	line = strstr(text, "\nGroups:");
	if (line)
		ret->group_count = groups_parse(line + 8, groups);
	if (ret->group_count < CTL_GROUPS_MAX)
		groups[ret->group_count++] = ret->gid;
}

/* Another may have the number of a process that has gone. As long as the one that connected runs, it is its own. -1 with *ret_knows: it has gone already; else this
 * kernel does not tell. */
static int peer_open(int socket, bool *ret_knows)
{
	int fd = -1;
	socklen_t len = sizeof fd;
	if (socket > 0 && !getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &fd, &len)) {
		*ret_knows = true;
		return fd;
	}
	*ret_knows = socket > 0 && errno != ENOPROTOOPT;
	return -1;
}

void verb_subject(const struct ctl_call *c, struct subject *ret, uint32_t groups[static CTL_GROUPS_MAX])
{
	bool knows;
	cleanup_fd int process = peer_open(c->peer.socket, &knows);
	*ret = (struct subject){.uid = c->peer.uid,
		.login_uid = POLICY_NO_UID,
		.real_uid = POLICY_NO_UID,
		.gid = c->peer.gid,
		.pid = c->peer.pid,
		.groups = groups};
	proc_subject(c->peer.pid, ret, groups);
	struct pollfd ended = {.fd = process, .events = POLLIN};
	if (!knows || (process >= 0 && poll(&ended, 1, 0) == 0))
		return;
	ret->login_uid = ret->real_uid = POLICY_NO_UID;
	ret->group_count = 0;
	ret->unidentified = true;
}

errint_t verb_own_directory(struct ctl_call *c, int fd)
{
	struct stat st;
	if (c->peer.has_key || c->peer.uid == 0)
		return 0;
	if (fstat(fd, &st))
		return -errno;
	if (!S_ISDIR(st.st_mode) || st.st_uid != c->peer.uid)
		return verb_fail(c, -EACCES, "Only root may have the daemon write in a directory that belongs to somebody else; give one of your own");
	return 0;
}

static bool digest_of(const char *text, uint8_t ret[static POLICY_DIGEST_BYTES])
{
	for (size_t i = 0; i < POLICY_DIGEST_BYTES; i++)
		if (sscanf(text + 2 * i, "%2hhx", &ret[i]) != 1)
			return false;
	return true;
}

errint_t verb_asker(struct ctl_call *c, struct subject *who)
{
	const char *program = ctl_str(c->args, "program"), *digest = ctl_str(c->args, "sha256");
	who->service = ctl_str(c->args, "service");
	who->origin = who->service[0] ? ORIGIN_SERVICE : ORIGIN_OTHER;
	who->program = (struct subject_program){.state = PROGRAM_VALID, .inode = 1, .hashed = digest[0] != '\0'};
	if (policy_program_interprets(program))
		who->program.state = PROGRAM_SCRIPT;
	if (program[0])
		who->program.known[0] = program;
	if (who->program.hashed && (strspn(digest, "0123456789abcdef") != 2 * POLICY_DIGEST_BYTES || digest[2 * POLICY_DIGEST_BYTES] || !digest_of(digest, who->program.sha256)))
		return verb_fail(c, -EINVAL, "That is no SHA-256");
	return 0;
}
