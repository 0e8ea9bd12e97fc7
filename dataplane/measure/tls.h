/* SPDX-License-Identifier: BSD-3-Clause */
/* The first bytes of TLS records (RFC 8446, 5.1). Pure; transactions.c asks. */
#ifndef SLUICE_MEASURE_TLS_H
#define SLUICE_MEASURE_TLS_H

#include <stdint.h>

/* What a flight begins with. */
enum tls_record {
	TLS_NONE, /* no TLS record */
	TLS_CHANGE_CIPHER_SPEC,
	TLS_ALERT, /* also sealed ones of TLS 1.3, by their length: data of two bytes look the same
		    */
	TLS_CLIENT_HELLO,
	TLS_SERVER_HELLO,
	TLS_HANDSHAKE, /* any other handshake message */
	TLS_DATA,
};

enum tls_record tls_record_of(const uint8_t *bytes, uint32_t len);

#endif
