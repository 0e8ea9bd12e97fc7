/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests and new connections per second, by class, for `show transactions`. The control thread
 * alone uses it; like rates.h.
 */
#ifndef SLUICE_CONTROL_TRANSACTIONS_H
#define SLUICE_CONTROL_TRANSACTIONS_H

#include <stdint.h>

#include "dataplane/daemon.h"

struct transaction_rates;

/* NULL without memory. */
struct transaction_rates *transaction_rates_create(const struct daemon *d);
/* NULL is allowed. */
void transaction_rates_destroy(struct transaction_rates *rates);

/* To be called often: does its work about once a second. */
void transaction_rates_tick(
	struct transaction_rates *rates, const struct daemon *d, uint64_t now_ns);

#endif
