/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Figures of measure/ as the channel's records have them (messages.h), for the daemon's `show` and
 * for sluice-analyze, which print the same rows.
 *
 * Pure; the figures belong to the caller: a merged copy, never what a worker writes.
 */
#ifndef SLUICE_MEASURE_RECORD_H
#define SLUICE_MEASURE_RECORD_H

#include "controlplane/channel/messages.h"
#include "dataplane/measure/histogram.h"
#include "dataplane/measure/transactions.h"

/* Percentiles, extremes and the number of samples. */
struct channel_dist measure_dist(const struct histogram *h);

/* Fill what a record of transactions says of requests, HTTP and TLS; leaves the rest of it. */
void measure_transactions_record(
	const struct measure_transactions *t, struct transactions_record *r);

#endif
