/* SPDX-License-Identifier: BSD-3-Clause */
/* `top`: one screen of status, the busiest classes and the largest flows, again and again. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "controlplane/cli/classes.h"
#include "controlplane/cli/cli.h"
#include "controlplane/cli/format.h"

/* Home, and what the last screen left is erased line by line: no flicker. */
#define SCREEN_START "\033[?1049h\033[?25l"
#define SCREEN_HOME "\033[H"
#define LINE_END "\033[K"
#define SCREEN_REST "\033[J"
#define SCREEN_END "\033[?25h\033[?1049l"

/* Everything that is shown, as text. 0, or 1 after an error. */
static int render(struct cli *cli, uint64_t flow_count)
{
	struct flows_request flows = {.top = flow_count};
	struct channel_nothing nothing = {0};
	char up[FORMAT_MAX], down[FORMAT_MAX], uptime[FORMAT_MAX], count[FORMAT_MAX];
	struct status_record s;
	struct rows rows;

	if (cli_record(cli, MESSAGE_STATUS, &nothing, &s) != 0)
		return 1;
	out_text(&cli->out,
		"%.31s  instance %s  policy %llu  up %s  %s%s\nup %s  down %s  flows %s  workers "
		"%llu  "
		"peers up %llu/%llu  compression %s\n\n",
		s.appliance, cli->instance, (unsigned long long)s.policy_generation,
		format_duration(s.uptime_ns, uptime), s.bypass ? "BYPASS  " : "",
		s.confirm_ns != 0 ? "NOT CONFIRMED" : "", format_rate(s.rate_bps[0], up),
		format_rate(s.rate_bps[1], down), format_count(s.flows, count),
		(unsigned long long)s.workers, (unsigned long long)s.peers_up,
		(unsigned long long)s.peers,
		out_compression_words[s.compression <= COMPRESSION_DRY_RUN ? s.compression : 0]);
	if (classes_print_busy(cli) != 0)
		return 1;
	out_text(&cli->out, "\n");
	if (cli_list(cli, MESSAGE_FLOWS, &flows, &rows) != 0)
		return 1;
	flows_print(cli, &rows, true);
	rows_free(&rows);
	return 0;
}

/* As much of the text as the window shows. */
static void paint(const char *text)
{
	struct winsize window = {0};

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) < 0 || window.ws_row == 0 ||
		window.ws_col == 0)
		window = (struct winsize){.ws_row = 24, .ws_col = 80};
	printf(SCREEN_HOME);
	for (int row = 0; *text != '\0' && row + 1 < window.ws_row; row++) {
		int len = (int)strcspn(text, "\n");

		printf("%.*s" LINE_END "\n", len < window.ws_col ? len : window.ws_col, text);
		text += len;
		text += *text == '\n';
	}
	printf(SCREEN_REST);
	fflush(stdout);
}

/* Wait for the next round; true if the user wants to leave. */
static bool wait_or_quit(bool from_keyboard, int timeout_ms)
{
	struct pollfd keyboard = {.fd = STDIN_FILENO, .events = POLLIN};
	char key;

	if (!from_keyboard) {
		cli_sleep_ms((uint32_t)timeout_ms);
		return false;
	}
	if (poll(&keyboard, 1, timeout_ms) <= 0)
		return false;
	return read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q' || key == 3;
}

int cmd_top(struct cli *cli, int argc, char **argv)
{
	struct cli_option options[] = {{.name = "--interval"}, {.name = "--count"}};
	bool on_screen = isatty(STDOUT_FILENO), from_keyboard = on_screen && isatty(STDIN_FILENO);
	uint64_t interval_s = 1, count = on_screen ? UINT64_MAX : 1;
	struct termios before, raw;
	int code = 0;

	if (cli->out.json)
		return cli_error(cli, -EINVAL,
			"top is for people: take show status, classes and "
			"flows with --json");
	if (cli_options(cli, argc, argv, options, COUNT_OF(options)) != 0 ||
		(options[0].value != NULL && cli_number(cli, "--interval", options[0].value, 1,
						     3600, &interval_s) != 0) ||
		(options[1].value != NULL &&
			cli_number(cli, "--count", options[1].value, 1, 1000000, &count) != 0))
		return 1;
	if (cli_client(cli) == NULL)
		return 1;
	if (from_keyboard && tcgetattr(STDIN_FILENO, &before) == 0) {
		raw = before;
		raw.c_lflag &= (tcflag_t) ~(ICANON | ECHO | ISIG);
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
		printf(SCREEN_START);
	} else {
		from_keyboard = false;
	}
	while (code == 0) {
		FILE *out = cli->out.text;
		char *text = NULL;
		size_t len = 0;

		cli->out.text = open_memstream(&text, &len);
		if (cli->out.text != NULL) {
			cli->quiet = from_keyboard;
			code = render(cli, 20);
			cli->quiet = false;
			fclose(cli->out.text);
		}
		cli->out.text = out;
		if (code == 0 && from_keyboard)
			paint(text);
		else if (code == 0)
			fwrite(text, 1, len, out);
		free(text);
		if (code != 0 || --count == 0 ||
			wait_or_quit(from_keyboard, (int)interval_s * 1000))
			break;
	}
	if (from_keyboard) {
		printf(SCREEN_END);
		fflush(stdout);
		tcsetattr(STDIN_FILENO, TCSANOW, &before);
		if (code != 0) /* what was wrong could not be said on the screen */
			cli_error(cli, -EIO, "the daemon of instance %s does not answer any more",
				cli->instance);
	}
	return code;
}
