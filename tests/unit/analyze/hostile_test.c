/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Captures that were damaged: every file of the folder SLUICE_CAPTURES (without it:
 * ../shared/captures beside the checkout) and one made here, each changed in many ways by a fixed
 * seed and cut off anywhere, through all of sluice-analyze up to the report. What is shown is that
 * nothing crashes, hangs or is read behind its end (under ASan), and that what is wrong is said.
 */
#include <dirent.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "tests/unit/analyze/frames.h"
#include "tests/unit/unit.h"
#include "tools/analyze/report.h"

#define DAMAGES 200
#define FILE_MAX (8u << 20)

static const char *folder;
static uint64_t seed = 20261128;
static FILE *nowhere;
static uint64_t frames, refused, broken;

static uint32_t random32(void)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (uint32_t)(seed >> 32);
}

/* Through everything. The report goes nowhere. */
static void analyze(uint8_t *bytes, size_t len, bool json)
{
	struct analysis_options options = {.live_max = 128, .inside = random32() & 1};
	struct report_options report = {.top = 10, .flows = true, .full = random32() & 1};
	struct capture_clock clock = {0};
	struct capture_stats stats = {0};
	struct capture_frame frame;
	struct out out = {.json = json, .text = nowhere};
	char error[CAPTURE_ERROR_MAX] = "";
	struct capture *c;
	int rc;

	c = capture_open_stream(fmemopen(bytes, len, "rb"), NULL, error);
	if (c == NULL) {
		CU_ASSERT(error[0] != '\0');
		refused++;
		return;
	}

	struct analysis *a = make_analysis(&options);

	while ((rc = capture_next(c, &clock, &stats, &frame, error)) == 1)
		analysis_frame(a, &frame);
	CU_ASSERT(rc == 0 || error[0] != '\0');
	broken += rc != 0;
	frames += stats.frames;
	out_start(&out);
	report_print(&out, a, &options, &report, &stats, &clock, 1, capture_link_type(c));
	CU_ASSERT_EQUAL(out_finish(&out), 0);
	analysis_destroy(a);
	capture_close(c);
}

/* Bytes flipped, lengths made large, pieces repeated or cut out. */
static size_t damage(uint8_t *bytes, size_t len)
{
	unsigned times = random32() & 1 ? 1 : 1 + random32() % 24;

	while (times-- > 0 && len > 64) {
		size_t at = random32() % (len - 32), piece = random32() % 32;

		switch (random32() % 6) {
		case 0:
			bytes[at] ^= (uint8_t)(1u << random32() % 8);
			break;
		case 1:
			bytes[at] = (uint8_t)random32();
			break;
		case 2:
			memset(bytes + at, random32() & 1 ? 0xff : 0, 4);
			break;
		case 3: /* the file's header, and that of the first frame */
			bytes[random32() % 56] = (uint8_t)random32();
			break;
		case 4:
			memmove(bytes + at, bytes + at + piece, len - at - piece);
			len -= piece;
			break;
		default:
			len = random32() % 8 == 0 ? 1 + random32() % (uint32_t)len : len;
		}
	}
	return len;
}

static void check_all(const uint8_t *whole, size_t len)
{
	uint8_t *copy = malloc(len);

	for (unsigned i = 0; i <= DAMAGES; i++) {
		memcpy(copy, whole, len);
		analyze(copy, i == 0 ? len : damage(copy, len), i & 1);
	}
	free(copy);
}

/* A capture of our own: one connection, and lengths and times that are wrong on purpose. */
static size_t make_capture(uint8_t *file)
{
	static const uint8_t header[24] = {0xa1, 0xb2, 0xc3, 0xd4, 0, 2, 0, 4, [17] = 4, [23] = 1};
	static const uint32_t lens[] = {
		0, 1, 13, 14, 33, 34, 53, 54, 60, 1500, 0x7fffffff, 0xffffffff};
	size_t at = sizeof(header);

	memcpy(file, header, sizeof(header));
	for (unsigned i = 0; i < 200; i++) {
		bool from_client = i % 3 != 0;
		struct segment s = {from_client ? CLIENT : SERVER, from_client ? SERVER : CLIENT,
			from_client ? 4000 : 80, from_client ? 80 : 4000, i, i * 10, i * 7,
			i == 1 ? TH_SYN : TH_ACK, i % 50, 0};
		unsigned len = make_frame(file + at + 16, &s);

		put32(file + at, i % 17 == 0 ? 0x80000000u : 100 + i);
		put32(file + at + 4, i % 13 == 0 ? 0xffffffff : i * 1000);
		put32(file + at + 8, len);
		put32(file + at + 12, i % 5 == 0 ? lens[i / 5 % 12] : len);
		at += 16 + len;
	}
	return at;
}

static void test_own(void)
{
	uint8_t *file = malloc(65536);
	size_t len = make_capture(file);

	check_all(file, len);
	CU_ASSERT(frames >= 200);
	for (size_t part = 0; part < 400; part++)
		analyze(file, part + 1, part & 1);
	free(file);
}

static void test_captures(void)
{
	DIR *dir = opendir(folder);
	uint8_t *bytes = malloc(FILE_MAX);
	unsigned files = 0;
	struct dirent *entry;

	CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
	while ((entry = readdir(dir)) != NULL) {
		char path[1024];
		FILE *in;

		if (strstr(entry->d_name, ".pcap") == NULL)
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		in = fopen(path, "rb");
		CU_ASSERT_PTR_NOT_NULL_FATAL(in);
		check_all(bytes, fread(bytes, 1, FILE_MAX, in));
		fclose(in);
		files++;
	}
	closedir(dir);
	free(bytes);
	printf("     %u captures and %u damaged copies: %lu frames read, %lu files refused, %lu "
	       "broken off\n",
		files, files * DAMAGES, (unsigned long)frames, (unsigned long)refused,
		(unsigned long)broken);
	CU_ASSERT(files > 0);
}

int main(void)
{
	static const struct unit_test tests[] = {
		{"own capture, damaged", test_own}, {"captures, damaged", test_captures}};

	folder = getenv("SLUICE_CAPTURES");
	if (folder == NULL)
		folder = SLUICE_SOURCE_ROOT "/../shared/captures";
	bool captures = access(folder, R_OK) == 0;
	if (!captures)
		printf("left out: there are no captures in %s\n", folder);
	nowhere = fopen("/dev/null", "w");
	if (nowhere == NULL)
		return 2;
	return unit_main("analyze hostile", tests, captures ? 2 : 1, NULL);
}
