#include "tools/command.h"

#include <stdio.h>
#include <string.h>

static bool begins(const char *word, const char *prefix)
{
	return !strncmp(word, prefix, strlen(prefix));
}

/* The n-th word of the commands' names that begin with the words before it. */
static void offer_names(int argc, char *const *argv)
{
	const char *prefix = argc ? argv[argc - 1] : "", *last = "";
	for (size_t i = 0; commands[i]; i++) {
		char name[64], *second;
		snprintf(name, sizeof name, "%s", commands[i]->name);
		second = strchr(name, ' ');
		if (second)
			*second++ = '\0';
		const char *offer = argc <= 1 ? name : argc == 2 && second && !strcmp(name, argv[0]) ? second : NULL;
		if (offer && begins(offer, prefix) && strcmp(offer, last))
			puts(offer);
		last = argc <= 1 ? commands[i]->name : "";
		if (argc <= 1 && second)
			while (commands[i + 1] && begins(commands[i + 1]->name, name) &&
				commands[i + 1]->name[strlen(name)] == ' ')
				i++;
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
	if (before && before->argument) {
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
