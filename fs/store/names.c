/* names.c - users, groups and time zones of this machine, for the policy parser. */
#include "store/archive.h"

#include "exif/reader.h"

#include <grp.h>
#include <pwd.h>

#define NSS_BYTES 65536

static int find_user(void *ctx, const char *name, uint32_t *ret_uid)
{
	struct passwd pw, *found = NULL;
	cleanup_free char *buf = malloc(NSS_BYTES);
	if (!buf)
		return -ENOMEM;
	if (getpwnam_r(name, &pw, buf, NSS_BYTES, &found) || !found)
		return -ENOENT;
	*ret_uid = found->pw_uid;
	return 0;
}

static int find_group(void *ctx, const char *name, uint32_t *ret_gid)
{
	struct group gr, *found = NULL;
	cleanup_free char *buf = malloc(NSS_BYTES);
	if (!buf)
		return -ENOMEM;
	if (getgrnam_r(name, &gr, buf, NSS_BYTES, &found) || !found)
		return -ENOENT;
	*ret_gid = found->gr_gid;
	return 0;
}

static int find_zone(void *ctx, const char *name)
{
	return exif_zone_exists(name) ? 0 : -ENOENT;
}

const struct policy_names *archive_names(void)
{
	static const struct policy_names names = {.user = find_user, .group = find_group, .zone = find_zone};
	return &names;
}
