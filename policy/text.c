/* text.c - the policy that `lapse init` writes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/internal.h"

static const char format[] =
	"; The policy of this archive. What is in force is the copy sealed in the archive: after a change here,\n"
	"; `lapse policy check FILE` names every error, and `lapse policy apply FILE` puts it in force.\n"
	"; Comments have lines of their own. All keys: POLICY.md.\n"
	"\n"
	"[policy]\n"
	"version = 1\n"
	"; the class of every file that no other class matches\n"
	"default-class = images\n"
	"; whom a refused reader should ask; shown with each refusal\n"
	"; contact = records office, ext. 1234\n"
	"\n"
	"; ---- what is kept how long ----------------------------------------------------------------------------\n"
	"; The first class that matches a file's path counts. After expire-after nobody can read the file: its key\n"
	"; no longer exists. Units: s min h d w mo y, or never.\n"
	"\n"
	"; [class passports]\n"
	"; match = passports/** scans/passport-*.jpg\n"
	"; expire-after = 12h\n"
	"\n"
	"[class images]\n"
	"match = **\n"
	"expire-after = %s\n"
	"\n"
	"; ---- who may read, and how much -----------------------------------------------------------------------\n"
	"; The first rule that matches counts; whom none matches is denied. Nobody is exempt, root included.\n"
	"\n"
	"%s"
	"[rule everyone]\n"
	"effect = permit\n"
	"budget = reader\n"
	"\n"
	"; Distinct files in sliding windows: reading a file again is free.\n"
	"[budget reader]\n"
	"per = user\n"
	"files = 500/10min 2000/24h 8000/30d\n"
	"; names that listings show, and that are looked up\n"
	"names = 100000/1h\n"
	"on-exceed = deny\n"
	"%s"
	"\n"
	"; All readers together: a warning only, since it would hold up everyone.\n"
	"[budget archive]\n"
	"per = everyone\n"
	"files = 20000/24h\n"
	"mode = alert\n"
	"\n"
	"; Refusals, lockouts, damage and more are told to the journal or syslog; a command can have each as JSON, too:\n"
	"; [alert]\n"
	"; exec = /usr/local/sbin/tell-the-office\n"
	"\n"
	"; lapse grant lets somebody read beyond the budgets for a time. To let it wait until a second person approves it:\n"
	"; [break-glass]\n"
	"; approve = second-person\n"
	"; max-time = 4h\n"
	"; ticket = yes\n";

static const char service_format[] =
	"; What reads automatically: a unit of the system, as systemctl names it.\n"
	"[rule service]\n"
	"services = %s\n"
	"effect = permit\n"
	"budget = none\n"
	"\n";
static const char no_service[] =
	"; What reads automatically, without limit:\n"
	"; [rule service]\n"
	"; services = imgindex.service\n"
	"; effect = permit\n"
	"; budget = none\n"
	"\n";

char *policy_default_text(const char *expire_after, const char *service, bool ordinary_user)
{
	struct policy_duration d;
	char *text, *reads = NULL;

	if (policy_duration_parse(expire_after, &d, NULL) || (service && !unit_valid(service))) {
		errno = EINVAL;
		return NULL;
	}
	if (service && asprintf(&reads, service_format, service) < 0)
		return NULL;
	const char *mode =
		ordinary_user ? "; an archive of your own begins with warnings; enforce would refuse\nmode = alert\n"
			      : "mode = enforce\n";
	if (asprintf(&text, format, expire_after, reads ? reads : no_service, mode) < 0)
		text = NULL;
	free(reads);
	return text;
}
