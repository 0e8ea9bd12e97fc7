#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What dies, hangs or lies around the packet path does not touch it.

    sudo tests/lab/survival_test.py

sluicectl killed at random moments, sluiced killed and started again, a peer that falls silent,
garbage on the link port, a client that scribbles over the command segment: each while a stream of
numbered datagrams passes, of which every single one is accounted for.
"""
import hashlib
import os
import random
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

from lab import (IN_PATH, LINK_PORT, SANITIZED, SERVER, SLUICECTL, Failed, Lab, check, need,
                 random_bytes, replace_once, run, text_bytes, wait_for)

KILLS = 300
ETH_P_ALL = 3
# Sanitizers keep another 8 MB of what was freed (tests/run.py).
RSS_GROWTH_MAX = (16 if SANITIZED else 8) << 20
LINK_REASONS = ("link-bad-shim", "link-bad-check", "link-bad-data", "link-no-session",
                "link-duplicate")


def config(_site, text):
    """The lab's own; datagrams to ports 6000-6099 may be compressed; a group may send commands."""
    text = replace_once(text, r'^(?=  \{ match = \{ dscp = "ef")',
                        '  { match = { proto = "udp"; dport = "6000-6099"; }; class = "web"; },\n')
    return replace_once(text, r"^(?=  flows = )", '  group = "nogroup";\n')


class Stream:
    """Numbered datagrams from the client to the server, at a steady pace, in the background."""

    _port = 6000

    def __init__(self, lab, pps=400, size=700):
        self.pps, self.size = pps, size
        self.to = (SERVER, Stream._port)
        Stream._port += 1
        self.sent_at = []    # by number: when, CLOCK_MONOTONIC seconds
        self.came = set()
        self.bad = self.twice = self.late = 0
        self._text = text_bytes(65536)
        self._stop = threading.Event()
        self._in = lab.socket("server", socket.AF_INET, socket.SOCK_DGRAM)
        self._in.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
        self._in.bind(self.to)
        self._in.settimeout(0.1)
        self._out = lab.socket("client", socket.AF_INET, socket.SOCK_DGRAM)
        self._threads = [threading.Thread(target=each, daemon=True)
                         for each in (self._send, self._receive)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        try:
            wait_for(5, "the stream begins", lambda: len(self.came) > 20)
        except Failed:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(5)
        self._in.close()
        self._out.close()

    def _data(self, number):
        at = number * 97 % (len(self._text) - self.size)
        return struct.pack("!Q", number) + self._text[at:at + self.size]

    def _send(self):
        start = time.monotonic()
        while not self._stop.is_set():
            number = len(self.sent_at)
            pause = start + number / self.pps - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            data = self._data(number)
            self.sent_at.append(time.monotonic())
            self._out.sendto(data, self.to)

    def _receive(self):
        newest = -1
        quiet_since = None
        while True:
            try:
                data = self._in.recv(4096)
            except TimeoutError:
                # Behind the end nothing is awaited but what is still on its way.
                if self._stop.is_set():
                    quiet_since = quiet_since or time.monotonic()
                    if time.monotonic() - quiet_since > 0.4:
                        return
                continue
            number = struct.unpack("!Q", data[:8])[0] if len(data) >= 8 else -1
            if not 0 <= number < len(self.sent_at) or data != self._data(number):
                self.bad += 1
            elif number in self.came:
                self.twice += 1
            else:
                self.late += number < newest
                newest = max(newest, number)
                self.came.add(number)

    def settled(self):
        """Everything sent until now has had the time to come."""
        until = len(self.sent_at)
        end = time.monotonic() + 1
        while time.monotonic() < end and not self.came.issuperset(range(until)):
            time.sleep(0.02)
        return until

    def lost(self, first=0):
        """Numbers that have not come, from `first` on."""
        until = self.settled()
        return [number for number in range(first, until) if number not in self.came]

    def need_whole(self, first=0):
        lost = self.lost(first)
        need(not lost, f"{len(lost)} of {len(self.sent_at) - first} datagrams lost: {lost[:10]}")
        need(not self.bad, f"{self.bad} datagrams came that nobody sent")
        need(not self.twice, f"{self.twice} datagrams came twice")
        need(not self.late, f"{self.late} datagrams out of order")
        return f"{len(self.came)} datagrams, all there"


def rss_bytes(lab, site):
    with open(f"/proc/{lab.pid(site)}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def need_rss(lab, before):
    said = []
    for site, old in before.items():
        new = rss_bytes(lab, site)
        need(new - old <= RSS_GROWTH_MAX, f"{site} grew from {old >> 20} to {new >> 20} MB")
        said.append(f"{site} {old >> 20} to {new >> 20} MB")
    return ", ".join(said)


def dropped_since(lab, before):
    now = {site: lab.dropped(site) for site in before}
    return {site: {reason: count - before[site][reason] for reason, count in now[site].items()
                   if count != before[site][reason]} for site in before}


# ---- sluicectl killed ----

def commands(lab, site):
    conf = f"{lab.state}/{site}.conf"
    return [("show", "status"), ("show", "flows", "--top", "50"), ("show", "classes"),
            ("show", "workers", "--interval", "0.01"), ("show", "drops", "--all"),
            ("show", "compression"), ("show", "peers"), ("show", "rtt"), ("show", "policy"),
            ("policy", "check", conf), ("policy", "apply", conf), ("policy", "show"),
            ("policy", "apply", conf, "--confirm", "1"), ("policy", "confirm"),
            ("policy", "rollback"), ("set", "class", "silver", "weight", "11"),
            ("set", "class", "gold", "rate", "30mbit", "ceil", "60mbit"),
            ("set", "compression", "on"), ("explain", "flow", "10.77.0.1", "1", "10.77.0.2", "80",
                                           "tcp"), ("doctor",), ("top", "--interval", "0.05")]


def start_ctl(lab, site, words):
    return subprocess.Popen([SLUICECTL, "-i", lab.instance(site), *words],
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL, start_new_session=True)


def run_once(lab, site):
    """Each command once to its end, or for a moment if it has none; how long each took, in s."""
    took = []
    for words in commands(lab, site):
        began = time.monotonic()
        process = start_ctl(lab, site, words)
        try:
            process.wait(10 if words[0] != "top" else 0.05)
        except subprocess.TimeoutExpired:
            need(words[0] == "top", f"sluicectl {' '.join(words)} did not end within 10 s")
        finally:
            process.kill()
            process.wait(5)
        took.append(time.monotonic() - began)
    return took


def kill_clients(lab, dice, took):
    """KILLS times: any command, killed somewhere between its start and its end."""
    killed = 0
    for i in range(KILLS):
        site = dice.choice("ab")
        which = dice.randrange(len(took[site]))
        process = start_ctl(lab, site, commands(lab, site)[which])
        try:
            time.sleep(dice.random() ** 2 * took[site][which])
            if i % 10 == 0:  # one that hangs before it dies
                process.send_signal(signal.SIGSTOP)
                time.sleep(0.02)
        finally:
            process.kill()
        killed += process.wait(5) == -signal.SIGKILL
    return killed


def clients_killed(lab):
    # What the daemons allocate for good with the first of each command is allocated then.
    took = {site: run_once(lab, site) for site in "ab"}
    rss = {site: rss_bytes(lab, site) for site in "ab"}
    before = {site: lab.dropped(site) for site in "ab"}
    dice = random.Random(2)
    with Stream(lab) as stream:
        tcp = lab.start("client", "iperf3", "-c", SERVER, "-p", "5001", "-t", "60", "-b", "20M")
        try:
            killed = kill_clients(lab, dice, took)
            need(tcp.poll() is None, "iperf3 has ended")
        finally:
            lab.stop(tcp)
        said = stream.need_whole()
    need(killed > KILLS / 2, f"only {killed} of {KILLS} were killed before they ended")
    check("sluicectl killed: no packet dropped", nothing_dropped, lab, before)
    check("sluicectl killed: memory", need_rss, lab, rss)
    for site in "ab":
        check(f"sluicectl killed: all 16 slots of {site} are free", slots_free, lab, site)
        check(f"sluicectl killed: policy of {site} on every worker", policy_everywhere, lab, site)
    return f"{killed} of {KILLS} before their end; {said}"


def nothing_dropped(lab, before):
    drops = {site: drops for site, drops in dropped_since(lab, before).items() if drops}
    need(not drops, f"dropped {drops}")


def slots_free(lab, site):
    wait_for(5, "the dead clients' slots are given back",
             lambda: lab.status(site)["clients"] == 1, 0.05)
    others = [start_ctl(lab, site, ("show", "workers", "--interval", "20")) for _ in range(15)]
    try:
        wait_for(10, "15 clients at once and one more",
                 lambda: lab.status(site)["clients"] == 16, 0.05)
    finally:
        for process in others:
            process.kill()
            process.wait(5)


def policy_everywhere(lab, site):
    lab.ctl(site, "policy", "apply", f"{lab.state}/{site}.conf")
    generation = lab.status(site)["policy_generation"]
    for worker in lab.ctl(site, "show", "workers", "--interval", "0")["workers"]:
        need(worker["policy_generation"] == generation,
             f"worker {worker['worker']} has {worker['policy_generation']}, not {generation}")
    lab.ctl(site, "set", "compression", "on")


# ---- sluiced killed ----

def shm_of(lab):
    return sorted(name for name in os.listdir("/dev/shm") if lab.name in name)


def ping_times(path):
    """When a reply came, CLOCK_REALTIME seconds."""
    with open(path, encoding="ascii") as file:
        return [float(match[1]) for match in
                re.finditer(r"^\[([\d.]+)\] \d+ bytes from", file.read(), re.M)]


def daemon_killed(lab, site, data):
    """kill -9 in the middle of a download, and a restart."""
    names = shm_of(lab)
    out, pings = f"{lab.tmp}/download", f"{lab.tmp}/pings"
    if os.path.exists(out):
        os.unlink(out)
    with open(pings, "wb") as file:
        ping = lab.start("client", "ping", "-n", "-D", "-i", "0.02", SERVER, stdout=file)
    curl = lab.start("client", "curl", "-sS", "--fail", "--max-time", "40", "--limit-rate", "3M",
                     "-o", out, f"http://{SERVER}/big")
    wait_for(10, "the download begins",
             lambda: os.path.exists(out) and os.path.getsize(out) > len(data) // 5)
    os.kill(lab.pid(site), signal.SIGKILL)
    wait_for(2, "ping notices", lambda: time.time() - ping_times(pings)[-1] > 0.2)
    start = time.time()
    lab.restart(site)
    wait_for(5, "ping passes again", lambda: ping_times(pings)[-1] > start)
    outage = next(t for t in ping_times(pings) if t > start) - start
    lab.stop(ping)
    curl.wait(40)
    need(curl.returncode == 0, f"curl ended with {curl.returncode}")
    with open(out, "rb") as file:
        need(hashlib.sha256(file.read()).digest() == hashlib.sha256(data).digest(),
             "the download has another sha256")
    need(outage < 2, f"forwards again {outage:.2f} s after the restart began, not within 2 s")
    lab.wait_peers_up(3)
    need(shm_of(lab) == names, f"/dev/shm had {names}, has {shm_of(lab)}")
    before = {each: lab.compressed_packets(each) for each in "ab"}
    with Stream(lab) as stream:
        wait_for(5, "compressing again", lambda: lab.compressed_packets("a") > before["a"] + 50)
        stream.need_whole()
    return f"forwards again {outage:.2f} s after the restart began"


# ---- the peer falls silent ----

def peer_silent(lab, way):
    """Link packets vanish in the WAN, plain ones pass: what a dead peer behind a wire looks like.
    From b to a only, nothing of the stream is lost, but a must still fall back."""
    with Stream(lab) as stream:
        compressed = lab.compressed_packets("a")
        wait_for(5, "the stream is compressed",
                 lambda: lab.compressed_packets("a") > compressed + 50)
        stream.need_whole()
        try:
            lab.wanem("set", way, "loss 100% link")
            start = time.monotonic()
            wait_for(3, "plain again", lambda: lab.peer("a")["state"] != "up", 0.01)
            gap = time.monotonic() - start
            first = len(stream.sent_at) + int(0.1 * stream.pps)
            time.sleep(0.7)  # some of the stream while the peer is away
            stream.settled()
            passed = lab.reasons("a")["link-no-peer"]
            need(passed > 0, "no packet counted as link-no-peer")
        finally:
            lab.wanem("set", way, "loss 0")
        back = time.monotonic()
        lab.wait_peers_up(5)
        back = time.monotonic() - back
        compressed = lab.compressed_packets("a")
        wait_for(3, "compressing again", lambda: lab.compressed_packets("a") > compressed + 100)
        lost = stream.lost()
        need(bool(lost) == (way != "b2a"), f"{len(lost)} datagrams were lost")
        gap = max([stream.sent_at[number] - start for number in lost] or [gap])
        need(not lost or lost[-1] < first,
             f"lost also later: {[n for n in lost if n >= first][:10]}")
        need(gap < 1.0, f"still lost what was sent {gap:.2f} s after the peer fell silent")
        need(not stream.bad and not stream.twice, "datagrams that nobody sent, or twice")
    return f"plain after {gap:.2f} s, {len(lost)} datagrams lost, up again after {back:.2f} s"


# ---- garbage on the link port ----

def udp_frame(macs, source, destination, payload, sport=49152, dport=LINK_PORT, flags=0x4000):
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28 + len(payload), 0, flags, 64, 17, 0,
                         socket.inet_aton(source), socket.inet_aton(destination))
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xffff) + (total >> 16)
    header = header[:10] + struct.pack("!H", ~total & 0xffff) + header[12:]
    return macs + b"\x08\0" + header + struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + \
        payload


def tapped(lab, device, address, count):
    """Real link frames towards an in-path address, as they enter the WAN at `device`."""
    frames = []
    with lab.socket("wan", socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as ear:
        ear.bind((device, ETH_P_ALL))
        ear.settimeout(0.5)
        end = time.monotonic() + 5
        while len(frames) < count and time.monotonic() < end:
            try:
                frame, (_, _, kind, _, _) = ear.recvfrom(2000)
            except TimeoutError:
                continue
            if kind != socket.PACKET_OUTGOING and frame[12:14] == b"\x08\0" and \
                    frame[23] == 17 and frame[30:34] == socket.inet_aton(address) and \
                    frame[36:38] == struct.pack("!H", LINK_PORT):
                frames.append(frame)
    need(len(frames) >= count, f"only {len(frames)} link frames seen at {device}")
    return frames


def mutants(frame, dice):
    """Frames like this real one that must not pass: each field of shim and blob hit at times."""
    macs, payload = frame[:12], frame[42:]
    source, destination = socket.inet_ntoa(frame[26:30]), socket.inet_ntoa(frame[30:34])
    sport = struct.unpack("!H", frame[34:36])[0]

    def flip(data, times):
        data = bytearray(data)
        for _ in range(times):
            # Half of the hits in the shim, which is short.
            at = dice.randrange(16 if dice.random() < 0.5 else len(data))
            data[at] ^= 1 << dice.randrange(8)
        return bytes(data)

    cut = payload[:dice.randrange(len(payload))]
    lane, length = dice.randrange(256), dice.randrange(65536)
    blob = dice.randbytes(dice.randrange(1400))
    return [frame] + [udp_frame(macs, source, destination, each, sport) for each in (
        flip(payload, 1), flip(payload, 1), flip(payload, 5), cut,
        payload + dice.randbytes(20), payload[:16] + blob, payload[:12] + dice.randbytes(4) +
        payload[16:], struct.pack("!BBH", payload[0], lane, length) + payload[4:],
        struct.pack("!BBHIII", 0x20 | 4, lane, length, dice.getrandbits(32), 0, 0) + blob,
        dice.randbytes(dice.randrange(1400)), b"", b"\0", b"\xff" * 16)]


def strangers(macs, destination, dice):
    """From addresses that are no peer's, and odd kinds of packets to the port."""
    frames = []
    for _ in range(300):
        payload = dice.randbytes(dice.randrange(1400))
        source = f"10.77.0.{dice.randrange(20, 250)}"
        frames.append(udp_frame(macs, source, destination, payload, dice.randrange(65536)))
        frames.append(udp_frame(macs, "198.51.100.1", destination, payload, 49151))
    return frames


def garbage(lab):
    dice = random.Random(3)
    before = {site: lab.dropped(site) for site in "ab"}
    consumed = {site: lab.reasons(site)["consumed"] for site in "ab"}
    bad = {site: lab.peer(site)["rx_bad"] for site in "ab"}
    rss = {site: rss_bytes(lab, site) for site in "ab"}
    sent = {"a": 0, "b": 0}
    with Stream(lab) as stream, Stream(lab, pps=100, size=1300) as full:
        real = tapped(lab, "wan-a", IN_PATH["b"][0], 150)
        # The peer's hellos come five times a second: some are among A's real frames too.
        hellos = tapped(lab, "wan-b", IN_PATH["a"][0], 3)
        for site, device, frames in (("b", "wan-b", real), ("a", "wan-a", hellos)):
            lies = [each for frame in frames for each in mutants(frame, dice)]
            lies += strangers(frames[0][:12], IN_PATH[site][0], dice)
            with lab.socket("wan", socket.AF_PACKET, socket.SOCK_RAW) as out:
                out.bind((device, 0))
                start = time.monotonic()
                for i, frame in enumerate(lies):
                    time.sleep(max(0, start + i / 2000 - time.monotonic()))
                    out.send(frame)
            sent[site] = len(lies)
        # The same port from the LAN, where no peer is.
        with lab.socket("client", socket.AF_INET, socket.SOCK_DGRAM) as here:
            for site in "ab":
                for _ in range(100):
                    here.sendto(dice.randbytes(dice.randrange(1400)),
                                (IN_PATH[site][0], LINK_PORT))
                sent[site] += 100
        said = stream.need_whole()
        full.need_whole()
    drops = dropped_since(lab, before)
    for site in "ab":
        others = set(drops[site]) - set(LINK_REASONS)
        need(not others, f"{site} also dropped {drops[site]}")
        counted = sum(drops[site].values()) + lab.reasons(site)["consumed"] - consumed[site]
        need(counted >= sent[site], f"{site} counted {counted} of {sent[site]}: {drops[site]}")
        # More than what could be taken for a hello and went to the control thread.
        need(sum(drops[site].values()) > sent[site] * 0.7, f"{site} dropped only {drops[site]}")
        need(lab.peer(site)["state"] == "up", f"the session of {site} is gone")
    need(drops["b"].keys() == set(LINK_REASONS), f"b dropped for these reasons only: {drops['b']}")
    need(lab.peer("b")["rx_bad"] > bad["b"], "rx_bad of the peer did not rise")
    check("garbage on the link port: memory", need_rss, lab, rss)
    return f"{sent['a']} frames to a, {sent['b']} to b: {drops}; {said}"


# ---- a rogue client ----

ROGUE = """
import grp, mmap, os, pwd, random, sys, time
name, how = sys.argv[1:]
group, user = grp.getgrnam("nogroup").gr_gid, pwd.getpwnam("nobody").pw_uid
os.setgroups([])
os.setgid(group)
os.setuid(user)
for suffix in ("-counters", "-lock"):
    try:
        os.open("/dev/shm/" + name + suffix, os.O_RDWR)
        sys.exit("may write to " + name + suffix)
    except PermissionError:
        pass
fd = os.open("/dev/shm/" + name, os.O_RDWR)
size = os.fstat(fd).st_size
if how == "cut":
    os.ftruncate(fd, 0)
    os.ftruncate(fd, size * 2)
    os.ftruncate(fd, 100)
    sys.exit()
area = mmap.mmap(fd, size)
header = area[:4096]
end = time.monotonic() + 1.5
while time.monotonic() < end:
    kind = random.randrange(4)
    if kind == 0:
        at = random.randrange(size - 4096)
        area[at:at + 4096] = os.urandom(4096)
    elif kind == 1:
        area[:] = bytes([random.choice((0, 1, 255))]) * size
    else:
        for _ in range(2000):
            at = random.randrange(size // 8) * 8
            area[at:at + 8] = random.choice((os.urandom(8), bytes(8), b"\\xff" * 8,
                                             bytes([random.randrange(40)]) + bytes(7)))
area[:4096] = header
"""


def rogue(lab, how):
    done = subprocess.run([sys.executable, "-I", "-c", ROGUE, f"sluice-{lab.instance('a')}", how],
                          check=False, capture_output=True, text=True, timeout=30, cwd="/")
    need(done.returncode == 0, f"the rogue ended with: {done.stderr.strip()[-300:]}")


def scribbled(lab):
    rss = {"a": rss_bytes(lab, "a")}
    pid = lab.pid("a")
    with Stream(lab) as stream:
        rogue(lab, "scribble")
        said = stream.need_whole()
    os.kill(pid, 0)
    need_rss(lab, rss)
    wait_for(10, "sluicectl works again", lambda: answers(lab), 0.1)
    return said


def answers(lab):
    try:
        return lab.status("a")["clients"] == 1
    except Failed:
        return False


def cut_short(lab):
    pid = lab.pid("a")
    with Stream(lab) as stream:
        rogue(lab, "cut")
        process = start_ctl(lab, "a", ("show", "status"))
        try:
            process.wait(10)  # whatever it says, it ends
        finally:
            process.kill()
        time.sleep(0.5)  # the stream goes on for a while
        said = stream.need_whole()
    os.kill(pid, 0)
    lab.restart("a")
    need(answers(lab), "sluicectl does not work after a restart")
    return said


def main():
    with Lab("--delay", "5ms", "--rate", "100mbit", config=config) as lab:
        name = lab.name
        lab.wait_peers_up()
        big = text_bytes(6_000_000) + random_bytes(3_000_000)
        lab.make_file("big", big)
        lab.http_server()
        lab.iperf_server()
        check("sluicectl killed at random moments", clients_killed, lab)
        check("peer silent in both directions", peer_silent, lab, "both")
        check("peer silent from a to b only", peer_silent, lab, "a2b")
        check("peer silent from b to a only", peer_silent, lab, "b2a")
        check("garbage on the link port", garbage, lab)
        check("command segment scribbled over", scribbled, lab)
        check("command segment cut short", cut_short, lab)
        check("sluiced b killed and restarted", daemon_killed, lab, "b", big)
        check("sluiced a killed and restarted", daemon_killed, lab, "a", big)
        for site in "ab":
            check(f"memory of {site} is printed at its start", memory_said, lab, site)
    check("nothing is left behind", nothing_left, name)


def memory_said(lab, site):
    """And is what it takes, give or take code, stacks and libraries."""
    said = int(re.findall(r"memory: (\d+) MB", lab.log(site))[-1])
    rss = rss_bytes(lab, site) / 1e6
    need(rss < said + 60, f"{said} MB said, {rss:.0f} MB taken")
    return f"{said} MB said, {rss:.0f} MB taken"


def nothing_left(name):
    for folder in ("/dev/shm", "/run/netns", "/run/sluice-lab"):
        left = [each for each in os.listdir(folder) if name in each] \
            if os.path.isdir(folder) else []
        need(not left, f"{folder} has {left}")


if __name__ == "__main__":
    run(main)
