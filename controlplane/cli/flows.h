/* SPDX-License-Identifier: BSD-3-Clause */
/* A flow as it is printed, for flows.c and explain.c. */
#ifndef SLUICE_CLI_FLOWS_H
#define SLUICE_CLI_FLOWS_H

#include "controlplane/channel/messages.h"
#include "controlplane/cli/format.h"
#include "controlplane/cli/out.h"

struct flow_row {
	struct flow_record r;
	char src[FORMAT_MAX], dst[FORMAT_MAX];
	char from[FORMAT_MAX + 16], to[FORMAT_MAX + 16]; /* with the port */
	char proto[16];
};

extern const struct column flow_columns[];
extern const size_t flow_column_count;

/* Fill in the texts of row->r. */
void flow_fill(struct flow_row *row);

/* flow_tcp.c: print what a TCP flow's record says of the connection. */
void flow_tcp_print(struct cli *cli, const struct flow_record *flow);

#endif
