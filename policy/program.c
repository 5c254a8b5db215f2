/* program.c - rules on programs, services and the origin of a session: they narrow a rule to some of what its users run. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/internal.h"

/* ---- what is an interpreter --------------------------------------------------------------------------------------- */

/* Beginnings of names; a version may follow ("python3.13", "lua5.4"). */
static const char *const interpreters[] = {"python", "pypy", "perl", "ruby", "jruby", "node", "nodejs", "deno", "bun", "lua", "luajit", "php", "php-cgi",
	"tclsh", "wish", "expect", "java", "mono", "dotnet", "guile", "racket", "sbcl", "clisp", "ocaml", "ghci", "erl", "beam.smp", "octave", "R", "Rscript",
	"julia", "sh", "bash", "rbash", "dash", "ash", "ksh", "mksh", "zsh", "fish", "csh", "tcsh", "busybox", "toybox", "awk", "gawk", "mawk", "nawk", "sed",
	"m4", "make", "gdb", "lldb", "strace", "ltrace", "emacs", "vim", "vi", "nvim", "env", "xargs", "nice", "nohup", "timeout", "setsid", "sudo", "su",
	"wine", "qjs", "gjs", "ld.so", "ld-linux", "ld-musl", "ld", "valgrind"};

static bool is_version(const char *text)
{
	return text[strspn(text, "0123456789.-_")] == '\0';
}

bool policy_program_interprets(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

	for (size_t i = 0; i < sizeof(interpreters) / sizeof(interpreters[0]); i++) {
		size_t len = strlen(interpreters[i]);

		if (!strncmp(name, interpreters[i], len) && is_version(name + len))
			return true;
	}
	return !strncmp(name, "ld-", 3) || !strncmp(name, "qemu-", 5) || !strncmp(name, "emacs-", 6) || !strncmp(name, "vim.", 4);
}

/* ---- matching ------------------------------------------------------------------------------------------------------ */

static bool digest_listed(const struct programs_section *s, const struct subject_program *p)
{
	if (!s->digest_count)
		return true;
	for (size_t i = 0; p->hashed && i < s->digest_count; i++)
		if (!memcmp(s->digest[i], p->sha256, POLICY_DIGEST_BYTES))
			return true;
	return false;
}

static bool at_path(const struct subject_program *p, const char *path)
{
	for (size_t i = 0; i < PROGRAM_KNOWN_MAX && p->known[i]; i++)
		if (!strcmp(p->known[i], path))
			return true;
	return false;
}

static bool section_has_program(const struct programs_section *s, const struct subject_program *p, bool deny)
{
	for (size_t i = 0; i < s->paths.count; i++)
		if (at_path(p, s->paths.item[i]))
			return deny || digest_listed(s, p);
	return false;
}

/* What cannot be told, or not be believed, is the program that a rule denies, and none that one permits. */
static bool program_matches(const struct rule_section *rule, const struct subject_program *p)
{
	bool deny = rule->effect == RULE_DENY;

	if (!rule->programs.count)
		return true;
	if (deny ? !p->inode : p->state != PROGRAM_VALID)
		return deny;
	for (size_t i = 0; i < rule->programs.count; i++)
		if (rule->program[i] ? section_has_program(rule->program[i], p, deny) : at_path(p, rule->programs.item[i]))
			return true;
	return false;
}

static bool service_matches(const struct rule_section *rule, const char *service)
{
	if (!rule->services.count)
		return true;
	if (!service)
		return rule->effect == RULE_DENY;
	for (size_t i = 0; i < rule->services.count; i++)
		if (!strcmp(rule->services.item[i], service))
			return true;
	return false;
}

bool asker_matches(const struct rule_section *rule, const struct subject *s)
{
	if (rule->origin && s->origin != (enum subject_origin)rule->origin && (s->origin != ORIGIN_UNKNOWN || rule->effect == RULE_PERMIT))
		return false;
	return service_matches(rule, s->service) && program_matches(rule, &s->program);
}

static bool list_covers(const struct strlist *a, const struct strlist *b)
{
	size_t found = 0;

	for (size_t i = 0; i < b->count; i++)
		for (size_t k = 0; k < a->count; k++)
			found += !strcmp(a->item[k], b->item[i]);
	return !a->count || (b->count && found == b->count);
}

bool asker_covers(const struct rule_section *a, const struct rule_section *b)
{
	bool narrow = a->programs.count || a->services.count || a->origin;

	if (narrow && a->effect == RULE_PERMIT && b->effect == RULE_DENY)
		return false;
	return list_covers(&a->programs, &b->programs) && list_covers(&a->services, &b->services) && (!a->origin || a->origin == b->origin);
}

/* ---- file servers --------------------------------------------------------------------------------------------------- */

size_t principals_judged(const struct policy *p, const struct rule_facts *f, uint32_t ret[static PRINCIPALS_MAX])
{
	const struct rule_section *rule = p->rule_identity && !f->who->unidentified ? rule_for(p, f, f->who->uid) : NULL;

	if (!rule || rule->identity != IDENTITY_UID)
		return principals_of(f->who, ret);
	ret[0] = f->who->uid;
	return 1;
}

size_t principals_making(const struct policy *p, const struct subject *s, uint32_t ret[static PRINCIPALS_MAX])
{
	for (size_t i = 0; p->rule_identity && !s->unidentified && i < p->rule_count; i++)
		if (p->rule[i]->identity == IDENTITY_UID && asker_matches(p->rule[i], s)) {
			ret[0] = s->uid;
			return 1;
		}
	return principals_of(s, ret);
}

size_t principals_recorded(const struct policy *p, const struct subject *s, const char *rule, uint32_t ret[static PRINCIPALS_MAX])
{
	for (size_t i = 0; p->rule_identity && !s->unidentified && i < p->rule_count; i++)
		if (p->rule[i]->identity == IDENTITY_UID && !strcmp(p->rule[i]->s.name, rule)) {
			ret[0] = s->uid;
			return 1;
		}
	return principals_of(s, ret);
}

/* ---- linking -------------------------------------------------------------------------------------------------------- */

static unsigned nibble(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

int programs_link(struct programs_section *s, struct policy_diags *d)
{
	if (!s->sha256.count)
		return 0;
	s->digest = calloc(s->sha256.count, POLICY_DIGEST_BYTES);
	if (!s->digest)
		return -ENOMEM;
	s->digest_count = s->sha256.count;
	for (size_t i = 0; i < s->digest_count; i++)
		for (size_t k = 0; k < POLICY_DIGEST_BYTES; k++)
			s->digest[i][k] = (uint8_t)(nibble(s->sha256.item[i][2 * k]) << 4 | nibble(s->sha256.item[i][2 * k + 1]));
	if (s->paths.count > s->digest_count)
		diag_warn(d, section_key_line(&s->s, "sha256"), "[programs %s] has fewer digests than paths: each path's file has to have one of them",
			s->s.name);
	return 0;
}

static void warn_interpreter(const char *path, unsigned line, struct policy_diags *d)
{
	if (policy_program_interprets(path))
		diag_warn(d, line, "%.80s runs what it is given: a rule that permits never believes such a program; name the service, or a program of its own", path);
}

static int link_programs(struct policy *p, struct rule_section *r, struct policy_diags *d)
{
	unsigned line = section_key_line(&r->s, "programs");

	r->program = r->programs.count ? calloc(r->programs.count, sizeof(struct programs_section *)) : NULL;
	if (r->programs.count && !r->program)
		return -ENOMEM;
	for (size_t i = 0; i < r->programs.count; i++) {
		const char *name = r->programs.item[i];
		struct nearest n = {.word = name};

		for (size_t k = 0; k < p->programs_count && !r->program[i]; k++) {
			nearest_offer(&n, p->programs[k]->s.name);
			r->program[i] = strcmp(p->programs[k]->s.name, name) ? NULL : p->programs[k];
		}
		if (!r->program[i] && name[0] != '/')
			diag_error(d, line, "there is no [programs %.40s]%s%s%s; a program's path begins with /", name, n.best ? "; did you mean '" : "",
				n.best ? n.best : "", n.best ? "'?" : "");
		else if (!r->program[i])
			warn_interpreter(name, line, d);
		for (size_t k = 0; r->program[i] && k < r->program[i]->paths.count; k++)
			warn_interpreter(r->program[i]->paths.item[k], section_key_line(&r->program[i]->s, "paths"), d);
		if (r->program[i]) {
			r->program[i]->used = true;
			r->needs |= r->program[i]->digest_count ? NEED_DIGEST : 0;
		}
	}
	return 0;
}

/* Where everybody's programs run, by the people's own doing. */
static bool everybodys(const char *service)
{
	static const char *const units[] = {"ssh.service", "sshd.service", "cron.service", "crond.service", "atd.service", "anacron.service"};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (!strcmp(units[i], service))
			return true;
	return !strncmp(service, "ssh@", 4) || !strncmp(service, "sshd@", 5) || !strncmp(service, "getty@", 6) || !strncmp(service, "user@", 5);
}

bool unit_valid(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot && dot != name && strlen(name) <= POLICY_MAX_UNIT && !strpbrk(name, "/ \t,\\;#\n") && (!strcmp(dot, ".service") || !strcmp(dot, ".scope"));
}

static void link_services(const struct rule_section *r, struct policy_diags *d)
{
	unsigned line = section_key_line(&r->s, "services");

	for (size_t i = 0; i < r->services.count; i++) {
		const char *name = r->services.item[i];

		if (!unit_valid(name))
			diag_error(d, line, "'%.60s' is no unit of the system such as imgindex.service", name);
		else if (r->effect == RULE_PERMIT && everybodys(name))
			diag_warn(d, line, "in %.60s run programs of whoever may log in or have jobs: say which users are meant", name);
	}
}

int rule_link_asker(struct policy *p, struct rule_section *r, struct policy_diags *d)
{
	bool people = section_has(&r->s, "users") || section_has(&r->s, "groups"), service = section_has(&r->s, "services");

	if (section_has(&r->s, "programs") && !people && !service)
		diag_error(d, section_key_line(&r->s, "programs"),
			"[rule %s] names programs, and neither users, groups nor services: a program only narrows a rule, since whoever may start it is not known by it",
			r->s.name);
	if (r->identity == IDENTITY_UID && !service)
		diag_error(d, section_key_line(&r->s, "identity"),
			"[rule %s]: identity = uid is about file servers, and needs 'services': elsewhere the login uid says who is behind a request", r->s.name);
	p->rule_identity |= r->identity == IDENTITY_UID;
	r->needs |= r->identity == IDENTITY_UID ? NEED_MAKER : 0;
	r->needs |= section_has(&r->s, "programs") ? NEED_PROGRAM : 0;
	r->needs |= service ? NEED_SERVICE : 0;
	r->needs |= r->origin ? NEED_ORIGIN | NEED_SESSION | NEED_SERVICE : 0;
	link_services(r, d);
	return link_programs(p, r, d);
}

/* ---- what the rules trust ------------------------------------------------------------------------------------------------ */

static unsigned budget_needs(const struct policy *p)
{
	static const unsigned of_budget[] = {[PER_SESSION] = NEED_SESSION, [PER_PROGRAM] = NEED_PROGRAM, [PER_SERVICE] = NEED_SERVICE};
	unsigned needs = 0;

	for (size_t i = 0; i < p->budget_count; i++)
		needs |= of_budget[p->budget[i]->per];
	return needs;
}

unsigned policy_needs(const struct policy *p)
{
	unsigned needs = budget_needs(p);

	for (size_t i = 0; i < p->rule_count; i++)
		needs |= p->rule[i]->needs;
	return needs;
}

unsigned policy_needs_of(const struct policy *p, const struct subject *s)
{
	unsigned needs = budget_needs(p);
	uint32_t uid[PRINCIPALS_MAX];
	size_t count = principals_of(s, uid);

	for (size_t i = 0; i < p->rule_count; i++) {
		const struct rule_section *r = p->rule[i];
		bool about = r->identity == IDENTITY_UID; /* whoever it is, it says who is meant: see principals_making() */

		for (size_t k = 0; k < count && r->needs && !about; k++)
			about = who_matches(&r->who, s, uid[k], r->effect == RULE_DENY);
		needs |= about ? r->needs : 0;
	}
	return needs;
}

bool policy_program_at(const struct policy *p, size_t i, struct policy_program *ret)
{
	for (size_t k = 0; k < p->rule_count; k++) {
		const struct rule_section *r = p->rule[k];

		for (size_t n = 0; n < r->programs.count; n++) {
			const struct programs_section *s = r->program[n];
			size_t paths = s ? s->paths.count : 1;

			if (i < paths) {
				*ret = (struct policy_program){.rule = r->s.name,
					.line = r->s.line,
					.section = s ? s->s.name : NULL,
					.path = s ? s->paths.item[i] : r->programs.item[n],
					.sha256 = s ? (const uint8_t (*)[POLICY_DIGEST_BYTES])s->digest : NULL,
					.sha256_count = s ? s->digest_count : 0};
				return true;
			}
			i -= paths;
		}
	}
	return false;
}

const char *policy_program_word(enum program_state s)
{
	static const char *const words[PROGRAM_STATES] = {"", "valid", "unreadable", "other-namespace", "traced", "deleted", "writable", "preloaded", "interpreter"};

	return (unsigned)s < PROGRAM_STATES ? words[s] : "";
}

const char *policy_origin_word(enum subject_origin o)
{
	static const char *const words[] = {"", "console", "ssh", "cron", "service", "other"};

	return (unsigned)o < sizeof(words) / sizeof(words[0]) ? words[o] : "";
}
