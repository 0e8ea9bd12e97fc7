#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Looks for clang's warnings in what no fuzz target needs: tests/clang_warnings.py BUILD-FUZZ

tools/test builds the fuzz targets alone, with clang and -Werror. All other files of that build are
parsed here with the same options, without generating code, which takes most of the time.
"""
import concurrent.futures
import json
import os
import subprocess
import sys

OPTIONS = ("-fsyntax-only", "-Wno-unused-command-line-argument")


def complaints(entry):
    """What the compiler says of one file; nothing if all is well."""
    command = f'{entry["command"]} {" ".join(OPTIONS)}'
    done = subprocess.run(command, shell=True, check=False, cwd=entry["directory"],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return done.stdout + done.stderr if done.returncode else ""


def main():
    build = sys.argv[1]
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        entries = json.load(file)
    built = set(subprocess.run(["ninja", "-C", build, "-t", "inputs", "fuzz"], check=True,
                               capture_output=True, text=True).stdout.splitlines())
    left = [entry for entry in entries if entry["output"] not in built]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for entry, said in zip(left, pool.map(complaints, left)):
            if said:
                failed += 1
                print(f"FAIL {entry['file']}\n{said}")
    print(f"{len(built & {entry['output'] for entry in entries})} files were built, "
          f"{len(left)} looked at")
    # One test: what clang thinks of the source, however many files it has.
    print(f"{int(not failed)} passed, {int(failed > 0)} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
