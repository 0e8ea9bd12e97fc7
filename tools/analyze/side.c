/* SPDX-License-Identifier: BSD-3-Clause */
/* Which end is on the LAN. side.h is the manual. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "tools/analyze/side.h"

#define IPV4_BITS 96 /* in front of an IPv4 address as ::ffff:a.b.c.d */

static bool in_network(const struct policy_prefix *network, const uint8_t address[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	const uint8_t *bytes = network->address.bytes;
	bool is_v4 = memcmp(address, mapped, sizeof(mapped)) == 0;
	unsigned bits = network->length + (network->address.family == 4 ? IPV4_BITS : 0);

	if (is_v4 != (network->address.family == 4) || memcmp(bytes, address, bits / 8) != 0)
		return false;
	return bits % 8 == 0 || ((bytes[bits / 8] ^ address[bits / 8]) >> (8 - bits % 8)) == 0;
}

static bool in_any(const struct policy_prefix *networks, unsigned count, const uint8_t address[16])
{
	for (unsigned i = 0; i < count; i++)
		if (in_network(&networks[i], address))
			return true;
	return false;
}

static bool behind_peer(const struct policy *policy, const uint8_t address[16])
{
	for (unsigned i = 0; i < policy->peer_count; i++)
		if (in_any(policy->peers[i].networks, policy->peers[i].network_count, address))
			return true;
	return false;
}

int side_lan_end(const struct analysis_options *options, const struct flow_key *key)
{
	bool on_lan[2];

	for (unsigned end = 0; end < 2; end++) {
		if (options->lan_count > 0)
			on_lan[end] = in_any(options->lan, options->lan_count, key->addr[end]);
		else if (options->policy != NULL)
			on_lan[end] = !behind_peer(options->policy, key->addr[end]);
		else
			return -1;
	}
	return on_lan[0] == on_lan[1] ? -1 : on_lan[1];
}

int side_read_network(const char *text, struct policy_prefix *network)
{
	char address[INET6_ADDRSTRLEN];
	const char *slash = strchrnul(text, '/');
	unsigned long length;
	char *end;

	*network = (struct policy_prefix){0};
	if ((size_t)(slash - text) >= sizeof(address))
		return -1;
	memcpy(address, text, (size_t)(slash - text));
	address[slash - text] = '\0';
	if (inet_pton(AF_INET, address, network->address.bytes + 12) == 1) {
		network->address.family = 4;
		network->address.bytes[10] = network->address.bytes[11] = 0xff;
		network->length = 32;
	} else if (inet_pton(AF_INET6, address, network->address.bytes) == 1) {
		network->address.family = 6;
		network->length = 128;
	} else {
		return -1;
	}
	if (*slash == '\0')
		return 0;
	length = strtoul(slash + 1, &end, 10);
	if (slash[1] < '0' || slash[1] > '9' || *end != '\0' || length > network->length)
		return -1;
	network->length = (uint8_t)length;
	return 0;
}
