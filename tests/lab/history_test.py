#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What a flow has sent makes the rest of it smaller, and the next flows of its service, whatever is
lost on the way.

    sudo tests/lab/history_test.py

Logs and JSON that the store has never seen go through two appliances by kernel TCP, over 40 ms of
emulated WAN, without loss and with 1 % of it: in a class with history they cost less than in one
without, and no packet is undecodable because another one was lost. So do short JSON answers, a
connection each. The receiving appliance is killed
in the middle of a download: it goes on, and history comes back.
"""
import json
import os
import random
import signal
import threading

from lab import SERVER, Lab, check, need, replace_once, run, wait_for
from peers_test import has_ended
from store_test import Disturbed, config, download, left_out, undecodable, undisturbed, \
    wire_bytes

SIZE = 4 << 20
SHORT, SHORT_SIZE = 200, 6000
GAIN = 0.92  # of what it costs without history, at most
PLAIN, WITH = 8080, 80
KEYS = ["identifier", "description", "created", "modified", "owner", "location", "priority", "state"]
WORDS = [f"{a}{b}" for a in ("north", "sea", "wind", "stone", "river", "cloud") for b in
         ("wood", "field", "port", "gate", "bridge", "mill", "side", "water")]


def history_config(site, text):
    """As in store_test.py; port 8080 is of a class without history instead."""
    text = config(site, text).replace("history = false; ", "").replace(
        "private = true", "history = false")
    return replace_once(text, r'name = "web";', 'name = "web"; codec = "zstd"; zstd_level = 1;').replace(
        'name = "secret";', 'name = "secret"; codec = "zstd"; zstd_level = 1;')


def logs(seed, size):
    rng = random.Random(seed)
    hosts = [".".join(str(rng.randrange(1, 255)) for _ in range(4)) for _ in range(200)]
    paths = ["/" + "/".join(rng.sample(WORDS, 3)) for _ in range(300)]
    lines, total = [], 0
    while total < size:
        lines.append(f"{rng.choice(hosts)} - - [29/Nov/2026:10:{rng.randrange(60):02}:"
                     f"{rng.randrange(60):02} +0000] \"GET {rng.choice(paths)} HTTP/1.1\" "
                     f"{rng.choice((200, 200, 304, 404))} {rng.randrange(99999)}\n")
        total += len(lines[-1])
    return "".join(lines).encode()[:size]


def documents(seed, size):
    rng = random.Random(seed)
    names = [" ".join(rng.sample(WORDS, 3)) for _ in range(200)]
    rows, total = [], 0
    while total < size:
        rows.append(json.dumps({key: rng.choice((rng.choice(names), rng.randrange(10**8)))
                                for key in rng.sample(KEYS, 6)}))
        total += len(rows[-1])
    return ",\n".join(rows).encode()[:size]


def history(lab, site):
    return lab.ctl(site, "show", "compression")["histories"][0]


def helped(lab, loss, fetch, counter, least):
    """Data of the same kind, never the same, fetched in a class with history and in one without, by
    fetch(port), which returns the share of its bytes that it cost."""
    share = {}
    lab.wanem("set", "both", "loss", f"{loss}%")
    busy = left_out(lab, "b")["busy"]
    before = history(lab, "b")
    for port in (PLAIN, WITH):
        share[port] = fetch(port)
    after = history(lab, "b")
    bad = undecodable(lab)
    need(not any(bad.values()), f"dropped: {bad}")
    if left_out(lab, "b")["busy"] > busy:
        raise Disturbed
    count = after[counter] - before[counter]
    need(count > least, f"{counter}: {count}; {after}")
    need(after["refused"] == before["refused"], f"refused: {after}")
    need(share[WITH] < share[PLAIN] * GAIN,
         f"{share[WITH]:.1%} of the bytes with history, {share[PLAIN]:.1%} without; {after}")
    return f"{share[WITH]:.1%} of the bytes with history, {share[PLAIN]:.1%} without"


def gains(lab, make, loss):
    seed = random.getrandbits(64)

    def fetch(port):
        data = make(seed + port, SIZE)
        name = f"{make.__name__}-{loss}-{port}"
        lab.make_file(name, data)
        return download(lab, name, data, port)[0]

    return helped(lab, loss, fetch, "packets", SIZE / 1500 / 2)


def gains_short(lab, loss):
    """Answers of a service, a connection each, too short for a history of their own."""
    def fetch(port):
        text = documents(random.getrandbits(64), SHORT * SHORT_SIZE)
        data = [text[at:at + SHORT_SIZE] for at in range(0, len(text), SHORT_SIZE)]
        name = f"short-{loss}-{port}"
        for i, document in enumerate(data):
            lab.make_file(f"{name}-{i}", document)
        before = wire_bytes(lab)
        lab.run("client", "curl", "-sS", "-Z", "--parallel-max", 4, "-H", "Connection: close",
                "--max-time", 50, "-o", f"{lab.tmp}/got-{name}-#1",
                f"http://{SERVER}:{port}/{name}-[0-{len(data) - 1}]", timeout=60)
        after = wire_bytes(lab)
        for i, sent in enumerate(data):
            with open(f"{lab.tmp}/got-{name}-{i}", "rb") as file:
                need(file.read() == sent, f"{name}-{i}: what arrived is not what was sent")
        return (after[0] - before[0]) / len(text)

    return helped(lab, loss, fetch, "of_service", SHORT)


def killed(lab, site):
    """Killed in the middle of a download, and started again."""
    data = logs(random.getrandbits(64), 3 * SIZE)
    name = f"killed-{site}"
    lab.make_file(name, data)
    before = history(lab, "b")["packets"]
    failures = []

    def fetch():
        try:
            download(lab, name, data)
        except Exception as error:  # pylint: disable=broad-except
            failures.append(error)

    thread = threading.Thread(target=fetch)
    thread.start()
    wait_for(20, "history in use", lambda: history(lab, "b")["packets"] > before + 100, 0.05)
    pid = lab.pid(site)
    os.kill(pid, signal.SIGKILL)
    wait_for(5, "the killed sluiced is gone", lambda: has_ended(pid))
    lab.restart(site)
    lab.wait_peers_up(10)
    thread.join()
    need(not failures, f"the download: {failures}")
    again = logs(random.getrandbits(64), SIZE)
    lab.make_file(name, again)
    before = history(lab, "b")["packets"]
    download(lab, name, again)
    need(history(lab, "b")["packets"] > before + 100, "no history after the restart")


def main():
    with Lab("--delay", "20ms", config=history_config) as lab:
        lab.wait_peers_up()
        lab.http_server()
        with open(f"{lab.tmp}/nginx.conf", encoding="ascii") as file:
            text = file.read()
        other = lab.write("nginx2.conf", text.replace(":80 ", f":{PLAIN} ").replace(
            "nginx.pid", "nginx2.pid"))
        lab.start("server", "nginx", "-p", lab.tmp, "-c", other, "-e", f"{lab.tmp}/nginx2.log")
        lab.wait_listen("server", PLAIN)
        for loss in (0, 1):
            check(f"logs at {loss} % loss", undisturbed, gains, lab, logs, loss)
            check(f"JSON at {loss} % loss", undisturbed, gains, lab, documents, loss)
            check(f"short answers at {loss} % loss", undisturbed, gains_short, lab, loss)
        check("the receiver is killed", killed, lab, "a")
        check("the sender is killed", killed, lab, "b")


if __name__ == "__main__":
    run(main)
