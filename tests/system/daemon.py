# SPDX-License-Identifier: BSD-3-Clause
"""What the system tests share: one sluiced on software ports, its configuration and its files.

The book-keeping of checks is that of tests/lab/lab.py. Every daemon and every file is gone when the
`with` block of a Folder ends, however it ends; instance names hold the process id of the test.
"""
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lab"))
# pylint: disable=wrong-import-position,unused-import
from lab import (SANITIZED, SLUICECTL, SLUICED, TOP, Failed, Skipped, check, need, report, run,
                 wait_for)

CPUS = sorted(os.sched_getaffinity(0))

CONFIG = """appliance = {{ name = "{name}"; workers = "{workers}"; control_cpu = {control};
              hugepages = false; flows = {flows}; buffers = {buffers}; queues = 1024;
              mtu = {mtu}; {appliance} }};
bridges = ( {{ name = "b0"; lan = "{lan}"; wan = "{wan}"; {bridge} }} );
{rest}
"""


def config(lan="net_null0,no-rx=1", wan="net_null1,no-rx=1", workers=1, **other):
    """A configuration for `workers` workers on the first CPUs; `rest`: classes, rules, peers."""
    values = {"name": "test", "flows": 4096, "buffers": 8192, "mtu": 1500, "appliance": "",
              "bridge": "", "rest": "", "control": CPUS[-1],
              "workers": ",".join(map(str, CPUS[:workers]))}
    return CONFIG.format(lan=lan, wan=wan, **{**values, **other})


def segments(instance):
    """What stands in /dev/shm for an instance."""
    return sorted(name for name in os.listdir("/dev/shm") if name.startswith(f"sluice-{instance}"))


class Daemon:
    """One sluiced; made by Folder.daemon()."""

    def __init__(self, folder, instance, file, prefix=()):
        self.instance = instance
        self.log_file = os.path.join(folder.path, f"{instance}.{folder.count}.log")
        self.started = time.monotonic()
        with open(self.log_file, "wb") as log:
            self.process = subprocess.Popen(
                [*prefix, SLUICED, "--config", file, "--instance", instance],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True)

    def log(self):
        with open(self.log_file, encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait_ready(self, seconds=30):
        """Until it says `ready`; returns the seconds since its start."""
        def said():
            need(self.process.poll() is None,
                 f"sluiced ended with {self.process.returncode}: {self.log()[-600:].strip()}")
            return "\nready\n" in self.log()
        wait_for(seconds, "sluiced is ready", said, 0.01)
        return time.monotonic() - self.started

    def try_ctl(self, *words):
        return subprocess.run([SLUICECTL, "-i", self.instance, *map(str, words)], check=False,
                              text=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=20)

    def ctl(self, *words):
        """sluicectl --json: what it printed. Failed with its message if it fails."""
        done = self.try_ctl("--json", *words)
        need(done.returncode == 0, f"sluicectl {' '.join(map(str, words))} ended with "
             f"{done.returncode}: {(done.stderr or done.stdout).strip()[-400:]}")
        return json.loads(done.stdout) if done.stdout.strip() else {}

    def reasons(self, kind):
        """The reasons of one kind, "passed" or "dropped", that counted anything."""
        return {row["reason"]: row["packets"] for row in self.ctl("show", "drops", "--all")["drops"]
                if row["kind"] == kind and row["packets"]}

    def sent(self):
        """Packets that the ports took."""
        return sum(port["tx_packets"] for port in self.ctl("show", "ports")["ports"])

    def stop(self, number=signal.SIGTERM, seconds=30):
        """Ends it in order; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(seconds)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)


class Folder:
    """A temporary folder and the daemons started from it."""

    def __init__(self):
        self.path = tempfile.mkdtemp(prefix="sluice-system-")
        self.count = 0
        self.daemons = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # A second Ctrl-C must not leave half of it behind.
        kept = {n: signal.signal(n, signal.SIG_IGN)
                for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        for daemon in self.daemons:
            daemon.kill()
            for name in segments(daemon.instance):
                os.unlink(f"/dev/shm/{name}")
        shutil.rmtree(self.path, ignore_errors=True)
        for number, handler in kept.items():
            signal.signal(number, handler)

    def write(self, name, data):
        path = os.path.join(self.path, name)
        with open(path, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
        return path

    def instance(self):
        self.count += 1
        return f"sys{os.getpid()}-{self.count}"

    def daemon(self, text, instance=None, prefix=()):
        """Starts a sluiced with this configuration."""
        name = instance or self.instance()
        self.count += 1
        daemon = Daemon(self, name, self.write(f"{self.count}.conf", text), prefix)
        self.daemons.append(daemon)
        return daemon

    def ready(self, text, instance=None):
        daemon = self.daemon(text, instance)
        daemon.wait_ready()
        return daemon


# ---- capture files ----

def write_pcap(path, frames):
    """Ethernet, in the order given."""
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 262144, 1))
        for i, frame in enumerate(frames):
            file.write(struct.pack("<IIII", i // 1000, i % 1000 * 1000, len(frame), len(frame)))
            file.write(frame)
    return path


def read_capture(path):
    """The frames of a pcap or pcapng file, as far as they were captured, of whatever link type."""
    with open(path, "rb") as file:
        data = file.read()
    if data[:4] == b"\x0a\x0d\x0d\x0a":
        return _read_pcapng(data)
    order = {b"\xd4\xc3\xb2\xa1": "<", b"\x4d\x3c\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">",
             b"\xa1\xb2\x3c\x4d": ">"}.get(data[:4])
    need(order, f"{path} is no capture file")
    frames, at = [], 24
    while at + 16 <= len(data):
        size = struct.unpack_from(order + "I", data, at + 8)[0]
        if at + 16 + size > len(data):
            break
        frames.append(data[at + 16:at + 16 + size])
        at += 16 + size
    return frames


def _read_pcapng(data):
    frames, at, order = [], 0, "<"
    while at + 12 <= len(data):
        if data[at:at + 4] == b"\x0a\x0d\x0d\x0a":
            order = "<" if data[at + 8:at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
        kind, length = struct.unpack_from(order + "II", data, at)
        if length < 12 or at + length > len(data):
            break
        if kind == 6:  # enhanced packet block
            size = struct.unpack_from(order + "I", data, at + 20)[0]
            frames.append(data[at + 28:at + 28 + size])
        elif kind == 3:  # simple packet block
            size = min(struct.unpack_from(order + "I", data, at + 8)[0], length - 16)
            frames.append(data[at + 12:at + 12 + size])
        at += length
    return frames
