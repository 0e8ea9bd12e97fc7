#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What the peers say of each other's frames is what the WAN did to them, packet for packet.

    sudo tests/lab/peers_test.py [PACKETS [RATE]]

Datagrams of two classes go both ways through the link, at RATE a second (4000), until the emulator
has had PACKETS (50000) link frames each way; it loses, doubles and reorders them. The appliances'
counts must equal the emulator's, and by class what the sender sent and the receiver got. Then one
appliance is killed and starts again, with traffic going on. The full million is

    sudo tests/lab/peers_test.py 1000000 12000

and the unit test link-wan sends that many through the same emulator in virtual time.
"""
import json
import os
import signal
import subprocess
import sys

from lab import BUILD, CLIENT, SERVER, Failed, Lab, check, need, replace_once, report, run, wait_for

TRAFFIC = os.path.join(BUILD, "tools/traffic")
LANES_FROM = 49152  # source ports of data lanes; hellos have the one below
FRAME = 400         # of the datagrams, all zeros: each becomes a link frame
PORTS = {"web": 6000, "mail": 6050}
DELAY_MS = 10
IMPAIR = {"a2b": "loss 1% link duplicate 0.5% link reorder 1% by 5 link",
          "b2a": "ge 0.4% 25% link duplicate 1% link reorder 0.5% by 12 link"}
CLEAR = "loss 0 ge 0 duplicate 0 reorder 0"
ATTEMPTS = 4
FIGURES = ("lost", "duplicated", "reordered")
INTO = {"b": "a2b", "a": "b2a"}  # the way to each site


def config(_site, text):
    """A second class that is compressed; datagrams of both. Each has a frame of its own, as what
    is counted by class are frames (pack_test.py has packing)."""
    text = replace_once(text, r"    compress = true; \}\n",
                        "    compress = true; pack = false; },\n"
                        '  { name = "mail"; queue_size = "2 MB"; compress = true; '
                        "pack = false; }\n")
    return replace_once(
        text, r'^(?=  \{ match = \{ dscp = "ef")',
        '  { match = { proto = "udp"; dport = "6000-6049"; }; class = "web"; },\n'
        '  { match = { proto = "udp"; dport = "6050-6099"; }; class = "mail"; },\n')


# ---- what each of them says ----

def emulator(lab):
    """Per way: what happened to the frames of data lanes, all lanes together."""
    stats = lab.wanem("stats")
    result = {}
    for way in ("a2b", "b2a"):
        lanes = [lane for lane in stats[way]["lanes"] if lane["source_port"] >= LANES_FROM]
        result[way] = {key: sum(lane[key] for lane in lanes)
                       for key in FIGURES + ("received", "queue_dropped", "no_memory",
                                             "send_errors")}
        result[way]["in_transit"] = stats[way]["in_transit"]
        result[way]["unseen"] = stats[way]["kernel_dropped"]
    return result


def counted(lab, site):
    """The same as the appliance at `site` counted it."""
    path = lab.peer(site)["path"]
    return {"lost": path["lost"], "duplicated": path["duplicate"],
            "reordered": path["reordered"], "late": path["late"], "path": path}


def missed(lab):
    """Frames that the kernel dropped on the way, or an appliance for want of room: not the WAN's
    doing, and the appliances rightly count them as lost."""
    unseen = sum(way["unseen"] for way in emulator(lab).values())
    for site in "ab":
        for port in lab.ctl(site, "show", "ports")["ports"]:
            unseen += port["rx_missed"] + port["rx_no_mbuf"] + port["rx_errors"]
        unseen += sum(packets for reason, packets in lab.dropped(site).items()
                      if reason != "link-duplicate")
    return unseen


def minus(now, before):
    return {key: now[key] - before.get(key, 0) for key in now if isinstance(now[key], int)}


# ---- traffic ----

class Streams:
    """Datagrams of each class, both ways, and what became of them."""

    def __init__(self, lab, pps, seconds=None):
        bps = round(pps / len(PORTS)) * (FRAME + 20) * 8
        self.receivers, self.senders = {}, {}
        for site, to, other in (("server", SERVER, "client"), ("client", CLIENT, "server")):
            for name, port in PORTS.items():
                self.receivers[site, name] = lab.start(
                    site, TRAFFIC, "receive", "--at", to, "--port", port, stdout=subprocess.PIPE)
        for site, to, other in (("server", SERVER, "client"), ("client", CLIENT, "server")):
            for name, port in PORTS.items():
                lab.wait_listen(site, port, udp=True)
                words = ["--seconds", seconds] if seconds else []
                self.senders[site, name] = lab.start(
                    other, TRAFFIC, "send", "--to", to, "--port", port, "--rate", bps,
                    "--frame", FRAME, *words, stdout=subprocess.PIPE)

    @staticmethod
    def _end(process, stop):
        if stop:
            process.send_signal(signal.SIGTERM)
        return json.loads(process.communicate(timeout=60)[0])

    def end_sending(self):
        """By receiving site and class: datagrams sent."""
        return {key: self._end(process, True)["sent"] for key, process in self.senders.items()}

    def end_receiving(self):
        """The same: datagrams received, each counted once."""
        return {key: sum(port["received"] for port in self._end(process, True)["ports"])
                for key, process in self.receivers.items()}


# ---- checks ----

def impair(lab, words=None):
    for way in ("a2b", "b2a"):
        lab.wanem("set", way, *(words or IMPAIR[way]).split())


def send_frames(lab, packets, pps):
    """Until the WAN has had so many link frames each way."""
    before = emulator(lab)
    wait_for(packets / pps * 4 + 30, f"{packets} link frames each way", lambda: all(
        minus(now, before[way])["received"] >= packets for way, now in emulator(lab).items()), 0.2)


def compare(lab, base_wan, base_count):
    """Both appliances against the emulator; says the figures."""
    def differences():
        wan, result = emulator(lab), []
        for site, way in INTO.items():
            want = minus(wan[way], base_wan[way])
            got = minus(counted(lab, site), base_count[site])
            result += [f"at {site} {figure} {got[figure]}, the WAN says {want[figure]}"
                       for figure in FIGURES if got[figure] != want[figure]]
            result += [f"at {site} {got['late']} came too late"] if got["late"] else []
        return result

    wait_for(5, "nothing is on its way",
             lambda: not any(way["in_transit"] > 50 for way in emulator(lab).values()))
    try:
        wait_for(15, "the counts are equal", lambda: not differences(), 0.2)
    except Failed:
        raise Failed("; ".join(differences()) or "the counts were not equal in time") from None
    wan, said = emulator(lab), []
    for site, way in INTO.items():
        did = minus(wan[way], base_wan[way])
        need(not did["queue_dropped"] + did["no_memory"] + did["send_errors"],
             f"the emulator had no room {way}: {did}")
        need(min(did[figure] for figure in FIGURES) > 0, f"{way} nothing happened: {did}")
        said.append(f"{way} {did['received']:,} frames, " +
                    ", ".join(f"{did[figure]:,} {figure}" for figure in FIGURES))
    return "; ".join(said)


def check_classes(lab, sent, received):
    """What the receivers did not get is what the appliances say is lost, class by class."""
    for site, host in (("b", "server"), ("a", "client")):
        def lost(site=site):
            return {row["class"]: row["lost"]
                    for row in lab.peer(site)["path"]["classes"] if row["lost"] or row["sent"]}

        want = {name: sent[host, name] - received[host, name] for name in PORTS}
        try:
            wait_for(10, "losses by class", lambda want=want, lost=lost: lost() == want, 0.2)
        except Failed:
            raise Failed(f"at {site} lost by class {lost()}, missing are {want}") from None
    return str(want)


def check_path(path, lost):
    """What else is said of the path fits."""
    runs = [row["loss_periods"] for row in path["sizes"]]
    extents = [row["reordered"] for row in path["sizes"]]
    need(sum(runs) == path["loss_periods"] and
         runs[0] + 2 * runs[1] <= lost <= path["loss_longest"] * path["loss_periods"],
         f"{lost} lost in periods {runs}")
    need(sum(extents) + path["extent_unknown"] == path["reordered"], f"extents {extents}")
    # n-reordered: the emulator holds packets back by more than four, few of them close together.
    by = [path[f"reordered_{n}"] for n in (1, 2, 3, 4)]
    need(path["reordered"] >= by[0] >= by[1] >= by[2] >= by[3] > path["reordered"] / 2,
         f"n-reordered {by} of {path['reordered']}")
    off = path["one_way_uncertainty_ns"]
    need(path["one_way_delay_ns"] is not None, "no one-way delay")
    need(abs(path["one_way_delay_ns"] - DELAY_MS * 1e6) <= off + 3e6,
         f"one-way delay {path['one_way_delay_ns'] / 1e6:.2f} +-{off / 1e6:.2f} ms, "
         f"it is {DELAY_MS} ms")


def check_windows(lab):
    """A window that is longer than all that has happened says the same as the whole."""
    for site in "ab":
        def same(site=site):
            window = lab.ctl(site, "show", "loss", "--window", "15m")["links"][0]
            path = lab.ctl(site, "show", "peers", "--window", "15m")["peers"][0]["path"]
            arrived = path["received"] - path["duplicate"] - path["late"]
            return window["lost"] == path["lost"] and window["packets"] == arrived + path["lost"] \
                and window["duplicate"] == path["duplicate"] \
                and path["delay_variation"]["samples"] == arrived

        wait_for(5, f"the window of 15 minutes says the same at {site}", same, 0.2)
        last = lab.ctl(site, "show", "loss", "--window", "1s")["links"][0]
        need(last["lost"] == 0 and last["window_ns"] <= 3e9, f"the last second: {last}")


def check_history(lab, site, bytes_before):
    """Rates of the rows, over their time, are the bytes that the interface has counted, without
    what ended in the appliance: hellos and duplicates."""
    def rows():
        return [row["rate_down_bps"] or 0 for row in lab.ctl(
            site, "show", "history", "--of", "link", "b0", "--span", "1h")["history"]]

    # The traffic is over: with a row that has next to nothing of it, all of it is in the rows.
    wait_for(40, "a row without traffic", lambda: len(rows()) > 2 and rows()[-1] < 100e3, 0.5)
    written = sum(rows()) * 10 / 8
    did = received_bytes(lab, site) - bytes_before
    peer = lab.peer(site)
    data = sum(row["bytes"] for row in peer["path"]["classes"])
    frames = sum(row["received"] - row["duplicate"] for row in peer["path"]["classes"])
    did -= peer["rx_bytes"] - data + peer["path"]["duplicate"] * data / frames
    need(abs(written - did) <= 0.01 * did, f"rows have {written:.0f} bytes, it received {did}")


def received_bytes(lab, site):
    return int(lab.run(site, "cat", "/sys/class/net/wan0/statistics/rx_bytes"))


def steady(lab, packets, pps):
    base_wan, base_count = emulator(lab), {site: counted(lab, site) for site in "ab"}
    before = missed(lab)
    streams = Streams(lab, pps)
    impair(lab)
    send_frames(lab, packets, pps)
    sent = streams.end_sending()  # with the losses going on: the last ones count, too
    said = None
    try:
        said = compare(lab, base_wan, base_count)
    finally:
        received = streams.end_receiving()
        impair(lab, CLEAR)
        if missed(lab) != before:
            raise TooFast(f"{missed(lab) - before} frames were dropped on the way at {pps} a second")
    return said, sent, received


class TooFast(Exception):
    """This machine did not carry the traffic: nothing can be compared."""


def has_ended(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            state = file.read().rsplit(")", 1)[1].split()[0]
        return state in "ZX" and len(os.listdir(f"/proc/{pid}/task")) <= 1
    except OSError:
        return True


def restarted(lab, packets, pps):
    """B is killed in full traffic and comes back: A's counts go on, B's begin anew."""
    base_wan, base_count = emulator(lab), {site: counted(lab, site) for site in "ab"}
    streams = Streams(lab, pps)
    try:
        before = missed(lab)
        impair(lab)
        send_frames(lab, packets // 4, pps)
        impair(lab, CLEAR)
        compare(lab, base_wan, base_count)
        if missed(lab) != before:
            raise TooFast(f"at {pps} a second")
        # What is lost in a killed appliance is not lost in the WAN: A must not count it.
        pid = lab.pid("b")
        os.kill(pid, signal.SIGKILL)
        wait_for(5, "the killed sluiced is gone", lambda: has_ended(pid))
        lab.restart("b")
        lab.wait_peers_up(10)
        base_wan["a2b"] = emulator(lab)["a2b"]
        base_count["b"] = counted(lab, "b")
        need(base_count["b"]["lost"] == 0, f"B begins with {base_count['b']['lost']} lost")
        before = missed(lab)
        impair(lab)
        send_frames(lab, packets // 4, pps)
        impair(lab, CLEAR)
        said = compare(lab, base_wan, base_count)
        if missed(lab) != before:
            raise TooFast(f"at {pps} a second")
        return said
    finally:
        streams.end_sending()
        streams.end_receiving()


def main():
    packets = int(sys.argv[1]) if len(sys.argv) > 1 else 50000
    pps = int(sys.argv[2]) if len(sys.argv) > 2 else 4000

    def attempt(function):
        """At a lower pace where this machine is too slow, in a lab that has seen nothing yet."""
        for each in range(ATTEMPTS):
            rate = max(pps >> each, 500)
            with Lab("--delay", f"{DELAY_MS}ms", config=config) as lab:
                lab.wait_peers_up()
                try:
                    return function(lab, min(packets, rate * 60) if each else packets, rate)
                except TooFast as reason:
                    report("skip", f"attempt {each + 1}", str(reason))
        raise Failed("this machine drops frames at any pace")

    def equal(lab, count, rate):
        # The first row is of the first whole 10 s.
        wait_for(30, "the first row of history", lambda: lab.ctl(
            "b", "show", "history")["history"], 0.5)
        bytes_before = received_bytes(lab, "b")
        said, sent, received = steady(lab, count, rate)
        print(f"# {said}")
        classes = check_classes(lab, sent, received)
        for site in "ab":
            got = counted(lab, site)
            check_path(got["path"], got["lost"])
        check_windows(lab)
        check_history(lab, "b", bytes_before)
        return f"{said}; lost by class into a {classes}"

    check("counts equal the WAN's", attempt, equal)
    check("one peer restarts", attempt, restarted)


if __name__ == "__main__":
    run(main)
