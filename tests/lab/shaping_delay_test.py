#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Bufferbloat: what ping and a sparse flow wait while bulk TCP fills the line.

    sudo tests/lab/shaping_delay_test.py [20] [100] [bypass] [oneway]

Behind the appliance is an emulated WAN of 20 and of 100 Mbit/s, 40 ms of round-trip time and a
buffer of half a second. Four bulk TCP flows (cubic) go each way, as in the RRUL test of flent; with
them a ping each 20 ms, and UDP of a telephone call's kind, one datagram of 160 bytes each 20 ms: in
the very class that the bulk fills, and in a class of higher priority. First idle, then loaded with
Sluice shaping both ways to 96 % of the WAN, then, for the table, with Sluice in bypass if that is
asked for; without arguments it is all but that. All are computed over whole
phases after a warm-up; where a figure misses its limit all are measured once more, and both shown.

Added delay of a sparse flow: the 99th percentile of its one-way delays (the sender's time against
the receiver's kernel's, one clock) less the median of the idle path. It may be 1 ms and the time of
one full frame at the shaped rate. That is checked on the way up, where the shaped queue is the last
thing before the line; on the way down the WAN's own buffer comes first, and holds the bursts that
the far senders make.

Goodput: TCP payload that the receivers' programs read, times 1538 / 1448 for the headers of full
segments, against the shaped rate. Where flows go both ways the ACKs of those the other way are on
the line too, one of 90 bytes for two segments, some 3 % of the rate: the check counts them as part
of what bulk TCP got, and says both. Where all flows go one way there is nothing to count. Hosts,
emulator and appliance share the CPUs: where less than the goal gets through at 100 Mbit/s and the
busier CPU was idle for less than a fifth of the time, that is said and skipped, and everything is
measured and judged at 50 Mbit/s instead.
"""
import sys
import time

from lab import Failed, Skipped, check, need, run
from traffic import FULL_WIRE, Path, bits, jain, percentile, slowed_down

RATES = (20e6, 100e6)
SHAPED = 0.96
BURST = "200 us"         # small: what Sluice makes up for at once queues up in the WAN
WAN = "delay 20ms rate {rate} queue {queue}"
WARM, SECONDS, IDLE = 8, 20, 6
CPU_IDLE_MIN = 0.2       # of the busier CPU; with less, TCP waits for hosts and appliance
SLOWER = 50e6            # then this rate is what must be reached
SEGMENT_PAYLOAD = 1448   # with time stamps
ACK_WIRE = 66 + 24       # with time stamps
CALL_BPS = (160 + 42 + 24) * 8 / 0.02
CALL_FRAME = 160 + 46
SAME, FIRST = 6001, 6002  # ports of the calls: in the bulk's class, in one of its own
PING_P50_MAX, PING_P99_MAX, SPARSE_MAX = 5, 10, 1  # ms above idle
GOODPUT_MIN, JAIN_MIN = 0.95, 0.98

CLASSES = """
  {{ name = "default"; queue_size = "2 MB"; {options} }},
  {{ name = "call"; priority = 0; rate = "1 Mbit/s"; }}"""
RULES = '{ match = { proto = "udp"; dport = 6002; }; class = "call"; }'


def wan_words(rate):
    return WAN.format(rate=bits(rate), queue=f"{round(rate * 0.5 / 8)}B")


def start(path, rate, options=""):
    path.start_sluice(CLASSES.format(options=options), RULES, up=bits(SHAPED * rate),
                      down=bits(SHAPED * rate), burst=BURST)
    path.workers_first()


def cpu_times():
    """Idle, and all, of each CPU; what the host of a virtual machine took is not idle."""
    with open("/proc/stat", encoding="ascii") as file:
        rows = [line.split() for line in file if line.startswith("cpu") and line[3] != " "]
    times = [[int(word) for word in row[1:9]] for row in rows]
    return [(row[3] + row[4], sum(row)) for row in times]


def cpu_idle(before):
    """The share of the time since then that the busier CPU was idle."""
    return min((idle - idle0) / max(every - every0, 1)
               for (idle, every), (idle0, every0) in zip(cpu_times(), before))


class Phase:
    """Ping and calls over a time, and what they met (ms)."""

    def __init__(self, path, seconds, warm=0.5):
        self.path, self.seconds, self.warm = path, seconds, warm

    def start(self):
        words = ("--from", self.warm, "--window", self.seconds, "--windows", 1)
        total = self.warm + self.seconds
        call = ("--frame", CALL_FRAME, "--seconds", total)
        path = self.path
        self.sinks = {"server": path.receive("server", [SAME, FIRST], *words),
                      "client": path.receive("client", [SAME, FIRST], *words)}
        self.senders = [path.send(site, port, CALL_BPS, *call, nice=-15)
                        for site in self.sinks for port in (SAME, FIRST)]
        self.pinging = path.ping(total)
        self.began = time.time()
        self.cpu = cpu_times()
        return self

    def finish(self):
        for sender in self.senders:
            self.path.finish(sender, stop=False)
        pings = self.path.finish_ping(self.pinging)
        self.cpu_idle = cpu_idle(self.cpu)
        self.pings = [ms for at, ms in pings if at - self.began >= self.warm]
        rows = {site: self.path.finish_receive(sink) for site, sink in self.sinks.items()}
        self.calls = {}
        for name, site, port in (("up", "server", SAME), ("up first", "server", FIRST),
                                 ("down", "client", SAME), ("down first", "client", FIRST)):
            delay = rows[site][port]["delay_ns"]
            need(delay["samples"] > 0.9 * self.seconds / 0.02,
                 f"only {delay['samples']} datagrams of the call {name} came")
            self.calls[name] = {k: v / 1e6 for k, v in delay.items() if k != "samples"}
        return self

    def ping_at(self, share):
        return percentile(self.pings, share)


def loaded(path, flows=4, seconds=SECONDS):
    """A phase with bulk flows both ways; also their goodput (bit/s), up and down."""
    runs = path.bulk(seconds + 1, WARM, up=flows, down=flows)
    phase = Phase(path, seconds, WARM).start().finish()
    results = path.finish_bulk(runs)
    phase.goodput = [sum(flow) * 8 / took for flow, took in results]
    return phase


def corrected(goodput):
    return goodput * FULL_WIRE / SEGMENT_PAYLOAD


def print_phases(rate, phases):
    print(f"\nWAN {rate / 1e6:.0f} Mbit/s, shaped to {SHAPED * rate / 1e6:.1f}; ms (one way for the "
          "calls)")
    print(f"{'':16} {'ping p50':>9} {'p99':>8} | {'call, bulk class, up p50':>24} {'p99':>8} "
          f"{'down p99':>8} | {'call, own class, up p99':>23} {'down':>7} | goodput up, down")
    for name, p in phases:
        goodput = ", ".join(f"{corrected(g) / 1e6:.2f}" for g in getattr(p, "goodput", []))
        print(f"{name:16} {p.ping_at(.5):9.2f} {p.ping_at(.99):8.2f} | {p.calls['up']['p50']:24.2f} "
              f"{p.calls['up']['p99']:8.2f} {p.calls['down']['p99']:8.2f} | "
              f"{p.calls['up first']['p99']:23.2f} {p.calls['down first']['p99']:7.2f} | {goodput}")
    print(flush=True)


def ping_delay(idle, load):
    p50 = load.ping_at(.5) - idle.ping_at(.5)
    p99 = load.ping_at(.99) - idle.ping_at(.99)
    text = f"p50 {p50:+.2f} ms, p99 {p99:+.2f} ms against idle"
    need(p50 <= PING_P50_MAX and p99 <= PING_P99_MAX, text)
    return text


def sparse_delay(rate, idle, load, name):
    frame_ms = FULL_WIRE * 8 / (SHAPED * rate) * 1e3
    added = load.calls[name]["p99"] - idle.calls[name]["p50"]
    text = f"p99 {added:+.2f} ms against idle (limit 1 + {frame_ms:.2f})"
    need(added <= SPARSE_MAX + frame_ms, text)
    return text


def goodput(rate, load, way):
    shaped = SHAPED * rate
    share = corrected(load.goodput[way]) / shaped
    acks = load.goodput[1 - way] / SEGMENT_PAYLOAD / 2 * ACK_WIRE / shaped
    text = (f"{share * 100:.2f} % of {shaped / 1e6:.1f} Mbit/s, and {acks * 100:.2f} % ACKs of the "
            "flows the other way")
    if share + acks < GOODPUT_MIN and load.cpu_idle < CPU_IDLE_MIN and rate > SLOWER:
        raise Skipped(f"{text}: but the busier CPU was idle for {load.cpu_idle:.0%} only")
    need(share + acks >= GOODPUT_MIN, text)
    return text


def is_short(rate, load):
    """Did bulk TCP get less than the goal, either way?"""
    for way in (0, 1):
        try:
            goodput(rate, load, way)
        except (Failed, Skipped):
            return True
    return False


def measure(rate):
    """Phases idle and with Sluice, and in bypass if asked for; printed."""
    with Path(wan_words(rate)) as path:
        start(path, rate)
        idle = Phase(path, IDLE).start().finish()
        shaped = loaded(path)
        phases = [("idle", idle), ("Sluice", shaped)]
        if "bypass" in sys.argv[1:]:
            time.sleep(1)
            path.ctl("a", "set", "bypass", "on")
            phases.append(("bypass", loaded(path, seconds=10)))
    print_phases(rate, phases)
    return idle, shaped


def checks(rate, idle, shaped):
    """[(name, function, arguments)]"""
    name = f"{rate / 1e6:.0f} Mbit/s"
    return [(f"{name}: ping under load", ping_delay, idle, shaped),
            (f"{name}: sparse flow in the bulk's class", sparse_delay, rate, idle, shaped, "up"),
            (f"{name}: sparse flow in a class of its own", sparse_delay, rate, idle, shaped,
             "up first")] + [
                (f"{name}: goodput {word}", goodput, rate, shaped, way)
                for way, word in enumerate(("up", "down"))]


def bloat(rate):
    """Everything else that runs on the two CPUs adds milliseconds: what fails is measured a second
    time, said so, and then all of it counts."""
    phases = measure(rate)
    for name, function, *arguments in checks(rate, *phases):
        try:
            function(*arguments)
        except (Failed, Skipped) as reason:
            print(f"again: {name}: {reason}", flush=True)
            phases = measure(rate)
            break
    for one in checks(rate, *phases):
        check(*one)
    if rate > SLOWER and is_short(rate, phases[1]) and phases[1].cpu_idle < CPU_IDLE_MIN:
        bloat(SLOWER)


# ---- fairness, ECN, L4S: one way, at 100 Mbit/s ----

def fairness(path):
    before = cpu_times()
    (flows, took), = path.finish_bulk(path.bulk(12, WARM, up=8))
    idle = cpu_idle(before)
    need(len(flows) == 8, f"{len(flows)} flows, not 8")
    index = jain(flows)
    share = corrected(sum(flows) * 8 / took) / (SHAPED * RATES[1])
    text = (f"{index:.4f}; " + " ".join(f"{f * 8 / took / 1e6:.2f}" for f in sorted(flows)) +
            f" Mbit/s; together {share * 100:.2f} % of the rate")
    if share < GOODPUT_MIN and idle < CPU_IDLE_MIN:
        need(index >= JAIN_MIN, text)
        raise Skipped(f"{text}: but the busier CPU was idle for {idle:.0%} only")
    need(index >= JAIN_MIN and share >= GOODPUT_MIN, text)
    return text


def ecn(path):
    """Flows that can be marked lose nothing; the hosts' kernels are the witnesses."""
    for site in ("client", "server"):
        path.run(site, "sysctl", "-qw", "net.ipv4.tcp_ecn=1")
    names = ("TcpRetransSegs", "TcpExtTCPDeliveredCE", "IpExtInCEPkts")

    def now():
        return ({**path.nstat("client", *names[:2]), **path.nstat("server", names[2])},
                path.class_row("default"))
    before, row_before = now()
    runs = path.bulk(10, WARM, up=4)
    # Slow start overruns what marks can answer to in a round trip.
    time.sleep(WARM)
    warm, row_warm = now()
    (flows, took), = path.finish_bulk(runs)
    after, row = now()
    delta = {name: after[name] - before[name] for name in names}
    again = after["TcpRetransSegs"] - warm["TcpRetransSegs"]
    marked = row["marked"] - row_before["marked"]
    dropped = {name: row[name] - row_warm[name] for name in ("dropped_aqm", "dropped_tail")}
    share = corrected(sum(flows) * 8 / took) / (SHAPED * RATES[1])
    text = (f"Sluice marked {marked}, {row['marked'] - row_warm['marked']} of them after the "
            f"warm-up, and then dropped {dropped['dropped_aqm']} by AQM, "
            f"{dropped['dropped_tail']} by the limit; the server's kernel got "
            f"{delta['IpExtInCEPkts']} marked, the client's sent {again} again after the warm-up "
            f"({delta['TcpRetransSegs']} in all); goodput {share * 100:.1f} %")
    need(row["marked"] > row_warm["marked"] and delta["IpExtInCEPkts"] == marked, text)
    need(not any(dropped.values()) and again == 0, text)
    need(delta["TcpExtTCPDeliveredCE"] > 0, f"the client's kernel heard of no mark; {text}")
    return text


def l4s_words(port, got, sent, row, row_before):
    delay = got[port]["delay_ns"]
    return (f"{got[port]['received']} datagrams, {got[port]['marked']} marked, "
            f"{sent['sent'] - got[port]['highest'] - 1} under way at the end, "
            f"{got[port]['highest'] + 1 - got[port]['received']} lost; Sluice marked "
            f"{row['marked'] - row_before['marked']}, dropped by AQM "
            f"{row['dropped_aqm'] - row_before['dropped_aqm']}; queue p50 "
            f"{delay['p50'] / 1e6 - 20:.2f} ms, p99 {delay['p99'] / 1e6 - 20:.2f} ms")


def l4s(path, with_classic):
    """A scalable sender (ECT(1)), alone or beside two cubic flows: marked, not dropped, and hardly
    queued; beside them it takes about a flow's share, not all and not nothing."""
    port = 6011
    row_before = path.class_row("default")
    # As the bulk flows: a sender that waits for the CPU can't keep the line full.
    receiver = path.receive("server", [port], "--echo", "--from", WARM, "--window", 8, "--windows",
                            1, nice=-15)
    runs = path.bulk(9, WARM, up=2) if with_classic else []
    sent = path.finish(path.scalable("client", port, "--seconds", WARM + 9, nice=-15), stop=False)
    time.sleep(0.5)
    got = path.finish_receive(receiver)
    row = path.class_row("default")
    shaped = SHAPED * RATES[1]
    share = got[port]["windows"][0][1] * 8 / 8 / shaped
    text = f"{share * 100:.1f} % of the rate, " + l4s_words(port, got, sent, row, row_before)
    if with_classic:
        (flows, took), = path.finish_bulk(runs)
        classic = [corrected(f * 8 / took) / shaped * 100 for f in flows]
        text += "; the cubic flows " + ", ".join(f"{c:.1f} %" for c in classic)
        need(0.15 <= share <= 0.6 and min(classic) >= 15, text)
    else:
        need(share >= 0.9, text)
    lost = got[port]["highest"] + 1 - got[port]["received"]
    need(got[port]["marked"] > 0 and lost == 0, text)
    need(got[port]["delay_ns"]["p99"] / 1e6 - 20 <= 5, text)
    return text


def one_way():
    with Path(wan_words(RATES[1])) as path:
        start(path, RATES[1])
        check("Jain's index of 8 flows", fairness, path)
        check("ECN: marked, not dropped (CoDel)", ecn, path)
        path.stop_sluice()
        start(path, RATES[1], 'aqm = "pie";')
        check("ECN: marked, not dropped (PIE)", ecn, path)
        path.stop_sluice()
        start(path, RATES[1], 'aqm = "dualpi2";')
        check("L4S flow alone", l4s, path, False)
        check("L4S flow beside two cubic ones", l4s, path, True)


def main():
    if slowed_down():
        return
    # Parts by name, for trying: shaping_delay_test.py 20 100 oneway
    parts = sys.argv[1:] or ["20", "100", "oneway"]
    for rate in RATES:
        if f"{rate / 1e6:.0f}" in parts:
            bloat(rate)
    if "oneway" in parts:
        one_way()


if __name__ == "__main__":
    run(main)
