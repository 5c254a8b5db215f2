/* unit.c - the service and the login session that a thread belongs to. Nobody but the machine's administration moves a thread into another unit, so that a second
 * later is soon enough.
 *
 * A user has a tree of units of his own below user.slice, and may name them as he likes; what lies below system.slice, the machine's service manager alone
 * has put there. */
#include "fuse/look.h"
#include "fuse/subject_internal.h"

#include <stdio.h>
#include <string.h>

#define CGROUP_BYTES  4096
#define OTHER_SECONDS 10
#define SESSION_BYTES 4096

static bool ends_with(const char *text, size_t len, const char *end)
{
	size_t n = strlen(end);

	return len > n && !memcmp(text + len - n, end, n);
}

/* Slices below system.slice order units; the first thing that is no slice is the unit. */
static bool unit_of(const char *path, size_t len, char ret[static SUBJECT_UNIT_MAX])
{
	static const char top[] = "/system.slice/";
	const char *end = path + len, *slash;

	ret[0] = '\0';
	if (len < sizeof(top) - 1 || memcmp(path, top, sizeof(top) - 1) != 0)
		return true;
	for (path += sizeof(top) - 1; path < end; path = slash + 1) {
		slash = memchr(path, '/', (size_t)(end - path));
		slash = slash ? slash : end;
		len = (size_t)(slash - path);
		if (ends_with(path, len, ".slice"))
			continue;
		if (!ends_with(path, len, ".service") && !ends_with(path, len, ".scope"))
			return true;
		if (len >= SUBJECT_UNIT_MAX)
			return false;
		memcpy(ret, path, len);
		ret[len] = '\0';
		return true;
	}
	return true;
}

bool unit_parse(const char *text, char ret[static SUBJECT_UNIT_MAX])
{
	const char *unified = NULL, *named = NULL, *path;

	for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
		if (!strncmp(line, "0::/", 4))
			unified = line + 3;
		else if (strstr(line, ":name=systemd:/") && strstr(line, ":name=systemd:/") < line + strcspn(line, "\n"))
			named = strstr(line, ":name=systemd:/") + strlen(":name=systemd:");
		if (!strchr(line, '\n'))
			break;
	}
	/* Where both are there and one is not used, all processes are in its root. */
	path = unified && (strcspn(unified, "\n") > 1 || !named) ? unified : named;
	return path && unit_of(path, strcspn(path, "\n"), ret);
}

void unit_tell(struct subjects *s, struct task *t, uint32_t pid, struct who *ret)
{
	char text[CGROUP_BYTES];

	if (t->unit_at != subject_now()) {
		t->unit_known = task_read(s, pid, "cgroup", &t->cgroup_fd, text, sizeof(text)) && strlen(text) < sizeof(text) - 1 && unit_parse(text, t->unit);
		t->unit_at = subject_now();
	}
	if (!t->unit_known)
		return;
	strcpy(ret->service, t->unit);
	ret->subject.service = ret->service;
}

/* ---- sessions -------------------------------------------------------------------------------------------------------- */

/* The value of `key`, up to the end of its line; NULL if there is none. */
static const char *value_of(const char *text, const char *key, size_t *ret_len)
{
	size_t len = strlen(key);

	for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		if (!strncmp(line, key, len) && line[len] == '=') {
			*ret_len = strcspn(line + len + 1, "\n");
			return line + len + 1;
		}
	return NULL;
}

static bool value_is(const char *text, const char *key, const char *value)
{
	size_t len;
	const char *found = value_of(text, key, &len);

	return found && len == strlen(value) && !memcmp(found, value, len);
}

enum subject_origin origin_parse(const char *text, uint32_t session, uint32_t login_uid)
{
	static const char *const jobs[] = {"cron", "crond", "atd", "anacron"};
	char number[16], uid[16];
	size_t len;

	snprintf(number, sizeof(number), "%u", session);
	snprintf(uid, sizeof(uid), "%u", login_uid);
	if (!value_is(text, "AUDIT", number) || !value_is(text, "UID", uid))
		return ORIGIN_OTHER;
	if (value_is(text, "SERVICE", "sshd") || value_is(text, "SERVICE", "ssh"))
		return ORIGIN_SSH;
	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++)
		if (value_is(text, "SERVICE", jobs[i]))
			return ORIGIN_CRON;
	return value_of(text, "SEAT", &len) && value_is(text, "REMOTE", "0") && value_is(text, "CLASS", "user") ? ORIGIN_CONSOLE : ORIGIN_OTHER;
}

enum subject_origin session_look(uint32_t session, uint32_t login_uid)
{
	char text[SESSION_BYTES];
	ssize_t n = look_session(session, text, sizeof(text) - 1);

	if (n <= 0)
		return ORIGIN_OTHER;
	text[n] = '\0';
	return origin_parse(text, session, login_uid);
}

bool session_tell(struct subjects *s, struct task *t, uint32_t pid, unsigned needs, struct who *ret)
{
	struct subject *who = &ret->subject;
	cleanup_fd int fd = -1;
	char text[16];

	/* Whoever sets a login uid begins a session. */
	if (t->session == 0 || t->session_login != who->login_uid) {
		t->session = task_read(s, pid, "sessionid", &fd, text, sizeof(text)) ? (uint32_t)strtoul(text, NULL, 10) : 0;
		t->session_login = who->login_uid;
		t->origin_at = 0;
	}
	who->session = t->session;
	if (!(needs & NEED_ORIGIN) || !who->session)
		return true;
	if (who->session == POLICY_NO_UID) {
		who->origin = who->service ? who->service[0] ? ORIGIN_SERVICE : ORIGIN_OTHER : ORIGIN_UNKNOWN;
		return true;
	}
	who->origin = t->origin;
	/* The login manager may write it a moment after the session has begun; what it has written stays. */
	return t->origin_at && (t->origin != ORIGIN_OTHER || subject_now() - t->origin_at <= OTHER_SECONDS);
}
