/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * `set class|link|flow-rate|compression|bypass`: changes in force at once on every worker. Options
 * and values are those of the configuration file: the daemon reads and checks them.
 */
#include <errno.h>
#include <string.h>

#include "controlplane/cli/cli.h"

/* A word of a set command, in the order of help. Its option has the same name, with '_' for '-'. */
struct word {
	const char *word;
	bool has_unit;	   /* which may stand by itself: "rate 20 Mbit/s" */
	const char *empty; /* what the option calls "none", "unlimited" and the like; NULL: nothing
			      such */
};

static const struct word class_words[] = {{"rate", true, "none"}, {"ceil", true, "unlimited"},
	{"flow-rate", true, "unlimited"}, {"weight", false, NULL}, {"priority", false, NULL},
	{"parent", false, ""}, {"burst", true, "auto"}, {"flow-burst", true, NULL},
	{"per", false, NULL}, {"queue-time", true, "none"}, {"queue-size", true, NULL},
	{"aqm", false, NULL}, {"aqm-target", true, "auto"}, {"ecn", false, NULL},
	{"police", false, NULL}, {"cir", true, "none"}, {"cbs", true, "auto"},
	{"pir", true, "none"}, {"pbs", true, "auto"}, {"eir", true, "none"}, {"ebs", true, "auto"},
	{"colour-aware", false, NULL}, {"green", false, NULL}, {"yellow", false, NULL},
	{"red", false, NULL}, {"compress", false, NULL}, {"dry-run", false, NULL},
	{"codec", false, NULL}, {"acceleration", false, NULL}, {"zstd-level", false, NULL},
	{"history", false, NULL}, {"store-all", false, NULL}, {"private", false, NULL},
	{"pack", false, NULL}, {"pack-wait", true, "none"}};

static const struct word link_words[] = {{"up", true, "unlimited"}, {"down", true, "unlimited"},
	{"up-min", true, "none"}, {"down-min", true, "none"}, {"overhead", false, NULL},
	{"frame-min", false, NULL}, {"burst", true, NULL}, {"stamp-reflector", false, NULL},
	{"stamp-port", false, NULL}, {"stamp-rate", false, NULL}, {"stamp-stateful", false, NULL}};

static bool is_empty_word(const char *text)
{
	return strcmp(text, "none") == 0 || strcmp(text, "unlimited") == 0 ||
	       strcmp(text, "auto") == 0;
}

static const struct word *find_word(const struct word *words, size_t count, const char *text)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(words[i].word, text) == 0)
			return &words[i];
	return NULL;
}

/* Copy a word of the user's; 0, or 1 after saying that it is too long. */
static int take(struct cli *cli, const char *what, const char *text, char *to, size_t size)
{
	if (strlen(text) >= size)
		return cli_error(cli, -EINVAL, "%s '%.80s': at most %zu characters fit", what, text,
			size - 1);
	strcpy(to, text);
	return 0;
}

static bool is_number(const char *text)
{
	return text[0] != '\0' && strspn(text, "0123456789.") == strlen(text);
}

/* "rate 20mbit ceil 50 Mbit/s": every word once, with its value. */
static int read_settings(struct cli *cli, int argc, char **argv, const struct word *words,
	size_t count, struct setting *settings, uint64_t *setting_count)
{
	const struct word *given[SETTINGS_MAX];
	char known[512] = "", value[192];
	uint64_t n = 0;

	for (size_t i = 0; i < count; i++)
		snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s%s",
			i == 0 ? "" : ", ", words[i].word);
	if (argc == 0)
		return cli_error(cli, -EINVAL, "nothing to set: there are %s", known);
	for (int i = 0; i < argc; i++, n++) {
		const struct word *w = find_word(words, count, argv[i]);

		if (w == NULL)
			return cli_error(
				cli, -EINVAL, "unknown word \"%s\": there are %s", argv[i], known);
		if (i + 1 == argc)
			return cli_error(cli, -EINVAL, "%s needs a value behind it", w->word);
		for (uint64_t g = 0; g < n; g++)
			if (given[g] == w)
				return cli_error(cli, -EINVAL, "%s is given twice", w->word);
		if (n == SETTINGS_MAX)
			return cli_error(cli, -E2BIG,
				"more than %d settings at a time: take two "
				"commands",
				SETTINGS_MAX);
		given[n] = w;
		snprintf(value, sizeof(value), "%s", argv[++i]);
		if (w->has_unit && i + 1 < argc && is_number(value) &&
			find_word(words, count, argv[i + 1]) == NULL)
			snprintf(value + strlen(value), sizeof(value) - strlen(value), " %s",
				argv[++i]);
		if (w->empty != NULL && is_empty_word(value))
			strcpy(value, w->empty);
		if (take(cli, w->word, value, settings[n].value, sizeof(settings[n].value)) != 0)
			return 1;
		strcpy(settings[n].option, w->word);
		for (char *c = settings[n].option; *c != '\0'; c++)
			*c = *c == '-' ? '_' : *c;
	}
	*setting_count = n;
	return 0;
}

static int read_name(struct cli *cli, const char *what, int argc, char **argv, char *name)
{
	if (argc == 0)
		return cli_error(cli, -EINVAL, "which %s? Its name is missing", what);
	return take(cli, what, argv[0], name, CHANNEL_NAME_MAX);
}

int cmd_set_class(struct cli *cli, int argc, char **argv)
{
	struct set_class_request request = {0};

	if (read_name(cli, "class", argc, argv, request.name) != 0 ||
		read_settings(cli, argc - 1, argv + 1, class_words, COUNT_OF(class_words),
			request.settings, &request.count) != 0)
		return 1;
	return cli_change(cli, MESSAGE_SET_CLASS, &request);
}

int cmd_set_link(struct cli *cli, int argc, char **argv)
{
	struct set_link_request request = {0};

	if (read_name(cli, "bridge", argc, argv, request.bridge) != 0 ||
		read_settings(cli, argc - 1, argv + 1, link_words, COUNT_OF(link_words),
			request.settings, &request.count) != 0)
		return 1;
	return cli_change(cli, MESSAGE_SET_LINK, &request);
}

/* The rate of each flow (or host, see `per`) of a class: set class CLASS flow-rate RATE. */
int cmd_set_flow_rate(struct cli *cli, int argc, char **argv)
{
	static const struct word words[] = {{"flow-rate", true, "unlimited"}};
	struct set_class_request request = {0};
	char *settings[3] = {(char *)(uintptr_t)words[0].word};

	if (read_name(cli, "class", argc, argv, request.name) != 0)
		return 1;
	if (argc < 2 || argc > 3)
		return cli_error(cli, -EINVAL, "set flow-rate takes CLASS and a rate or unlimited");
	settings[1] = argv[1];
	settings[2] = argc == 3 ? argv[2] : NULL;
	if (read_settings(cli, argc, settings, words, COUNT_OF(words), request.settings,
		    &request.count) != 0)
		return 1;
	return cli_change(cli, MESSAGE_SET_CLASS, &request);
}

int cmd_set_compression(struct cli *cli, int argc, char **argv)
{
	struct set_compression_request request = {0};
	struct set_class_request class = {
		.count = 2, .settings = {{"compress", "true"}, {"dry_run", "false"}}};

	if (argc != 1 && (argc < 2 || strcmp(argv[1], "class") != 0 || argc > 3))
		return cli_error(cli, -EINVAL,
			"set compression takes one of off, on, dry-run; then class and a name, or "
			"nothing");
	if (cli_word(cli, "compression", argv[0], out_compression_words, &request.mode) != 0)
		return 1;
	if (argc == 1)
		return cli_change(cli, MESSAGE_SET_COMPRESSION, &request);
	if (read_name(cli, "class", argc - 2, argv + 2, class.name) != 0)
		return 1;
	if (request.mode == COMPRESSION_OFF)
		strcpy(class.settings[0].value, "false");
	if (request.mode == COMPRESSION_DRY_RUN)
		strcpy(class.settings[1].value, "true");
	return cli_change(cli, MESSAGE_SET_CLASS, &class);
}

int cmd_set_bypass(struct cli *cli, int argc, char **argv)
{
	/* As everywhere with what is on or off, the file's words are understood too. */
	static const char *const words[] = {"off", "on", "false", "true", NULL};
	struct set_bypass_request request = {0};

	if (argc != 1)
		return cli_error(cli, -EINVAL, "set bypass takes one of off, on");
	if (cli_word(cli, "bypass", argv[0], words, &request.on) != 0)
		return 1;
	request.on %= 2;
	return cli_change(cli, MESSAGE_SET_BYPASS, &request);
}
