/* SPDX-License-Identifier: BSD-3-Clause */
/* Classes as they are printed, for classes.c, explain.c and top.c. */
#ifndef SLUICE_CLI_CLASSES_H
#define SLUICE_CLI_CLASSES_H

#include "controlplane/cli/cli.h"

#define CLASSES_POLICE_MAX 320

/* What the policer of a class does, in words; "" without one. */
void classes_police_text(const struct class_record *r, char text[CLASSES_POLICE_MAX]);

/* The record of one class on one bridge and way (all zero if there is none, of a group its own
 * part only). 0, or 1 after saying what went wrong. */
int classes_one(struct cli *cli, const char *name, const char *bridge, uint64_t way,
	struct class_record *record);

/* The classes that send most, as a table. 0, or 1 after saying what went wrong. */
int classes_print_busy(struct cli *cli);

#endif
