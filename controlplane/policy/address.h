/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * IP addresses and prefixes as configuration text and as numbers. Private to this folder.
 */
#ifndef SLUICE_POLICY_ADDRESS_H
#define SLUICE_POLICY_ADDRESS_H

#include "controlplane/policy/policy.h"

#define ADDRESS_TEXT_MAX (INET6_ADDRSTRLEN + 4) /* with "/128" */

/* An address without a prefix length. 0 or -EINVAL; *address is written on success only. */
int address_read(const char *text, struct policy_address *address);

/* An address with an optional "/length"; without one it is the whole address. *has_length says
 * which. Bits beyond the length are kept. 0, -EINVAL, or -ERANGE for a length out of range. */
int prefix_read(const char *text, struct policy_prefix *prefix, bool *has_length);

/* Text that the functions above read. Returns text. */
const char *address_text(const struct policy_address *address, char text[ADDRESS_TEXT_MAX]);
const char *prefix_text(const struct policy_prefix *prefix, char text[ADDRESS_TEXT_MAX]);

bool address_equal(const struct policy_address *a, const struct policy_address *b);
/* False for another family. */
bool prefix_contains(const struct policy_prefix *prefix, const struct policy_address *address);
bool prefix_overlaps(const struct policy_prefix *a, const struct policy_prefix *b);

/* The same prefix with the bits beyond its length cleared. */
struct policy_prefix prefix_masked(const struct policy_prefix *prefix);

/* Why a host can't have this address ("a multicast address"), NULL if it can. */
const char *address_not_host(const struct policy_address *address);
/* The same for an address within its network: not the network's own and not its broadcast. */
const char *prefix_not_host(const struct policy_prefix *prefix);

#endif
