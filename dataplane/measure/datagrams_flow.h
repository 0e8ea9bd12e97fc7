/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What measure/ keeps per flow that is not TCP; it has the place of struct flow_measure inside
 * struct flow. A new flow's are all zero. datagrams.c, icmp.c, dns.c and quic.c alone read and
 * write the fields; everybody else asks measure_datagrams_view() (datagrams.h).
 */
#ifndef SLUICE_MEASURE_DATAGRAMS_FLOW_H
#define SLUICE_MEASURE_DATAGRAMS_FLOW_H

#include <assert.h>
#include <stdint.h>

#define ECHO_WAITING 16 /* echo requests remembered; more under way at once are not measured */
#define DNS_WAITING 8	/* the same of DNS queries */

/* Requests that wait for their answer, by the low bits of the sequence number. */
struct measure_echo {
	uint32_t tick[ECHO_WAITING];
	uint16_t seq[ECHO_WAITING]; /* as in the packet */
	uint16_t waiting;	    /* a bit each */
	uint16_t from_wan;	    /* who asked */
};

/* Queries that wait for their answer, in any order. */
struct measure_dns {
	uint32_t tick[DNS_WAITING];
	uint16_t id[DNS_WAITING]; /* as in the packet */
	uint8_t waiting;	  /* a bit each */
	uint8_t from_wan;	  /* who asked */
	uint8_t again;		  /* asked again under the same ID: whose answer is it? */
	uint8_t next;		  /* slot that is given up next when all wait */
};

/* The spin bit, quic.c. Arrays are by sender. */
struct measure_quic {
	uint32_t hello_tick[2]; /* newest long header before the other side's first */
	uint32_t floor[2];	/* ticks; no half is shorter; [side that answers] */
	uint32_t edge_tick[2];	/* when the value changed last */
	uint32_t last_tick[2];	/* newest packet with a short header */
	uint16_t edges;		/* changes in the order that a live spin has */
	uint16_t odd;		/* packets with a value out of that order, or too early */
	uint8_t bits;		/* QUIC_* in quic.c */
	uint8_t good;		/* edges in order, less those that disorder cost */
	uint8_t odd_run[2];	/* odd packets one after the other */
};

struct measure_datagrams_flow {
	uint32_t rtt_min[2], rtt_last[2]; /* ticks of 64 ns; 0: none; [side that answered] */
	uint32_t samples;
	uint8_t epoch; /* coarse time of the last packet looked at: ticks alone begin again after
			* 275 s */
	union {
		struct measure_echo echo;
		struct measure_dns dns;
		struct measure_quic quic;
	};
};
static_assert(sizeof(struct measure_datagrams_flow) <= 128, "no larger than a TCP flow's");

#endif
