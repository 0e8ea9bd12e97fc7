/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a session's two nonces and the pre-shared key give: the keys of each direction, which no
 * session before or behind it has. For session.c alone, on its thread.
 */
#ifndef SLUICE_LINK_SESSION_KEYS_H
#define SLUICE_LINK_SESSION_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/link/session.h"

/* The check key (shim.h) of what goes from the end with nonce `from` to the other. */
uint64_t link_session_check_key(
	const struct link_session *s, const uint8_t *from, const uint8_t *to);

/* The CPI of that direction's transparent frames: 12 bits that its key says nothing of. */
uint16_t link_session_cpi(const struct link_session *s, const uint8_t *from, const uint8_t *to);

/* The keys of `next` (aead.h) with the sender of this hello. False: its half of them is none. */
bool link_session_agree(const struct link_session *s, const struct link_hello *h,
	struct link_aead_key *tx, struct link_aead_key *rx);

#endif
