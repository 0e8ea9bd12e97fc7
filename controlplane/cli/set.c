/* SPDX-License-Identifier: BSD-3-Clause */
/* `set class|link|compression|bypass`: changes in force at once on every worker. */
#include <errno.h>
#include <string.h>

#include "controlplane/cli/cli.h"
#include "controlplane/policy/units.h"

/* One "word value" pair of a set command. */
struct setting {
	const char *word;
	uint64_t flag;
	bool is_rate;
	uint64_t min, max; /* of numbers */
	uint64_t *value;
};

static int read_rate(struct cli *cli, const char *word, const char *text, uint64_t *rate_bps)
{
	if (strcmp(text, "none") == 0) {
		*rate_bps = 0;
		return 0;
	}
	switch (units_rate(text, rate_bps)) {
	case 0:
		return 0;
	case -EDOM:
		return cli_error(cli, -EINVAL,
			"%s %s: the unit is missing, like " UNITS_RATE_HELP ", or \"none\"", word,
			text);
	case -ERANGE:
		return cli_error(
			cli, -ERANGE, "%s %s: out of range: take " UNITS_RATE_HELP, word, text);
	default:
		return cli_error(cli, -EINVAL,
			"%s %s: not a rate: take one like " UNITS_RATE_HELP ", or \"none\"", word,
			text);
	}
}

static const struct setting *find_setting(
	const struct setting *settings, size_t count, const char *word)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(settings[i].word, word) == 0)
			return &settings[i];
	return NULL;
}

/* "rate 20mbit ceil 50 Mbit/s": every word once, a unit may stand by itself. */
static int read_settings(struct cli *cli, int argc, char **argv, const struct setting *settings,
	size_t count, uint64_t *fields)
{
	char known[128] = "";

	for (size_t i = 0; i < count; i++)
		snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s%s",
			i == 0 ? "" : ", ", settings[i].word);
	if (argc == 0)
		return cli_error(cli, -EINVAL, "nothing to set: there are %s", known);
	for (int i = 0; i < argc; i++) {
		const struct setting *s = find_setting(settings, count, argv[i]);
		char value[64];
		int error;

		if (s == NULL)
			return cli_error(
				cli, -EINVAL, "unknown word \"%s\": there are %s", argv[i], known);
		if (*fields & s->flag)
			return cli_error(cli, -EINVAL, "%s is given twice", s->word);
		if (i + 1 == argc)
			return cli_error(cli, -EINVAL, "%s needs a value behind it", s->word);
		snprintf(value, sizeof(value), "%s", argv[++i]);
		if (s->is_rate && i + 1 < argc && value[0] != '\0' &&
			strspn(value, "0123456789.") == strlen(value) &&
			find_setting(settings, count, argv[i + 1]) == NULL) {
			snprintf(value, sizeof(value), "%.20s %.20s", argv[i], argv[i + 1]);
			i++;
		}
		error = s->is_rate ? read_rate(cli, s->word, value, s->value)
				   : cli_number(cli, s->word, value, s->min, s->max, s->value);
		if (error != 0)
			return error;
		*fields |= s->flag;
	}
	return 0;
}

static int read_name(struct cli *cli, const char *what, int argc, char **argv, char *name)
{
	if (argc == 0)
		return cli_error(cli, -EINVAL, "which %s? Its name is missing", what);
	if (strlen(argv[0]) >= CHANNEL_NAME_MAX)
		return cli_error(cli, -EINVAL, "%s '%s': a name has at most %d characters", what,
			argv[0], CHANNEL_NAME_MAX - 1);
	strcpy(name, argv[0]);
	return 0;
}

int cmd_set_class(struct cli *cli, int argc, char **argv)
{
	struct set_class_request request = {0};
	const struct setting settings[] = {
		{"rate", SET_RATE, true, 0, 0, &request.rate_bps},
		{"ceil", SET_CEIL, true, 0, 0, &request.ceil_bps},
		{"flow-rate", SET_FLOW_RATE, true, 0, 0, &request.flow_rate_bps},
		{"weight", SET_WEIGHT, false, 1, 1000000, &request.weight},
		{"priority", SET_PRIORITY, false, 0, 7, &request.priority},
	};

	if (read_name(cli, "class", argc, argv, request.name) != 0 ||
		read_settings(cli, argc - 1, argv + 1, settings, COUNT_OF(settings),
			&request.fields) != 0)
		return 1;
	return cli_change(cli, MESSAGE_SET_CLASS, &request);
}

int cmd_set_link(struct cli *cli, int argc, char **argv)
{
	struct set_link_request request = {0};
	const struct setting settings[] = {
		{"up", SET_UP, true, 0, 0, &request.up_bps},
		{"down", SET_DOWN, true, 0, 0, &request.down_bps},
	};

	if (read_name(cli, "bridge", argc, argv, request.bridge) != 0 ||
		read_settings(cli, argc - 1, argv + 1, settings, COUNT_OF(settings),
			&request.fields) != 0)
		return 1;
	return cli_change(cli, MESSAGE_SET_LINK, &request);
}

int cmd_set_compression(struct cli *cli, int argc, char **argv)
{
	struct set_compression_request request = {0};

	if (argc != 1)
		return cli_error(cli, -EINVAL, "set compression takes one of off, on, dry-run");
	if (cli_word(cli, "compression", argv[0], out_compression_words, &request.mode) != 0)
		return 1;
	return cli_change(cli, MESSAGE_SET_COMPRESSION, &request);
}

int cmd_set_bypass(struct cli *cli, int argc, char **argv)
{
	static const char *const words[] = {"off", "on", NULL};
	struct set_bypass_request request = {0};

	if (argc != 1)
		return cli_error(cli, -EINVAL, "set bypass takes one of off, on");
	if (cli_word(cli, "bypass", argv[0], words, &request.on) != 0)
		return 1;
	return cli_change(cli, MESSAGE_SET_BYPASS, &request);
}
