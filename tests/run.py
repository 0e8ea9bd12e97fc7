#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Run the tests of a finished build and add up what they say. tools/test sets everything up and
calls this; by hand: sudo tests/run.py [--list] [NAME...], where NAME is a part of a test's name.

Every test is a program. If it prints "N passed, N failed[, N skipped]", those figures count, else it
counts as one by its exit code (77: skipped). A test that fails shows the end of its output. What
meson may run in parallel (the unit tests) and fuzz targets run side by side, one a CPU. What has a
daemon in it runs alone; two at a time where the script has this line, because it waits more than it
works, and checks no time and no rate that another such test would spoil:

    # tests/run.py: beside others
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[1]
BESIDE_OTHERS = "\n# tests/run.py: beside others\n"
CPUS = len(os.sched_getaffinity(0))
# How many tests of a kind run at the same time, and in which order the kinds come.
LANES = {"parallel": CPUS, "beside others": min(CPUS, 2), "alone": 1}
SUMMARY = re.compile(rb"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", re.M)
SANITIZERS = {
    # The EAL keeps what it has allocated until the process ends: no leak check for whole daemons.
    "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:disable_coredump=1:quarantine_size_mb=8",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
}


class Test:
    def __init__(self, name, command, timeout, env=None, folder=TOP, parallel=False):
        self.name, self.command, self.timeout = name, [str(c) for c in command], timeout
        self.folder = folder
        self.env = {**os.environ, **(env or {})}
        self.kind = "parallel" if parallel else self._kind_of_script()

    def _kind_of_script(self):
        for word in self.command:
            if word.endswith(".py") and BESIDE_OTHERS in pathlib.Path(word).read_text("utf-8"):
                return "beside others"
        return "alone"


def meson_tests(folder, label, env=None):
    """Unit and system tests as registered with meson."""
    out = subprocess.run(["meson", "introspect", "--tests", folder], capture_output=True, check=True)
    slower = 4 if env else 1  # by sanitizers; what hangs, hangs for longer than that
    return [Test(f"{label}{'/'.join(t['suite'])[7:]}/{t['name']}", t["cmd"],
                 (t["timeout"] or 300) * slower,
                 {**t["env"], **(env or {})}, t["workdir"] or folder, t["is_parallel"])
            for t in json.loads(out.stdout)]


def lab_tests(build, label, env=None):
    """The two-site lab."""
    return [Test(f"{label}lab/{path.stem}", [path], 600, {"BUILD": str(build), **(env or {})})
            for path in sorted((TOP / "tests/lab").glob("*_test.py"))]


def fuzz_tests(build, seconds, scratch):
    """Each target on a copy of its kept corpus, so that a run does not change the tree."""
    tests = []
    for target in sorted((build / "tests/fuzz").glob("fuzz_*")):
        if not os.access(target, os.X_OK) or target.is_dir():
            continue
        name = target.name[len("fuzz_"):]
        corpus = scratch / name
        kept = TOP / "tests/fuzz/corpus" / name
        if kept.is_dir():
            shutil.copytree(kept, corpus)
        else:
            corpus.mkdir()
        tests.append(Test(f"fuzz/{name}", [target, f"-max_total_time={seconds}", "-timeout=10",
                                           "-rss_limit_mb=4096", f"-artifact_prefix={scratch}/",
                                           # Not 77, libFuzzer's own: that is "skipped" here.
                                           "-error_exitcode=1", "-timeout_exitcode=1",
                                           corpus], seconds + 120, SANITIZERS, parallel=True))
    return tests + [Test("clang_warnings", [TOP / "tests/clang_warnings.py", build], 600,
                         parallel=True)]


running = set()  # processes of tests


def run(test):
    """(passed, failed, skipped, output)"""
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(test.command, stdin=subprocess.DEVNULL, stdout=out,
                                   stderr=subprocess.STDOUT, env=test.env, cwd=test.folder,
                                   start_new_session=True)
        running.add(process)
        try:
            code = process.wait(test.timeout)
        except subprocess.TimeoutExpired:
            # First so that it can clean up, then for good.
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            code = f"still running after {test.timeout} s"
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)
            raise
        finally:
            running.discard(process)
        out.seek(0)
        text = out.read()
    if code == 77:
        return 0, 0, 1, text
    figures = SUMMARY.findall(text)
    if not figures:
        return (1, 0, 0, text) if code == 0 else (0, 1, 0, text + f"\nexit: {code}\n".encode())
    passed, failed, skipped = (int(n or 0) for n in figures[-1])
    if code != 0 and failed == 0:
        failed = 1
        text += f"\nexit: {code}\n".encode()
    return passed, failed, skipped, text


def timed_run(test):
    begin = time.monotonic()
    return (*run(test), time.monotonic() - begin)


def run_all(tests):
    """Runs them, kind by kind; (test, result) of each, in order."""
    for kind, lanes in LANES.items():
        group = [t for t in tests if t.kind == kind]
        with concurrent.futures.ThreadPoolExecutor(lanes) as pool:
            try:
                yield from zip(group, pool.map(timed_run, group))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for process in list(running):
                    os.killpg(process.pid, signal.SIGTERM)
                raise


def tell(test, passed, failed, skipped, text, seconds):
    """Prints what became of a test; (passed, failed, skipped)."""
    word = "FAIL" if failed else "ok" if passed else "skip"
    print(f"{word:4} {test.name}: {passed} passed, {failed} failed"
          + (f", {skipped} skipped" if skipped else "") + f" ({seconds:.1f} s)", flush=True)
    if failed:
        shown = text.decode(errors="replace").splitlines()
        wrong = [line for line in shown if line.startswith("FAIL")]
        print("\n".join("     | " + line for line in wrong[:40] + shown[-40:]), flush=True)
    return passed, failed, skipped


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--quick", action="store_true", help="the plain build only")
    parser.add_argument("--fuzz-seconds", type=int, default=10, help="for each target")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    plain = pathlib.Path(os.environ.get("BUILD", TOP / "build"))
    asan, fuzz = TOP / "build-asan", TOP / "build-fuzz"
    with tempfile.TemporaryDirectory(prefix="sluice-fuzz-") as scratch:
        tests = meson_tests(plain, "")
        if asan.is_dir() and not args.quick:
            tests += meson_tests(asan, "asan/", SANITIZERS)
        if fuzz.is_dir() and not args.quick:
            tests += fuzz_tests(fuzz, args.fuzz_seconds, pathlib.Path(scratch))
        tests += lab_tests(plain, "")
        # Not under sanitizers: rates and delays of what lab tests have there too.
        tests.append(Test("demo", [TOP / "tools/demo"], 600, {"BUILD": str(plain)}))
        if asan.is_dir() and not args.quick:
            tests += lab_tests(asan, "asan/", SANITIZERS)
        tests = [t for t in tests if not args.names or any(n in t.name for n in args.names)]
        if args.list:
            print("\n".join(t.name for t in tests))
            return 0
        total, failures = [0, 0, 0], []
        for test, result in run_all(tests):
            figures = tell(test, *result)
            total = [a + b for a, b in zip(total, figures)]
            failures += [test.name] if figures[1] else []
    passed, failed, skipped = total
    if failures:  # once more, for whom the output is too long or was cut
        print("failed: " + ", ".join(failures))
    if passed + failed == 0:
        failed = 1
        print("no test ran")
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
