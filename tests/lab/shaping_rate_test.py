#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Rates as the receiver sees them, and on request beside the kernel's HTB on the same ports.

    sudo tests/lab/shaping_rate_test.py [htb]

One UDP flow floods a link that is shaped to 1, 10, 100 and 500 Mbit/s, with frames of 64, 590 and
1,500 bytes. Frames are counted with their check sequence, rates count 20 bytes of preamble and gap
besides: what Sluice charges with overhead = 24, and HTB with `stab overhead 24`. After a second of
warm-up, five windows of one second are counted by the times at which the receiver's kernel got the
frames. Sluice and HTB may both make up for 20 ms of pause.

The limit of 0.02 % over 5 s leaves 1 ms: a machine that takes the worker's CPU away for longer, just
when a window ends, spoils the row. So a row that misses its limit, while the receiver saw a pause of
more than that, is measured again, at most twice, and the output says so. What the ports do not carry
unshaped, right before a row of many frames a second or behind one that missed its limit, is no row:
it is shown as skipped.
"""
import statistics
import sys
import time

from lab import Failed, Skipped, check, need, run
from traffic import GAP, OVERHEAD, Path, bits, slowed_down

RATES = (1e6, 10e6, 100e6, 500e6)
FRAMES = (64, 590, 1500)
SECONDS = 5
PORT = 5201
ERROR_MAX = 0.02         # percent, over all seconds
ERROR_SECOND_MAX = 0.5   # percent, in each single second
PAUSE_MAX = SECONDS * ERROR_MAX / 100  # seconds that the first limit leaves
BURST_S = 0.02
ATTEMPTS = 3
PPS_FIRST = 60e3         # up to here the worker goes before ordinary processes
CARRY_MARGIN = 1.25      # what the ports must carry of what a row needs, to count it

# A queue that never runs empty while the sender is held up, and no AQM: its drops would be others'.
CLASSES = '  { name = "default"; queue_size = "4 MB"; aqm = "none"; }'


class Row:
    """One rate, size and way: bytes of each second at the receiver, and the rate's."""

    def __init__(self, rate, frame, way="up"):
        self.rate, self.frame, self.way = rate, frame, way
        self.wire_bits = (frame + GAP) * 8
        self.pps = rate / self.wire_bits
        self.name = f"{rate / 1e6:.0f} Mbit/s {way}, {frame}-byte frames"
        self.said = {}   # by shaper: text for the table
        self.pauses = ""
        self.disturbed = False

    def offered(self):
        return self.rate * (2 if self.rate <= 10e6 else 1.25)

    def flood(self, path, least):
        """Bits of each of the five seconds; at least `least` times the rate must be offered."""
        source, sink = ("client", "server") if self.way == "up" else ("server", "client")
        receiver = path.receive(sink, [PORT], "--from", 1, "--window", 1, "--windows", SECONDS)
        sender = path.send(source, PORT, self.offered(), "--frame", self.frame, "--seconds",
                           SECONDS + 1.5)
        sent = path.finish(sender, stop=False)
        time.sleep(0.2)
        got = path.finish_receive(receiver)[PORT]
        offered = sent["sent"] * self.wire_bits / sent["seconds"]
        need(offered > least * self.rate, f"only {offered / 1e6:.2f} Mbit/s were sent: no test")
        self.disturbed = got["gap_max_ns"] / 1e9 > PAUSE_MAX + self.wire_bits / self.rate
        self.pauses = (f"longest pause at the receiver {got['gap_max_ns'] / 1e6:.1f} ms, of the "
                       f"sender {sent['late_max_ns'] / 1e6:.1f} ms")
        return [each * 8 for _, each in got["windows"]]

    def errors(self, seconds):
        """Percent: over all, and the worst single second."""
        total = (sum(seconds) / SECONDS - self.rate) / self.rate * 100
        worst = max((each - self.rate for each in seconds), key=abs) / self.rate * 100
        return total, worst

    def limits(self):
        frame = self.wire_bits / self.rate * 100
        return max(ERROR_MAX, frame / SECONDS), max(ERROR_SECOND_MAX, 2 * frame)


def unshaped_pps(path, frame):
    receiver = path.receive("server", [PORT], "--from", 0.2, "--window", 0.5, "--windows", 1)
    # As fast as the sender can.
    path.finish(path.send("client", PORT, 1e10, "--frame", frame, "--seconds", 0.8), False)
    time.sleep(0.1)
    return path.finish(receiver)["ports"][0]["windows"][0][0] / 0.5


def needs_more(path, row, choose):
    """Skips the row unless the ports carry enough, by this choice of three measurements."""
    path.workers_first(False)
    carried = choose(unshaped_pps(path, row.frame) for _ in range(3))
    if carried < CARRY_MARGIN * row.pps:
        row.said["sluice"] = row.said["htb"] = "not carried"
        raise Skipped(f"needs {row.pps / 1e3:.0f} kpps, of which the ports must carry "
                      f"{CARRY_MARGIN} times; unshaped they carry {carried / 1e3:.0f}")


def sluice_row(path, row):
    if row.pps > PPS_FIRST:
        needs_more(path, row, max)
    path.workers_first(row.pps <= PPS_FIRST)
    for attempt in range(1, ATTEMPTS + 1):
        good, text = sluice_once(path, row)
        if good or not row.disturbed or attempt == ATTEMPTS:
            break
        print(f"again: {row.name}: {text}", flush=True)
    if attempt > 1:
        text += f"; at attempt {attempt}"
    if not good and row.disturbed:
        # What the best of three could carry is not what a busy machine carries for long.
        needs_more(path, row, statistics.median)
    need(good, text)
    return text


def sluice_once(path, row):
    path.ctl("a", "set", "link", "b0", row.way, bits(row.rate))
    try:
        total, worst = row.errors(row.flood(path, 1.1))
    finally:
        path.ctl("a", "set", "link", "b0", row.way, "none")
        path.drained()
    most, most_second = row.limits()
    row.said["sluice"] = f"{total:+9.4f} {worst:+9.4f}"
    # The limits are exact fractions of a frame, the errors are sums of frames.
    good = abs(total) <= most * (1 + 1e-9) and abs(worst) <= most_second * (1 + 1e-9)
    return good, (f"{total:+.4f} % over {SECONDS} s (limit {most:.4f}), worst second {worst:+.4f} % "
                  f"(limit {most_second:.3f}); {row.pauses}")


def htb_row(path, row):
    """The same by HTB at the port where the frames leave."""
    device = "wan0" if row.way == "up" else "lan0"
    burst = max(3200, round(row.rate * BURST_S / 8))
    path.run("a", "tc", "qdisc", "add", "dev", device, "root", "handle", "1:", "stab", "overhead",
             OVERHEAD, "linklayer", "ethernet", "htb", "default", "1")
    try:
        path.run("a", "tc", "class", "add", "dev", device, "parent", "1:", "classid", "1:1", "htb",
                 "rate", bits(row.rate), "ceil", bits(row.rate), "burst", burst, "cburst", burst,
                 "quantum", 3000)
        path.run("a", "tc", "qdisc", "add", "dev", device, "parent", "1:1", "pfifo", "limit", 4000)
        # The kernel stops the sender while HTB's queue is full of its frames.
        total, worst = row.errors(row.flood(path, 0.99))
        row.said["htb"] = f"{total:+9.4f} {worst:+9.4f}"
    except Failed as reason:
        row.said["htb"] = str(reason)
    finally:
        path.run("a", "tc", "qdisc", "del", "dev", device, "root")


def print_table(rows):
    print(f"\nerror in percent over {SECONDS} s, and of the worst single second, at the receiver")
    print(f"{'rate':>12} {'way':>4} {'frame':>5} {'kpps':>6} | {'Sluice':>9} {'second':>9} |"
          f" {'HTB':>9} {'second':>9} | one frame in {SECONDS} s")
    for row in rows:
        print(f"{row.rate / 1e6:5.0f} Mbit/s {row.way:>4} {row.frame:5} {row.pps / 1e3:6.1f} | "
              f"{row.said.get('sluice', 'failed'):>19} | {row.said.get('htb', ''):>19} | "
              f"{row.wire_bits / row.rate / SECONDS * 100:.4f}")
    print(flush=True)


def clock_check(start):
    """The receiver's windows are of the clock that NTP steers; it must not have been, by much."""
    def both():
        return time.clock_gettime(time.CLOCK_REALTIME), time.clock_gettime(time.CLOCK_MONOTONIC_RAW)
    if start is None:
        return both()
    real, raw = (now - then for now, then in zip(both(), start))
    ppm = (real / raw - 1) * 1e6
    need(abs(ppm) < 100, f"the system's clock was steered by {ppm:.0f} ppm: no measure")
    return f"{ppm:+.1f} ppm from the hardware's over {raw:.0f} s"


def main():
    if slowed_down():
        return
    rows = [Row(rate, frame) for rate in RATES for frame in FRAMES] + [Row(100e6, 1500, "down")]
    start = clock_check(None)
    with Path() as path:
        path.start_sluice(CLASSES, burst=f"{BURST_S * 1e3:.0f} ms")
        for row in rows:
            check(row.name, sluice_row, path, row)
        if "htb" in sys.argv[1:]:  # for the table: nothing is checked of it
            path.stop_sluice()
            path.start_bridge()
            for row in rows:
                if row.said.get("htb") != "not carried":
                    htb_row(path, row)
    print_table(rows)
    check("the clock of the measurement", clock_check, start)


if __name__ == "__main__":
    run(main)
