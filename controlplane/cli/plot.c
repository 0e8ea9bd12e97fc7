/* SPDX-License-Identifier: BSD-3-Clause */
/* Dots on a canvas, and the axes around them: plot.h. */
#include "controlplane/cli/plot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "controlplane/cli/format.h"

#define COLUMNS_MAX 400u
#define ROWS_MAX 40u
#define BRAILLE_WIDE 2u
#define BRAILLE_HIGH 4u

/* Bits of dots in a character; only [0][0] and [1][0] are used in ASCII: area and line. */
struct canvas {
	unsigned columns, rows; /* characters */
	unsigned wide, high;	/* dots a character */
	uint8_t cell[ROWS_MAX][COLUMNS_MAX];
};

#define ASCII_AREA 0x01
#define ASCII_LINE 0x02

const char *plot_value(enum plot_unit unit, double value, char text[PLOT_TEXT])
{
	switch (unit) {
	case PLOT_RATE:
		return format_rate((uint64_t)(value + 0.5), text);
	case PLOT_TIME:
		return format_time((uint64_t)(value + 0.5), text);
	case PLOT_SHARE:
		snprintf(text, PLOT_TEXT, "%.3g %%", value * 100);
		return text;
	default:
		return format_count((uint64_t)(value + 0.5), text);
	}
}

static bool is_utf8(void)
{
	static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *value = getenv(names[i]);

		if (value == NULL || value[0] == '\0')
			continue;
		return strcasestr(value, "utf-8") != NULL || strcasestr(value, "utf8") != NULL;
	}
	return false;
}

void plot_terminal(unsigned *columns, unsigned *rows, bool *braille)
{
	struct winsize window = {0};
	bool is_terminal = isatty(STDOUT_FILENO) != 0;

	*columns = 80;
	*rows = 24;
	if (is_terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0 &&
		window.ws_row > 0) {
		*columns = window.ws_col;
		*rows = window.ws_row;
	}
	*braille = is_terminal && is_utf8();
}

/* A round number, at least `value` and not much more. */
static double round_up(double value)
{
	double unit;

	if (value <= 0)
		return 1;
	unit = pow(10, floor(log10(value)));
	for (int i = 0; i < 8; i++) {
		static const double steps[] = {1, 1.5, 2, 3, 4, 5, 6, 8};

		if (value <= steps[i] * unit * (1 + 1e-9))
			return steps[i] * unit;
	}
	return 10 * unit;
}

static double largest(const struct plot *plot)
{
	double most = 0;

	for (size_t i = 0; i < plot->count; i++) {
		if (plot->area[i] > most)
			most = plot->area[i];
		if (plot->line != NULL && plot->line[i] > most)
			most = plot->line[i];
	}
	return most;
}

/* What column `x` of `wide` shows of a series: the mean of what falls into it, or for the line the
 * most, and where there are fewer values than columns, the nearest one. */
static double resample(
	const struct plot *plot, const double *values, unsigned x, unsigned wide, bool most)
{
	size_t from = (size_t)((double)x * (double)plot->count / wide);
	size_t to = (size_t)((double)(x + 1) * (double)plot->count / wide);
	double sum = 0;
	unsigned n = 0;

	if (to <= from)
		to = from + 1;
	for (size_t i = from; i < to && i < plot->count; i++) {
		if (isnan(values[i]))
			continue;
		sum = !most ? sum + values[i] : n == 0 || values[i] > sum ? values[i] : sum;
		n++;
	}
	return n == 0 ? NAN : most ? sum : sum / n;
}

/* Dot (x, y), y from below. */
static void set_dot(struct canvas *c, unsigned x, unsigned y, bool is_line)
{
	static const uint8_t bits[BRAILLE_HIGH][BRAILLE_WIDE] = {
		{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
	unsigned row = c->rows - 1 - y / c->high, column = x / c->wide;

	if (c->wide == 1)
		c->cell[row][column] |= is_line ? ASCII_LINE : ASCII_AREA;
	else
		c->cell[row][column] |= bits[c->high - 1 - y % c->high][x % c->wide];
}

static void draw(struct canvas *c, const struct plot *plot, double top)
{
	unsigned wide = c->columns * c->wide, high = c->rows * c->high;

	for (unsigned x = 0; x < wide; x++) {
		double area = resample(plot, plot->area, x, wide, false);
		double line = plot->line == NULL ? NAN : resample(plot, plot->line, x, wide, true);

		if (!isnan(area)) {
			unsigned level = (unsigned)lround(area / top * high);

			/* A known 0 shows as the ground line, which nothing known does not. */
			for (unsigned y = 0; y == 0 || y < level; y++)
				set_dot(c, x, y, false);
		}
		if (!isnan(line)) {
			unsigned level = (unsigned)lround(line / top * high);

			set_dot(c, x, level > 0 ? level - 1 : 0, true);
		}
	}
}

static void print_row(FILE *to, const struct canvas *c, unsigned row)
{
	unsigned end = c->columns;

	while (end > 0 && c->cell[row][end - 1] == 0)
		end--;
	for (unsigned i = 0; i < end; i++) {
		uint8_t bits = c->cell[row][i];

		if (c->wide == 1)
			fputc(bits & ASCII_LINE ? '*' : bits & ASCII_AREA ? '#' : ' ', to);
		else /* U+2800 and the dots, in UTF-8 */
			fprintf(to, "\xe2%c%c", 0xa0 | bits >> 6, 0x80 | (bits & 0x3f));
	}
	fputc('\n', to);
}

/* Local time, with seconds where the plot is of minutes. */
static void format_clock(uint64_t realtime_ns, bool seconds, char text[16])
{
	time_t t = (time_t)(realtime_ns / 1000000000u);
	struct tm tm;

	text[0] = '\0';
	if (localtime_r(&t, &tm) != NULL)
		strftime(text, 16, seconds ? "%H:%M:%S" : "%H:%M", &tm);
}

static void print_times(FILE *to, const struct plot *plot, unsigned columns)
{
	bool seconds = plot->end_realtime_ns - plot->begin_realtime_ns < UINT64_C(600000000000);
	char begin[16], middle[16], end[16];
	int left;

	format_clock(plot->begin_realtime_ns, seconds, begin);
	format_clock(plot->begin_realtime_ns / 2 + plot->end_realtime_ns / 2, seconds, middle);
	format_clock(plot->end_realtime_ns, seconds, end);
	left = (int)columns / 2 - (int)strlen(middle) / 2 - (int)strlen(begin);
	fprintf(to, "%*s%s%*s%s", PLOT_MARGIN, "", begin, left > 0 ? left : 1, "", middle);
	left = (int)columns - (int)(columns / 2) - (int)(strlen(middle) - strlen(middle) / 2) -
	       (int)strlen(end);
	fprintf(to, "%*s%s\n", left > 0 ? left : 1, "", end);
}

void plot_print(FILE *to, const struct plot *plot)
{
	static struct canvas canvas;
	double top = round_up(largest(plot));
	unsigned columns = plot->columns > PLOT_MARGIN + 20 ? plot->columns - PLOT_MARGIN : 20;
	unsigned rows = plot->rows < 4 ? 4 : plot->rows;

	memset(&canvas, 0, sizeof(canvas));
	canvas.columns = columns < COLUMNS_MAX ? columns : COLUMNS_MAX;
	canvas.rows = (rows < ROWS_MAX ? rows : ROWS_MAX) & ~1u; /* the half is a row's upper end */
	canvas.wide = plot->braille ? BRAILLE_WIDE : 1;
	canvas.high = plot->braille ? BRAILLE_HIGH : 1;
	draw(&canvas, plot, top);

	fprintf(to, "%s\n", plot->title);
	for (unsigned row = 0; row < canvas.rows; row++) {
		char text[PLOT_TEXT] = "";

		if (row == 0)
			plot_value(plot->unit, top, text);
		else if (row == canvas.rows / 2)
			plot_value(plot->unit, top * (canvas.rows - row) / canvas.rows, text);
		else if (row == canvas.rows - 1)
			strcpy(text, "0");
		fprintf(to, "%*s %s", PLOT_MARGIN - 2, text, plot->braille ? "\xe2\x94\x82" : "|");
		print_row(to, &canvas, row);
	}
	print_times(to, plot, canvas.columns);
}
