/* SPDX-License-Identifier: BSD-3-Clause */
/* Reads the pre-shared key of a peer from its file. Private to this folder. */
#ifndef SLUICE_POLICY_KEY_H
#define SLUICE_POLICY_KEY_H

#include "controlplane/policy/problems.h"

#define KEY_BYTES_MIN 16

/*
 * Read the file `path` into `key`; a relative path is taken from the folder of config_file and made
 * absolute, so that the printed policy finds it too. What is wrong is added to problems under
 * `option` and line.
 */
void key_read(char path[POLICY_PATH_MAX], uint8_t key[POLICY_KEY_MAX], uint16_t *key_len,
	const char *config_file, const char *option, uint32_t line,
	struct policy_problems *problems);

#endif
