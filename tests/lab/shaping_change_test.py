#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Ten thousand live changes under load (under sanitizers 300 to 3,000): nothing lost, none reordered.

    sudo tests/lab/shaping_change_test.py

Rates, ceilings, weights, priorities, flow rates, link rates, whole policies and places in the class
tree change as fast as one `sluicectl shell` sends them, while numbered datagrams run through six
classes on two workers. Five of the flows are chosen so that the shaper never has to drop: four stay
close below what their class gets at any time, one is held back again and again so that hundreds of
its packets wait while everything changes, but less than its queue holds. Of these the receiver must
get every single one, in order. The sixth is always too much for its class: what is lost of it must
be what Sluice says its queue limit dropped, to the packet.
"""
import json
import random
import subprocess
import time

from lab import SANITIZED, SLUICECTL, check, need, run
from traffic import Path, bits, cpus, percentile

# Sanitizers make each change several times as slow, how much depends on what new memory costs: as
# many as there is time for, and no fewer than CHANGES_MIN.
CHANGES = 3_000 if SANITIZED else 10_000
CHANGES_MIN = 300 if SANITIZED else CHANGES
ENOUGH_S = 60
POLICY_EVERY = 250       # one change of so many is a whole policy
BATCH = 100              # changes between two looks at the time
LIMIT_S = 300            # then something hangs
LINK_MIN, LINK_MAX = 60e6, 200e6

# name: port, offered bit/s, frame bytes. The rates that changes() chooses are never below the first
# four's; that of "waiting" is below half of the time, and well above else. Together they need less
# than the link and the groups ever have.
FLOWS = {
    "ceiling": (6001, 11e6, 1518),
    "assured": (6002, 8e6, 590),
    "flows": (6003, 5e6, 300),
    "weighed": (6004, 3e6, 128),
    "waiting": (6005, 7e6, 1000),
    "over": (6006, 9e6, 700),
}
GROUPS = ("left", "right", "inner")

RULES = ",\n".join(
    f'  {{ match = {{ proto = "udp"; dport = {port}; }}; class = "{name}"; }}'
    for name, (port, *_) in FLOWS.items())


def classes(variant):
    """Two policies with the same classes, in another order, with other numbers and parents."""
    def one(name, *options):
        # No AQM: a pause of a busy machine is not to be answered with a drop.
        return f'{{ name = "{name}"; {" ".join(options)} queue_size = "8 MB"; aqm = "none"; }}'

    def group(name, *options):
        return f'{{ name = "{name}"; {" ".join(options)} }}'

    rows = [
        one("default"),
        group("left", f'ceil = "{(80, 150)[variant]} Mbit/s";'),
        group("right", f"weight = {(5, 20)[variant]};"),
        group("inner", f'parent = "{("left", "right")[variant]}"; priority = {(2, 5)[variant]};'),
        one("ceiling", f'parent = "inner"; ceil = "{(14, 25)[variant]} Mbit/s";'),
        one("assured", f'parent = "left"; rate = "{(10, 12)[variant]} Mbit/s";'),
        one("flows", f'flow_rate = "{(7, 20)[variant]} Mbit/s";'),
        one("weighed", f'parent = "right"; rate = "5 Mbit/s"; weight = {(5, 50)[variant]};'),
        one("waiting", f'parent = "{("inner", "right")[variant]}"; ceil = "12 Mbit/s";'),
        one("over", f'ceil = "{(4, 5)[variant]} Mbit/s";').replace("8 MB", "60 kB"),
        # So that no group is ever without a class: it would become one itself.
        *(one(f"{name}-guest", f'parent = "{name}";') for name in GROUPS),
    ]
    if variant:
        rows = rows[:1] + [one("guest", "weight = 3;")] + rows[:0:-1]
    return ",\n".join("  " + row for row in rows)


def changes(rng, files):
    """The commands, one after another, without end; no flow but "over" ever gets too little."""
    number = 0
    while True:
        number += 1
        if number % POLICY_EVERY == 0:
            yield f"policy apply {files[number // POLICY_EVERY % 2]}"
            continue
        kind = rng.choice((*FLOWS, "link", "group", "parent", "parent"))
        if kind == "parent":
            yield f"set class {rng.choice(list(FLOWS))} parent {rng.choice((*GROUPS, 'none'))}"
        elif kind == "group":
            yield rng.choice((
                f"set class inner parent {rng.choice(('left', 'right', 'none'))}",
                f"set class {rng.choice(GROUPS)} ceil {bits(rng.uniform(60e6, 150e6))}",
                f"set class {rng.choice(GROUPS)} weight {rng.randrange(1, 50)} priority "
                f"{rng.randrange(8)}"))
        elif kind == "ceiling":
            yield f"set class ceiling ceil {bits(rng.uniform(12e6, 60e6))}"
        elif kind == "assured":
            yield (f"set class assured rate {bits(rng.uniform(9e6, 20e6))} priority "
                   f"{rng.randrange(8)}")
        elif kind == "flows":
            yield f"set class flows flow-rate {bits(rng.uniform(6e6, 40e6))}"
        elif kind == "weighed":
            yield f"set class weighed weight {rng.randrange(1, 100)} priority {rng.randrange(8)}"
        elif kind == "waiting":
            yield f"set class waiting ceil {bits(rng.choice((5e6, 6e6, 14e6)))}"
        elif kind == "over":
            yield f"set class over ceil {bits(rng.uniform(2e6, 5e6))} weight {rng.randrange(1, 50)}"
        else:
            yield f"set link b0 up {bits(rng.uniform(LINK_MIN, LINK_MAX))}"


class Shell:
    """One `sluicectl --json shell` that carries out lines from a pipe."""

    def __init__(self, path):
        self.process = subprocess.Popen(
            [SLUICECTL, "-i", path.instance("a"), "--json", "shell"], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        path._processes.append(self.process)

    def run(self, lines):
        """Their answers: one JSON object each, as printed (without what goes to stderr)."""
        out, _ = self.process.communicate("\n".join(lines) + "\n", timeout=LIMIT_S)
        return out


def answers_of(text):
    decoder, found, at = json.JSONDecoder(), [], 0
    while (at := text.find("{", at)) >= 0:
        value, at = decoder.raw_decode(text, at)
        found.append(value)
    return found


def change_all(path, files):
    """Sends the changes; returns the times that they took until all workers used them, ns, and how
    often each kind was made."""
    rng = random.Random(3)
    source = changes(rng, files)
    times, kinds = [], {}
    start = time.monotonic()
    while len(times) < CHANGES and (len(times) < CHANGES_MIN or
                                    time.monotonic() - start < ENOUGH_S):
        need(time.monotonic() - start < LIMIT_S, f"only {len(times)} changes in {LIMIT_S} s")
        lines = [next(source) for _ in range(BATCH)]
        said = answers_of(Shell(path).run(lines))
        need(len(said) == BATCH, f"{len(said)} answers to {BATCH} changes: {str(said)[-300:]}")
        for line, answer in zip(lines, said):
            need("done" in answer, f"{line}: {answer}")
            done = answer["done"]
            need(done["workers"] == done["workers_total"] == path.workers,
                 f"{line}: on {done['workers']}/{done['workers_total']} workers")
            times.append(done["took_ns"])
            words = line.split()
            kind = " and ".join(words[3::2]) if words[0] == "set" else "policy apply"
            kinds[kind] = kinds.get(kind, 0) + 1
    return times, kinds, time.monotonic() - start


def intact(name, sent, got):
    text = (f"{sent['sent']} sent, {got['received']} received, {got['reordered']} reordered, "
            f"{got['twice']} twice; delay p50 {got['delay_ns']['p50'] / 1e6:.2f} ms, max "
            f"{got['delay_ns']['max'] / 1e6:.1f} ms")
    need(sent["refused"] == 0, "the sender's kernel had no room: no test")
    need(got["received"] == sent["sent"] and got["reordered"] == 0 and got["twice"] == 0, text)
    if name == "waiting":
        need(got["delay_ns"]["max"] > 50e6, f"hardly anything waited: no test; {text}")
    return text


def accounted(sent, got, dropped):
    lost = sent["sent"] - got["received"]
    text = (f"{sent['sent']} sent, {lost} lost, {dropped} dropped by the queue limit, "
            f"{got['reordered']} reordered, {got['twice']} twice")
    need(lost == dropped and lost > 0 and got["reordered"] == 0 and got["twice"] == 0, text)
    return text


def nothing_else_dropped(before, after):
    """Every reason but the queue limit."""
    other = {reason: after[reason] - before.get(reason, 0) for reason in after
             if after[reason] != before.get(reason, 0) and reason != "queue-tail"}
    need(not other, f"dropped: {other}")


def dropped_tail(path):
    return sum(path.class_row(name)["dropped_tail"] for name in FLOWS)


def show_times(times, kinds, took):
    text = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    return (f"{len(times)} changes in {took:.1f} s ({text}); until all workers used it p50 "
            f"{percentile(times, .5) / 1e3:.0f} us, p99 {percentile(times, .99) / 1e3:.0f} us, max "
            f"{max(times) / 1e3:.0f} us")


def main():
    workers = min(2, cpus())
    with Path() as path:
        first = path.start_sluice(classes(0), RULES, up=bits(LINK_MAX), workers=workers)
        with open(first, encoding="ascii") as file:
            text = file.read()
        files = [first, path.write("other.conf", text.replace(classes(0).strip(),
                                                              classes(1).strip()))]
        before, tail_before = path.dropped("a"), dropped_tail(path)
        receiver = path.receive("server", [port for port, *_ in FLOWS.values()])
        senders = {name: path.send("client", port, bps, "--frame", frame)
                   for name, (port, bps, frame) in FLOWS.items()}
        time.sleep(1)
        made = []
        check("every change is in force on all workers", lambda: made.append(
            change_all(path, files)) or show_times(*made[0]))
        time.sleep(0.5)
        sent = {name: path.finish(sender) for name, sender in senders.items()}
        path.drained(30)
        time.sleep(0.3)
        got = path.finish_receive(receiver)
        for name, (port, *_) in FLOWS.items():
            if name != "over":
                check(f"nothing lost or reordered of class {name}", intact, name, sent[name],
                      got[port])
        check("of the class that is always full, the queue limit's drops are all", accounted,
              sent["over"], got[FLOWS["over"][0]], dropped_tail(path) - tail_before)
        check("nothing was dropped for another reason", nothing_else_dropped, before,
              path.dropped("a"))


if __name__ == "__main__":
    run(main)
