#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Rate tracking on a WAN whose rate changes under load, beside the same without tracking.

    sudo tests/lab/tracking_test.py

The emulated WAN carries 20, then 8, then 20 Mbit/s and has a deep buffer (800 kB: 800 ms at 8
Mbit/s). Appliance a is configured for 24 Mbit/s. Bulk TCP runs, and a ping tells the delay that a
user has. The first seconds after a step are shown, but the limits are those of the time behind them.
SCALE=2.5 makes it 50, 20 and 50 Mbit/s, for a machine that carries that through five programs.
Under sanitizers, which add to every delay, it is one short step each way and the bounds of the rate.
"""
import os
import re
import time

from lab import SANITIZED, SERVER, Failed, Lab, check, need, replace_once, report, run

SCALE = float(os.environ.get("SCALE", "1"))
FAST, SLOW = 20 * SCALE, 8 * SCALE  # Mbit/s
CONFIGURED, LEAST = 24 * SCALE, 2 * SCALE
BUFFER = f"{800 * SCALE:.0f}kB"
IDLE_MS = 40       # round trip without a queue: --delay 20ms
FLOWS = 4
PING_S = 0.05
# Mbit/s, seconds, of which this many at the start are for settling.
UP = ((FAST, 10, 6), (SLOW, 9, 2), (FAST, 12, 8))
DOWN = ((FAST, 10, 6), (SLOW, 16, 5))
WITHOUT = ((FAST, 5, 2), (SLOW, 6, 2))
SHORT = ((FAST, 4, 2), (SLOW, 4, 2))
P50_MAX_MS, P95_MAX_MS = 20, 45   # above IDLE_MS
GOODPUT_LEAST = 0.75              # of the WAN's rate
ATTEMPTS = 3
CROWDED = 1.5                     # load average a CPU
GAIN_LEAST = 5                    # without tracking the median has at least so much more queue


def config_of(way, tracks):
    """The lab's own, for another rate, and a tracks `way`."""
    def config(site, text):
        text = replace_once(text, r'up = "100 Mbit/s";', f'up = "{CONFIGURED} Mbit/s";')
        text = replace_once(text, r'down = "100 Mbit/s";', f'down = "{CONFIGURED} Mbit/s";')
        text = replace_once(text, r'burst = "20 ms"; \}\n\);', 'burst = "5 ms"; }\n);')
        # Assured in all: no more than the link has.
        for assured in ("5", "40", "20"):
            text = replace_once(text, f'^    rate = "{assured} Mbit/s";', '    rate = "1 Mbit/s";')
        if tracks and site == "a":
            text = replace_once(text, r'^    wan = "wan0";',
                                f'    wan = "wan0";\n    {way}_min = "{LEAST} Mbit/s";')
        return text
    return config


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


class Phase:
    """What was seen while the WAN had one rate."""

    def __init__(self, mbit, rtts, settled, goodput, rates):
        self.mbit, self.rtts, self.settled, self.goodput = mbit, rtts, settled, goodput
        self.rates = rates

    def text(self):
        said = f"{self.mbit:.0f} Mbit/s: ping p50 {percentile(self.settled, 50):.0f} p95 " \
               f"{percentile(self.settled, 95):.0f} ms (with the step: p95 " \
               f"{percentile(self.rtts, 95):.0f} max {max(self.rtts):.0f}), " \
               f"goodput {self.goodput:.1f}"
        return said + (f", tracked {min(self.rates):.1f} to {max(self.rates):.1f}"
                       if self.rates else "")


def tracked_mbit(lab, way):
    for row in lab.ctl("a", "show", "links")["links"]:
        if row["way"] == way:
            return row["tracked_bps"] / 1e6
    return 0


def received_bytes(lab, site):
    return int(lab.run(site, "cat", "/sys/class/net/eth0/statistics/rx_bytes"))


def measure(way, phases, tracks):
    """The phases under load; a list of Phase."""
    words = f"queue {BUFFER} overhead 24"
    with Lab("--delay", "20ms", "--rate", f"{phases[0][0]:g}mbit", "--wanem", words,
             config=config_of(way, tracks)) as lab:
        lab.wait_peers_up()
        lab.iperf_server()
        seconds = sum(phase[1] for phase in phases)
        log = f"{lab.tmp}/ping"
        with open(log, "wb") as out:
            ping = lab.start("client", "ping", "-D", "-n", "-i", PING_S, SERVER, stdout=out)
            load = lab.start("client", "iperf3", "-c", SERVER, "-p", 5001, "-P", FLOWS, "-t",
                             seconds + 5, *(["-R"] if way == "down" else []))
            spans = []
            for mbit, duration, settle in phases:
                lab.wanem("set", "both", "rate", f"{mbit:g}mbit")
                spans.append(watch(lab, way, mbit, duration, settle, tracks))
            lab.stop(load)
            time.sleep(0.5)
            lab.stop(ping)
        with open(log, encoding="ascii", errors="replace") as file:
            replies = [(float(at) - float(rtt) / 1e3, float(rtt)) for at, rtt in
                       re.findall(r"^\[([\d.]+)\].* time=([\d.]+) ms", file.read(), re.M)]
    result = []
    for mbit, begin, settled, end, goodput, rates in spans:
        rtts = [rtt for at, rtt in replies if begin <= at < end]
        later = [rtt for at, rtt in replies if settled <= at < end]
        need(len(later) > 20, f"only {len(later)} pings came back at {mbit:.0f} Mbit/s")
        result.append(Phase(mbit, rtts, later, goodput, rates))
    return result


def watch(lab, way, mbit, duration, settle, tracks):
    """Sits through one phase; (rate, begin, settled, end, goodput in Mbit/s, tracked rates)."""
    sink = "server" if way == "up" else "client"
    begin, rates = time.time(), []
    time.sleep(settle)
    settled, before = time.time(), received_bytes(lab, sink)
    while time.time() < begin + duration - 0.1:
        if tracks:
            rates.append(tracked_mbit(lab, way))
        time.sleep(0.2)
    end = time.time()
    goodput = (received_bytes(lab, sink) - before) * 8e-6 / (end - settled)
    return mbit, begin, settled, end, goodput, rates


def tracked(way, phases, kept):
    """With tracking the queue stays out of the WAN, and the WAN is used."""
    kept[way] = measure(way, phases, True)
    for phase in kept[way]:
        report("ok", f"way {way}, tracked, {phase.text()}")
    for phase in kept[way]:
        need(LEAST - 0.01 <= min(phase.rates) and max(phase.rates) <= CONFIGURED + 0.01,
             f"the rate left its bounds: {min(phase.rates)} to {max(phase.rates)} Mbit/s")
    if SANITIZED:
        report("skip", f"way {way}: delays and goodput", "sanitizers slow the appliance down")
        return
    for phase in kept[way]:
        over50 = percentile(phase.settled, 50) - IDLE_MS
        over95 = percentile(phase.settled, 95) - IDLE_MS
        need(over50 <= P50_MAX_MS and over95 <= P95_MAX_MS,
             f"at {phase.mbit:.0f} Mbit/s the ping has {over50:.0f} ms more than idle at p50, "
             f"{over95:.0f} at p95; {P50_MAX_MS} and {P95_MAX_MS} are allowed")
        need(phase.goodput >= GOODPUT_LEAST * phase.mbit,
             f"of {phase.mbit:.0f} Mbit/s only {phase.goodput:.1f} are used")


def undisturbed(way, phases, kept):
    """tracked(), again if it fails while more programs want a CPU than there are: a worker, or a
    host, that waits for one looks like a queue, to tracking and to ping."""
    for attempt in range(ATTEMPTS):
        try:
            return tracked(way, phases, kept)
        except Failed as reason:
            crowd = os.getloadavg()[0] / len(os.sched_getaffinity(0))
            if attempt == ATTEMPTS - 1 or crowd < CROWDED:
                raise
            report("skip", f"way {way}: measured again, {crowd:.1f} programs a CPU", str(reason))


def untracked(kept):
    """The same WAN with a fixed rate: the reason for tracking."""
    without = measure("up", WITHOUT, False)
    for phase in without:
        report("ok", f"way up, not tracked, {phase.text()}")
    need("up" in kept, "there is nothing to compare with")
    more = percentile(without[1].settled, 50) - IDLE_MS
    less = max(percentile(kept["up"][1].settled, 50) - IDLE_MS, 1)
    need(more >= GAIN_LEAST * less,
         f"at {SLOW:.0f} Mbit/s the queue has {more:.0f} ms without tracking, {less:.0f} with it")
    return f"queue at {SLOW:.0f} Mbit/s, median: {more:.0f} ms without tracking, {less:.0f} ms with it"


def main():
    kept = {}
    check("up_min", undisturbed, "up", SHORT if SANITIZED else UP, kept)
    check("down_min", undisturbed, "down", SHORT if SANITIZED else DOWN, kept)
    if SANITIZED:
        report("skip", "without", "sanitizers slow the appliance down")
    else:
        check("without", untracked, kept)


if __name__ == "__main__":
    run(main)
