#include "tools/program.h"

#include "store/program_file.h"
#include "tools/say.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static void digest_text(const uint8_t digest[static POLICY_DIGEST_BYTES], char out[static 2 * POLICY_DIGEST_BYTES + 1])
{
	for (size_t i = 0; i < POLICY_DIGEST_BYTES; i++)
		snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

/* ---- what no longer matches --------------------------------------------------------------------------------------------- */

/* One of the section's other paths is there. */
static bool is_elsewhere(const struct policy *p, const struct policy_program *missing)
{
	struct policy_program other;
	struct program_file f;

	for (size_t i = 0; missing->section && policy_program_at(p, i, &other); i++)
		if (other.section && !strcmp(other.section, missing->section) && !program_file_stat(AT_FDCWD, other.path, &f))
			return true;
	return false;
}

static bool digest_matches(const struct policy_program *p, const uint8_t digest[static POLICY_DIGEST_BYTES])
{
	for (size_t i = 0; i < p->sha256_count; i++)
		if (!memcmp(p->sha256[i], digest, POLICY_DIGEST_BYTES))
			return true;
	return p->sha256_count == 0;
}

/* NULL: it matches. */
static const char *fault_of(const struct policy *p, const struct policy_program *named, const char **ret_remedy)
{
	uint8_t digest[POLICY_DIGEST_BYTES] = {0};
	struct program_file f;

	*ret_remedy = "install it, or take it out of the policy";
	if (program_file_stat(AT_FDCWD, named->path, &f))
		return is_elsewhere(p, named) ? NULL : "there is no such file";
	*ret_remedy = "make it root's, and writable by nobody else";
	if (program_file_state(&f) == PROGRAM_WRITABLE)
		return "somebody other than root may change it";
	*ret_remedy = "name a program of its own, or the service";
	if (policy_program_interprets(named->path))
		return "it runs what it is given, and is never believed";
	*ret_remedy = "see that it is what it should be; lapse guard trust prints what belongs into the policy then";
	if (named->sha256_count && program_file_hash(AT_FDCWD, named->path, &f, digest))
		return "it cannot be read";
	return digest_matches(named, digest) ? NULL : "it is none of those whose sha256 the policy has";
}

size_t program_check(const struct policy *p, void (*cb)(void *ctx, unsigned line, const char *what, const char *remedy), void *ctx)
{
	struct policy_program named;
	size_t count = 0;
	char text[256];

	for (size_t i = 0; policy_program_at(p, i, &named); i++) {
		const char *remedy, *fault = fault_of(p, &named, &remedy);

		if (!fault)
			continue;
		snprintf(text, sizeof(text), "[rule %s] does not match %.120s: %s", named.rule, named.path, fault);
		cb(ctx, named.line, text, remedy);
		count++;
	}
	return count;
}

/* ---- the policy in force --------------------------------------------------------------------------------------------------- */

static errint_t text_row(void *file, const struct ctl_line *row)
{
	return !strcmp(row->word, "text") && fputs(ctl_str(row, "chunk"), file) == EOF ? -EIO : 0;
}

int program_policy(struct target *t, bool quiet, struct policy **ret)
{
	struct policy_diags diags = {0};
	struct fault f = {{0}};
	struct ctl_request q;
	char *text = NULL;
	size_t len = 0;
	FILE *file = open_memstream(&text, &len);
	errint_t r;

	if (!file)
		return quiet ? EXIT_ERROR : say_error("out of memory");
	ctl_request_begin(&q, "policy-show");
	r = target_try(t, &q, text_row, file, &f);
	if (fclose(file) && !r)
		r = -ENOMEM;
	if (!r)
		r = policy_parse(text, len, archive_names(), ret, &diags);
	policy_diags_free(&diags);
	free(text);
	return !r ? EXIT_DONE : quiet ? EXIT_ERROR : say_fault(&f, r, "cannot read the archive's policy");
}

/* ---- guard trust ------------------------------------------------------------------------------------------------------------ */

/* The section of the policy that has this path; false if none has. */
static bool find_named(const struct policy *p, const char *path, struct policy_program *ret)
{
	for (size_t i = 0; policy_program_at(p, i, ret); i++)
		if (!strcmp(ret->path, path))
			return true;
	return false;
}

/* A name for the section of a program that has none: its own, as far as that is one. */
static void section_name(const char *path, char out[static 33])
{
	const char *name = strrchr(path, '/') + 1;
	size_t n = 0;

	if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_", *name))
		out[n++] = '_';
	for (; *name && n < 32; name++)
		out[n++] = strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-", *name) ? *name : '_';
	out[n] = '\0';
}

static void print_word(const char *path)
{
	for (; *path; path++)
		printf("%s%c", strchr(" \t,\\;#", *path) ? "\\" : "", *path);
}

static void print_paths(const struct policy *p, const char *path, const struct policy_program *named)
{
	struct policy_program other;
	const char *rule = named ? named->rule : NULL;

	printf("paths = ");
	print_word(path);
	/* A section that several rules name comes once for each of them. */
	for (size_t i = 0; rule && named->section && policy_program_at(p, i, &other); i++)
		if (other.section && !strcmp(other.section, named->section) && !strcmp(other.rule, rule) && strcmp(other.path, path) != 0) {
			printf(" ");
			print_word(other.path);
		}
	printf("\n");
}

static void print_fragment(const struct policy *p, const char *path, const uint8_t digest[static POLICY_DIGEST_BYTES])
{
	struct policy_program named;
	bool known = find_named(p, path, &named);
	char name[33], text[2 * POLICY_DIGEST_BYTES + 1];

	section_name(path, name);
	if (known && named.section && digest_matches(&named, digest) && named.sha256_count)
		printf("; the policy has this file already\n");
	else if (!known || !named.section)
		printf("; a rule has to name it: programs = %s\n", name);
	printf("[programs %s]\n", known && named.section ? named.section : name);
	print_paths(p, path, known ? &named : NULL);
	digest_text(digest, text);
	printf("sha256 = %s", text);
	for (size_t i = 0; known && i < named.sha256_count; i++) {
		if (!memcmp(named.sha256[i], digest, POLICY_DIGEST_BYTES))
			continue;
		digest_text(named.sha256[i], text);
		printf(" %s", text);
	}
	printf("\n");
}

static bool is_script(const char *path)
{
	char head[2] = "";
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	return fd >= 0 && read(fd, head, sizeof head) == 2 && !memcmp(head, "#!", 2);
}

int program_digest(const char *path, uint8_t digest[static POLICY_DIGEST_BYTES])
{
	struct program_file f;
	errint_t r;

	if (path[0] != '/')
		return say_usage("a program is named by its absolute path, not '%s'", path);
	r = program_file_stat(AT_FDCWD, path, &f);
	if (!r && !S_ISREG(f.mode))
		return say_error("%s is no file", path);
	if (!r)
		r = program_file_hash(AT_FDCWD, path, &f, digest);
	if (r)
		return say_error("%s: %s", path, r == -ESTALE ? "it was changed while it was read" : strerror(-r));
	if (program_file_state(&f) != PROGRAM_VALID)
		say_warning("somebody other than root may change %s: as long as that is so, no rule matches it", path);
	if (policy_program_interprets(path))
		say_warning("%s runs what it is given: no rule that permits matches it", path);
	if (is_script(path))
		say_warning("%s is a script: what runs is its interpreter, and no rule that permits matches that; name the service that runs it", path);
	return EXIT_DONE;
}

static int trust_run(const struct args *a)
{
	uint8_t digest[POLICY_DIGEST_BYTES];
	const char *path = a->operand[0];
	struct policy *p = NULL;
	struct target t;
	int e;

	e = program_digest(path, digest);
	if (e == EXIT_DONE)
		e = target_open(a, args_operand(a, 1), "policy-show", &t);
	if (e != EXIT_DONE)
		return e;
	e = program_policy(&t, false, &p);
	target_close(&t);
	if (e == EXIT_DONE)
		print_fragment(p, path, digest);
	policy_unref(p);
	return e;
}

const struct command command_guard_trust = {
	.name = "guard trust",
	.operands = "PROGRAM [ARCHIVE]",
	.min = 1,
	.max = 2,
	.summary = "Print the section of the policy under which a program is believed as its file is now, beside what the policy has of it.",
	.details = "It changes nothing: lapse policy apply does, with the section in the policy. Before an upgrade, run it on a copy of the new file and add that digest, so\n"
		   "that both are believed; remove the old one afterwards.",
	.options = {unlock_options},
	.run = trust_run,
};
