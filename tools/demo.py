# SPDX-License-Identifier: BSD-3-Clause
"""The demonstration behind tools/demo: two sites, two appliances, an emulated WAN between them.

First the lab without Sluice gives the figures to compare with, then the same traffic goes through
the appliances. Every figure is read from both appliances with `sluicectl --json` and held against
something that is not ours: the emulator's counters, ping, iperf3, sha256.
"""
import hashlib
import multiprocessing
import os
import pathlib
import re
import statistics
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/lab"))
import lab as labs  # noqa: E402
from lab import Lab, SERVER, check, need, wait_for  # noqa: E402

DELAY_MS = 20          # one way
WAN = "200mbit"        # of the emulator; the appliances shape to 100
TEXT_BYTES = 20_000_000
NOISE_BYTES = 20_000_000
FRAME_OVERHEAD = 24    # what Ethernet adds to a frame without FCS (conf/sluice.conf: overhead)
UDP_HEADERS = 14 + 20 + 8
SO_TIMESTAMPNS = 35    # linux/socket.h; Python has no name for it


def access_log(size):
    """A web server's log: text as servers really send it, never twice the same."""
    import random
    rng = random.Random(7)
    pages = [f"/{a}/{b}.html" for a in ("docs", "news", "shop", "help") for b in range(40)]
    agents = ["Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
              "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/126.0 Safari",
              "curl/7.88.1"]
    lines, length, clock = [], 0, 1_700_000_000
    while length < size:
        clock += rng.randrange(3)
        stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(clock))
        line = (f"198.51.100.{rng.randrange(1, 255)} - - [{stamp}] \"GET {rng.choice(pages)} "
                f"HTTP/1.1\" {rng.choice((200, 200, 200, 304, 404))} {rng.randrange(90000)} "
                f"\"-\" \"{rng.choice(agents)}\"\n")
        lines.append(line)
        length += len(line)
    return "".join(lines).encode()[:size]


def wan_bytes(lab):
    """Bytes of all frames that crossed the emulated WAN, both directions, hellos included."""
    stats = lab.wanem("stats")
    return stats["a2b"]["sent_bytes"] + stats["b2a"]["sent_bytes"]


def download(lab, name, digest):
    """Fetches a file with curl; returns its bytes on the WAN and the seconds it took."""
    before, start = wan_bytes(lab), time.monotonic()
    target = os.path.join(lab.tmp, "got")
    lab.run("client", "curl", "-sS", "--fail", "-o", target, f"http://{SERVER}/{name}", timeout=60)
    seconds = time.monotonic() - start
    with open(target, "rb") as file:
        got = hashlib.sha256(file.read()).hexdigest()
    need(got == digest, f"{name} arrived with sha256 {got}, not {digest}")
    settle(lab)
    return wan_bytes(lab) - before, seconds


def settle(lab):
    """Until the emulator has nothing under way but hellos."""
    def quiet():
        before = lab.wanem("stats")
        time.sleep(0.3)
        after = lab.wanem("stats")
        return all(after[d]["received"] - before[d]["received"] < 12 for d in ("a2b", "b2a"))
    wait_for(10, "the WAN falls silent", quiet)


def ping_median_ms(lab):
    out = lab.run("client", "ping", "-i", "0.05", "-c", "60", SERVER, timeout=30)
    times = [float(t) for t in re.findall(r"time=([\d.]+)", out)]
    need(len(times) >= 59, f"ping got {len(times)} of 60 answers")
    return statistics.median(times)


def percent(part, whole):
    return 100.0 * part / whole


# ---- without Sluice ----

def reference(files):
    """What the same WAN costs and takes with a wire in place of each appliance."""
    with Lab("--no-sluice", "--delay", f"{DELAY_MS}ms", "--rate", "100mbit") as lab:
        serve(lab, files)
        figures = {"ping_ms": ping_median_ms(lab)}
        for name in ("text", "noise"):
            figures[name], figures[f"{name}_s"] = download(lab, name, files[name][1])
    return figures


def serve(lab, files):
    for name, (data, _) in files.items():
        lab.make_file(name, data)
    lab.make_file("small", b"0123456789" * 50)
    lab.http_server()


# ---- the checks ----

def class_row(lab, site, name, way):
    return next(row for row in lab.ctl(site, "show", "classes")["classes"]
                if row["name"] == name and row["way"] == way)


def text_download(lab, files, plain):
    before = class_row(lab, "b", "web", "up")
    got_before = class_row(lab, "a", "web", "down")
    wire, seconds = download(lab, "text", files["text"][1])
    after, got = class_row(lab, "b", "web", "up"), class_row(lab, "a", "web", "down")
    original = after["original_bytes"] - before["original_bytes"]
    said = after["wire_bytes"] - before["wire_bytes"]
    share = percent(wire, plain["text"])
    need(share <= 55, f"{share:.1f} % of its bytes on the WAN, at most 55 % are allowed")
    need(got["original_bytes"] - got_before["original_bytes"] >= TEXT_BYTES,
         "appliance a counts fewer bytes than the file has")
    return (f"sha256 right, {wire:,} bytes on the WAN by the emulator, {plain['text']:,} without "
            f"Sluice: {share:.1f} %. b says {original:,} became {said:,}. "
            f"{seconds:.1f} s, {plain['text_s']:.1f} s without")


def noise_download(lab, files, plain):
    wire, seconds = download(lab, "noise", files["noise"][1])
    share = percent(wire, plain["noise"])
    need(share <= 101, f"{share:.2f} % of its bytes on the WAN, at most 101 % are allowed")
    return (f"sha256 right, {wire:,} bytes on the WAN, {plain['noise']:,} without Sluice: "
            f"{share:.2f} %. {seconds:.1f} s, {plain['noise_s']:.1f} s without")


class UdpStream:
    """Datagrams with sequence numbers from the client to the server, at a steady rate."""

    def __init__(self, lab, port, payload=1400):
        import socket
        self.payload = payload
        self.rx = lab.socket("server", socket.AF_INET, socket.SOCK_DGRAM)
        self.rx.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        self.rx.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.rx.bind((SERVER, port))
        self.tx = lab.socket("client", socket.AF_INET, socket.SOCK_DGRAM)
        self.tx.connect((SERVER, port))
        self.got = []    # (time of day, sequence number)
        self.sent = 0
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.running = True
        self.rx.settimeout(0.2)
        self.reader.start()

    def _read(self):
        while self.running:
            try:
                data, ancillary, _, _ = self.rx.recvmsg(2048, 64)
            except TimeoutError:
                continue
            # When the kernel got it, not when this thread came to look.
            seconds, ns = struct.unpack("qq", ancillary[0][2])
            self.got.append((seconds + ns / 1e9, struct.unpack_from("!Q", data)[0]))

    def send(self, bps, seconds):
        """At `bps` on the wire; returns when the time is over."""
        os.setpriority(os.PRIO_PROCESS, 0, -10)  # to be slowed down by the appliance alone
        gap = self.wire_bytes() * 8 / bps
        start = time.monotonic()
        number = 0
        while (now := time.monotonic()) - start < seconds:
            while number * gap <= now - start:
                self.tx.send(struct.pack("!Q", self.sent) + bytes(self.payload - 8))
                self.sent += 1
                number += 1
            time.sleep(0.0005)

    def wire_bytes(self):
        return self.payload + UDP_HEADERS + FRAME_OVERHEAD

    def rate_bps(self, start, end):
        """Received between two times, as the buckets count: from packet to packet."""
        times = [t for t, _ in self.got if start <= t <= end]
        need(len(times) > 2, "hardly anything was received")
        return (len(times) - 1) * self.wire_bytes() * 8 / (times[-1] - times[0])

    def drain(self):
        """Until the reader has taken all that has arrived."""
        def nothing_new():
            before = len(self.got)
            time.sleep(0.25)
            return len(self.got) == before
        wait_for(10, "the receiver has read everything", nothing_new)

    def close(self):
        self.running = False
        self.reader.join()
        self.rx.close()
        self.tx.close()


def overload(streams, seconds):
    """streams: (UdpStream, offered bit/s). All at once, a process each: one alone would be too
    slow. Returns when they began."""
    start = time.time()
    senders = [multiprocessing.Process(target=s.send, args=(bps, seconds)) for s, bps in streams]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    return start


def rates(lab):
    """Two classes with ceilings and three flows of a flow-limited class, all offered too much."""
    lab.ctl("a", "set", "class", "gold", "ceil", "40mbit")
    lab.ctl("a", "set", "class", "silver", "ceil", "20mbit")
    gold, silver = UdpStream(lab, 5201), UdpStream(lab, 5211)
    bulk = [UdpStream(lab, 5221 + i) for i in range(3)]
    wanted = [("class gold", gold, 40e6), ("class silver", silver, 20e6)] + [
        (f"flow {i + 1} of class bulk", s, 4e6) for i, s in enumerate(bulk)]
    try:
        start = overload([(gold, 46e6), (silver, 24e6)] + [(s, 5e6) for s in bulk], 8)
        rows = {name: class_row(lab, "a", name, "up") for name in ("gold", "silver", "bulk")}
        flows = lab.ctl("a", "show", "flows", "--class", "bulk")["flows"]
        settle(lab)
        for _, stream, _ in wanted:
            stream.drain()
        said = [f"a says gold {rows['gold']['rate_bps'] / 1e6:.2f}, silver "
                f"{rows['silver']['rate_bps'] / 1e6:.2f}, bulk {rows['bulk']['rate_bps'] / 1e6:.2f} "
                f"Mbit/s over {len(flows)} flows"]
        for name, stream, target in wanted:
            # The first second fills the queues and spends the bursts.
            rate = stream.rate_bps(start + 2, start + 7.5)
            error = percent(rate - target, target)
            said.append(f"{name} {rate / 1e6:.3f} of {target / 1e6:.0f} Mbit/s ({error:+.2f} %)")
            need(abs(error) <= 1, f"{name} got {rate / 1e6:.3f} Mbit/s, not {target / 1e6:.0f}")
        return ", ".join(said)
    finally:
        for stream in [gold, silver] + bulk:
            stream.close()


def rtt_row(lab, half):
    return next(row for row in lab.ctl("a", "show", "rtt")["rtt"]
                if row["class"] == "default" and row["half"] == half)


def rtt(lab, plain):
    """The median RTT that a measures, both halves together, against ping over a plain wire."""
    before = rtt_row(lab, "wan")["samples"]
    for _ in range(40):
        lab.run("client", "curl", "-sS", "--fail", "-o", "/dev/null",
                f"http://{SERVER}:8080/small")
    wan, lan = rtt_row(lab, "wan"), rtt_row(lab, "lan")
    need(wan["samples"] - before >= 40, f"only {wan['samples'] - before} samples")
    p50_ms = (wan["p50_ns"] + lan["p50_ns"]) / 1e6
    error = percent(p50_ms - plain["ping_ms"], plain["ping_ms"])
    need(abs(error) <= 5, f"p50 {p50_ms:.2f} ms, ping without Sluice {plain['ping_ms']:.2f} ms")
    return (f"p50 {p50_ms:.2f} ms ({wan['samples']} samples; of it LAN half "
            f"{lan['p50_ns'] / 1e6:.2f} ms); emulated {2 * DELAY_MS} ms, ping without Sluice "
            f"{plain['ping_ms']:.2f} ms ({error:+.1f} %)")


def link_loss(lab, files):
    """Packets lost on the link, counted by the appliances from sequence numbers."""
    def peers():
        return {site: lab.peer(site) for site in "ab"}

    def lost(stats):
        return {"b": stats["a2b"]["link"]["lost"], "a": stats["b2a"]["link"]["lost"]}

    before, stats_before = peers(), lab.wanem("stats")
    lab.wanem("set", "both", "loss", "1%", "link")
    for _ in range(2):
        target = os.path.join(lab.tmp, "got")
        lab.run("client", "curl", "-sS", "--fail", "-o", target, f"http://{SERVER}/text", timeout=60)
        with open(target, "rb") as file:
            need(hashlib.sha256(file.read()).hexdigest() == files["text"][1],
                 "the file arrived damaged")
    lab.wanem("set", "both", "loss", "0%")
    settle(lab)
    truth = {site: lost(lab.wanem("stats"))[site] - lost(stats_before)[site] for site in "ab"}

    def agree():
        now = peers()
        return all(now[s]["rx_lost"] - before[s]["rx_lost"] == truth[s] for s in "ab")
    try:
        wait_for(4, "loss", agree, 0.2)
    except labs.Failed:
        now = peers()
        said = {s: now[s]["rx_lost"] - before[s]["rx_lost"] for s in "ab"}
        raise labs.Failed(f"the appliances count {said}, the emulator lost {truth}") from None
    need(truth["a"] >= 20, f"the emulator lost only {truth['a']} packets: nothing was shown")
    return (f"to a {truth['a']}, to b {truth['b']}: the appliances and the emulator agree, and the "
            f"file arrived right")


def live_change(lab):
    """A rate changed under load: in force within 100 ms, nothing lost, nothing reordered."""
    stream = UdpStream(lab, 5231)
    try:
        sender = threading.Thread(target=stream.send, args=(30e6, 1.6))
        sender.start()
        time.sleep(0.8)
        asked = time.time()
        answer = lab.ctl("a", "set", "class", "steady", "ceil", "10mbit")
        done = time.time()
        sender.join()
        sent = stream.sent
        wait_for(10, "everything sent has arrived", lambda: len(stream.got) >= sent)
        time.sleep(0.3)
        numbers = [n for _, n in stream.got]
        need(len(numbers) == sent, f"{sent} sent, {len(numbers)} received")
        need(numbers == sorted(numbers), "packets were reordered")
        flight = DELAY_MS / 1e3
        before = stream.rate_bps(asked - 0.5, asked)
        # What leaves the box 100 ms after the command was typed reaches the server a delay later.
        after = stream.rate_bps(asked + 0.1 + flight, asked + 0.8 + flight)
        need(abs(after - 10e6) <= 0.01 * 10e6 + stream.wire_bytes() * 8,
             f"100 ms after the change the rate is {after / 1e6:.2f} Mbit/s, not 10")
        return (f"from {before / 1e6:.2f} to {after / 1e6:.2f} Mbit/s, sluicectl took "
                f"{(done - asked) * 1e3:.0f} ms (workers: {answer['done']['took_ns'] / 1e3:.0f} us), "
                f"{sent} packets sent, {len(numbers)} received, in order")
    finally:
        stream.close()


def main():
    files = {}
    for name, data in (("text", access_log(TEXT_BYTES)), ("noise", labs.random_bytes(NOISE_BYTES))):
        files[name] = (data, hashlib.sha256(data).hexdigest())
    print(f"the lab without Sluice, for comparison: {DELAY_MS} ms each way", flush=True)
    plain = reference(files)
    print("the lab with two appliances", flush=True)
    with Lab("--delay", f"{DELAY_MS}ms", "--rate", WAN) as lab:
        serve(lab, files)
        lab.http_server(port=8080)
        lab.wait_peers_up()
        check("text download over HTTP", text_download, lab, files, plain)
        check("incompressible download", noise_download, lab, files, plain)
        check("rates of two classes and a flow-limited class", rates, lab)
        check("round-trip time", rtt, lab, plain)
        check("link loss", link_loss, lab, files)
        check("rate changed in the middle of a transfer", live_change, lab)
        print("\nwhat the appliances say at the end:", flush=True)
        for site in "ab":
            for what in ("peers", "compression"):
                subprocess.run([labs.SLUICECTL, "-i", lab.instance(site), "show", what],
                               check=False, timeout=10)


if __name__ == "__main__":
    labs.run(main)
