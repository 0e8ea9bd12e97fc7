/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pre-shared keys. A key never appears in a message, and what is said of a file that is not a key
 * is the same for every such file: a client may name any path.
 */
#include "controlplane/policy/key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* 0, or -ENAMETOOLONG. */
static int make_absolute(char path[POLICY_PATH_MAX], const char *config_file)
{
	char whole[3 * POLICY_PATH_MAX], folder[POLICY_PATH_MAX] = "";
	const char *slash = strrchr(config_file, '/');
	int len = slash == NULL ? 0 : (int)(slash - config_file) + 1;

	if (path[0] == '/')
		return 0;
	if (config_file[0] != '/' && getcwd(folder, sizeof(folder) - 1) != NULL)
		strcat(folder, "/");
	if (len >= POLICY_PATH_MAX)
		return -ENAMETOOLONG;
	snprintf(whole, sizeof(whole), "%s%.*s%s", folder, len, config_file, path);
	if (strlen(whole) >= POLICY_PATH_MAX)
		return -ENAMETOOLONG;
	strcpy(path, whole);
	return 0;
}

void key_read(char path[POLICY_PATH_MAX], uint8_t key[POLICY_KEY_MAX], uint16_t *key_len,
	const char *config_file, const char *option, uint32_t line,
	struct policy_problems *problems)
{
	uint8_t bytes[POLICY_KEY_MAX + 2]; /* one newline, and one byte to see that there is more */
	char quoted[QUOTE_MAX];
	struct stat st;
	ssize_t len;

	if (make_absolute(path, config_file) != 0) {
		problem_error(problems, line, option, "the whole path is longer than %d characters",
			POLICY_PATH_MAX - 1);
		return;
	}
	problem_quote(path, quoted);
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) != 0) {
		problem_error(problems, line, option, "can't read %s: %s", quoted, strerror(errno));
		goto out;
	}
	if (!S_ISREG(st.st_mode)) {
		problem_error(problems, line, option, "%s is not a regular file", quoted);
		goto out;
	}
	len = read(fd, bytes, sizeof(bytes));
	if (len < 0) {
		problem_error(problems, line, option, "can't read %s: %s", quoted, strerror(errno));
		goto out;
	}
	if (len > 0 && bytes[len - 1] == '\n')
		len--;
	if (len < KEY_BYTES_MIN || len > POLICY_KEY_MAX) {
		problem_error(problems, line, option,
			"%s does not hold a key; accepted: %d to %d bytes", quoted, KEY_BYTES_MIN,
			POLICY_KEY_MAX);
		goto wipe;
	}
	if ((st.st_mode & 077) != 0)
		problem_warn(problems, line, option,
			"%s can be read by others than its owner (mode %03o); run chmod 600",
			quoted, (unsigned)st.st_mode & 0777);
	memcpy(key, bytes, (size_t)len);
	*key_len = (uint16_t)len;
wipe:
	explicit_bzero(bytes, sizeof(bytes));
out:
	if (fd >= 0)
		close(fd);
}
