#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""sluicectl as a user and as a program see it, against fake_daemon: every command's text or JSON,
exit codes, error sentences, the shell, a closed pipe. Run: cli_test.py SLUICECTL FAKE_DAEMON"""
import fcntl
import json
import os
import pty
import resource
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time

SLUICECTL, FAKE_DAEMON = sys.argv[1:3]
INSTANCE = "cli%d" % os.getpid()
failed = 0


def check(what, good, seen=""):
    global failed
    if not good:
        failed += 1
    print("%-4s cli: %s%s" % ("ok" if good else "FAIL", what,
                              "" if good else "\n     " + repr(seen)[:1500]), flush=True)


def ctl(*args, json_mode=False, stdin=subprocess.DEVNULL, text=None):
    command = [SLUICECTL, "-i", INSTANCE] + (["--json"] if json_mode else []) + list(args)
    return subprocess.run(command, capture_output=True, text=True, timeout=30,
                          **({"input": text} if text is not None else {"stdin": stdin}))


def fields(value):
    """Every number in a document."""
    if isinstance(value, dict):
        return sum((fields(v) for v in value.values()), [])
    if isinstance(value, list):
        return sum((fields(v) for v in value), [])
    return [value]


class Daemon:
    def __init__(self, *args):
        self.process = subprocess.Popen([FAKE_DAEMON, INSTANCE, *args], stdout=subprocess.PIPE,
                                        text=True)
        assert self.process.stdout.readline() == "ready\n"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)
        self.process.stdout.close()


def test_runs():
    """ping, trace, speedtest: started, asked for until they are done."""
    result = ctl("ping", "dc", "--count", "2", "--interval", "50ms", "--dscp", "ef")
    check("text of ping", result.returncode == 0 and result.stderr == "" and result.stdout ==
          "dc 192.0.2.7 by STAMP, packets of 96 bytes\n   1  20.0 ms  ttl 255\n   2  lost\n"
          "2 sent, 1 received, 1 lost (50.0 %): 1 on the way there, 0 on the way back\n"
          "round trip       min 19.0 ms, p50 20.0 ms, p90 21.0 ms, p99 22.0 ms, max 24.0 ms\n",
          result)
    d = json.loads(ctl("ping", "dc", json_mode=True).stdout)["ping"]
    check("ping --json", d["rtts_ns"] == [20000000, None] and d["loss"] == 0.5 and
          d["method"] == "stamp" and d["lost_up"] == 1, d)
    result = ctl("trace", "dc")
    check("text of trace", result.returncode == 0 and "  2  -                  10  100.0 %" in
          result.stdout and "192.0.2.30 (+2)" in result.stdout, result)
    d = json.loads(ctl("trace", "dc", json_mode=True).stdout)
    check("trace --json", d["reached"] and d["target"] == "192.0.2.7" and
          [hop["received"] for hop in d["hops"]] == [9, 0, 7], d)
    result = ctl("speedtest", "dc", "--bytes", "1.5MB", "--seconds", "2s")
    check("text of speedtest", result.returncode == 0 and "to dc: 19.2 Mbit/s, of IP packets of "
          "1500 bytes, over 1.00 s\n" in result.stdout and "lost 10 (1.00 %); ended because its "
          "bytes were spent" in result.stdout, result)
    d = json.loads(ctl("speedtest", "dc", json_mode=True).stdout)["speedtest"]
    check("speedtest --json", d["rate_bps"] == 19200000 and d["saturated"] is True and
          d["lost_packets"] == 10 and d["ended_by"] == "bytes", d)
    for args, error in ((("ping",), "comes first"), (("ping", "--count", "2"), "comes first"),
                        (("ping", "x" * 64), "too long"), (("ping", "elsewhere"), "is no peer"),
                        (("ping", "dc", "--interval", "soon"), "take a time"),
                        (("ping", "dc", "--interval", "0"), "take a time"),
                        (("ping", "dc", "--dscp", "64"), "0 to 63"),
                        (("ping", "dc", "--dscp", "af14"), "0 to 63"),
                        (("ping", "dc", "--by", "tcp"), "stamp, icmp"),
                        (("ping", "dc", "--size", "59"), "60 to 9000"),
                        (("trace", "dc", "--hops", "33"), "1 to 32"),
                        (("speedtest", "dc", "--bytes", "many"), "take a size"),
                        (("speedtest", "dc", "--rate", "20"), "take a rate")):
        result = ctl(*args)
        check("refused: " + " ".join(args)[:30], result.returncode == 1 and result.stdout == "" and
              error in result.stderr, result)


def test_json():
    for subject in ("status links ports workers classes shaper stamp flows peers rtt loss box "
                    "history transactions compression drops policy").split():
        result = ctl("show", subject, json_mode=True)
        try:
            document = json.loads(result.stdout)
        except ValueError:
            document = {}
        check("show %s --json" % subject,
              result.returncode == 0 and result.stderr == "" and
              document.get("instance") == INSTANCE and len(document.get(subject, ())) > 0 and
              len(fields(document)) > 4, result)
    row = json.loads(ctl("show", "box", json_mode=True).stdout)["box"][0]
    check("cycles by stage, and their sum", (row["cycles_rx"], row["cycles_tx"],
          row["cycles_flow"], row["cycles"], row["cycles_packets"]) == (50, 60, None, 110, 20), row)
    rows = json.loads(ctl("show", "transactions", json_mode=True).stdout)["transactions"]
    check("open connections are of connect only",
          {(row["kind"], row["open"]) for row in rows} ==
          {("connect", 7), ("tcp", None), ("dns", None)}, rows)
    d = json.loads(ctl("show", "status", json_mode=True).stdout)["status"]
    check("numbers are plain", d["rate_up_bps"] == 12300000 and d["uptime_ns"] == 90061 * 10**9 and
          d["bypass"] is False and d["compression"] == "on", d)
    d = json.loads(ctl("show", "classes", json_mode=True).stdout)["classes"]
    check("class fields", len(d) == 8 and d[2]["name"] == "voice" and d[2]["way"] == "up" and
          d[2]["ceil_bps"] == 30000000 and d[2]["ratio"] is None and d[0]["ratio"] == 2.0 and
          d[0]["queue_delay"]["p99_ns"] == 6000000 and d[3]["rtt_wan"]["p50_ns"] == 41 * 10**6 and
          d[3]["per"] == "src/24,/56" and d[3]["flow_burst_ns"] == 5 * 10**6, d)
    d = json.loads(ctl("show", "compression", json_mode=True).stdout)
    check("compression by codec", [(x["class"], x["codec"], x["ratio"], x["cycles_per_byte"])
                                   for x in d["codecs"]] ==
          [("bulk", "lz4-dict", 2.0, 4.0), ("web", "lz4-dict", 2.0, 4.0)] and
          d["governors"] == [{"worker": 1, "compresses": "fastest", "steps_down": 5,
                              "steps_back": 3, "busy_packets": 77}], d)
    d = json.loads(ctl("show", "compression", "--class", "bulk", json_mode=True).stdout)
    check("compression of a class", [x["class"] for x in d["codecs"]] == ["bulk"], d)
    d = json.loads(ctl("show", "classes", json_mode=True).stdout)["classes"]
    check("classes are a tree", [(x["name"], x["parent"], x["depth"], x["kind"]) for x in d[:4]] ==
          [("default", "", 0, "class"), ("office", "", 0, "group"), ("voice", "office", 1, "class"),
           ("bulk", "office", 1, "class")] and
          [x["way"] for x in d] == ["up"] * 4 + ["down"] * 4, d)
    check("a group is the sum of its classes", all(d[1][x] == d[2][x] + d[3][x] for x in (
        "rate_bps", "sent_bytes", "wire_bytes", "charged_bytes", "backlog_bytes",
        "backlog_packets", "backlog_flows", "dropped_tail", "dropped_time", "dropped_aqm",
        "dropped_memory", "dropped_police", "marked", "remarked", "green", "yellow", "red")) and
          d[3]["borrowed_share"] == 0.25 and
          d[1]["backlog_age_ns"] == d[3]["backlog_age_ns"] == 3 * 10**6 and
          d[1]["queue_delay"]["samples"] == 0, d[1])
    check("of a group's flows nothing is said", all(d[1][x] is None and d[2][x] is not None for x in (
        "flow_rate_bps", "flow_burst_bytes", "flow_burst_ns", "queue_limit_bytes",
        "queue_limit_ns", "aqm", "aqm_target_ns", "ecn", "per", "police", "police_cir_bps",
        "police_cbs_bytes", "police_eir_bps", "police_ebs_bytes", "compress")) and
          (d[2]["aqm"], d[2]["queue_limit_bytes"], d[2]["ecn"]) == ("codel", 512000, True), d[1])
    check("a group borrows what it sends above its own assured rate",
          d[1]["borrowed_bps"] == d[1]["rate_bps"] - d[1]["assured_bps"] == 6000000 and
          d[1]["borrowed_share"] == 0.375, d[1])
    for args, names in ((("--class", "office"), ["office", "voice", "bulk"]), (("bulk",), ["bulk"]),
                        (("office",), ["office"]), (("--busy",), ["default", "voice", "bulk"])):
        d = json.loads(ctl("show", "classes", *args, json_mode=True).stdout)["classes"]
        check("show classes " + " ".join(args), [x["name"] for x in d] == names * 2, d)
    d = json.loads(ctl("show", "shaper", json_mode=True).stdout)
    check("shapers and their total", len(d["shaper"]) == 4 and
          d["shaper"][3]["wheel_late_max_ns"] == 4000 == d["total"]["wheel_late_max_ns"] and
          d["total"]["memory_bytes"] == 4 * 10**6 + 2 * 500000 and d["total"]["hosts"] == 14 and
          d["total"]["classes"] == 4 and d["total"]["wheel_inserts"] == 4006, d["total"])
    d = json.loads(ctl("show", "links", json_mode=True).stdout)["links"]
    check("link fields", [x["overhead_bytes"] for x in d] == [-4, 24] and
          [x["tracked_bps"] for x in d] == [87000000, 0], d)
    d = json.loads(ctl("show", "peers", json_mode=True).stdout)["peers"][0]
    check("peer fields", d["state"] == "up" and d["rx_lost"] == 10 and d["rx_loss"] == 0.01 and
          d["error"].startswith("peer fell silent ?"), d)
    path = d["path"]
    check("path of a peer", path["loss"] == 10 / (990 - 2 + 10) and path["loss_periods"] == 4 and
          path["one_way_delay_ns"] == -2000 and path["one_way_uncertainty_ns"] == 20 * 10**6 and
          [x["loss_periods"] for x in path["sizes"]] == [2, 0, 1, 1, 0, 0, 0, 0] and
          [(x["class"], x["lost"]) for x in path["classes"]] == [("voice", 6), ("(others)", 4)],
          path)
    d = json.loads(ctl("show", "history", "--of", "class", "voice", "--span", "10m",
                       json_mode=True).stdout)
    check("history rows", d["of"] == "class" and d["name"] == "voice" and len(d["history"]) == 60 and
          d["history"][0]["rate_up_bps"] is None and d["history"][59]["rate_up_bps"] == 59e6, d)
    d = json.loads(ctl("show", "drops", json_mode=True).stdout)
    aqm = [x for x in d["drops"] if x["reason"] == "aqm"][0]
    check("drops sum the workers", aqm["packets"] == 24 and aqm["kind"] == "dropped" and
          [w["aqm"] for w in d["workers"]] == [12, 12], aqm)
    d = json.loads(ctl("show", "workers", json_mode=True).stdout)
    stages = [s["stage"] for s in d["workers"][0]["stages"]]
    check("stages in packet order", stages == ["rx", "parse", "decode", "steer", "flow", "classify",
          "measure", "queue", "schedule", "compress", "tx"], stages)
    check("cycles of an interval", d["stages"][0]["cycles_per_packet"] == 20.0 and
          0 < d["workers"][0]["busy"] < 0.9, d["stages"][0])
    d = json.loads(ctl("show", "flows", "--top", "5000", json_mode=True).stdout)["flows"]
    check("5,000 flows in order", len(d) == 5000 and
          all(d[i]["rate_down_bps"] == 2000000 - i for i in range(5000)), len(d))
    d = json.loads(ctl("explain", "flow", "192.0.2.10", "40000", "192.0.2.20", "443", "tcp",
                       json_mode=True).stdout)
    check("explain flow", d["explain"]["class"] == "bulk" and d["flows"][0]["src"] == "192.0.2.10"
          and d["explain"]["path"] == "link b0 > office > bulk" and
          d["explain"]["bucket"] == "network 192.0.2.0/24" and
          d["explain"]["police"].startswith("RFC 2698: CIR 5.00 Mbit/s, CBS 20.0 kB, PIR "), d)
    result = ctl("set", "class", "vioce", "rate", "20mbit", json_mode=True)
    check("errors in JSON", result.returncode == 1 and
          json.loads(result.stdout)["error"]["errno"] == 2, result)


GOLDEN_LINKS = """\
BRIDGE  WAY   PORT  LINK      SHAPED      TRACKED         RATE    PACKETS    BYTES  WAITING  WAITING BYTES  OVERHEAD
b0      up    eth2  yes   100 Mbit/s  87.0 Mbit/s  12.3 Mbit/s  1,000,000  1.21 GB        0            0 B        -4
b0      down  eth2  yes            -            -  12.3 Mbit/s  1,000,000  1.21 GB        0            0 B        24
"""
GOLDEN_CLASSES = """\
b0 up: 12.3 Mbit/s of 87.0 Mbit/s, as tracked
CLASS    ASSURED   CEIL   RATE  BORROWS  BACKLOG  PKTS      AGE  WAIT p50      p99  DROPS  MARKS  RTT LAN      WAN
default    10.0M      -  8.00M    0.0 %  15.0 kB    10        -   2.00 ms  6.00 ms     10     12   250 us  41.0 ms
office     10.0M      -  16.0M   37.5 %  30.0 kB    20  3.00 ms         -        -     25     24        -        -
  voice    10.0M  30.0M  8.00M    0.0 %  15.0 kB    10  2.00 ms   2.00 ms  6.00 ms     10     12   250 us  41.0 ms
  bulk     10.0M      -  8.00M   25.0 %  15.0 kB    10  3.00 ms   2.00 ms  6.00 ms     15     12   250 us  41.0 ms

b0 down: 12.3 Mbit/s of what the port gives
CLASS    ASSURED   CEIL   RATE  BORROWS  BACKLOG  PKTS      AGE  WAIT p50      p99  DROPS  MARKS  RTT LAN      WAN
default    10.0M      -  8.00M    0.0 %  15.0 kB    10        -   2.00 ms  6.00 ms     10     12   250 us  41.0 ms
office     10.0M      -  16.0M   37.5 %  30.0 kB    20  3.00 ms         -        -     25     24        -        -
  voice    10.0M  30.0M  8.00M    0.0 %  15.0 kB    10  2.00 ms   2.00 ms  6.00 ms     10     12   250 us  41.0 ms
  bulk     10.0M      -  8.00M   25.0 %  15.0 kB    10  3.00 ms   2.00 ms  6.00 ms     15     12   250 us  41.0 ms
"""
GOLDEN_BULK_UP = """\
class             bulk
kind              class
in group          office
bridge            b0
way               up
priority          4
weight            10
assured           10.0 Mbit/s
ceiling           -
  burst of both   30.0 kB
flow rate         2.00 Mbit/s
  per             src/24,/56
  burst           5.00 ms
rate now          8.00 Mbit/s
  borrowed        25.0 %
sent packets      1,234,567
sent              2.00 MB
  on the wire     1.00 MB
  ratio           2.00
  charged         1.10 MB
  borrowed        550 kB
compression       no
backlog           15.0 kB
  packets         10
  flows           2
  age             3.00 ms
  a flow's limit  512 kB
  limit in time   -
AQM               codel
  target          -
  ECN             yes
dropped: tail     1
  too old         2
  AQM             3
  no memory       4
  policed         5
marked (ECN)      12
policer           RFC 2698: CIR 5.00 Mbit/s, CBS 20.0 kB, PIR 10.0 Mbit/s, PBS 40.0 kB; green pass, yellow DSCP 10, red drop
  green           100
  yellow          20
  red             5
  DSCP changed    20
waiting           p50 2.00 ms, p90 4.00 ms, p99 6.00 ms, p99.9 8.00 ms, max 10.0 ms of 1,000
in the box        p50 20.0 us, p90 40.0 us, p99 60.0 us, p99.9 80.0 us, max 100 us of 1,000
RTT, LAN half     p50 250 us, p90 500 us, p99 750 us, p99.9 1.00 ms, max 1.25 ms of 1,000
RTT, WAN half     p50 41.0 ms, p90 82.0 ms, p99 123 ms, p99.9 164 ms, max 205 ms of 1,000
"""
GOLDEN_BULK = GOLDEN_BULK_UP + "\n" + GOLDEN_BULK_UP.replace("  up\n", "  down\n")
GOLDEN_RTT = """\
CLASS  HALF     BY   SAMPLES  DELAYED      MIN      p50      p90      p99    p99.9      MAX
voice  lan      tcp    1,000        0   100 us   200 us   400 us   600 us   800 us  1.00 ms
voice  wan      tcp    1,000       12  20.5 ms  41.0 ms  82.0 ms   123 ms   164 ms   205 ms
voice  connect  tcp        0        0        -        -        -        -        -        -
voice  wan      dns    1,000        0  6.00 ms  12.0 ms  24.0 ms  36.0 ms  48.0 ms  60.0 ms
"""
GOLDEN_LOSS = """\
CLASS  WAY   TCP PACKETS  LOST BEFORE   LOSS  LOST AFTER     LOSS  REORDERED  DUPLICATE  FAST  TIMEOUT
bulk   down       10,000          100  1.0 %           3  0.030 %          0          0    99        4

PEER  WAY   FRAMES  LOST   LOSS  REORDERED  DUPLICATE
dc    down   1,000    10  1.0 %          0          0
"""
GOLDEN_DROPS = """\
REASON  KIND     PACKETS  MEANING
not-ip  passed        10  no IP header: ARP, LLDP, STP or an ethertype that Sluice does not walk
aqm     dropped       24  dropped by AQM: the queue delay stayed above its target
"""
GOLDEN_FLOWS = """\
FROM                 TO                 PROTO  CLASS  PEER      RATE UP         DOWN  BYTES UP    DOWN   SAVED  RTT LAN      WAN  RETR UP  DOWN     AGE
192.0.2.10:40000     192.0.2.20:443     tcp    bulk   dc    64.0 kbit/s  2.00 Mbit/s   6.40 kB  280 kB  140 kB   250 us  41.2 ms        0     3  1m 15s
[2001:db8::1]:40001  [2001:db8::2]:443  tcp    bulk   dc    64.0 kbit/s  2.00 Mbit/s   6.40 kB  280 kB  140 kB   250 us  41.2 ms        0     3  1m 15s
"""


def test_text():
    for args, golden in ((("show", "links"), GOLDEN_LINKS),
                         (("show", "classes"), GOLDEN_CLASSES),
                         (("show", "classes", "bulk"), GOLDEN_BULK),
                         (("show", "rtt", "--class", "voice"), GOLDEN_RTT),
                         (("show", "loss"), GOLDEN_LOSS), (("show", "drops"), GOLDEN_DROPS),
                         (("show", "flows", "--top", "2", "--by", "rtt"), GOLDEN_FLOWS)):
        result = ctl(*args)
        check("text of " + " ".join(args), result.stdout == golden and result.returncode == 0 and
              result.stderr == "", result)
    for subject in "status ports workers shaper stamp peers compression policy".split():
        result = ctl("show", subject)
        lines = result.stdout.splitlines()
        check("text of show " + subject, result.returncode == 0 and len(lines) > 1 and
              "\x1b" not in result.stdout and "nan" not in result.stdout, result)
    result = ctl("show", "classes")
    check("show classes fits 120 columns", max(map(len, result.stdout.splitlines())) <= 120,
          max(map(len, result.stdout.splitlines())))
    result = ctl("show", "classes", "office")
    check("a group in full", result.returncode == 0 and "kind              group" in result.stdout
          and "rate now          16.0 Mbit/s" in result.stdout and all(
              "\n%-16s  -\n" % title in result.stdout for title in (
                  "flow rate", "  per", "  a flow's limit", "  limit in time", "AQM", "  ECN",
                  "compression", "policer")), result)
    result = ctl("top")
    check("top into a pipe prints once", result.returncode == 0 and "voice" in result.stdout and
          "\x1b" not in result.stdout, result)
    result = ctl("doctor")
    check("doctor", result.returncode == 0 and "ok    worker 1" in result.stdout and
          "peer dc" in result.stdout, result)
    result = ctl("help")
    check("help names every command", result.returncode == 0 and
          result.stdout.count("\nsluicectl ") > 25, result)
    check("help fits into 100 columns",
          max(len(line) for line in result.stdout.splitlines()) <= 100, result)
    for args in (("help", "show", "flows"), ("show", "flows", "--help")):
        result = ctl(*args)
        check(" ".join(args), result.returncode == 0 and "--by rate|rtt" in result.stdout, result)


def test_errors():
    cases = (
        (("frobnicate",), 'unknown command "frobnicate": there are show, set, policy'),
        (("show",), '"show" is not complete: next comes status, links'),
        (("show", "floes"), 'unknown "floes" behind "show": there are status'),
        (("show", "status", "now"), 'unexpected "now"'),
        (("show", "status", "--json"), "--json goes before the command"),
        (("show", "flows", "--top", "many"), '--top "many": take a whole number from 1'),
        (("show", "flows", "--top"), "--top needs a value"),
        (("show", "flows", "--by", "size"), "take one of rate, rtt, loss, saved, bytes"),
        (("show", "flows", "--class", "vioce"), "unknown class 'vioce': classes are default"),
        (("show", "classes", "--class", "vioce"), "unknown class 'vioce': classes are default"),
        (("show", "classes", "vioce"), "unknown class 'vioce': classes are default"),
        (("show", "classes", "x" * 32), "at most 31 characters"),
        (("show", "classes", "voice", "--busy"), "no options go with a name"),
        (("set", "class", "vioce", "rate", "20mbit"), "unknown class 'vioce': classes are"),
        (("set", "class", "voice"), "nothing to set: there are rate, ceil"),
        (("set", "class", "voice", "rate"), "rate needs a value"),
        (("set", "class", "voice", "rate", "1mbit", "rate", "2mbit"), "rate is given twice"),
        (("set", "class", "voice", "wieght", "2"), 'unknown word "wieght": there are rate'),
        (("set", "class", "voice", "rate", "1" * 96), "at most 95 characters"),
        (("set", "class", "v" * 32, "rate", "1mbit"), "at most 31 characters"),
        (("set", "flow-rate", "voice"), "takes CLASS and a rate"),
        (("set", "flow-rate", "vioce", "1mbit"), "unknown class 'vioce': classes are"),
        (("set", "class"), "which class?"),
        (("set", "compression", "maybe"), "take one of off, on, dry-run"),
        (("set", "compression", "on", "class"), "which class? Its name is missing"),
        (("set", "compression", "on", "voice"), "then class and a name, or nothing"),
        (("set", "bypass", "on"), 'the daemon does not support "set_bypass"'),
        (("policy", "apply", "/nonexistent"), "/nonexistent: No such file"),
        (("policy", "apply"), "policy apply takes a FILE"),
        (("explain", "flow", "a", "1", "192.0.2.1", "2", "tcp"), '"a" is no address'),
        (("explain", "flow", "192.0.2.1", "1", "::1", "2", "tcp"), "one is IPv4 and one is IPv6"),
        (("explain", "flow", "::2", "1", "::1", "70000", "tcp"), "from 0 to 65535"),
    )
    for args, sentence in cases:
        result = ctl(*args)
        check("error of " + " ".join(args), result.returncode == 1 and sentence in result.stderr and
              result.stdout == "", result)


def test_changes():
    cases = (
        (("set", "class", "voice", "rate", "20mbit", "ceil", "50", "Mbit/s"),
         "\nrate=20mbit ceil=50 Mbit/s\n"),
        (("set", "class", "voice", "flow-rate", "1.5gbit", "weight", "3"),
         "\nflow_rate=1.5gbit weight=3\n"),
        (("set", "class", "voice", "rate", "30", "%", "ceil", "50%", "parent", "office"),
         "\nrate=30 % ceil=50% parent=office\n"),
        (("set", "class", "voice", "rate", "none"), "\nrate=none\n"),
        (("set", "class", "voice", "burst", "5", "ms", "queue-time", "20ms", "queue-size", "1 MB",
          "aqm", "pie", "ecn", "false"),
         "\nburst=5 ms queue_time=20ms queue_size=1 MB aqm=pie ecn=false\n"),
        (("set", "class", "voice", "parent", "none", "ceil", "none", "cbs", "auto", "per",
          "src/24"), "\nparent= ceil=unlimited cbs=auto per=src/24\n"),
        (("set", "flow-rate", "voice", "2", "Mbit/s"), "\nflow_rate=2 Mbit/s\n"),
        (("set", "flow-rate", "voice", "unlimited"), "\nflow_rate=unlimited\n"),
        (("set", "link", "b0", "up", "500kbit", "down", "none", "overhead", "-4"),
         "\nup=500kbit down=unlimited overhead=-4\n"),
        (("set", "compression", "dry-run"), ""),
        (("set", "compression", "on", "class", "voice"), "\ncompress=true dry_run=false\n"),
        (("set", "compression", "off", "class", "voice"), "\ncompress=false dry_run=false\n"),
        (("set", "compression", "dry-run", "class", "voice"), "\ncompress=true dry_run=true\n"),
        (("set", "class", "voice", "codec", "zstd", "zstd-level", "3", "acceleration", "4"),
         "\ncodec=zstd zstd_level=3 acceleration=4\n"),
        (("policy", "confirm"), ""),
        (("policy", "rollback"), ""),
    )
    for args, remark in cases:
        result = ctl(*args)
        check(" ".join(args), result.returncode == 0 and remark in result.stdout and
              " on 2/2 workers in 38.0 us\n" in result.stdout and
              result.stdout.startswith("policy "), result)


def test_policy():
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        text = "".join("# line %d\n" % i for i in range(20000))
        file.write(text)
        file.flush()
        result = ctl("policy", "check", file.name)
        check("policy check of a good file", result.returncode == 0 and
              "no errors" in result.stdout, result)
        result = ctl("policy", "apply", file.name, "--confirm", "60")
        check("policy apply", result.returncode == 0 and "on 2/2 workers" in result.stdout and
              "taken back in 60 s unless" in result.stdout, result)
        result = ctl("policy", "show")
        check("policy show gives back what was applied", result.stdout == text, result)
        result = ctl("policy", "show", json_mode=True)
        check("policy show --json", json.loads(result.stdout)["policy_text"] == text, result)
        file.seek(0)
        file.truncate()
        file.write("good\n" + "wrong\n" * 1000)
        file.flush()
        result = ctl("policy", "check", file.name)
        lines = result.stderr.splitlines()
        check("policy check finds everything",
              len([x for x in lines if ": error: classes[1].rate" in x]) == 1000 and
              lines[0].startswith(file.name + ":2: error: classes[1].rate: is wrong"), lines[:3])
        result = ctl("policy", "apply", file.name)
        check("policy apply of a bad file", result.returncode == 1 and
              "stays in force" in result.stderr, result.stderr[-300:])
        file.write("x" * (16 << 20))
        file.flush()
        result = ctl("policy", "apply", file.name)
        check("policy apply of too long a file", result.returncode == 1 and
              "longer than the 16 MiB" in result.stderr, result)


def test_shell():
    result = ctl("shell", text="show links\n# a comment\n\nset class voice rate '20 Mbit/s'\nquit\nfoo\n")
    check("shell from a pipe", result.returncode == 0 and GOLDEN_LINKS in result.stdout and
          "rate=20 Mbit/s" in result.stdout and "foo" not in result.stderr, result)
    result = ctl("shell", text="foo\nshow links\n")
    check("shell remembers a failure", result.returncode == 1 and GOLDEN_LINKS in result.stdout,
          result)
    with tempfile.TemporaryDirectory() as home:
        pid, fd = pty.fork()
        if pid == 0:
            os.environ.update(HOME=home, TERM="dumb", COLUMNS="200")
            os.execv(SLUICECTL, [SLUICECTL, "-i", INSTANCE])
        seen = b""

        def until(word, seconds=10):
            nonlocal seen
            end = time.monotonic() + seconds
            while word not in seen and time.monotonic() < end:
                if select.select([fd], [], [], 0.1)[0]:
                    try:
                        seen += os.read(fd, 65536)
                    except OSError:
                        break
            found = word in seen
            seen = b""
            return found

        check("shell prompt", until(b"> "))
        os.write(fd, b"show li\t")
        check("completes a word", until(b"show links "))
        os.write(fd, b"\n")
        check("and runs it", until(b"100 Mbit/s"))
        os.write(fd, b"set class vo\t")
        check("completes a class's name", until(b"set class voice "))
        os.write(fd, b"ra\t")
        check("completes a setting", until(b"rate "))
        os.write(fd, b"20mbit\n")
        check("and runs it", until(b"on 2/2 workers"))
        os.write(fd, b"set class bu\t")
        check("completes another class's name", until(b"set class bulk "))
        os.write(fd, b"aqm dual\t")
        check("completes a value", until(b"dualpi2 "))
        os.write(fd, b"parent off\t")
        check("completes a group's name", until(b"office "))
        os.write(fd, b"\n")
        check("and sets both", until(b"aqm=dualpi2 parent=office"))
        os.write(fd, b"ping d\t")
        check("completes a peer's name", until(b"ping dc "))
        os.write(fd, b"\n")
        check("and pings it", until(b"by STAMP") and until(b"50.0 %"))
        os.write(fd, b"set flow-rate vo\t")
        check("completes behind set flow-rate", until(b"set flow-rate voice "))
        os.write(fd, b"unl\t\n")
        check("and its value", until(b"flow_rate=unlimited"))
        os.write(fd, b"show peers d\t")
        check("completes a peer's name", until(b"show peers dc "))
        os.write(fd, b"--window 15\t\n")
        check("and a window", until(b"15m ") and until(b"LOSS PERIODS"))
        os.write(fd, b"show history --of cl\t")
        check("completes whose history", until(b"class "))
        os.write(fd, b"vo\t")
        check("and its name", until(b"voice "))
        os.write(fd, b"--fig\tbu\t\n")
        check("and a figure", until(b"share of the workers' time"))
        os.write(fd, b"exit\n")
        end = time.monotonic() + 10
        done = (0, 0)
        while done[0] == 0 and time.monotonic() < end:
            if select.select([fd], [], [], 0.05)[0]:
                try:
                    os.read(fd, 65536)
                except OSError:
                    pass
            done = os.waitpid(pid, os.WNOHANG)
        check("exit leaves", done == (pid, 0), done)
        os.close(fd)
        history = os.path.join(home, ".sluicectl_history")
        check("history is kept", os.path.exists(history) and
              b"set\\040class\\040voice" in open(history, "rb").read().replace(b" ", b"\\040"))


def test_history():
    """The plot as plain text, and on a terminal, as wide as that."""
    result = ctl("show", "history", "--span", "2h")
    lines = result.stdout.splitlines()
    check("plots as plain text", result.returncode == 0 and result.stdout.isascii() and
          max(map(len, lines)) <= 80 and lines[0].startswith("rate up: mean 29.5 Mbit/s, most ") and
          lines[1].startswith(" 60.0 Mbit/s |") and
          any(line.startswith("rate down: ") for line in lines), result)
    left, right = lines[-2][14:47], lines[-2][47:]
    check("what is not known is left empty", left.strip() == "" and set(right) == {"#"}, lines[-2])
    for args, error in (
            (("--of", "class", "vioce"), "unknown class 'vioce'"),
            (("--of", "class"), "--of takes two words: link, class or peer, and a name"),
            (("--of", "host", "x"), '--of "host": take one of link, class, peer'),
            (("--span", "2d"), '--span "2d": take a time from 1m to 24h, like 90s, 15m or 6h'),
            (("--figure", "x"), '--figure "x": take one of rate, rtt, loss, queue, delay, drops, '
                                'busy')):
        result = ctl("show", "history", *args)
        check("show history " + " ".join(args), result.returncode == 1 and error in result.stderr,
              result)
    for locale, dots in (("C.UTF-8", True), ("C", False)):
        pid, fd = pty.fork()
        if pid == 0:
            os.environ.update(TERM="xterm", LC_ALL=locale)
            fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
            os.execv(SLUICECTL, [SLUICECTL, "-i", INSTANCE, "show", "history"])
        seen = b""
        while True:
            try:
                piece = os.read(fd, 65536)
            except OSError:
                piece = b""
            if not piece:
                break
            seen += piece
        os.close(fd)
        os.waitpid(pid, 0)
        lines = seen.decode().splitlines()
        check("plots on a terminal, %s" % locale, max(map(len, lines)) <= 60 and len(lines) <= 23 and
              any("\u2801" <= c <= "\u28ff" for c in seen.decode()) == dots, lines)


def test_top():
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm")
        os.execv(SLUICECTL, [SLUICECTL, "-i", INSTANCE, "top"])
    seen = b""
    end = time.monotonic() + 10
    asked = False
    while time.monotonic() < end:
        if select.select([fd], [], [], 0.1)[0]:
            try:
                seen += os.read(fd, 65536)
            except OSError:
                break
        if not asked and seen.count(b"CLASS") >= 4:  # two heads a screen: the second screen
            os.write(fd, b"q")
            asked = True
    os.close(fd)  # hangs it up, should it not have left
    _, status = os.waitpid(pid, 0)
    check("top refreshes until q and leaves the screen as it was", asked and status == 0 and
          seen.startswith(b"\x1b[?1049h") and seen.endswith(b"\x1b[?1049l"), seen[-200:])


def test_pipe_and_speed():
    process = subprocess.Popen([SLUICECTL, "-i", INSTANCE, "show", "flows", "--top", "10000"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(100)
    process.stdout.close()
    check("a closed pipe makes no noise", process.stderr.read() == b"" and process.wait(10) != 0)
    process.stderr.close()
    best = min(cpu_seconds("show", "status") for _ in range(5))
    check("starts in milliseconds (%.1f ms)" % (best * 1e3), best < 0.1, best)


def cpu_seconds(*args):
    """What a command takes of a CPU, whoever else wants it."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ctl(*args)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main():
    result = ctl("show", "status")
    check("no daemon", result.returncode == 1 and
          "instance %s is not running" % INSTANCE in result.stderr, result)
    result = ctl("show", "status", json_mode=True)
    check("no daemon, JSON", "is not running" in json.loads(result.stdout)["error"]["text"], result)
    result = ctl("doctor")
    check("doctor without a daemon", result.returncode == 1 and "fail  daemon" in result.stdout,
          result)
    result = ctl()
    check("no command", result.returncode == 1 and "--json" in result.stdout, result)
    with Daemon():
        test_json()
        test_runs()
        test_text()
        test_errors()
        test_changes()
        test_policy()
        test_shell()
        test_history()
        test_top()
        test_pipe_and_speed()
        second = subprocess.run([FAKE_DAEMON, INSTANCE], capture_output=True, text=True, timeout=10)
        check("a second daemon of that name is refused", second.returncode == 1 and
              "another daemon runs" in second.stderr, second)
    with Daemon("1000"):
        d = json.loads(ctl("show", "classes", json_mode=True).stdout)["classes"]
        check("1,000 classes", len(d) == 2002 and d[-1]["name"] == "class999", len(d))
    left = [x for x in os.listdir("/dev/shm") if x.startswith("sluice-" + INSTANCE)]
    check("nothing left in /dev/shm", left == [], left)
    print("%d failed" % failed)
    return failed != 0


sys.exit(main())
