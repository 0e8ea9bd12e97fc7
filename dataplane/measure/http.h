/* SPDX-License-Identifier: BSD-3-Clause */
/* The first bytes of HTTP/1 messages (RFC 9112). Pure; transactions.c asks. */
#ifndef SLUICE_MEASURE_HTTP_H
#define SLUICE_MEASURE_HTTP_H

#include <stdbool.h>
#include <stdint.h>

/* Does a request begin here: a method of RFC 9110, PATCH or one of RFC 4918 (WebDAV), and a line
 * that ends in "HTTP/1.x", as far as it is there? */
bool http_is_request(const uint8_t *bytes, uint32_t len);

/* The status code of a response that begins here, 0: none does. */
unsigned http_status(const uint8_t *bytes, uint32_t len);

#endif
