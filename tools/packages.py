# SPDX-License-Identifier: BSD-3-Clause
"""Files out of Debian packages, without installing them: for the tools that need real data. A
package is fetched with apt-get into a folder that serves again the next time."""
import gzip
import hashlib
import os
import pathlib
import subprocess
import sys

LIST = pathlib.Path(__file__).with_name("packages.txt")
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "sluice"


def group(name):
    """The packages of a group of packages.txt."""
    return [package for line in LIST.read_text().splitlines() if line.startswith(f"{name}:")
            for package in line.split()[1:]]


def fetch(packages, cache=CACHE):
    """The packages' .deb files, by name."""
    cache.mkdir(parents=True, exist_ok=True)
    missing = [p for p in packages if not list(cache.glob(f"{p}_*.deb"))]
    if missing:
        print(f"fetching {len(missing)} Debian packages into {cache}", file=sys.stderr)
        sandbox = ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []
        if subprocess.run(["apt-get", "-q", *sandbox, "download", *missing], cwd=cache,
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL).returncode != 0:
            sys.exit("apt-get could not fetch them: apt-get update may help")
    return {p: sorted(cache.glob(f"{p}_*.deb"))[-1] for p in packages}


def unpack(deb, folder):
    """Unpack a .deb file below `folder`, once; returns where."""
    target = folder / deb.stem
    if not target.exists():
        partial = folder / f".{deb.stem}.{os.getpid()}"
        subprocess.run(["dpkg-deb", "-x", deb, partial], check=True)
        partial.rename(target)
    return target


def files(root, suffixes, least=2048):
    """Regular files with one of the suffixes, in an order that mixes them but is always the same.
    Suffix "elf": whatever starts as such a file does."""
    found = []
    for path in root.rglob("*"):
        if path.is_symlink() or not path.is_file() or path.stat().st_size < least:
            continue
        if suffixes == ("elf",):
            with open(path, "rb") as f:
                fits = f.read(4) == b"\x7fELF"
        else:
            fits = path.name.endswith(tuple(suffixes))
        if fits:
            found.append(path)
    return sorted(found, key=lambda p: hashlib.sha256(
        str(p.relative_to(root)).encode()).hexdigest())


def content(path, most=None):
    """A file's bytes, unpacked if it is a .gz."""
    with gzip.open(path) if path.name.endswith(".gz") else open(path, "rb") as f:
        return f.read() if most is None else f.read(most)
