#include "tools/command.h"
#include "tools/nearest.h"
#include "tools/say.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const struct option_def common_options[] = {
	{"help", 'h', NULL, "show this and end"},
	{"version", 'V', NULL, "show the version and end"},
	OPTIONS_END,
};

/* The n-th option of the command over all its groups, then the common ones; NULL past the last. */
static const struct option_def *option_at(const struct command *c, size_t n)
{
	for (size_t g = 0; g <= ARRAY_SIZE(c->options); g++) {
		const struct option_def *o = g < ARRAY_SIZE(c->options) ? c->options[g] : common_options;
		for (; o && o->name; o++)
			if (n-- == 0)
				return o;
	}
	return NULL;
}

static const struct option_def *option_find(const struct command *c, const char *name, size_t len)
{
	const struct option_def *o;
	for (size_t i = 0; (o = option_at(c, i)); i++)
		if (strlen(o->name) == len && !memcmp(o->name, name, len))
			return o;
	return NULL;
}

static const struct option_def *option_letter(const struct command *c, char letter)
{
	const struct option_def *o;
	for (size_t i = 0; (o = option_at(c, i)); i++)
		if (o->letter == letter)
			return o;
	return NULL;
}

static int unknown_option(const struct command *c, const char *name, size_t len)
{
	char word[64];
	snprintf(word, sizeof word, "%.*s", (int)len, name);
	struct nearest_word n = {.word = word};
	const struct option_def *o;
	for (size_t i = 0; (o = option_at(c, i)); i++)
		nearest_word_offer(&n, o->name);
	return n.best ? say_usage("there is no option --%s; did you mean --%s?", word, n.best)
		      : say_usage("there is no option --%s", word);
}

struct scan {
	struct args *args;
	int argc, at;
	char *const *argv;
};

/* Takes the option's value from `attached` or the next word. */
static int option_take(struct scan *s, const struct option_def *o, const char *attached)
{
	struct args *a = s->args;
	const char *value = attached;
	if (o->argument && o->argument[0] != '[' && !value) {
		if (s->at + 1 >= s->argc)
			return say_usage("--%s needs a value: --%s %s", o->name, o->name, o->argument);
		value = s->argv[++s->at];
	}
	if (!o->argument && attached)
		return say_usage("--%s takes no value", o->name);
	if (a->given_count == GIVEN_MAX)
		return say_usage("too many options");
	a->given[a->given_count++] = (struct given){o, value ? value : ""};
	return EXIT_DONE;
}

static int long_option(struct scan *s, const char *text)
{
	const char *equals = strchr(text, '=');
	size_t len = equals ? (size_t)(equals - text) : strlen(text);
	const struct option_def *o = option_find(s->args->command, text, len);
	return o ? option_take(s, o, equals ? equals + 1 : NULL) : unknown_option(s->args->command, text, len);
}

static int letters(struct scan *s, const char *text)
{
	for (; *text; text++) {
		const struct option_def *o = option_letter(s->args->command, *text);
		if (!o)
			return say_usage("there is no option -%c", *text);
		bool rest = o->argument && text[1];
		int r = option_take(s, o, rest ? text + 1 : NULL);
		if (r != EXIT_DONE || rest)
			return r;
	}
	return EXIT_DONE;
}

static int scan_words(struct scan *s)
{
	bool only_operands = false;
	for (; s->at < s->argc; s->at++) {
		const char *word = s->argv[s->at];
		int r = EXIT_DONE;
		if (only_operands || word[0] != '-' || !word[1]) {
			if (s->args->operands == OPERANDS_MAX)
				return say_usage("too many operands");
			s->args->operand[s->args->operands++] = word;
		} else if (!strcmp(word, "--")) {
			only_operands = true;
		} else {
			r = word[1] == '-' ? long_option(s, word + 2) : letters(s, word + 1);
		}
		if (r != EXIT_DONE)
			return r;
	}
	return EXIT_DONE;
}

bool args_parse(const struct command *c, int argc, char *const *argv, struct args *ret, int *ret_exit)
{
	*ret = (struct args){.command = c};
	struct scan s = {.args = ret, .argc = argc, .argv = argv};
	*ret_exit = scan_words(&s);
	if (*ret_exit != EXIT_DONE)
		return false;
	if (args_has(ret, "help")) {
		command_help(c);
		return false;
	}
	if (args_has(ret, "version")) {
		printf("lapse %s\n", LAPSE_VERSION);
		return false;
	}
	if (ret->operands < c->min)
		*ret_exit = say_usage("an operand is missing: lapse %s %s", c->name, c->operands);
	else if (ret->operands > c->max)
		*ret_exit = say_usage("'%s' is one operand too many", ret->operand[c->max]);
	return *ret_exit == EXIT_DONE;
}

const char *args_nth(const struct args *a, const char *name, size_t n)
{
	assert(option_find(a->command, name, strlen(name)));
	for (size_t i = 0; i < a->given_count; i++)
		if (!strcmp(a->given[i].option->name, name) && n-- == 0)
			return a->given[i].value;
	return NULL;
}

const char *args_value(const struct args *a, const char *name)
{
	const char *value = NULL, *next;
	for (size_t n = 0; (next = args_nth(a, name, n)); n++)
		value = next;
	return value;
}

bool args_has(const struct args *a, const char *name)
{
	return args_nth(a, name, 0) != NULL;
}

const char *args_operand(const struct args *a, size_t n)
{
	return n < a->operands ? a->operand[n] : NULL;
}

void command_help(const struct command *c)
{
	printf("Usage: lapse %s [options]%s%s\n\n%s\n\nOptions:\n", c->name, c->operands[0] ? " " : "", c->operands,
		c->summary);
	const struct option_def *o;
	for (size_t i = 0; (o = option_at(c, i)); i++) {
		char left[96], argument[64] = "";
		if (o->argument && o->argument[0] == '[')
			snprintf(argument, sizeof argument, "[=%s", o->argument + 1);
		else if (o->argument)
			snprintf(argument, sizeof argument, " %s", o->argument);
		int len = snprintf(left, sizeof left, "%c%c%s --%s%s", o->letter ? '-' : ' ',
			o->letter ? o->letter : ' ', o->letter ? "," : " ", o->name, argument);
		if (len > 30)
			printf("  %s\n  %-30s %s\n", left, "", o->help);
		else
			printf("  %-30s %s\n", left, o->help);
	}
	if (c->details)
		printf("\n%s\n", c->details);
}
