#include "tools/command.h"

#include <stdio.h>
#include <string.h>

static bool begins(const char *word, const char *prefix)
{
	return !strncmp(word, prefix, strlen(prefix));
}

/* First words of the commands' names, each once; or the second words of those that begin with argv[0]. */
static void offer_names(int argc, char *const *argv)
{
	const char *prefix = argc ? argv[argc - 1] : "";
	char before[32] = "";
	for (size_t i = 0; commands[i]; i++) {
		char first[32] = "", second[32] = "";
		sscanf(commands[i]->name, "%31s %31s", first, second);
		const char *offer = argc < 2 ? first : !strcmp(first, argv[0]) && argc == 2 ? second : "";
		if (*offer && begins(offer, prefix) && strcmp(offer, before))
			puts(offer);
		strcpy(before, offer);
	}
}

static const struct option_def *option_named(const struct command *c, const char *word)
{
	for (size_t g = 0; g < ARRAY_SIZE(c->options); g++)
		for (const struct option_def *o = c->options[g]; o && o->name; o++)
			if ((word[0] == '-' && word[1] == '-' && !strcmp(word + 2, o->name)) ||
				(word[0] == '-' && o->letter && word[1] == o->letter && !word[2]))
				return o;
	return NULL;
}

static void offer_value(const char *argument, const char *prefix)
{
	if (!strchr(argument, '|')) {
		puts(!strcmp(argument, "DIR")                                    ? "@dir"
			: !strcmp(argument, "FILE") || !strcmp(argument, "PATH") ? "@file"
										 : "@none");
		return;
	}
	char copy[128];
	snprintf(copy, sizeof copy, "%s", argument);
	for (char *rest = copy, *item; rest;)
		if (begins(item = strsep(&rest, "|"), prefix))
			puts(item);
}

int complete_main(int argc, char *const *argv)
{
	int words = 0;
	const struct command *c = command_find(argc, argv, &words);
	if (!c || argc <= words) {
		offer_names(argc, argv);
		return EXIT_DONE;
	}
	const char *prefix = argv[argc - 1];
	const struct option_def *before = argc - 1 > words ? option_named(c, argv[argc - 2]) : NULL;
	if (before && before->argument && before->argument[0] != '[') {
		offer_value(before->argument, prefix);
		return EXIT_DONE;
	}
	if (prefix[0] != '-') {
		puts("@file");
		return EXIT_DONE;
	}
	for (size_t g = 0; g < ARRAY_SIZE(c->options); g++)
		for (const struct option_def *o = c->options[g]; o && o->name; o++) {
			char text[64];
			snprintf(text, sizeof text, "--%s", o->name);
			if (begins(text, prefix))
				puts(text);
		}
	if (begins("--help", prefix))
		puts("--help");
	return EXIT_DONE;
}
