#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Open connections by class, as `show transactions` counts them, against the kernel's own count.

    sudo tests/lab/connections_test.py

TCP connections of this process between the lab's hosts, through both appliances, the first of them
with two workers: opened, closed, half closed, reset, refused; and moved to another class by a
policy while they say nothing. After each step the kernel at the client (`ss`, ESTABLISHED, by port)
and both appliances must count the same, class by class and in sum.
"""
import socket
import struct
import subprocess

from lab import (SERVER, SERVER6, SLUICECTL, Lab, check, need, replace_once, run, wait_for)

# Ports of the example configuration's classes.
PORTS = {"gold": 5201, "silver": 5211, "bulk": 5221, "web": 80, "default": 7777}
EACH = 12


def config(site, text):
    """Two workers at a."""
    if site == "b":
        return text
    return replace_once(text, r'workers = "0";', 'workers = "0,1";')


class Connections:
    """Those of this process, by the server's port: (client's socket, server's socket)."""

    def __init__(self, lab):
        self.lab, self.open = lab, {port: [] for port in PORTS.values()}
        self.listening = {}
        for port in PORTS.values():
            server = lab.socket("server", socket.AF_INET6, socket.SOCK_STREAM)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("::", port))
            server.listen(256)
            server.settimeout(10)
            self.listening[port] = server

    def add(self, port, count, say=True):
        """IPv4 and IPv6 in turn; each says something both ways."""
        for i in range(count):
            family, address = ((socket.AF_INET, SERVER), (socket.AF_INET6, SERVER6))[i % 2]
            client = self.lab.socket("client", family, socket.SOCK_STREAM)
            client.settimeout(10)
            client.connect((address, port))
            server, _ = self.listening[port].accept()
            server.settimeout(10)
            if say:
                client.sendall(b"question")
                need(server.recv(100) == b"question", "another question")
                server.sendall(b"answer")
                need(client.recv(100) == b"answer", "another answer")
            self.open[port].append((client, server))

    def take(self, port, count):
        taken, self.open[port] = self.open[port][:count], self.open[port][count:]
        return taken

    def close(self, port, count):
        for client, server in self.take(port, count):
            client.close()
            need(server.recv(100) == b"", "more was said")
            server.close()

    def reset(self, port, count):
        for client, server in self.take(port, count):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            try:
                server.recv(100)
            except ConnectionResetError:
                pass
            server.close()

    def half_close(self, port, count):
        """They stay so: FIN-WAIT-2 at the client."""
        taken = self.take(port, count)
        for client, server in taken:
            client.shutdown(socket.SHUT_WR)
            need(server.recv(100) == b"", "more was said")
        return taken


def kernel(lab, ports):
    """ESTABLISHED at the client: {class: count}."""
    counts = {}
    for name, port in ports.items():
        out = lab.run("client", "ss", "-Htn", "state", "established", f"dport = :{port}")
        counts[name] = counts.get(name, 0) + len(out.splitlines())
    return counts


def shown(lab, site):
    rows = lab.ctl(site, "show", "transactions")["transactions"]
    return {row["class"]: row["open"] for row in rows if row["kind"] == "connect"}


def equal(lab, ports=None):
    """Until both appliances count as the kernel does; says how many."""
    truth, seen = kernel(lab, PORTS), {}
    by_class = dict.fromkeys(PORTS, 0)
    for name, port in PORTS.items():
        by_class[(ports or {}).get(port, name)] += truth[name]

    def same(site):
        seen[site] = shown(lab, site)
        return seen[site]["(all)"] == sum(truth.values()) and \
            all(seen[site].get(name) == count for name, count in by_class.items())
    try:
        for site in "ab":
            wait_for(20, f"{site} counts as the kernel does",
                     lambda site=site: same(site), 0.1)
    finally:
        if any(seen.get(site, {}).get(n) != c for site in seen for n, c in by_class.items()):
            print(f"     kernel {by_class}, appliances {seen}")
    return f"{sum(truth.values())} open: {by_class}"


def opened(lab, connections):
    for port in PORTS.values():
        connections.add(port, EACH)
    connections.add(PORTS["web"], 5, say=False)
    said = equal(lab)
    used = [w["flows"] for w in lab.ctl("a", "show", "workers", "--interval", "0")["workers"]]
    need(len(used) == 2 and all(used), f"flows by worker at a: {used}")
    return f"{said}; flows by worker at a: {used}"


def closed(lab, connections):
    connections.close(PORTS["gold"], 5)
    connections.reset(PORTS["silver"], 4)
    return equal(lab)


def half_closed(lab, connections):
    taken = connections.half_close(PORTS["bulk"], 3)
    said = equal(lab)
    for pair in taken:
        for end in pair:
            end.close()
    return said


def refused(lab, connections):
    port = PORTS["default"] + 1
    for _ in range(5):
        client = lab.socket("client", socket.AF_INET, socket.SOCK_STREAM)
        client.settimeout(10)
        try:
            client.connect((SERVER, port))
            need(False, "somebody listens there")
        except ConnectionRefusedError:
            pass
        client.close()
    return equal(lab)


def moved(lab, connections):
    """The rules give gold's port to silver; nothing is said on the connections meanwhile."""
    for site in "ab":
        with open(f"{lab.tmp}/{site}.conf", encoding="ascii") as file:
            text = file.read()
        text = replace_once(text, '"lab.key"', f'"{lab.state}/lab.key"')
        text = replace_once(text, r'(?<=5201-5209"; \}; )(\s*)class = "gold"', 'class = "silver"')
        done = subprocess.run([SLUICECTL, "-i", lab.instance(site), "policy", "apply",
                               lab.write(f"{site}2.conf", text)], check=False, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        need(done.returncode == 0, f"policy apply: {done.stderr.strip()[-300:]}")
    return equal(lab, {PORTS["gold"]: "silver"})


def moved_and_used(lab, connections):
    """And with packets on them, and new ones."""
    for client, server in connections.open[PORTS["gold"]][:3]:
        client.sendall(b"still there?")
        need(server.recv(100) == b"still there?", "another question")
    connections.add(PORTS["gold"], 4)
    connections.close(PORTS["gold"], 1)
    return equal(lab, {PORTS["gold"]: "silver"})


def all_closed(lab, connections):
    for port in PORTS.values():
        connections.close(port, len(connections.open[port]))
    said = equal(lab)
    need(shown(lab, "a")["(all)"] == 0, "some are left")
    return said


def main():
    with Lab("--delay", "5ms", config=config) as lab:
        lab.wait_peers_up(20)
        connections = Connections(lab)
        for step in (opened, closed, half_closed, refused, moved, moved_and_used, all_closed):
            check(step.__name__.replace("_", " "), step, lab, connections)


if __name__ == "__main__":
    run(main)
