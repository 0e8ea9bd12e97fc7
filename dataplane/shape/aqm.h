/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What an AQM algorithm (pie.h, dualpi2.h) says of a packet. The algorithm judges only; the caller
 * sets CE in the packet, or frees it, and counts.
 */
#ifndef SLUICE_SHAPE_AQM_H
#define SLUICE_SHAPE_AQM_H

enum aqm_verdict {
	AQM_VERDICT_PASS, /* send it as it is */
	AQM_VERDICT_MARK, /* set CE and send it: it isn't asked about again. Only ECT packets */
	AQM_VERDICT_DROP
};

#endif
