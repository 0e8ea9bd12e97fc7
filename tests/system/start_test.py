#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Starting, stopping, refusing and changing: sluiced and sluicectl as their operator meets them.

    sudo tests/system/start_test.py

Every way to start wrongly must end with exit code 1, one sentence that says what to do, and nothing
in /dev/shm; every change must be all or nothing, and say what it did.
"""
import json
import os
import re
import signal
import subprocess
import time

from daemon import (CPUS, SANITIZED, SLUICECTL, SLUICED, Folder, Skipped, check, config, need,
                    run, segments, wait_for, write_pcap)
from captures_test import eth, ipv4, udp

# Kept in step with the lines that BAD_EXPECTED names.
BAD = """appliance = {
  name = "bad";
  wrokers = "0";
  mtu = 100;
  poll = "sometimes";
};
bridges = (
  { name = "b0"; lan = "net_null0"; wan = "net_null0";
    up = "100";
    address = "10.0.0.1/33"; }
);
classes = (
  { name = "a"; rate = "10 Mbit/s"; ceil = "5 Mbit/s"; },
  { name = "a"; }
);
rules = (
  { match = { proto = "tcp"; dport = 70000; }; class = "nowhere"; }
);
colour = "blue";
"""
BAD_EXPECTED = [
    (3, "appliance.wrokers", 'did you mean "workers"'), (4, "appliance.mtu", "1500 to 9000"),
    (5, "appliance.poll", '"adaptive" or "busy"'), (8, "bridges[0].wan", "one bridge"),
    (9, "bridges[0].up", "20 Mbit/s"), (10, "bridges[0].address", "32"),
    (13, "classes[0].ceil", "ceil >= rate"), (14, "classes[1].name", "already"),
    (17, "rules[0].match.dport", "0-65535"), (17, "rules[0].class", "nowhere"),
    (19, "colour", "accepted")]

CLASSES = """classes = ( { name = "default"; },
            { name = "voice"; rate = "1 Mbit/s"; compress = true; } );
"""
TREE = """classes = (
  { name = "default"; },
  { name = "voice"; parent = "office"; rate = "5 Mbit/s"; priority = 0; },
  { name = "office"; rate = "40 %"; ceil = "80 Mbit/s"; },
  { name = "bulk"; parent = "office"; flow_rate = "2 Mbit/s"; per = "src/24"; aqm = "pie";
    police = "trtcm"; cir = "5 Mbit/s"; pir = "10 Mbit/s"; yellow = "af12"; }
);
rules = ( { match = { proto = "udp"; }; class = "voice"; },
          { match = { proto = "tcp"; }; class = "bulk"; } );
"""
LINK = 'up = "100 Mbit/s"; down = "100 Mbit/s";'

# What the daemon takes besides what it says: libraries, stacks, the EAL.
RSS_BESIDE_MB = 100


def sluiced(*words, prefix=()):
    return subprocess.run([*prefix, SLUICED, *words], check=False, text=True, timeout=30,
                          stdin=subprocess.DEVNULL, capture_output=True)


def has_problems(text, file, expected):
    """Exactly these errors, each on its line: FILE:LINE: error: OPTION: TEXT."""
    found = re.findall(rf"^{re.escape(file)}:(\d+): error: ([^:]+): (.*)$", text, re.M)
    need([(int(line), option) for line, option, _ in found] ==
         [(line, option) for line, option, _ in expected], f"it says {found}")
    for (_, option, said), (_, _, word) in zip(found, expected):
        need(word in said, f'{option}: "{said}" does not say "{word}"')


# ---- --check and the command line ----

def check_good(folder):
    done = sluiced("--config", folder.write("good.conf", config(rest=CLASSES)), "--check")
    need(done.returncode == 0 and ": ok: 1 bridge(s), 2 class(es)" in done.stdout,
         f"exit code {done.returncode}: {done.stdout}{done.stderr}")


def check_bad(folder, *words):
    file = folder.write("bad.conf", BAD)
    done = sluiced("--config", file, *words)
    need(done.returncode == 1, f"exit code {done.returncode}")
    has_problems(done.stderr, file, BAD_EXPECTED)
    need(f"{len(BAD_EXPECTED)} errors, not started" in done.stderr, done.stderr[-200:])
    return f"{len(BAD_EXPECTED)} errors at once"


def check_refuses(folder, text, line, option, word):
    file = folder.write("wrong.conf", text)
    for words in (["--check"], ["--instance", folder.instance()]):
        done = sluiced("--config", file, *words)
        need(done.returncode == 1, f"exit code {done.returncode}")
        has_problems(done.stderr, file, [(line, option, word)])


def check_missing_file(folder):
    file = os.path.join(folder.path, "nothing.conf")
    done = sluiced("--config", file, "--check")
    need(done.returncode == 1 and file in done.stderr and "No such file" in done.stderr,
         f"exit code {done.returncode}: {done.stderr}")


def check_syntax(folder):
    file = folder.write("syntax.conf", 'appliance = {\n  name = "x";\n  mtu 1500;\n};\n')
    done = sluiced("--config", file, "--check")
    need(done.returncode == 1 and f"{file}:3: error: " in done.stderr,
         f"exit code {done.returncode}: {done.stderr}")


def command_line():
    for words, code, word in ((["--frob"], 2, "usage:"), ([], 2, "usage:"),
                              (["--version"], 0, "sluiced "), (["--help"], 0, "usage:")):
        done = sluiced(*words)
        need(done.returncode == code and word in done.stdout + done.stderr,
             f"sluiced {words}: exit code {done.returncode}: {done.stdout}{done.stderr}")


# ---- what cannot start ----

def refused(folder, text, *expected, instance=None, prefix=()):
    """Ends with code 1 and one sentence of its own that has the words; leaves nothing."""
    name = instance or folder.instance()
    done = sluiced("--config", folder.write("refused.conf", text), "--instance", name,
                   prefix=prefix)
    need(done.returncode == 1, f"exit code {done.returncode}: {done.stderr[-400:]}")
    said = [line for line in done.stderr.splitlines() if line.startswith("sluiced: ")]
    need(len(said) == 1 and said[0] == done.stderr.splitlines()[-1], f"it says {done.stderr}")
    for word in expected:
        need(word in said[0], f'"{said[0]}" does not say "{word}"')
    need(instance or not segments(name), f"in /dev/shm remains {segments(name)}")
    return said[0][len("sluiced: "):]


def store_directories(folder):
    """That there are not, or that others write to."""
    def with_directory(path):
        return config(appliance=f'store_directory = "{path}";')

    absent = os.path.join(folder.path, "absent")
    shared = os.path.join(folder.path, "shared")
    os.mkdir(shared)
    os.chmod(shared, 0o777)
    check_refuses(folder, with_directory("stores"), 3, "appliance.store_directory", "whole path")
    refused(folder, with_directory(absent), "store_directory", absent, "No such file")
    return refused(folder, with_directory(shared), "store_directory", shared, "must not write")


def without_hugepages(folder):
    """In a mount namespace of its own that shows no hugepages: nobody else notices."""
    hide = ["unshare", "-m", "--propagation", "private", "sh", "-c",
            'mount -t tmpfs none /sys/kernel/mm/hugepages && exec "$0" "$@"']
    try:
        if subprocess.run([*hide, "true"], check=False, capture_output=True,
                          timeout=10).returncode:
            raise Skipped("no mount namespace can be made here")
    except FileNotFoundError:
        raise Skipped("there is no unshare") from None
    text = config().replace("hugepages = false", "hugepages = true")
    return refused(folder, text, "vm.nr_hugepages", "hugepages = false", prefix=hide)


def second_instance(folder, daemon):
    before = segments(daemon.instance)
    said = refused(folder, config(), daemon.instance, "another", instance=daemon.instance)
    need(segments(daemon.instance) == before, "the first one's segments are others")
    need(daemon.ctl("show", "status")["status"]["version"], "the first one does not answer")
    return said


# ---- running, stopping, dying ----

def stops(folder, number):
    daemon = folder.ready(config())
    need(segments(daemon.instance), "nothing in /dev/shm while it runs")
    code = daemon.stop(number)
    need(code == 0, f"exit code {code}: {daemon.log()[-400:]}")
    need(f"stopping on {number.name}" in daemon.log(), daemon.log())
    need("stalled" not in daemon.log(), daemon.log())
    need(not segments(daemon.instance), f"in /dev/shm remains {segments(daemon.instance)}")
    done = daemon.try_ctl("show", "status")
    need(done.returncode == 1 and daemon.instance in done.stderr, f"sluicectl: {done.stderr}")


def replaced(folder):
    """After kill -9 the next one takes the name over at once."""
    daemon = folder.ready(config())
    daemon.kill()
    need(segments(daemon.instance), "kill -9 left nothing: not what was to be tested")
    done = daemon.try_ctl("show", "status")
    need(done.returncode == 1, "sluicectl talks to a dead daemon")
    again = folder.daemon(config(), instance=daemon.instance)
    seconds = again.wait_ready()
    need(seconds < (30 if SANITIZED else 5), f"ready after {seconds:.2f} s only")
    again.ctl("show", "status")
    need(again.stop() == 0 and not segments(daemon.instance), "it does not stop in order")
    return f"ready {seconds:.2f} s after the start"


def memory_bounded(folder):
    daemon = folder.ready(config(flows=200000, buffers=30000))
    match = re.search(r"^memory: (\d+) MB", daemon.log(), re.M)
    need(match, f"no memory line: {daemon.log()}")
    said = int(match.group(1))
    shown = daemon.ctl("show", "status")["status"]["memory_bytes"] / 1e6
    need(abs(shown - said) <= 1, f"printed {said} MB, `show status` says {shown:.0f} MB")
    with open(f"/proc/{daemon.process.pid}/status", encoding="ascii") as file:
        resident = int(re.search(r"VmRSS:\s+(\d+) kB", file.read()).group(1)) / 1024
    need(daemon.stop() == 0, "it does not stop in order")
    if SANITIZED:
        return f"{said} MB said; not compared with the RSS of a sanitized build"
    need(resident < shown + RSS_BESIDE_MB, f"{said} MB said, {resident:.0f} MB resident")
    return f"{said} MB said, {resident:.0f} MB resident"


# ---- sluicectl ----

def show_all(daemon):
    for subject in ("status", "links", "ports", "workers", "classes", "shaper", "flows", "peers",
                    "rtt", "loss", "transactions", "compression", "drops", "policy"):
        done = daemon.try_ctl("show", subject)
        need(done.returncode == 0 and done.stdout.strip() and not done.stderr,
             f"show {subject}: exit code {done.returncode}: {done.stdout}{done.stderr}")
        root = daemon.ctl("show", subject)
        need(root["instance"] == daemon.instance and subject in root,
             f"show {subject} --json has {list(root)}")
    cpu = daemon.ctl("show", "workers", "--interval", 0)["workers"][0]["lcore"]
    need(cpu == CPUS[0], f"worker 0 is said to run on CPU {cpu}, not {CPUS[0]}")


def changed(daemon, *words):
    """Carried out, and "done" means on every worker."""
    before = daemon.ctl("show", "status")["status"]["policy_generation"]
    done = daemon.try_ctl(*words)
    need(done.returncode == 0, f"{words}: {done.stderr}")
    match = re.match(r"policy (\d+) on 1/1 workers in [\d.]+ (us|ms|s)\n", done.stdout)
    need(match and int(match.group(1)) == before + 1, f"{words}: {done.stdout}")
    worker = daemon.ctl("show", "workers", "--interval", 0)["workers"][0]
    need(worker["policy_generation"] == before + 1, f"the worker uses {worker}")


def set_everything(daemon):
    changed(daemon, "set", "class", "voice", "rate", "2mbit", "ceil", "20", "Mbit/s", "flow-rate",
            "1 Mbit/s", "weight", 7, "priority", 2)
    changed(daemon, "set", "link", "b0", "up", "50mbit", "down", "none", "overhead", -4)
    changed(daemon, "set", "compression", "dry-run")
    text = daemon.try_ctl("policy", "show").stdout
    for word in ('rate = "2 Mbit/s"', 'ceil = "20 Mbit/s"', 'flow_rate = "1 Mbit/s"',
                 "weight = 7", "priority = 2", 'up = "50 Mbit/s"', "overhead = -4",
                 'compression = "dry-run"'):
        need(word in text, f"`policy show` has no {word}:\n{text}")
    changed(daemon, "set", "compression", "dry-run", "class", "voice")
    changed(daemon, "set", "class", "voice", "codec", "zstd", "zstd-level", 3, "acceleration", 4)
    text = daemon.try_ctl("policy", "show").stdout
    for word in ("compress = true", "dry_run = true", 'codec = "zstd"', "zstd_level = 3",
                 "acceleration = 4"):
        need(word in text, f"`policy show` has no {word}:\n{text}")
    changed(daemon, "set", "compression", "on", "class", "voice")
    need("dry_run = true" not in daemon.try_ctl("policy", "show").stdout, "still a dry run")
    changed(daemon, "set", "link", "b0", "down", "50mbit")
    changed(daemon, "set", "class", "voice", "burst", "5", "ms", "flow-burst", "20 kB", "per",
            "dst", "queue-time", "100ms", "queue-size", "64", "kB", "aqm", "dualpi2", "aqm-target",
            "2ms", "ecn", "off", "ceil", "30%")
    changed(daemon, "set", "class", "voice", "police", "srtcm", "cir", "1mbit", "cbs", "20", "kB",
            "ebs", "30kB", "green", "ef", "red", "drop", "colour-aware", "true")
    changed(daemon, "set", "flow-rate", "voice", "3", "Mbit/s")
    text = daemon.try_ctl("policy", "show").stdout
    for word in ('burst = "5 ms"', 'flow_burst = "20 kB"', 'per = "dst"', 'queue_time = "100 ms"',
                 'queue_size = "64 kB"', 'aqm = "dualpi2"', 'aqm_target = "2 ms"', "ecn = false",
                 'ceil = "30 %"', 'police = "srtcm"', 'cir = "1 Mbit/s"', 'cbs = "20 kB"',
                 'green = "ef"', "colour_aware = true", 'flow_rate = "3 Mbit/s"'):
        need(word in text, f"`policy show` has no {word}:\n{text}")
    row = daemon.ctl("show", "classes", "voice")["classes"][0]
    need(row["ceil_bps"] == 15000000 and row["burst_ns"] == 5000000 and row["per"] == "dst" and
         row["aqm"] == "dualpi2" and row["aqm_target_ns"] == 2000000 and row["ecn"] is False and
         row["queue_limit_ns"] == 100000000 and row["flow_burst_bytes"] == 20000 and
         row["flow_rate_bps"] == 3000000 and row["police_cbs_bytes"] == 20000 and
         row["police"].startswith("RFC 2697 colour-aware: CIR 1.00 Mbit/s, CBS 20.0 kB, EBS 30"),
         f"`show classes voice` says {row}")
    changed(daemon, "set", "class", "voice", "police", "none", "aqm", "codel", "per", "flow",
            "ceil", "unlimited", "cir", "none", "ecn", "on")
    changed(daemon, "set", "flow-rate", "voice", "unlimited")
    changed(daemon, "set", "link", "b0", "down", "none", "overhead", 24)
    for state in ("on", "off", "true", "false"):
        changed(daemon, "set", "bypass", state)
        need(daemon.ctl("show", "status")["status"]["bypass"] == (state in ("on", "true")),
             f"bypass is not {state}")
    changed(daemon, "set", "compression", "on")


def ctl_refuses(daemon, words, *expected):
    before = daemon.ctl("show", "status")["status"]["policy_generation"]
    done = daemon.try_ctl(*words)
    need(done.returncode != 0 and not done.stdout, f"exit code {done.returncode}: {done.stdout}")
    for word in expected:
        need(word in done.stderr, f'"{done.stderr.strip()}" does not say "{word}"')
    done = daemon.try_ctl("--json", *words)
    need(done.returncode != 0 and json.loads(done.stdout)["error"]["errno"] > 0,
         f"--json: exit code {done.returncode}: {done.stdout}")
    need(daemon.ctl("show", "status")["status"]["policy_generation"] == before,
         "the policy is another now")


def apply_bad(folder, daemon):
    """A bad file changes nothing, and everything is said."""
    file = folder.write("bad.conf", BAD)
    before = daemon.try_ctl("policy", "show").stdout
    for command in ("apply", "check"):
        done = daemon.try_ctl("policy", command, file)
        need(done.returncode == 1, f"exit code {done.returncode}")
        has_problems(done.stderr, file, BAD_EXPECTED)
    need(daemon.try_ctl("policy", "show").stdout == before, "the policy is another now")


def apply_restart_only(folder, daemon):
    file = folder.write("mtu.conf", config(rest=CLASSES, bridge=LINK, mtu=9000))
    done = daemon.try_ctl("policy", "apply", file)
    need(done.returncode == 1 and "appliance.mtu" in done.stderr and "restart" in done.stderr,
         f"exit code {done.returncode}: {done.stderr}")


def class_rate(daemon):
    match = re.search(r'name = "voice";.*?\brate = "([^"]*)"',
                      daemon.try_ctl("policy", "show").stdout, re.S)
    return match.group(1) if match else ""


def apply_confirm(folder, daemon):
    """Taken back by itself, kept when confirmed, taken back by hand."""
    changed(daemon, "policy", "apply", folder.write("one.conf", config(rest=CLASSES, bridge=LINK)))
    other = folder.write("two.conf", config(rest=CLASSES.replace("1 Mbit/s", "3 Mbit/s"),
                                            bridge=LINK))
    begin = time.monotonic()
    changed(daemon, "policy", "apply", other, "--confirm", 1)
    need(class_rate(daemon) == "3 Mbit/s", f"rate is {class_rate(daemon)}")
    need(daemon.ctl("show", "policy")["policy"]["confirm_ns"] > 0, "nothing waits")
    # A further change does not count as confirmed, and does not become what is gone back to.
    changed(daemon, "set", "class", "voice", "weight", 9)
    wait_for(5, "it is taken back", lambda: class_rate(daemon) == "1 Mbit/s")
    took = time.monotonic() - begin
    need(took > 0.9, f"taken back after {took:.2f} s")
    need("was not confirmed, rolled back" in daemon.log(), "the log does not say so")

    changed(daemon, "policy", "apply", other, "--confirm", 1)
    done = daemon.try_ctl("policy", "confirm")
    need(done.returncode == 0, done.stderr)
    need(daemon.ctl("show", "policy")["policy"]["confirm_ns"] == 0, "it waits still")
    done = daemon.try_ctl("policy", "confirm")
    need(done.returncode == 1 and "nothing waits" in done.stderr, done.stdout + done.stderr)
    # Longer than the second that it had.
    end = time.monotonic() + 1.2
    wait_for(3, "that second is over", lambda: time.monotonic() > end, 0.1)
    need(class_rate(daemon) == "3 Mbit/s", "it was taken back though confirmed")

    changed(daemon, "policy", "rollback")
    need(class_rate(daemon) == "1 Mbit/s", f"after rollback the rate is {class_rate(daemon)}")
    return f"taken back after {took:.2f} s"


def own_text_applies(folder, daemon):
    """What `policy show` prints is a configuration that means the same."""
    text = daemon.try_ctl("policy", "show").stdout
    changed(daemon, "policy", "apply", folder.write("shown.conf", text))
    need(daemon.try_ctl("policy", "show").stdout == text, "applied, it is printed otherwise")


def tree(folder):
    """Groups: shown as a tree, explained, and changed while it runs."""
    daemon = folder.ready(config(rest=TREE, bridge=LINK))

    def shape():
        rows = daemon.ctl("show", "classes")["classes"]
        need([row["way"] for row in rows] == ["up"] * 4 + ["down"] * 4, f"ways of {rows}")
        need([row["name"] for row in rows[:4]] == [row["name"] for row in rows[4:]], "two trees")
        return [(row["name"], row["parent"], row["depth"]) for row in rows[:4]]

    def explained(*words):
        return daemon.ctl("explain", "flow", *words)["explain"]

    need(shape() == [("default", "", 0), ("office", "", 0), ("voice", "office", 1),
                     ("bulk", "office", 1)], f"the tree is {shape()}")
    row = daemon.ctl("show", "classes", "office")["classes"]
    need(len(row) == 2 and row[0]["kind"] == "group" and row[0]["assured_bps"] == 40000000 and
         row[0]["ceil_bps"] == 80000000, f"office is {row}")
    rows = daemon.ctl("show", "classes", "--class", "office")["classes"]
    need([row["name"] for row in rows] == ["office", "voice", "bulk"] * 2, f"in office: {rows}")
    flow = explained("10.1.2.3", 40000, "192.0.2.1", 443, "tcp")
    need(flow["path"] == "link b0 > office > bulk" and flow["flow_rate_bps"] == 2000000 and
         flow["bucket"] == "all flows of network 10.1.2.0/24 (per src)" and flow["police"] ==
         "RFC 2698: CIR 5.00 Mbit/s, CBS " + flow["police"].split("CBS ")[1] and
         "yellow DSCP 12" in flow["police"], f"explained: {flow}")
    need(explained("10.1.2.3", 1, "192.0.2.1", 2, "udp")["path"] == "link b0 > office > voice",
         "another path for UDP")
    changed(daemon, "set", "class", "bulk", "parent", "none", "per", "lan", "rate", "10", "%")
    need(shape() == [("default", "", 0), ("office", "", 0), ("voice", "office", 1),
                     ("bulk", "", 0)], f"the tree is {shape()}")
    flow = explained("10.1.2.3", 40000, "192.0.2.1", 443, "tcp")
    need(flow["path"] == "link b0 > bulk" and flow["assured_bps"] == 10000000 and
         flow["bucket"] == "all flows of host 10.1.2.3 (per lan)", f"explained: {flow}")
    changed(daemon, "set", "class", "bulk", "parent", "office")
    need(daemon.ctl("show", "classes", "bulk")["classes"][0]["assured_bps"] == 4000000,
         "10 % of the group's 40 Mbit/s is not 4 Mbit/s")
    for words, expected in ((["parent", "voice"], ["voice"]), (["parent", "bulk"], ["bulk"]),
                            (["parent", "nowhere"], ["nowhere"]), (["rate", "90mbit"], ["rate"]),
                            (["rate", "101%"], ["accepted"])):
        ctl_refuses(daemon, ["set", "class", "bulk", *words], *expected)
    ctl_refuses(daemon, ["set", "class", "office", "parent", "bulk"], "office")
    total = daemon.ctl("show", "shaper")["total"]
    need(total["classes"] == 4 and total["groups"] == 1 and total["memory_bytes"] > 0,
         f"`show shaper` says {total}")
    need(daemon.stop() == 0, "it does not stop in order")


def tree_at_work(folder):
    """One class offered more than the link takes: what it got, lent and lost adds up."""
    frames = [eth(0x0800, ipv4(udp(bytes([i]) * 1000))) for i in range(100)]
    path = write_pcap(os.path.join(folder.path, "tree.pcap"), frames)
    daemon = folder.ready(config(
        lan=f"net_pcap0,rx_pcap={path},infinite_rx=1",
        rest=TREE.replace('rate = "5 Mbit/s"', 'rate = "2 Mbit/s"').replace('"80', '"10'),
        # A worker that a busy machine holds up sends what it has missed.
        bridge='up = "10 Mbit/s"; down = "10 Mbit/s"; burst = "40 ms";'))

    # A sanitized worker on a busy machine does not get to send as much.
    least_bps = 1e6 if SANITIZED else 9.5e6
    seen = {}

    def at_work():
        seen.update({row["name"]: row for row in daemon.ctl("show", "classes")["classes"][:4]})
        return least_bps < seen["voice"]["rate_bps"] < 10.5e6 and seen["default"]["rate_bps"] == 0
    wait_for(60, "the rate of voice is that of the link", at_work, 0.2)
    link, rows = daemon.ctl("show", "links")["links"][0], seen
    voice, office = rows["voice"], rows["office"]
    need(SANITIZED or abs(link["rate_bps"] - voice["rate_bps"]) < 1e6,
         f"the link is said to carry {link['rate_bps']}")
    need(office["rate_bps"] == voice["rate_bps"] and rows["bulk"]["rate_bps"] == 0,
         "the group is not the sum of its classes")
    own_bps = voice["rate_bps"] - voice["borrowed_bps"]
    need(abs(voice["borrowed_share"] - voice["borrowed_bps"] / voice["rate_bps"]) < 1e-6 and
         abs(own_bps - min(2e6, voice["rate_bps"])) < (1.5e6 if SANITIZED else 0.1e6),
         f"{own_bps} bit/s are not borrowed, 2 Mbit/s are assured")
    need(voice["backlog_packets"] > 0 and voice["backlog_bytes"] > 1000 * voice["backlog_packets"]
         and voice["backlog_age_ns"] > 0 and voice["backlog_flows"] == 1, f"backlog of {voice}")
    # A queue of 512 kB at 10 Mbit/s, or less by AQM.
    need(1e6 < voice["queue_delay"]["p50_ns"] < 600e6, f"waiting times are {voice['queue_delay']}")
    dropped = daemon.reasons("dropped")
    rows = {row["name"]: row for row in daemon.ctl("show", "classes")["classes"][:4]}
    after = daemon.reasons("dropped")
    for key, reason in (("dropped_tail", "queue-tail"), ("dropped_aqm", "aqm"),
                        ("dropped_time", "queue-time"), ("dropped_memory", "queue-no-memory")):
        need(dropped.get(reason, 0) <= rows["voice"][key] <= after.get(reason, 0),
             f"{rows['voice'][key]} {key}, `show drops` says {after}")
    need(sum(after.values()) > 0, "nothing was dropped")
    busy_rows = daemon.ctl("show", "classes", "--busy")["classes"]
    need([row["name"] for row in busy_rows] == ["voice"], f"busy are {busy_rows}")
    need("voice" in daemon.try_ctl("top").stdout, "`top` does not show it")
    need(daemon.stop() == 0, "it does not stop in order")
    return f"{voice['rate_bps'] / 1e6:.2f} Mbit/s, {voice['borrowed_share']:.1%} borrowed"


def many_classes(folder):
    """Thousands of classes: pages, memory, and a change that does not build the rules anew."""
    count, groups = 5000, 50
    text = "classes = ( { name = \"default\"; }"
    for g in range(groups):
        text += f",\n  {{ name = \"g{g}\"; }}"
    for i in range(count):
        text += f",\n  {{ name = \"c{i}\"; parent = \"g{i % groups}\"; }}"
    text += " );\nrules = ( " + ",\n".join(
        f'{{ match = {{ dst = "10.{i // 256}.{i % 256}.0/24"; }}; class = "c{i}"; }}'
        for i in range(1000)) + " );\n"
    daemon = folder.ready(config(rest=text, bridge=LINK, buffers=8192,
                                 appliance="classes = 6000; distributions = 64; hosts = 1024;"))
    rows = daemon.ctl("show", "classes")["classes"]
    need(len(rows) == 2 * (1 + groups + count), f"{len(rows)} classes are shown")
    need([row["name"] for row in rows[:4]] == ["default", "g0", "c0", f"c{groups}"],
         f"they begin with {[row['name'] for row in rows[:4]]}")
    need(sum(row["measured"] for row in rows) == 2 * 64, "not 64 classes have distributions")
    need(len({row["class"] for row in daemon.ctl("show", "rtt")["rtt"]}) == 64,
         "`show rtt` does not show 64 classes")
    need(len(daemon.ctl("show", "compression")["compression"]) == 2 + groups + count,
         "`show compression` does not show all classes and the sum")
    flow = daemon.ctl("explain", "flow", "10.9.9.9", 1, "10.3.231.1", 2, "udp")["explain"]
    need(flow["path"] == f"link b0 > g{999 % groups} > c999", f"explained: {flow}")
    begin = time.monotonic()
    for i in range(20):
        changed(daemon, "set", "class", f"c{i}", "ceil", "5mbit")
    took = (time.monotonic() - begin) / 20
    shown = daemon.ctl("show", "status")["status"]["memory_bytes"] / 1e6
    with open(f"/proc/{daemon.process.pid}/status", encoding="ascii") as file:
        resident = int(re.search(r"VmRSS:\s+(\d+) kB", file.read()).group(1)) / 1024
    need(SANITIZED or resident < shown + RSS_BESIDE_MB,
         f"{shown:.0f} MB said, {resident:.0f} MB resident")
    need(daemon.stop() == 0, "it does not stop in order")
    return f"a change and its check in {took * 1000:.0f} ms, {shown:.0f} MB"


def bypass_passes(folder):
    """Switched on before anything comes: everything passes, counted as bypass."""
    frames = [eth(0x0800, ipv4(udp(bytes([i]) * 100))) for i in range(100)]
    path = write_pcap(os.path.join(folder.path, "bypass.pcap"), frames)
    daemon = folder.ready(config(lan=f"net_pcap0,rx_pcap={path},infinite_rx=1", bridge=LINK))
    daemon.ctl("set", "bypass", "on")
    before = {"bypass": daemon.reasons("passed").get("bypass", 0), "sent": daemon.sent()}
    wait_for(10, "frames pass and are counted as bypass",
             lambda: daemon.reasons("passed").get("bypass", 0) > before["bypass"] + 1000
             and daemon.sent() > before["sent"] + 1000)
    need(daemon.stop() == 0, "it does not stop in order")


def main():
    with Folder() as folder:
        check("--check of a good file", check_good, folder)
        check("--check says everything, with line and option", check_bad, folder, "--check")
        check("starting with a bad file says the same", check_bad, folder)
        check("--check: syntax error", check_syntax, folder)
        check("--check: missing file", check_missing_file, folder)
        check("missing key file", check_refuses, folder, config(
            bridge='address = "192.0.2.1/24";', rest=CLASSES
            + 'peers = ( { name = "dc"; address = "192.0.2.7"; networks = ( "10.0.0.0/8" );\n'
            '            key_file = "/nonexistent/dc.key"; } );'), 8, "peers[0].key_file",
            "/nonexistent/dc.key")
        check("a port that is no device", check_refuses, folder, config(lan="what is this"), 4,
              "bridges[0].lan", "accepted")
        check("a CPU that is not there", check_refuses, folder,
              config().replace('workers = "', 'workers = "999,'), 1, "appliance.workers",
              "no CPU 999")
        check("command line", command_line)

        check("no PCI device", refused, folder, config(lan="0000:7f:1e.0"), "0000:7f:1e.0",
              "dpdk-devbind.py")
        check("no Linux interface", refused, folder, config(wan="nosuchif0"), "nosuchif0",
              "ip -br link")
        check("no such vdev", refused, folder, config(lan="net_nonsense0"), "net_nonsense0",
              "driver")
        check("no such capture", refused, folder, config(
            lan="net_pcap0,rx_pcap=/nonexistent.pcap,tx_pcap=/dev/null"), "/nonexistent.pcap",
            "files")
        check("memory bound too small", refused, folder,
              config(flows=1048576, appliance='memory = "64 MiB";'), "appliance.memory",
              "appliance.flows")
        check("no directory for the stores", store_directories, folder)
        check("no name for an instance", lambda: refused(
            folder, config(), "a b", "letters", instance="a b"))
        check("no hugepages", without_hugepages, folder)

        check("SIGTERM", stops, folder, signal.SIGTERM)
        check("SIGINT", stops, folder, signal.SIGINT)
        check("after kill -9", replaced, folder)
        check("memory said and kept", memory_bounded, folder)
        check("bypass on, frames pass", bypass_passes, folder)
        check("groups of classes", tree, folder)
        check("groups of classes at work", tree_at_work, folder)
        check("thousands of classes", many_classes, folder)

        daemon = folder.ready(config(rest=CLASSES, bridge=LINK))
        check("second daemon of that name", second_instance, folder, daemon)
        check("every show, text and --json", show_all, daemon)
        check("rollback with nothing before", ctl_refuses, daemon, ["policy", "rollback"],
              "no earlier policy")
        check("set class, link, compression, bypass", set_everything, daemon)
        for words, expected in (
                (["set", "class", "nope", "rate", "1mbit"], ["nope", "default, voice"]),
                (["set", "class", "voice", "rate", "9gbit"], ["50 Mbit/s", "assured"]),
                (["set", "class", "voice", "rate", "5"], ["unit"]),
                (["set", "class", "voice", "colour", "5"], ["colour", "rate, ceil"]),
                (["set", "link", "b9", "up", "1mbit"], ["b9", "b0"]),
                (["set", "compression", "maybe"], ["off, on, dry-run"]),
                (["set", "bypass", "maybe"], ["off, on"]),
                (["frob"], ["frob", "show, set, policy"]),
                (["show", "nothing"], ["nothing", "status, links"]),
                (["policy", "apply", "/nonexistent.conf"], ["/nonexistent.conf"])):
            check(f"refused: {' '.join(words)}", ctl_refuses, daemon, words, *expected)
        check("policy apply of a bad file", apply_bad, folder, daemon)
        check("policy apply of what wants a restart", apply_restart_only, folder, daemon)
        check("policy apply --confirm, confirm, rollback", apply_confirm, folder, daemon)
        check("policy show can be applied", own_text_applies, folder, daemon)
        check("ends in order after all that", lambda: need(
            daemon.stop() == 0 and not segments(daemon.instance), daemon.log()[-400:]))
        done = subprocess.run([SLUICECTL, "-i", folder.instance(), "show", "status"], check=False,
                              text=True, capture_output=True, timeout=10)
        check("sluicectl without a daemon", lambda: need(
            done.returncode == 1 and "is not running" in done.stderr, done.stderr))


if __name__ == "__main__":
    run(main)
