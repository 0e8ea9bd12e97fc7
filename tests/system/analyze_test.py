#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""sluice-analyze against tcptrace and tshark, on every flow of the captures.

    tests/system/analyze_test.py SLUICE_ANALYZE [FOLDER]

The folder is $SLUICE_CAPTURES or ../shared/captures beside the checkout. Compared by TCP
flow and sender: packets sent again, packets out of order, the times of the handshake; and with
tshark's the times of DNS answers over UDP and of echo replies. Where two differ, the tables of analyze_cases.py says who is right and why. The test fails on a difference that is not
listed, and on a listed one that is gone. Exit code 77: no captures, or a tool is missing.
"""
import csv
import ipaddress
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from analyze_cases import ANSWER_CASES, CASES

TOP = pathlib.Path(__file__).resolve().parents[2]
SKIPPED = 77
MS = 1_000_000
# Times here are kept in units of 64 ns; tcptrace prints tenths of a millisecond.
CLOSE_NS = {"tshark": 128, "tcptrace": 50_000 + 128}


def run(*command):
    return subprocess.run([str(c) for c in command], check=True, text=True, errors="replace",
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


class Flow:
    """Figures of one TCP connection: by the end that sent, "address:port"."""

    def __init__(self, a, b, start_ns):
        self.ends, self.start_ns = frozenset((a, b)), start_ns
        self.figures = {}  # (metric, sender or None) -> number

    def add(self, metric, sender, number=1):
        self.figures[metric, sender] = self.figures.get((metric, sender), 0) + number

    def get(self, metric, sender):
        return self.figures.get((metric, sender), 0)

    def name(self):
        return " ".join(sorted(self.ends)) + f" @{self.start_ns // 1000 / 1e6:.6f}"


def end(address, port):
    return f"{ipaddress.ip_address(address)}:{port}"


def ours(program, capture):
    report = json.loads(run(program, "--inside", "--any-vlan", "--flows", "--by", "start", "--json", capture))
    flows = []
    for f in report["flows"]:
        # Without ports: fragments, and packets whose TCP header contradicts itself.
        if f["proto"] != "tcp" or f["lan_port"] == f["wan_port"] == 0:
            continue
        side = {"up": end(f["lan"], f["lan_port"]), "down": end(f["wan"], f["wan_port"])}
        flow = Flow(side["up"], side["down"], f["first_ns"])
        for way, sender in side.items():
            flow.add("again", sender, f[f"retransmits_{way}"])
            flow.add("late", sender, f[f"reordered_{way}"])
        flow.add("handshake", side["up"], f["handshake_lan_ns"])
        flow.add("handshake", side["down"], f["handshake_wan_ns"])
        flow.add("connect", None, f["connect_ns"])
        flows.append(flow)
    return flows


# tcptrace does not look into tunnels: it gets what is inside. capture -> bytes before, what follows.
INSIDE = {"vxlan.pcap": ("54", "ether"), "6in4tunnel.pcap": ("34", "rawip"),
          "4in6tunnel.pcap": ("54", "rawip")}
# Captures of several interfaces, each packet in them several times: once more as one sees them.
ONCE = {"rtsp.pcap": "sll.pkttype == 0"}


def captures_once(folder, scratch):
    """Those of ONCE that are in the folder, written to `scratch`."""
    captures = []
    for name, condition in ONCE.items():
        if (folder / name).exists():
            captures.append(pathlib.Path(scratch) / f"once-{name}")
            run("tshark", "-n", "-r", folder / name, "-Y", condition, "-F", "pcap", "-w",
                captures[-1])
    return captures


FIELDS = ["tcp.stream", "frame.protocols", "frame.time_epoch", "ip.src", "ip.dst", "ipv6.src", "ipv6.dst",
          "tcp.srcport", "tcp.dstport", "tcp.analysis.retransmission",
          "tcp.analysis.fast_retransmission", "tcp.analysis.spurious_retransmission",
          "tcp.analysis.out_of_order", "tcp.analysis.initial_rtt"]


def ns(seconds):
    whole, _, part = seconds.partition(".")
    return int(whole) * 1_000_000_000 + int((part + "0" * 9)[:9])


def innermost_is_six(protocols):
    """In a tunnel of one family in the other both are there."""
    layers = protocols.split(":")
    return "ipv6" in layers and "ip" not in layers[layers.index("ipv6"):]


def by_tshark(capture):
    """TCP headers quoted in ICMP errors are no packets of the connection."""
    fields = [a for f in FIELDS for a in ("-e", f)]
    streams = {}
    for line in run("tshark", "-n", "-r", capture, "-Y", "tcp && !icmp && !icmpv6", "-T", "fields",
                    "-E", "occurrence=l", *fields).splitlines():
        v = dict(zip(FIELDS, (line + "\t" * len(FIELDS)).split("\t")))
        six = innermost_is_six(v["frame.protocols"])
        a, b = (v["ipv6.src"], v["ipv6.dst"]) if six else (v["ip.src"], v["ip.dst"])
        a, b = end(a, v["tcp.srcport"]), end(b, v["tcp.dstport"])
        if v["tcp.stream"] not in streams:
            streams[v["tcp.stream"]] = Flow(a, b, ns(v["frame.time_epoch"]))
        flow = streams[v["tcp.stream"]]
        if any(v[f"tcp.analysis.{kind}retransmission"] for kind in ("", "fast_", "spurious_")):
            flow.add("again", a)
        elif v["tcp.analysis.out_of_order"]:
            flow.add("late", a)
        if v["tcp.analysis.initial_rtt"]:
            flow.figures["connect", None] = ns(v["tcp.analysis.initial_rtt"])
    return list(streams.values())


def by_tcptrace(capture, folder):
    """Of data only: tcptrace does not count a SYN or FIN that is sent again."""
    plain = capture
    if capture.suffix == ".pcapng" or capture.name in INSIDE:
        plain = folder / (capture.stem + ".tcptrace.pcap")
        chop = INSIDE.get(capture.name)
        run("editcap", "-F", "pcap", *(("-C", chop[0], "-T", chop[1]) if chop else ()), capture,
            plain)
    rows = [line for line in run("tcptrace", "-l", "-r", "-n", "--csv", plain).splitlines()
            if line and not line.startswith("#")]
    flows = []
    for row in csv.DictReader(rows, skipinitialspace=True):
        if row["host_a"] is None or row["first_packet"] is None:
            continue
        row = {k: (v or "0").strip() for k, v in row.items() if k}
        ends = {"a": end(row["host_a"], row["port_a"]), "b": end(row["host_b"], row["port_b"])}
        # Microseconds, printed without the zeros in front.
        seconds, microseconds = row["first_packet"].split(".")
        flow = Flow(ends["a"], ends["b"], int(seconds) * 10**9 + int(microseconds) * 1000)
        for one, other in (("a", "b"), ("b", "a")):
            way = f"{one}2{other}"
            flow.add("again", ends[one], int(row[f"rexmt_data_pkts_{way}"]))
            flow.add("late", ends[one], int(row[f"outoforder_pkts_{way}"]))
            # "a2b": of what a sent, so the answer is of b.
            flow.add("handshake", ends[other], round(float(row[f"RTT_from_3WHS_{way}"]) * MS))
        flows.append(flow)
    return flows


def find(flow, flows):
    """The same connection: same ends, first packet at the same time (tcptrace knows us)."""
    for other in flows:
        if other.ends == flow.ends and abs(other.start_ns - flow.start_ns) < 2000:
            return other
    return None


ANSWERS = ["frame.protocols", "ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "udp.srcport",
           "udp.dstport", "icmp.ident", "icmpv6.echo.identifier", "dns.time", "icmp.resptime",
           "icmpv6.resptime"]


def answers_of_tshark(capture):
    """DNS over UDP and echoes: {(kind, ends, who answered): [ns]}."""
    found = {}
    fields = [a for f in ANSWERS for a in ("-e", f)]
    for line in run("tshark", "-n", "-r", capture, "-Y",
                    "(dns.time && udp && !mdns) || icmp.resptime || icmpv6.resptime", "-T",
                    "fields", "-E", "occurrence=l", *fields).splitlines():
        v = dict(zip(ANSWERS, (line + "\t" * len(ANSWERS)).split("\t")))
        six = innermost_is_six(v["frame.protocols"])
        a, b = (v["ipv6.src"], v["ipv6.dst"]) if six else (v["ip.src"], v["ip.dst"])
        if v["dns.time"]:
            if "53" not in (v["udp.srcport"], v["udp.dstport"]):
                continue
            key = ("udp", frozenset((end(a, v["udp.srcport"]), end(b, v["udp.dstport"]))), a)
            time = ns(v["dns.time"])
        else:
            ident = int(v["icmp.ident"] or v["icmpv6.echo.identifier"], 0)
            key = ("icmp", frozenset((end(a, ident), end(b, ident))), a)
            time = round(float(v["icmp.resptime"] or v["icmpv6.resptime"]) * MS)
        found.setdefault(key, []).append(time)
    return found


def answers_here(program, capture):
    """The same of sluice-analyze: {...: (samples, median, largest)}; QUIC left out."""
    report = json.loads(run(program, "--inside", "--any-vlan", "--flows", "--json", capture))
    found = {}
    for f in report["flows"]:
        if f["proto"] not in ("udp", "icmp", "icmpv6") or f["fragments"]:
            continue
        ports = f["lan_port"], f["wan_port"]
        if f["proto"] == "udp" and 53 not in ports:
            continue
        if f["proto"] != "udp":  # an identifier, which stands at one end
            ports = (max(ports),) * 2
        ends = frozenset((end(f["lan"], ports[0]), end(f["wan"], ports[1])))
        for side in ("lan", "wan"):
            dist = f[f"rtt_{side}"]
            if dist["samples"]:
                kind = "udp" if f["proto"] == "udp" else "icmp"
                found[kind, ends, f[side]] = (dist["samples"], dist["p50_ns"], dist["max_ns"])
    return found


def compare_answers(program, capture):
    """DNS and echo times: as many, and the same. Returns (how many, {key: what differs})."""
    mine, theirs = answers_here(program, capture), answers_of_tshark(capture)
    wrong = {}
    for key in sorted(set(mine) | set(theirs), key=str):
        times = sorted(theirs.get(key, []))
        samples, median, largest = mine.get(key, (0, 0, 0))
        if samples != len(times) or times and (
                abs(median - times[(len(times) - 1) // 2]) > CLOSE_NS["tshark"]
                or abs(largest - times[-1]) > CLOSE_NS["tshark"]):
            key = (capture.name, f"{key[0]} {' '.join(sorted(key[1]))}", key[2])
            wrong[key] = (samples, len(times), f"median {median} here, {times} there")
    return sum(map(len, theirs.values())), wrong


METRICS = {"tshark": ["again", "late", "connect"], "tcptrace": ["again", "late", "handshake"]}


def differences(capture, tool, mine, theirs):
    """[(key, ours, theirs)] of one capture; a key is (capture, tool, flow, metric, sender)."""
    found = []
    for flow in theirs:
        if find(flow, mine) is None:
            found.append(((capture, tool, flow.name(), "flow", None), "absent", "present"))
    for flow in mine:
        other = find(flow, theirs)
        if other is None:
            found.append(((capture, tool, flow.name(), "flow", None), "present", "absent"))
            continue
        for metric in METRICS[tool]:
            for sender in [None] if metric == "connect" else sorted(flow.ends):
                a, b = flow.get(metric, sender), other.get(metric, sender)
                near = CLOSE_NS[tool] if metric in ("connect", "handshake") else 0
                if abs(a - b) > near or (a == 0) != (b == 0) and abs(a - b) > near:
                    found.append(((capture, tool, flow.name(), metric, sender), a, b))
    return found


def main():
    if len(sys.argv) < 2:
        print(__doc__)
        return 2
    program = sys.argv[1]
    folder = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else
                          os.environ.get("SLUICE_CAPTURES", TOP.parent / "shared/captures"))
    if not folder.is_dir():
        print(f"skipped: no captures in {folder}")
        return SKIPPED
    for tool in ("tshark", "tcptrace", "editcap"):
        if shutil.which(tool) is None:
            print(f"skipped: no {tool}")
            return SKIPPED
    passed = failed = flows = 0
    left, left_answers = dict(CASES), dict(ANSWER_CASES)
    with tempfile.TemporaryDirectory() as scratch:
        for capture in sorted(folder.glob("*.pcap*")) + captures_once(folder, scratch):
            mine = ours(program, capture)
            flows += len(mine)
            theirs = by_tshark(capture)
            found = differences(capture.name, "tshark", mine, theirs)
            if mine or theirs:  # tcptrace and editcap give up on captures without TCP
                found += differences(capture.name, "tcptrace", mine,
                                     by_tcptrace(capture, pathlib.Path(scratch)))
            answers, other_answers = compare_answers(program, capture)
            wrong = 0
            for key, (here, there, text) in other_answers.items():
                case = left_answers.pop(key, None)
                if case is None or case[:2] != (here, there):
                    print(f"FAIL {key}: {here} times here, {there} there: {text}")
                    wrong += 1
            for key, a, b in found:
                case = left.pop(key, None)
                if case is None or case[:2] != (a, b):
                    print(f"FAIL {key}: here {a}, there {b}"
                          + (f"; listed are {case[0]} and {case[1]}" if case else ", not listed"))
                    wrong += 1
            failed += wrong > 0
            passed += wrong == 0
            if mine or answers:
                print(f"{'FAIL' if wrong else 'ok  '} {capture.name}: {len(mine)} TCP flows, "
                      f"{len(found)} differences; {answers} DNS and echo times")
    for key in [*left, *left_answers]:
        print(f"FAIL {key}: listed, but there is no such difference any more")
        failed += 1
    print(f"{flows} TCP flows, {len(CASES) + len(ANSWER_CASES)} explained differences")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
