/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * IP addresses and prefixes, both families in one shape: IPv4 sits in the last four bytes of an
 * IPv4-mapped IPv6 address, so that comparing needs no cases. address.h is the manual.
 */
#include "controlplane/policy/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define V4_OFFSET 12
#define V4_BITS (8 * V4_OFFSET)

int address_read(const char *text, struct policy_address *address)
{
	static const uint8_t mapped[V4_OFFSET] = {[10] = 0xff, [11] = 0xff};
	struct policy_address read = {.family = 4};

	memcpy(read.bytes, mapped, sizeof(mapped));
	if (inet_pton(AF_INET, text, read.bytes + V4_OFFSET) != 1) {
		read.family = 6;
		if (inet_pton(AF_INET6, text, read.bytes) != 1)
			return -EINVAL;
		/* One address, one form. */
		if (memcmp(read.bytes, mapped, sizeof(mapped)) == 0)
			return -EINVAL;
	}
	*address = read;
	return 0;
}

int prefix_read(const char *text, struct policy_prefix *prefix, bool *has_length)
{
	char host[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t len = slash == NULL ? strlen(text) : (size_t)(slash - text);
	struct policy_prefix read;

	if (len >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, len);
	host[len] = '\0';
	if (address_read(host, &read.address) != 0)
		return -EINVAL;
	unsigned max = read.address.family == 4 ? 32 : 128, length = max;
	*has_length = slash != NULL;
	if (slash != NULL) {
		size_t digits = strspn(slash + 1, "0123456789");
		if (digits == 0 || slash[1 + digits] != '\0')
			return -EINVAL;
		length = digits > 3 ? max + 1 : (unsigned)atoi(slash + 1);
		if (length > max)
			return -ERANGE;
	}
	read.length = (uint8_t)length;
	*prefix = read;
	return 0;
}

const char *address_text(const struct policy_address *address, char text[ADDRESS_TEXT_MAX])
{
	bool v4 = address->family == 4;

	inet_ntop(v4 ? AF_INET : AF_INET6, address->bytes + (v4 ? V4_OFFSET : 0), text,
		ADDRESS_TEXT_MAX);
	return text;
}

const char *prefix_text(const struct policy_prefix *prefix, char text[ADDRESS_TEXT_MAX])
{
	address_text(&prefix->address, text);
	size_t len = strlen(text);
	snprintf(text + len, ADDRESS_TEXT_MAX - len, "/%u", prefix->length);
	return text;
}

bool address_equal(const struct policy_address *a, const struct policy_address *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static unsigned bits_of(const struct policy_prefix *prefix)
{
	return prefix->address.family == 4 ? V4_BITS + prefix->length : prefix->length;
}

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	if (memcmp(a, b, bits / 8) != 0)
		return false;
	return bits % 8 == 0 || ((a[bits / 8] ^ b[bits / 8]) >> (8 - bits % 8)) == 0;
}

bool prefix_contains(const struct policy_prefix *prefix, const struct policy_address *address)
{
	return prefix->address.family == address->family &&
	       same_bits(prefix->address.bytes, address->bytes, bits_of(prefix));
}

bool prefix_overlaps(const struct policy_prefix *a, const struct policy_prefix *b)
{
	return a->length <= b->length ? prefix_contains(a, &b->address)
				      : prefix_contains(b, &a->address);
}

/* Sets all bits beyond the prefix. */
static void fill_host(const struct policy_prefix *prefix, uint8_t bytes[16])
{
	for (unsigned bit = bits_of(prefix); bit < 128; bit++)
		bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
}

struct policy_prefix prefix_masked(const struct policy_prefix *prefix)
{
	struct policy_prefix masked = *prefix;

	for (unsigned bit = bits_of(prefix); bit < 128; bit++)
		masked.address.bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	return masked;
}

const char *address_not_host(const struct policy_address *address)
{
	static const uint8_t zero[16], loopback6[16] = {[15] = 1};
	const uint8_t *b = address->bytes;

	if (address->family == 4) {
		b += V4_OFFSET;
		if (b[0] == 0)
			return "not an address of a host";
		if (b[0] == 127)
			return "a loopback address";
		if (b[0] >= 240)
			return "a reserved or broadcast address";
		return b[0] >= 224 ? "a multicast address" : NULL;
	}
	if (memcmp(b, zero, 16) == 0)
		return "not an address of a host";
	if (memcmp(b, loopback6, 16) == 0)
		return "a loopback address";
	return b[0] == 0xff ? "a multicast address" : NULL;
}

const char *prefix_not_host(const struct policy_prefix *prefix)
{
	struct policy_prefix network = prefix_masked(prefix);
	uint8_t last[16];

	if (address_not_host(&prefix->address) != NULL)
		return address_not_host(&prefix->address);
	if (prefix->address.family != 4 || prefix->length > 30)
		return NULL;
	memcpy(last, prefix->address.bytes, sizeof(last));
	fill_host(prefix, last);
	if (memcmp(network.address.bytes, prefix->address.bytes, 16) == 0)
		return "the address of the network itself";
	return memcmp(last, prefix->address.bytes, 16) == 0 ? "the network's broadcast address"
							    : NULL;
}
