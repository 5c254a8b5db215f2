#include "tools/command.h"
#include "tools/nearest.h"
#include "tools/say.h"

#include "base/secret.h"

#include <stdio.h>
#include <string.h>

const struct command *const commands[] = {
	&command_init,
	&command_mount,
	&command_umount,
	&command_status,
	&command_queue,
	&command_explain,
	&command_retain,
	&command_policy_check,
	&command_policy_plan,
	&command_policy_apply,
	&command_policy_pending,
	&command_policy_approve,
	&command_policy_undo,
	&command_policy_show,
	&command_policy_diff,
	&command_anchor_status,
	&command_anchor_add,
	&command_anchor_drop,
	&command_anchor_backup,
	&command_anchor_restore,
	&command_anchor_reseed,
	&command_destroy,
	&command_audit_tail,
	&command_audit_read,
	&command_audit_who,
	&command_audit_exposure,
	&command_audit_verify,
	&command_audit_export,
	&command_audit_destroyed,
	&command_clock_status,
	&command_clock_confirm,
	&command_canary_plant,
	&command_canary_remove,
	&command_canary_list,
	&command_grant_request,
	&command_grant_approve,
	&command_grant_revoke,
	&command_grant_list,
	&command_guard_status,
	&command_guard_unlock,
	&command_guard_close,
	&command_guard_open,
	&command_guard_learn,
	&command_guard_trust,
	&command_hold_add,
	&command_hold_list,
	&command_hold_release,
	&command_key_list,
	&command_key_add,
	&command_key_remove,
	&command_key_change,
	&command_import,
	&command_export,
	&command_restore,
	&command_scrub,
	&command_fsck,
	NULL,
};

/* How many of argv's words the name takes; 0: it is not that. */
static int name_words(const char *name, int argc, char *const *argv)
{
	int words = 0;
	while (*name) {
		size_t len = strcspn(name, " ");
		if (words >= argc || strlen(argv[words]) != len || memcmp(argv[words], name, len))
			return 0;
		name += len + (name[len] == ' ');
		words++;
	}
	return words;
}

const struct command *command_find(int argc, char *const *argv, int *ret_words)
{
	for (size_t i = 0; commands[i]; i++) {
		*ret_words = name_words(commands[i]->name, argc, argv);
		if (*ret_words)
			return commands[i];
	}
	return NULL;
}

static void help(void)
{
	printf("Usage: lapse COMMAND [options] [operands]\n\n"
	       "Keeps an archive of image files encrypted, makes each file unreadable for good on its date, and limits "
	       "and\n"
	       "records who reads.\n\nCommands:\n");
	for (size_t i = 0; commands[i]; i++) {
		char left[64];
		snprintf(left, sizeof left, "%s %s", commands[i]->name, commands[i]->operands);
		printf("  %-32s %.*s\n", left, (int)strcspn(commands[i]->summary, ":;."), commands[i]->summary);
	}
	printf("\nlapse COMMAND --help tells the options of a command; lapse(8) tells everything.\n"
	       "Exit status: 0 done, 1 done and something needs attention, 2 usage, 3 error.\n");
}

static bool first_word_known(const char *word)
{
	size_t len = strlen(word);
	for (size_t i = 0; commands[i]; i++)
		if (!strncmp(commands[i]->name, word, len) && commands[i]->name[len] == ' ')
			return true;
	return false;
}

/* "lapse policy", "lapse policy aply", "lapse staus". */
static int unknown(int argc, char *const *argv)
{
	bool group = first_word_known(argv[0]);
	if (group && (argc == 1 || argv[1][0] == '-')) {
		say("lapse %s needs one of:", argv[0]);
		for (size_t i = 0; commands[i]; i++)
			if (!strncmp(commands[i]->name, argv[0], strlen(argv[0])))
				fprintf(stderr, "  lapse %s %s\n", commands[i]->name, commands[i]->operands);
		return argc == 2 && !strcmp(argv[1], "--help") ? EXIT_DONE : EXIT_USAGE;
	}
	char given[80];
	struct nearest_word n = {.word = given};
	snprintf(given, sizeof given, group ? "%.39s %.39s" : "%.39s", argv[0], argc > 1 ? argv[1] : "");
	for (size_t i = 0; commands[i]; i++) {
		char name[64];
		snprintf(name, sizeof name, "%s", commands[i]->name);
		if (!group)
			name[strcspn(name, " ")] = '\0';
		const char *before = n.best;
		nearest_word_offer(&n, name);
		if (n.best != before)
			n.best = commands[i]->name;
	}
	return n.best ? say_usage("there is no command '%s'; did you mean '%s'?", given, n.best)
		      : say_usage("there is no command '%s'", given);
}

int command_main(int argc, char *const *argv)
{
	struct args args;
	char program[48];
	int words = 0, e = EXIT_DONE;
	if (argc == 0) {
		help();
		return EXIT_USAGE;
	}
	if (!strcmp(argv[0], "--help") || !strcmp(argv[0], "-h") || !strcmp(argv[0], "help")) {
		const struct command *c = argc > 1 ? command_find(argc - 1, argv + 1, &words) : NULL;
		c ? command_help(c) : help();
		return EXIT_DONE;
	}
	if (!strcmp(argv[0], "--version") || !strcmp(argv[0], "-V")) {
		printf("lapse %s\n", LAPSE_VERSION);
		return EXIT_DONE;
	}
	const struct command *c = command_find(argc, argv, &words);
	if (!c)
		return unknown(argc, argv);
	snprintf(program, sizeof program, "lapse %s", c->name);
	say_set_program(program);
	if (!args_parse(c, argc - words, argv + words, &args, &e))
		return e;
	if (secret_init())
		return say_error("the system has no source of random numbers, or libsodium cannot start");
	e = c->run(&args);
	if (fflush(stdout) || ferror(stdout))
		return say_error("cannot write to standard output: %s", strerror(errno));
	return e;
}
