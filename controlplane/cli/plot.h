/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A plot in the terminal: a filled area, and a line above it where there is a second series, with
 * axes. In braille dots, 2 by 4 a character, or in plain ASCII. history.c draws with it.
 */
#ifndef SLUICE_CLI_PLOT_H
#define SLUICE_CLI_PLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum plot_unit { PLOT_RATE, PLOT_TIME, PLOT_SHARE, PLOT_COUNT };

struct plot {
	const char *title;
	enum plot_unit unit; /* values: bit/s, ns, of 1, a number */
	/* By time, evenly from begin to end. NAN: nothing known. line may be NULL. */
	const double *area, *line;
	size_t count;
	uint64_t begin_realtime_ns, end_realtime_ns;
	unsigned columns, rows; /* in all; the area itself in characters */
	bool braille;
};

/* Characters that are not the area's: on its left, and lines above and below. */
#define PLOT_MARGIN 14
#define PLOT_LINES 3

void plot_print(FILE *to, const struct plot *plot);

/* "12.3 Mbit/s", "41.2 ms", "0.12 %", "17". */
#define PLOT_TEXT 48
const char *plot_value(enum plot_unit unit, double value, char text[PLOT_TEXT]);

/* What there is to draw on: size of the terminal (80 by 24 if it is none), and whether it shows
 * braille: a terminal in a UTF-8 locale. */
void plot_terminal(unsigned *columns, unsigned *rows, bool *braille);

#endif
