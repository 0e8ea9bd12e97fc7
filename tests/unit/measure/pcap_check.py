#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
#
# Compares the TCP measurement with independent ones: with tshark's analysis on captures of real
# traffic, and with the kernel's TCP and the counters of nftables on traffic that is made here, in
# network namespaces of its own, with losses before and behind the point of the capture.
#
#     pcap_check.py PCAP_CHECK [CAPTURE...]
#
# Exit code 0: agrees; 1: does not; 77: nothing could be compared here (why is said).

# tests/run.py: beside others
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

SENDER = r"""
import socket
s = socket.socket()
# SO_MAX_PACING_RATE: slow enough that the kernel's own queues between namespaces lose nothing
s.setsockopt(socket.SOL_SOCKET, 47, 15000000)
s.connect(("10.77.3.2", 5001))
for _ in range(%d):
    s.sendall(bytes(65536))
s.shutdown(socket.SHUT_WR)
s.recv(1)
"""
RECEIVER = r"""
import socket
l = socket.create_server(("10.77.3.2", 5001))
s, _ = l.accept()
while s.recv(1 << 20):
    pass
s.send(b".")
"""
# Or packets overtake each other between the CPUs, inside the kernel.
ONE_CPU = ["taskset", "-c", str(min(os.sched_getaffinity(0)))]
NODES = ["sender", "before", "box", "receiver"]


def run(*command, **kw):
    return subprocess.run(command, check=True, text=True, capture_output=True, **kw).stdout


def ours(program, capture):
    """What pcap_check says: {frame: ns} of samples, {frame: kind} of events."""
    rtt, events = {}, {}
    for line in run(program, capture).splitlines():
        word = line.split()
        if word[0] == "rtt":
            rtt[int(word[1])] = (word[2], int(word[3]))
        elif word[0] in ("again", "late", "copy"):
            events[int(word[1])] = word[2] if word[0] == "again" else word[0]
    return rtt, events


def tshark(capture):
    """The same of tshark: {frame: ns}, set of frames sent again or out of order."""
    fields = ["frame.number", "tcp.analysis.ack_rtt", "tcp.analysis.retransmission",
              "tcp.analysis.fast_retransmission", "tcp.analysis.spurious_retransmission",
              "tcp.analysis.out_of_order"]
    args = [a for f in fields for a in ("-e", f)]
    rtt, again = {}, set()
    for line in run("tshark", "-n", "-r", capture, "-Y", "tcp", "-T", "fields",
                    *args).splitlines():
        word = (line + "\t" * 6).split("\t")
        if word[1]:
            rtt[int(word[0])] = round(float(word[1]) * 1e9)
        if any(word[2:6]):
            again.add(int(word[0]))
    return rtt, again


class Comparison:
    def __init__(self):
        self.failed = []

    def expect(self, good, text):
        print(("ok   " if good else "FAIL ") + text)
        if not good:
            self.failed.append(text)

    def with_tshark(self, program, capture, minimum_share):
        """One capture: same frames, same times, same medians."""
        name = os.path.basename(capture)
        rtt, events = ours(program, capture)
        their_rtt, their_again = tshark(capture)
        if not rtt and not their_rtt:
            return False
        # A sample by the echo of a timestamp has no counterpart, and is no ACK of new data.
        both = [f for f in rtt if f in their_rtt]
        # An ACK that ends a recovery is the answer to what was sent again; tshark takes the time of
        # the highest data that it covers, with all the wait for the recovery.
        close = [f for f in both if abs(rtt[f][1] - their_rtt[f]) <= max(10e3, 0.01 * their_rtt[f])
                 or (events and rtt[f][1] < their_rtt[f])]
        self.expect(len(close) >= minimum_share * len(both),
                    f"{name}: {len(close)} of {len(both)} samples within 10 us or 1 % of tshark's "
                    f"({len(rtt)} taken, tshark {len(their_rtt)})")
        same = len(set(events) & their_again)
        union = len(set(events) | their_again)
        self.expect(same >= 0.95 * union - 3,
                    f"{name}: {same} packets sent again or late, of {union} that either found")
        return True


def with_tcptrace(check, program, captures):
    """All captures together: as many samples as tcptrace takes."""
    mine = theirs = 0
    for c in captures:
        mine += len(ours(program, c)[0])
        said = subprocess.run(["tcptrace", "-n", "-l", "-r", c], check=False, capture_output=True,
                              text=True, errors="replace").stdout
        theirs += sum(int(a) + int(b) for a, b in
                      re.findall(r"RTT samples: +(\d+) +RTT samples: +(\d+)", said))
    check.expect(mine >= 0.99 * theirs and theirs > 0,
                 f"all captures: {mine} samples, tcptrace {theirs}")


def capture_in_namespaces(directory, megabytes, per_mille_before, per_mille_behind):
    """sender - before - box - receiver; drops in `before` and in `receiver`. Returns the capture's
    name and what the kernel counted."""
    prefix = f"mc{os.getpid()}-"
    name = {n: prefix + n for n in NODES}
    capture = os.path.join(directory, "made.pcap")

    def at(node, *command):
        return run("ip", "netns", "exec", name[node], *command)

    made, processes = [], []
    try:
        for n in NODES:
            run("ip", "netns", "add", name[n])
            made.append(n)
            at(n, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        for i, (a, b) in enumerate(zip(NODES, NODES[1:]), 1):
            run("ip", "link", "add", "right", "netns", name[a], "type", "veth", "peer", "name", "left",
                "netns", name[b])
            for node, end, host in ((a, "right", 1), (b, "left", 2)):
                at(node, "ip", "addr", "add", f"10.77.{i}.{host}/24", "dev", end)
                at(node, "ip", "link", "set", end, "up")
                # One frame on the wire for one segment of TCP
                at(node, "ethtool", "-K", end, "tso", "off", "gso", "off", "gro", "off")
        at("sender", "ip", "route", "add", "default", "via", "10.77.1.2")
        at("before", "ip", "route", "add", "10.77.3.0/24", "via", "10.77.2.2")
        at("box", "ip", "route", "add", "10.77.1.0/24", "via", "10.77.2.1")
        at("receiver", "ip", "route", "add", "default", "via", "10.77.3.1")
        for node, hook, share in (("before", "forward", per_mille_before),
                                  ("receiver", "prerouting", per_mille_behind)):
            at(node, "nft", f"add table ip t; add chain ip t c {{ type filter hook {hook} "
               f"priority 0; }}; add rule ip t c tcp dport 5001 meta length > 500 "
               f"numgen random mod 1000 < {share} counter drop")
        dump = subprocess.Popen(["ip", "netns", "exec", name["box"], "tcpdump", "-i", "left",
                                 "-s", "100", "-B", "65536", "--time-stamp-precision=nano", "--immediate-mode", "-U", "-w",
                                 capture, "tcp"], stderr=subprocess.PIPE, text=True)
        processes.append(dump)
        ready = threading.Event()
        said = []

        def listen():
            for line in dump.stderr:
                said.append(line)
                if "listening" in line:
                    ready.set()

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        if not ready.wait(10):
            raise RuntimeError("tcpdump does not start")
        receiver = subprocess.Popen(["ip", "netns", "exec", name["receiver"], *ONE_CPU, sys.executable,
                                     "-c", RECEIVER])
        processes.append(receiver)
        deadline = time.monotonic() + 10
        while ":5001" not in at("receiver", "ss", "-Hltn"):
            if time.monotonic() > deadline:
                raise RuntimeError("the receiver does not listen")
            time.sleep(0.05)
        subprocess.run(["ip", "netns", "exec", name["sender"], *ONE_CPU, sys.executable, "-c",
                        SENDER % (megabytes * 16)], check=True, timeout=60)
        receiver.wait(20)
        # tcpdump has seen the last packet when the file stops growing
        size = -1
        while size != os.path.getsize(capture) and time.monotonic() < deadline + 80:
            size = os.path.getsize(capture)
            time.sleep(0.3)
        dump.terminate()
        dump.wait(10)
        listener.join(10)
        missed = [int(line.split()[0]) for line in said if "dropped by kernel" in line]
        counted = {"missed": sum(missed)}
        for node in ("before", "receiver"):
            rules = at(node, "nft", "list", "chain", "ip", "t", "c").split()
            counted[node] = int(rules[rules.index("packets") + 1])
        for line in at("sender", "nstat", "-asz", "TcpRetransSegs").splitlines():
            if line.startswith("TcpRetransSegs"):
                counted["again"] = int(line.split()[1])
        return capture, counted
    finally:
        for p in processes:
            if p.poll() is None:
                p.kill()
                p.wait()
        for n in made:
            subprocess.run(["ip", "netns", "del", name[n]], check=False)


def with_kernel(check, program, directory, before, behind):
    capture, counted = capture_in_namespaces(directory, 30, before, behind)
    what = f"kernel TCP, {before / 10} % lost before, {behind / 10} % behind"
    if counted["missed"]:
        print(f"skip {what}: tcpdump itself missed {counted['missed']} packets")
        return False
    rtt, events = ours(program, capture)
    kinds = {k: list(events.values()).count(k) for k in ("before", "after", "needless", "late")}
    # What was lost before the box and sent again but lost there again is not to be seen; nor is a
    # loss of the last data. And the sender repeats more than was lost (tail loss probes).
    slack = 3 + 0.02 * counted["again"]
    seen = kinds["before"] + kinds["after"] + kinds["needless"] + kinds["late"]
    unseen = counted["before"] * (before + behind) / 1000
    check.expect(abs(seen - counted["again"]) <= slack + unseen,
                 f"{what}: {seen} sent again, by the kernel's count {counted['again']}")
    check.expect(abs(kinds["before"] - counted["before"]) <= slack + unseen,
                 f"{what}: {kinds['before']} before, by nftables' count {counted['before']}")
    extra = max(0, counted["again"] - counted["before"] - counted["receiver"])
    check.expect(-slack <= kinds["after"] - counted["receiver"] <= slack + extra,
                 f"{what}: {kinds['after']} behind, by nftables' count {counted['receiver']} "
                 f"({extra} needless in truth, {kinds['needless']} known to be, "
                 f"{kinds['late']} taken for late)")
    check.with_tshark(program, capture, 0.97)
    return True


def main():
    program, captures = sys.argv[1], sys.argv[2:]
    check, compared = Comparison(), 0
    if shutil.which("tshark") is None:
        print("skipped: tshark is not installed")
        return 77
    captures = [c for c in captures if os.path.exists(c)]
    if not captures:
        print("skip captures: none found")
    for c in captures:
        compared += check.with_tshark(program, c, 0.98)
    if captures and shutil.which("tcptrace"):
        with_tcptrace(check, program, captures)
    missing = [t for t in ("ip", "nft", "tcpdump", "ethtool", "nstat", "ss") if not shutil.which(t)]
    if os.geteuid() != 0 or missing:
        print("skip kernel TCP: needs root" + (" and " + ", ".join(missing) if missing else ""))
    else:
        with tempfile.TemporaryDirectory() as directory:
            for before, behind in ((0, 0), (10, 0), (0, 10), (5, 5)):
                try:
                    compared += with_kernel(check, program, directory, before, behind)
                except subprocess.CalledProcessError as e:
                    print(f"skip kernel TCP: {' '.join(e.cmd)}: {(e.stderr or '').strip()}")
                    break
    if compared == 0:
        return 77
    print(f"{len(check.failed)} disagreements")
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main())
