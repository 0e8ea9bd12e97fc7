#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A peer that is not there: what is for its networks goes as it came, whatever the policy says.

    sudo tests/system/absent_peer_test.py

There never is a session, so there are no lanes, no keys and no MTU to reckon with. With compression,
a store, packets that may wait for others, and in a dry run every frame comes out as it went in, and
is counted as one without a peer; with encryption none does.
"""
import os
import time

from daemon import Folder, check, config, need, read_capture, run, wait_for, write_pcap
from captures_test import eth, ipv4, tcp, udp

FLOWS = 50
REST = """compression = "{word}";
classes = ( {{ name = "default"; aqm = "none"; queue_size = "16 MB"; compress = true;
  store_all = true; pack_wait = "200 us"; }} );
peers = ( {{ name = "away"; address = "192.0.2.9"; key_file = "{key}"; store = "16 MiB";
  networks = ( "203.0.113.0/24" ); {more} }} );"""


def frames():
    """Small and large ones in turns, each another."""
    result = []
    for number in range(20):
        for flow in range(FLOWS):
            text = f"reading {number} of sensor {flow} " * (1 if number % 3 else 30)
            result.append(eth(0x0800, ipv4(udp(text.encode(), sport=20000 + flow))))
            result.append(eth(0x0800, ipv4(tcp(text.encode(), 1 + number * 2000, 30000 + flow), 6)))
    return result


def through(folder, sent, word="on", more=""):
    """Sends them; what came out, and the daemon's counts of what passed and what was dropped."""
    key = os.path.join(folder.path, "key")
    with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
        file.write("a key that nobody else has")
    into = write_pcap(os.path.join(folder.path, "in.pcap"), sent)
    none = write_pcap(os.path.join(folder.path, "none.pcap"), [])
    out = os.path.join(folder.path, "out.pcap")
    daemon = folder.ready(config(
        lan=f"net_pcap0,rx_pcap={into},tx_pcap={os.devnull}",
        wan=f"net_pcap1,rx_pcap={none},tx_pcap={out}",
        bridge='address = "192.0.2.2/24";',
        rest=REST.format(word=word, key=key, more=more)))

    def are_through():
        row = next(row for row in daemon.ctl("show", "ports")["ports"] if row["name"] == "b0.lan")
        return row["rx_packets"] >= len(sent)
    wait_for(30, "all frames are in", are_through, 0.05)
    time.sleep(0.2)  # the last ones may wait for others
    passed, dropped = daemon.reasons("passed"), daemon.reasons("dropped")
    need(daemon.stop() == 0, "it does not stop in order")
    # What it says itself, looking for the peer, is among them.
    ours = set(sent)
    return [frame for frame in read_capture(out) if frame in ours], passed, dropped


def plainly(folder, sent):
    came, passed, dropped = through(folder, sent)
    need(sorted(came) == sorted(sent), f"{len(came)} of {len(sent)} frames came")
    need(passed.get("link-no-peer", 0) == len(sent) and not dropped, f"{passed}, {dropped}")
    return f"{len(came)} frames"


def counted(folder, sent):
    came, _, dropped = through(folder, sent, "dry-run")
    need(sorted(came) == sorted(sent), f"{len(came)} of {len(sent)} frames came")
    need(not dropped, f"{dropped}")
    return f"{len(came)} frames"


def in_secret(folder, sent):
    came, _, dropped = through(folder, sent, more='encryption = "aes-256-gcm"; path = "bridged";')
    need(not came, f"{len(came)} frames went in the clear")
    need(dropped == {"link-must-encrypt": len(sent)}, f"{dropped}")
    return f"{len(sent)} frames dropped"


def main():
    with Folder() as folder:
        sent = frames()
        check("as they came", plainly, folder, sent)
        check("as they came in a dry run", counted, folder, sent)
        check("not at all where it is to be secret", in_secret, folder, sent)


if __name__ == "__main__":
    run(main)
