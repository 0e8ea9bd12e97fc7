/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sluicectl: shows and changes a running sluiced, through shared memory (controlplane/channel).
 * Here: the options in front of the command. commands.c dispatches, shell.c is the interactive way.
 */
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/cli/cli.h"

int main(int argc, char **argv)
{
	struct cli cli = {.instance = CLI_INSTANCE_DEFAULT, .out = {.text = stdout}};
	int at = 1, code;

	setlocale(LC_CTYPE, "");
	for (; at < argc && argv[at][0] == '-'; at++) {
		const char *option = argv[at];
		const char *value = NULL;

		if (strcmp(option, "--json") == 0) {
			cli.out.json = true;
			continue;
		}
		if (strcmp(option, "--help") == 0 || strcmp(option, "-h") == 0)
			return cmd_help(&cli, 0, NULL);
		if (strcmp(option, "--version") == 0) {
			printf("sluicectl " SLUICE_VERSION "\n");
			return 0;
		}
		if (strncmp(option, "--instance=", 11) == 0)
			value = option + 11;
		else if ((strcmp(option, "--instance") == 0 || strcmp(option, "-i") == 0) &&
			 at + 1 < argc)
			value = argv[++at];
		else if (strcmp(option, "--instance") == 0 || strcmp(option, "-i") == 0)
			return cli_error(&cli, -EINVAL,
				"%s needs the name of an instance behind it", option);
		else
			return cli_error(&cli, -EINVAL,
				"unknown option \"%s\": before the command go --instance NAME "
				"(-i), "
				"--json, --help, --version",
				option);
		snprintf(cli.instance, sizeof(cli.instance), "%s", value);
	}
	if (at < argc)
		code = commands_run(&cli, argc - at, argv + at);
	else if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && !cli.out.json)
		code = shell_run(&cli);
	else
		code = cmd_help(&cli, 0, NULL) | 1;
	client_close(cli.client);
	return code;
}
