#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A policy of a hundred thousand classes and overlapping rules is applied: the rest goes on.

    sudo tests/lab/policy_test.py

Such a policy takes seconds to build. Meanwhile the in-path address must answer pings, the peers must
stay up, other clients must be answered, and other changes must wait for their turn. What counts is
what happened wholly while the thread that builds was there: its name is seen in /proc.
"""
import os
import random
import re
import signal
import subprocess
import threading
import time

from lab import (IN_PATH, SANITIZED, SLUICECTL, Failed, Lab, check, need, replace_once, run,
                 wait_for)

CLASSES, GROUPS, RULES = (10_000 if SANITIZED else 100_000), 100, 300
ANSWERS = 3      # of each kind at least
ATTEMPTS = 3     # a busy machine may stop everything for longer than peers wait
APPLY_S = 60


def config(site, text):
    """Room for the classes at a."""
    if site == "b":
        return text
    return replace_once(text, r"^(?=  flows = )",
                        f"  classes = {CLASSES + 100};\n  distributions = 16;\n  hosts = 1024;\n")


def big(lab, name, seed):
    """The policy of a with many classes more, and rules that rte_acl finds hard; its file."""
    rng = random.Random(seed)
    with open(os.path.join(lab.tmp, "a.conf"), encoding="ascii") as file:
        text = file.read()
    rows = [f'  {{ name = "g{i}"; }}' for i in range(GROUPS)]
    rows += [f'  {{ name = "c{i}"; parent = "g{i % GROUPS}"; ceil = "{5 + seed} Mbit/s"; }}'
             for i in range(CLASSES - GROUPS - 20)]
    text = replace_once(text, '"lab.key"', f'"{lab.state}/lab.key"')
    text = replace_once(text, r'^(?=  # Small and urgent)', ",\n".join(rows) + ",\n")
    rules = []
    for i in range(RULES):
        sport, dport, dscp = rng.randrange(50_000), rng.randrange(50_000), rng.randrange(32)
        rules.append(f'  {{ match = {{ sport = "{sport}-{sport + rng.randrange(10_000)}"; '
                     f'dport = "{dport}-{dport + rng.randrange(10_000)}"; '
                     f'dscp = "{dscp}-{dscp + rng.randrange(31)}"; }}; class = "c{i}"; }}')
    text = replace_once(text, r'^(?=  \{ match = \{ dscp = "ef")', ",\n".join(rules) + ",\n")
    return lab.write(name, text)


def builds(pid):
    """Whether the thread that builds a policy is there."""
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/comm", encoding="ascii") as file:
                if file.read() == "policy\n":
                    return True
        except OSError:
            pass  # it has just ended
    return False


class Watch:
    """Polls `show status` of a and pings its in-path address, within the `with` block."""

    def __init__(self, lab):
        self.lab, self.pid = lab, lab.pid("a")
        self.statuses = []   # (seconds that it took, policy), those wholly within the building
        self.built = []      # (begin, end) in time.time(), as far as looked
        self.failed = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._ping = None

    def __enter__(self):
        self._ping = self.lab.start("client", "ping", "-n", "-D", "-i", "0.05", IN_PATH["a"][0],
                                    stdout=subprocess.PIPE, text=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(30)
        self._ping.send_signal(signal.SIGINT)
        self.pings = self._ping.communicate(timeout=10)[0]

    def _poll(self):
        while not self._stop.is_set():
            began, before = time.time(), builds(self.pid)
            try:
                policy = self.lab.status("a")["policy_generation"]
            except (Failed, subprocess.TimeoutExpired) as reason:
                self.failed = str(reason)
                return
            if before and builds(self.pid):
                self.statuses.append((time.time() - began, policy))
                if self.built and self.built[-1][2] == policy:
                    began = self.built.pop()[0]
                self.built.append((began, time.time(), policy))

    def answered(self):
        """Pings sent and answered within the building: their times, s."""
        found = re.findall(r"^\[([\d.]+)\].* time=([\d.]+) ms", self.pings, re.M)
        times = [(float(stamp), float(ms) / 1000) for stamp, ms in found]
        return [took for stamp, took in times
                if any(begin <= stamp - took and stamp <= end for begin, end, _ in self.built)]


def apply(lab, *words):
    return subprocess.run([SLUICECTL, "-i", lab.instance("a"), *words], check=False, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=APPLY_S + 30)


def goes_on(lab, file):
    """One try: apply it, and look at everything else."""
    sessions = [lab.peer(site)["session"] for site in "ab"]
    before = lab.status("a")["policy_generation"]
    with Watch(lab) as watch:
        done = apply(lab, "policy", "apply", file)
    need(done.returncode == 0, f"policy apply: {done.stderr.strip()[-300:]}")
    need(f"policy {before + 1} on 1/1 workers in " in done.stdout, done.stdout)
    need(not watch.failed, f"show status meanwhile: {watch.failed}")
    need(len(watch.statuses) >= ANSWERS,
         f"{len(watch.statuses)} times status was shown while it was built")
    need({policy for _, policy in watch.statuses} == {before}, "it was in force too early")
    pings = watch.answered()
    need(len(pings) >= ANSWERS, f"{len(pings)} pings were answered while it was built")
    need([lab.peer(site)["session"] for site in "ab"] == sessions, "a session with the peer ended")
    built_s = sum(end - begin for begin, end, _ in watch.built)
    return (f"built for {built_s:.1f} s, meanwhile {len(watch.statuses)} statuses, the slowest in "
            f"{max(took for took, _ in watch.statuses) * 1000:.0f} ms, {len(pings)} pings, the "
            f"slowest in {max(pings) * 1000:.1f} ms")


def all_goes_on(lab, files):
    for attempt in range(ATTEMPTS):
        lab.wait_peers_up(20)
        try:
            return goes_on(lab, files[attempt % 2])
        except Failed:
            if attempt + 1 == ATTEMPTS:
                raise
    return None


def start_build(lab, file):
    """An apply under way, and its policy is being built."""
    process = subprocess.Popen([SLUICECTL, "-i", lab.instance("a"), "policy", "apply", file],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True)
    lab._processes.append(process)
    wait_for(APPLY_S, "the policy is being built", lambda: builds(lab.pid("a")), 0.002)
    return process


def others_wait(lab, file):
    """A change that comes meanwhile is made after it."""
    before = lab.status("a")["policy_generation"]
    process = start_build(lab, file)
    second = apply(lab, "set", "class", "bulk", "ceil", "50mbit")
    need(second.returncode == 0 and f"policy {before + 2} on 1/1 " in second.stdout,
         f"{second.stdout}{second.stderr}")
    said = process.communicate(timeout=APPLY_S)[0]
    need(process.returncode == 0 and f"policy {before + 1} on 1/1 " in said, said[-300:])
    rows = lab.ctl("a", "show", "classes", "bulk")["classes"]
    need({row["ceil_bps"] for row in rows} == {50_000_000}, f"its ceil is {rows[0]['ceil_bps']}")


def client_gone(lab, file):
    """Whoever is killed before his policy is in force has changed nothing."""
    before = lab.status("a")["policy_generation"]
    process = start_build(lab, file)
    process.kill()
    process.wait(10)
    wait_for(APPLY_S, "the building ends", lambda: not builds(lab.pid("a")))
    wait_for(5, "the log says so", lambda: "policy apply given up" in lab.log("a"))
    need(lab.status("a")["policy_generation"] == before, "the policy is in force")
    done = apply(lab, "set", "class", "bulk", "ceil", "60mbit")
    need(done.returncode == 0 and f"policy {before + 1} on 1/1 " in done.stdout, done.stderr)


def stops(lab, file):
    """And the daemon ends in order while it builds."""
    start_build(lab, file)
    pid = lab.pid("a")
    os.kill(pid, signal.SIGTERM)
    wait_for(APPLY_S, "the daemon ends", lambda: not os.path.exists(f"/proc/{pid}/task"))
    left = [name for name in os.listdir("/dev/shm") if name.startswith(f"sluice-{lab.name}-a")]
    need(not left, f"/dev/shm has {left}")


def main():
    with Lab("--delay", "5ms", config=config) as lab:
        files = [big(lab, f"big{seed}.conf", seed) for seed in range(2)]
        lab.wait_peers_up(20)
        check("a big policy is built beside everything else", all_goes_on, lab, files)
        check("other changes wait for it", others_wait, lab, files[0])
        check("a client killed meanwhile", client_gone, lab, files[1])
        check("SIGTERM meanwhile", stops, lab, files[1])


if __name__ == "__main__":
    run(main)
