/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs in the daemon, and the words of their options: run.h. */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "controlplane/cli/run.h"

#define POLL_MS 100
#define SECONDS_MAX 3600.0
#define BYTES_MAX 1e12

static volatile sig_atomic_t stopped;
static struct sigaction before;

static void on_interrupt(int signal)
{
	stopped = signal;
}

void run_begin(void)
{
	struct sigaction action = {.sa_handler = on_interrupt};

	stopped = 0;
	sigaction(SIGINT, &action, &before);
}

void run_end(void)
{
	sigaction(SIGINT, &before, NULL);
}

bool run_is_stopped(void)
{
	return stopped != 0;
}

int run_call(struct cli *cli, enum channel_message message, const void *request)
{
	struct channel_client *client = cli_client(cli);
	struct channel_result result = {0};

	if (client == NULL)
		return 1;
	if (client_call(client, message, request, NULL, NULL, CLI_TIMEOUT_MS, &result) == 0)
		return 0;
	return cli_error(cli, result.error, "%s", result.text);
}

void run_wait(void)
{
	cli_sleep_ms(POLL_MS);
}

/* A number and the factor of the unit behind it; a negative value when it is none. */
static double number_with_unit(
	const char *text, const char *const *units, const double *factors, size_t count)
{
	char *end;
	double value;

	if (text[0] < '0' || text[0] > '9')
		return -1;
	value = strtod(text, &end);
	while (*end == ' ')
		end++;
	for (size_t i = 0; i < count; i++)
		if (strcasecmp(end, units[i]) == 0 && isfinite(value))
			return value * factors[i];
	return -1;
}

int run_take_time(struct cli *cli, const char *what, const char *text, uint64_t *ns)
{
	static const char *const units[] = {"", "s", "ms", "us"};
	static const double factors[] = {1, 1, 1e-3, 1e-6};
	double seconds = number_with_unit(text, units, factors, COUNT_OF(units));

	if (!(seconds > 0) || seconds > SECONDS_MAX)
		return cli_error(cli, -EINVAL, "%s \"%s\": take a time such as 200ms, 0.5 or 2s",
			what, text);
	*ns = (uint64_t)(seconds * 1e9 + 0.5);
	return 0;
}

int run_take_bytes(struct cli *cli, const char *what, const char *text, uint64_t *bytes)
{
	static const char *const units[] = {"", "B", "kB", "MB", "GB"};
	static const double factors[] = {1, 1, 1e3, 1e6, 1e9};
	double value = number_with_unit(text, units, factors, COUNT_OF(units));

	if (!(value >= 1) || value > BYTES_MAX)
		return cli_error(
			cli, -EINVAL, "%s \"%s\": take a size such as 25MB or 500kB", what, text);
	*bytes = (uint64_t)(value + 0.5);
	return 0;
}

/* RFC 2474, 2597, 3246, 5865, 8622. -1: no such name. */
static int dscp_of_name(const char *text)
{
	if (strcasecmp(text, "default") == 0)
		return 0;
	if (strcasecmp(text, "le") == 0)
		return 1;
	if (strcasecmp(text, "va") == 0)
		return 44;
	if (strcasecmp(text, "ef") == 0)
		return 46;
	if (strncasecmp(text, "cs", 2) == 0 && text[2] >= '1' && text[2] <= '7' && text[3] == '\0')
		return (text[2] - '0') * 8;
	if (strncasecmp(text, "af", 2) == 0 && text[2] >= '1' && text[2] <= '4' && text[3] >= '1' &&
		text[3] <= '3' && text[4] == '\0')
		return (text[2] - '0') * 8 + (text[3] - '0') * 2;
	return -1;
}

int run_take_dscp(struct cli *cli, const char *text, uint64_t *dscp)
{
	int named = dscp_of_name(text);
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	if (named >= 0) {
		*dscp = (uint64_t)named;
		return 0;
	}
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || number > 63)
		return cli_error(cli, -EINVAL,
			"--dscp \"%s\": take a number from 0 to 63 or a name such as ef, af21, cs1",
			text);
	*dscp = number;
	return 0;
}

int run_take_target(
	struct cli *cli, const char *what, int argc, char **argv, char *target, size_t size)
{
	if (argc == 0 || argv[0][0] == '-')
		return cli_error(cli, -EINVAL, "%s comes first: see show peers", what);
	if (strlen(argv[0]) >= size)
		return cli_error(cli, -EINVAL, "\"%.60s...\" is too long for %s", argv[0], what);
	strcpy(target, argv[0]);
	return 0;
}
