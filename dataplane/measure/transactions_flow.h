/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What transactions.c keeps per TCP flow, inside struct flow. A new flow's is all zero. Touched
 * only where the direction of the data changes; that is known from struct flow.flags.
 */
#ifndef SLUICE_MEASURE_TRANSACTIONS_FLOW_H
#define SLUICE_MEASURE_TRANSACTIONS_FLOW_H

#include <assert.h>
#include <stdint.h>

struct transactions_flow {
	uint32_t request_tick; /* first byte of the request, ticks of 64 ns */
	uint32_t request_seq;  /* its sequence number */
	uint32_t request_ack;  /* what of the server's data was acknowledged then */
	uint32_t hello_tick;   /* of TLS's ClientHello; of DNS, the ID of the query */
	uint8_t state;	       /* enum transaction_state in transactions.c */
	uint8_t protocol;      /* enum transaction_protocol there */
	uint8_t epoch;	       /* coarse time of request_tick */
	uint8_t reserved;
};
static_assert(sizeof(struct transactions_flow) == 20, "little of the flow's last line");

#endif
