# SPDX-License-Identifier: BSD-3-Clause
"""Run by the build: writes the dictionaries of dataplane/compress/dictionaries (files named
ID-KIND) as the C source of dictionary_sources[], dataplane/compress/dictionaries.h."""
import pathlib
import sys


def main():
    target, files = pathlib.Path(sys.argv[1]), [pathlib.Path(f) for f in sys.argv[2:]]
    text, table = '#include "dataplane/compress/dictionaries.h"\n', ""
    for path in files:
        number, kind = path.name.split("-")
        data = path.read_bytes()
        text += f"static const uint8_t {kind}_bytes[] = {{\n"
        for at in range(0, len(data), 16):
            text += "".join(f"{byte}," for byte in data[at:at + 16]) + "\n"
        text += "};\n"
        table += f'\t{{{number}, "{kind}", {kind}_bytes, sizeof({kind}_bytes)}},\n'
    text += f"const struct dictionary_source dictionary_sources[] = {{\n{table}\t{{0}}}};\n"
    target.write_text(text)


if __name__ == "__main__":
    main()
