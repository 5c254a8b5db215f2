#include "tools/user.h"

#include "policy/policy.h"
#include "tools/command.h"
#include "tools/say.h"

#include <pwd.h>
#include <string.h>

int user_number(const char *name, int64_t *ret)
{
	struct passwd *pw = getpwnam(name);
	char *end;
	if (pw) {
		*ret = pw->pw_uid;
		return EXIT_DONE;
	}
	if (!strcmp(name, "unidentified")) {
		*ret = POLICY_UID_UNIDENTIFIED;
		return EXIT_DONE;
	}
	unsigned long uid = strtoul(name, &end, 10);
	if (*name < '0' || *name > '9' || *end || uid >= POLICY_NO_UID)
		return say_error("there is no user '%s'", name);
	*ret = (int64_t)uid;
	return EXIT_DONE;
}
