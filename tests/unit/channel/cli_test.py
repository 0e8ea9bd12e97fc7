#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""sluicectl as a user and as a program see it, against fake_daemon: every command's text or JSON,
exit codes, error sentences, the shell, a closed pipe. Run: cli_test.py SLUICECTL FAKE_DAEMON"""
import json
import os
import pty
import select
import subprocess
import sys
import tempfile
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


def test_json():
    for subject in ("status links ports workers classes flows peers rtt loss compression drops "
                    "policy").split():
        result = ctl("show", subject, json_mode=True)
        try:
            document = json.loads(result.stdout)
        except ValueError:
            document = {}
        check("show %s --json" % subject,
              result.returncode == 0 and result.stderr == "" and
              document.get("instance") == INSTANCE and len(document.get(subject, ())) > 0 and
              len(fields(document)) > 4, result)
    d = json.loads(ctl("show", "status", json_mode=True).stdout)["status"]
    check("numbers are plain", d["rate_up_bps"] == 12300000 and d["uptime_ns"] == 90061 * 10**9 and
          d["bypass"] is False and d["compression"] == "on", d)
    d = json.loads(ctl("show", "classes", json_mode=True).stdout)["classes"]
    check("class fields", len(d) == 6 and d[2]["name"] == "voice" and d[2]["way"] == "up" and
          d[2]["ceil_bps"] == 30000000 and d[2]["ratio"] is None and d[0]["ratio"] == 2.0 and
          d[0]["queue_delay"]["p99_ns"] == 6000000, d)
    d = json.loads(ctl("show", "peers", json_mode=True).stdout)["peers"][0]
    check("peer fields", d["state"] == "up" and d["rx_lost"] == 10 and d["rx_loss"] == 0.01 and
          d["error"].startswith("peer fell silent ?"), d)
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
    check("explain flow", d["explain"]["class"] == "bulk" and d["flows"][0]["src"] == "192.0.2.10",
          d)
    result = ctl("set", "class", "vioce", "rate", "20mbit", json_mode=True)
    check("errors in JSON", result.returncode == 1 and
          json.loads(result.stdout)["error"]["errno"] == 2, result)


GOLDEN_LINKS = """\
BRIDGE  WAY   PORT  LINK      SHAPED         RATE    PACKETS    BYTES  WAITING  WAITING BYTES  OVERHEAD
b0      up    eth2  yes   100 Mbit/s  12.3 Mbit/s  1,000,000  1.21 GB        0            0 B        24
b0      down  eth2  yes            -  12.3 Mbit/s  1,000,000  1.21 GB        0            0 B        24
"""
GOLDEN_RTT = """\
CLASS  HALF     SAMPLES      MIN      p50      p90     p99   p99.9      MAX
voice  lan        1,000   100 us   200 us   400 us  600 us  800 us  1.00 ms
voice  wan        1,000  20.5 ms  41.0 ms  82.0 ms  123 ms  164 ms   205 ms
voice  connect        0        -        -        -       -       -        -
"""
GOLDEN_LOSS = """\
CLASS  WAY   TCP PACKETS  LOST BEFORE   LOSS  LOST AFTER     LOSS  REORDERED  DUPLICATE
bulk   down       10,000          100  1.0 %           3  0.030 %          0          0

PEER  WAY   FRAMES  LOST   LOSS  REORDERED  DUPLICATE
dc    down   1,000    10  1.0 %          0          0
"""
GOLDEN_DROPS = """\
REASON  KIND     PACKETS  MEANING
not-ip  passed        10  no IP header: ARP, LLDP, STP or an ethertype that Sluice does not walk
aqm     dropped       24  dropped by CoDel: the queue delay stayed above its target
"""
GOLDEN_FLOWS = """\
FROM                 TO                 PROTO  CLASS  PEER      RATE UP         DOWN  BYTES UP    DOWN   SAVED  RTT LAN      WAN  RETR UP  DOWN     AGE
192.0.2.10:40000     192.0.2.20:443     tcp    bulk   dc    64.0 kbit/s  2.00 Mbit/s   6.40 kB  280 kB  140 kB   250 us  41.2 ms        0     3  1m 15s
[2001:db8::1]:40001  [2001:db8::2]:443  tcp    bulk   dc    64.0 kbit/s  2.00 Mbit/s   6.40 kB  280 kB  140 kB   250 us  41.2 ms        0     3  1m 15s
"""


def test_text():
    for args, golden in ((("show", "links"), GOLDEN_LINKS),
                         (("show", "rtt", "--class", "voice"), GOLDEN_RTT),
                         (("show", "loss"), GOLDEN_LOSS), (("show", "drops"), GOLDEN_DROPS),
                         (("show", "flows", "--top", "2", "--by", "rtt"), GOLDEN_FLOWS)):
        result = ctl(*args)
        check("text of " + " ".join(args), result.stdout == golden and result.returncode == 0 and
              result.stderr == "", result)
    for subject in "status ports workers classes peers compression policy".split():
        result = ctl("show", subject)
        lines = result.stdout.splitlines()
        check("text of show " + subject, result.returncode == 0 and len(lines) > 1 and
              "\x1b" not in result.stdout and "nan" not in result.stdout, result)
    result = ctl("top")
    check("top into a pipe prints once", result.returncode == 0 and "voice" in result.stdout and
          "\x1b" not in result.stdout, result)
    result = ctl("doctor")
    check("doctor", result.returncode == 0 and "ok    worker 1" in result.stdout and
          "peer dc" in result.stdout, result)
    result = ctl("help")
    check("help names every command", result.returncode == 0 and
          result.stdout.count("\nsluicectl ") > 25, result)
    for args in (("help", "show", "flows"), ("show", "flows", "--help")):
        result = ctl(*args)
        check(" ".join(args), result.returncode == 0 and "--by rate|rtt" in result.stdout, result)


def test_errors():
    cases = (
        (("frobnicate",), 'unknown command "frobnicate": there are show, set, policy'),
        (("show",), '"show" is not complete: next comes status, links'),
        (("show", "floes"), 'unknown "floes" behind "show": there are status'),
        (("show", "status", "now"), 'unexpected "now"'),
        (("show", "flows", "--top", "many"), '--top "many": take a whole number from 1'),
        (("show", "flows", "--top"), "--top needs a value"),
        (("show", "flows", "--by", "size"), "take one of rate, rtt, loss, saved, bytes"),
        (("show", "flows", "--class", "vioce"), "unknown class 'vioce': classes are default"),
        (("show", "classes", "--class", "vioce"), "unknown class 'vioce': there are default, voice"),
        (("set", "class", "vioce", "rate", "20mbit"), "unknown class 'vioce': classes are"),
        (("set", "class", "voice"), "nothing to set: there are rate, ceil"),
        (("set", "class", "voice", "rate"), "rate needs a value"),
        (("set", "class", "voice", "rate", "20"), "rate 20: the unit is missing"),
        (("set", "class", "voice", "rate", "20Mbps"), "not a rate: take one like"),
        (("set", "class", "voice", "rate", "1bit"), "out of range"),
        (("set", "class", "voice", "rate", "1mbit", "rate", "2mbit"), "rate is given twice"),
        (("set", "class", "voice", "wieght", "2"), 'unknown word "wieght": there are rate'),
        (("set", "class", "voice", "priority", "9"), "whole number from 0 to 7"),
        (("set", "class"), "which class?"),
        (("set", "compression", "maybe"), "take one of off, on, dry-run"),
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
         "fields 3 rate 20000000 ceil 50000000"),
        (("set", "class", "voice", "flow-rate", "1.5gbit", "weight", "3"),
         "fields c rate 0 ceil 0 flow-rate 1500000000 weight 3"),
        (("set", "class", "voice", "rate", "none"), "fields 1 rate 0"),
        (("set", "link", "b0", "up", "500kbit", "down", "none"), ""),
        (("set", "compression", "dry-run"), ""),
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
        file.write("x" * (1 << 20))
        file.flush()
        result = ctl("policy", "apply", file.name)
        check("policy apply of too long a file", result.returncode == 1 and
              "longer than the 1 MiB" in result.stderr, result)


def test_shell():
    result = ctl("shell", text="show links\n# a comment\n\nset class voice rate '20 Mbit/s'\nquit\nfoo\n")
    check("shell from a pipe", result.returncode == 0 and GOLDEN_LINKS in result.stdout and
          "rate 20000000" in result.stdout and "foo" not in result.stderr, result)
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
    best = min(timed("show", "status") for _ in range(5))
    check("starts in milliseconds (%.1f ms)" % (best * 1e3), best < 0.1, best)


def timed(*args):
    start = time.monotonic()
    ctl(*args)
    return time.monotonic() - start


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
        test_text()
        test_errors()
        test_changes()
        test_policy()
        test_shell()
        test_top()
        test_pipe_and_speed()
        second = subprocess.run([FAKE_DAEMON, INSTANCE], capture_output=True, text=True, timeout=10)
        check("a second daemon of that name is refused", second.returncode == 1 and
              "another daemon runs" in second.stderr, second)
    with Daemon("1000"):
        d = json.loads(ctl("show", "classes", json_mode=True).stdout)["classes"]
        check("1,000 classes", len(d) == 2000 and d[-1]["name"] == "class999", len(d))
    left = [x for x in os.listdir("/dev/shm") if x.startswith("sluice-" + INSTANCE)]
    check("nothing left in /dev/shm", left == [], left)
    print("%d failed" % failed)
    return failed != 0


sys.exit(main())
