/* SPDX-License-Identifier: BSD-3-Clause */
/* control/history.c against an array of every row ever written, for three days, with gaps. */
#include <stdlib.h>

#include "dataplane/control/history.h"
#include "tests/unit/compress/data.h"
#include "tests/unit/unit.h"

#define STEPS (3 * HISTORY_ROWS)
#define SUBJECTS 3

static float value_of(unsigned subject, uint64_t step)
{
	return (float)(step * 10 + subject);
}

static void test_ring(void)
{
	struct history *h = history_create(SUBJECTS);
	bool *written = calloc(SUBJECTS * STEPS, sizeof(*written));
	uint64_t seed = 4, base = 123456;

	CU_ASSERT_PTR_NOT_NULL_FATAL(h);
	for (uint64_t s = 0; s < STEPS; s++) {
		for (unsigned i = 0; i < SUBJECTS; i++) {
			struct history_row row;

			/* The second subject pauses, the third for more than a day. */
			if ((i == 1 && data_next(&seed) % 3 == 0) ||
				(i == 2 && s > 100 && s < 100 + HISTORY_ROWS + 50))
				continue;
			for (unsigned k = 0; k < HISTORY_FIGURES; k++)
				row.figure[k] = value_of(i, s) + (float)k / 16;
			history_write(h, i, base + s, &row);
			written[i * STEPS + s] = true;
		}
		if (s % 997 != 0 && s != STEPS - 1)
			continue;
		for (unsigned i = 0; i < SUBJECTS; i++) {
			uint64_t last = s;

			while (last > 0 && !written[i * STEPS + last])
				last--;
			for (uint64_t t = 0; t <= s + 2; t++) {
				const struct history_row *row = history_read(h, i, base + t);
				bool want =
					t <= s && written[i * STEPS + t] && last - t < HISTORY_ROWS;

				if ((row != NULL) != want)
					CU_FAIL_FATAL("a row is missing, or one too many");
				if (row != NULL && row->figure[3] != value_of(i, t) + 3.0f / 16)
					CU_FAIL_FATAL("another row");
			}
		}
	}
	/* A step is written once, and nothing goes back. */
	struct history_row row = {{0}};

	history_write(h, 0, base + STEPS - 1, &row);
	CU_ASSERT(history_read(h, 0, base + STEPS - 1)->figure[0] != 0);
	history_reset(h, 0);
	CU_ASSERT_PTR_NULL(history_read(h, 0, base + STEPS - 1));
	CU_ASSERT_PTR_NOT_NULL(history_read(h, 1, base + STEPS - 1) != NULL
				       ? history_read(h, 1, base + STEPS - 1)
				       : history_read(h, 1, base + STEPS - 2));
	CU_ASSERT_PTR_NULL(history_read(h, SUBJECTS, base));
	free(written);
	history_destroy(h);
}

static void test_memory(void)
{
	/* Said at start: a day of 10 s steps, below half a megabyte a subject. */
	CU_ASSERT_EQUAL(HISTORY_ROWS * HISTORY_STEP_S, 86400);
	CU_ASSERT(history_memory_needed(1) >= HISTORY_ROWS * sizeof(struct history_row));
	CU_ASSERT(history_memory_needed(1) < 600000);
}

UNIT_TESTS("history", {"a day of rows, with gaps", test_ring}, {"memory", test_memory})
