#include "base/accounts.h"
#include "base/helper_acts.h"

#include <grp.h>
#include <pwd.h>
#include <string.h>

#define NSS_BYTES  65536
#define GROUPS_MAX (HELPER_ARGS_MAX / sizeof(uint32_t))

_Static_assert(sizeof(gid_t) == sizeof(uint32_t), "groups are handed on as they are");

/* ---- the name service ------------------------------------------------------------------------------------------------ */

static errint_t nss_user(const char *name, uint32_t *ret)
{
	struct passwd pw, *found = NULL;
	cleanup_free char *buf = malloc(NSS_BYTES);
	if (!buf)
		return -ENOMEM;
	if (getpwnam_r(name, &pw, buf, NSS_BYTES, &found) || !found)
		return -ENOENT;
	*ret = found->pw_uid;
	return 0;
}

static errint_t nss_group(const char *name, uint32_t *ret)
{
	struct group gr, *found = NULL;
	cleanup_free char *buf = malloc(NSS_BYTES);
	if (!buf)
		return -ENOMEM;
	if (getgrnam_r(name, &gr, buf, NSS_BYTES, &found) || !found)
		return -ENOENT;
	*ret = found->gr_gid;
	return 0;
}

static errint_t nss_groups(uint32_t uid, uint32_t **ret, size_t *ret_count)
{
	struct passwd pw, *found = NULL;
	cleanup_free char *buf = malloc(NSS_BYTES);
	cleanup_free gid_t *gid = malloc(GROUPS_MAX * sizeof *gid);
	int count = GROUPS_MAX;
	if (!buf || !gid)
		return -ENOMEM;
	if (getpwuid_r(uid, &pw, buf, NSS_BYTES, &found) || !found)
		return -ENOENT;
	if (getgrouplist(found->pw_name, found->pw_gid, gid, &count) < 0)
		count = GROUPS_MAX; /* as many as fit */
	gid_t *fitting = realloc(gid, ((size_t)count + 1) * sizeof *gid);
	*ret = fitting ? fitting : gid;
	gid = NULL;
	*ret_count = (size_t)count;
	return 0;
}

/* ---- by the helper ---------------------------------------------------------------------------------------------------- */

static bool nss_group_empty(uint32_t gid)
{
	struct group gr, *found = NULL;
	cleanup_free char *buf = malloc(NSS_BYTES);
	bool empty = true;
	if (!buf || getgrgid_r(gid, &gr, buf, NSS_BYTES, &found) || !found || found->gr_mem[0])
		return false;
	setpwent();
	for (struct passwd *pw; empty && (pw = getpwent());)
		empty = pw->pw_gid != gid;
	endpwent();
	return empty;
}

enum { ASK_EMPTY = 'e', ASK_USER = 'u', ASK_GROUP = 'g', ASK_GROUPS = 'l' };

errint_t helper_act_account(struct helper_call *c)
{
	const char *name = (const char *)c->args + 1;
	uint32_t id, *group = NULL;
	size_t count = 1;
	errint_t r = -EBADMSG;
	if (!c->len)
		return r;
	if (c->args[0] == ASK_USER)
		r = nss_user(name, &id);
	else if (c->args[0] == ASK_GROUP)
		r = nss_group(name, &id);
	else if (c->args[0] == ASK_EMPTY && c->len == 1 + sizeof id) {
		memcpy(&id, name, sizeof id);
		id = nss_group_empty(id);
		r = 0;
	} else if (c->args[0] == ASK_GROUPS && c->len == 1 + sizeof id) {
		memcpy(&id, name, sizeof id);
		r = nss_groups(id, &group, &count);
	}
	return r ? r : helper_reply(c, 0, group ? group : &id, count * sizeof id, -1);
}

static errint_t ask(char what, const void *about, size_t len, struct helper_answer *ret)
{
	uint8_t args[1024];
	if (len >= sizeof args)
		return -ENOENT;
	args[0] = (uint8_t)what;
	memcpy(args + 1, about, len);
	errint_t r = helper_ask(HELPER_ACCOUNT, args, len + 1, NULL, ret);
	cleanup_closep(&ret->fd);
	return r;
}

static errint_t ask_id(char what, const void *about, size_t len, uint32_t *ret)
{
	struct helper_answer a;
	errint_t r = ask(what, about, len, &a);
	if (!r && a.len != sizeof *ret)
		r = -EBADMSG;
	if (!r)
		memcpy(ret, a.out, sizeof *ret);
	free(a.out);
	return r;
}

errint_t account_user(const char *name, uint32_t *ret_uid)
{
	return helper_started() ? ask_id(ASK_USER, name, strlen(name), ret_uid) : nss_user(name, ret_uid);
}

errint_t account_group(const char *name, uint32_t *ret_gid)
{
	return helper_started() ? ask_id(ASK_GROUP, name, strlen(name), ret_gid) : nss_group(name, ret_gid);
}

bool account_group_empty(uint32_t gid)
{
	uint32_t empty = 0;
	if (!helper_started())
		return nss_group_empty(gid);
	return !ask_id(ASK_EMPTY, &gid, sizeof gid, &empty) && empty;
}

errint_t account_groups(uint32_t uid, uint32_t **ret, size_t *ret_count)
{
	struct helper_answer a;
	if (!helper_started())
		return nss_groups(uid, ret, ret_count);
	errint_t r = ask(ASK_GROUPS, &uid, sizeof uid, &a);
	if (!r && (a.len < sizeof uid || a.len % sizeof uid))
		r = -EBADMSG;
	if (r) {
		free(a.out);
		return r;
	}
	*ret = (uint32_t *)(void *)a.out;
	*ret_count = a.len / sizeof uid;
	return 0;
}
