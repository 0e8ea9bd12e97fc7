/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The main() of every unit test program: lists its functions, runs them with CUnit, prints one line
 * each and ends with "N passed, N failed". Use:
 *
 *     UNIT_TESTS("shape", {"rate is exact", test_rate}, {"burst is bounded", test_burst})
 */
#ifndef SLUICE_TESTS_UNIT_H
#define SLUICE_TESTS_UNIT_H

#include <stdio.h>
#include <string.h>

#include <CUnit/CUnit.h>
#include <CUnit/TestRun.h>

struct unit_test {
	const char *name;
	void (*run)(void);
};

static inline int unit_main(const char *suite_name, const struct unit_test *tests, unsigned count,
	const char *only)
{
	unsigned passed = 0, failed = 0;

	if (CU_initialize_registry() != CUE_SUCCESS)
		return 2;
	CU_pSuite suite = CU_add_suite(suite_name, NULL, NULL);
	for (unsigned i = 0; i < count; i++) {
		if (only != NULL && strstr(tests[i].name, only) == NULL)
			continue;
		CU_pTest t = CU_add_test(suite, tests[i].name, tests[i].run);
		if (t == NULL || CU_run_test(suite, t) != CUE_SUCCESS)
			failed++;
		else if (CU_get_number_of_tests_failed() > 0)
			failed++;
		else
			passed++;
		printf("%-4s %s: %s\n", CU_get_number_of_tests_failed() ? "FAIL" : "ok", suite_name,
			tests[i].name);
		for (CU_pFailureRecord f = CU_get_failure_list(); f != NULL; f = f->pNext)
			printf("     %s:%u: %s\n", f->strFileName, f->uiLineNumber, f->strCondition);
		fflush(stdout);
	}
	CU_cleanup_registry();
	printf("%u passed, %u failed\n", passed, failed);
	return failed > 0 || passed == 0;
}

#define UNIT_TESTS(suite, ...)                                                                     \
	int main(int argc, char **argv)                                                            \
	{                                                                                          \
		static const struct unit_test tests[] = {__VA_ARGS__};                             \
		return unit_main(suite, tests, sizeof(tests) / sizeof(tests[0]),                   \
			argc > 1 ? argv[1] : NULL);                                                \
	}

#endif
