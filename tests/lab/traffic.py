# SPDX-License-Identifier: BSD-3-Clause
"""What the shaping tests share: one appliance between two hosts, and traffic of known rate.

    client eth0 -- lan0 [a] wan0 -- eth0 server            without an emulator
    client eth0 -- lan0 [a] wan0 -- wan-a [wan] wan-b -- eth0 server

One appliance instead of the two of tools/lab: what is measured here is one shaper, and the two CPUs
of a small machine are to be free for it. Numbered datagrams are sent and received by tools/traffic.
"""
import json
import os
import re
import subprocess
import tempfile

from lab import (BUILD, CLIENT, SANITIZED, SERVER, SLUICECTL, SLUICED, Failed, Lab, need, report,
                 wait_for)

TRAFFIC = os.path.join(BUILD, "tools/traffic")
WANEM = os.path.join(BUILD, "tools/wanem")

FCS, GAP = 4, 20       # of each Ethernet frame: check sequence; preamble and gap
OVERHEAD = FCS + GAP   # what Sluice (overhead = 24) charges on top of a frame without FCS
FULL_FRAME = 1518      # with FCS, of a 1,500-byte packet
FULL_WIRE = FULL_FRAME + GAP
ADDRESSES = {"client": CLIENT, "server": SERVER}

CONFIG = """# made by tests/lab
appliance = {{
  name = "{name}"; workers = "{workers}"; control_cpu = {control}; poll = "{poll}";
  hugepages = false; flows = 65536; buffers = 32768; queues = 2048;
}};
bridges = (
  {{ name = "b0"; lan = "lan0"; wan = "wan0"; up = "{up}"; down = "{down}"; burst = "{burst}"; }}
);
classes = (
{classes}
);
rules = (
{rules}
);
"""


def bits(bps):
    """A rate as Sluice, the emulator and tc all read it."""
    return f"{round(bps / 1000)}kbit"


def slowed_down():
    """Says so, and is true, where sanitizers take so much time that nothing is measured."""
    if SANITIZED:
        report("skip", "rates and delays", "sanitizers slow the appliance down")
    return SANITIZED


def cpus():
    return len(os.sched_getaffinity(0))


class Path(Lab):
    """The topology above, up within the `with` block and gone behind it.

    wan: words for the emulator in both directions; None leaves it out. Starts with nothing in the
    appliance's place: start_sluice() or start_bridge() come next, and may follow one another.
    """

    def __init__(self, wan=None):
        super().__init__()
        self.wan = wan
        self.sluiced = None
        self.workers = 1
        self._first = False
        self._pings = 0
        self._shm = []

    def __enter__(self):
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.stop_sluice()
        super().__exit__()

    def _build(self):
        self.tmp = tempfile.mkdtemp(prefix="sluice-lab-")
        os.chmod(self.tmp, 0o755)
        for site in ("client", "a", "server") + (("wan",) if self.wan is not None else ()):
            name = self.namespace(site)
            self._ip("netns", "add", name)
            self.extra_namespaces.append(name)
            self._ip("-n", name, "link", "set", "dev", "lo", "up")
            self.run(site, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1",
                     "net.ipv6.conf.default.disable_ipv6=1")
        self._wire("client", "eth0", "a", "lan0")
        if self.wan is None:
            self._wire("a", "wan0", "server", "eth0")
        else:
            self._wire("a", "wan0", "wan", "wan-a")
            self._wire("wan", "wan-b", "server", "eth0")
            self._start_wanem()
        macs = {}
        for site, address in ADDRESSES.items():
            self.run(site, "ip", "addr", "add", f"{address}/24", "dev", "eth0")
            macs[site] = self.run(site, "cat", "/sys/class/net/eth0/address").strip()
        # Known to each other for good: no ARP request waits behind a full queue.
        for site, other in (("client", "server"), ("server", "client")):
            self.run(site, "ip", "neigh", "add", ADDRESSES[other], "lladdr", macs[other], "dev",
                     "eth0", "nud", "permanent")

    @staticmethod
    def _ip(*words):
        done = subprocess.run(["ip", *words], check=False, text=True, capture_output=True)
        need(done.returncode == 0, f"ip {' '.join(words)}: {done.stderr.strip()}")

    def _wire(self, site, device, other, device2):
        self._ip("link", "add", device, "netns", self.namespace(site), "type", "veth", "peer",
                 "name", device2, "netns", self.namespace(other))
        for where, dev in ((site, device), (other, device2)):
            self.no_offloads(where, dev)
            self.run(where, "ip", "link", "set", "dev", dev, "up")

    def _start_wanem(self):
        os.makedirs(self.state)
        self.extra_folders.append(self.state)
        self.start("wan", WANEM, "--socket", f"{self.state}/wanem.sock", "--realtime", "--both",
                   self.wan, "wan-a", "wan-b")
        wait_for(5, "wanem answers", lambda: os.path.exists(f"{self.state}/wanem.sock"))

    # -- what stands at a --

    def start_sluice(self, classes, rules="", *, up="unlimited", down="unlimited", burst="20 ms",
                     workers=1, poll="adaptive"):
        """Starts sluiced; its worker has the first CPU, control thread and hosts the last."""
        self.workers = workers
        last = cpus() - 1
        text = CONFIG.format(
            name=self.name, workers="0" if workers == 1 else f"0-{workers - 1}", control=last,
            poll=poll, up=up, down=down, burst=burst, classes=classes.strip(), rules=rules.strip())
        path = self.write("sluice.conf", text)
        instance = self.instance("a")
        self._shm = [f"/dev/shm/sluice-{instance}{end}" for end in ("", "-counters", "-lock")]
        with open(os.path.join(self.tmp, "a.log"), "ab") as log:
            self.sluiced = self.start("a", "nice", "-n", "-15", SLUICED, "--config", path,
                                      "--instance", instance, stdout=log, stderr=log)

        def answers():
            need(self.sluiced.poll() is None, f"sluiced has ended: {self.log('a')[-600:]}")
            done = self.sluicectl("show", "status")
            return done.returncode == 0
        wait_for(20, "sluiced answers", answers, 0.1)
        self._wait_ping()
        return path

    def workers_first(self, first=True):
        """A real appliance has CPUs of its own; here its workers may go before all ordinary
        processes, as the emulator does. Not when they have more to do than a CPU can: then the
        kernel's own threads get nothing, and it is they that bring the packets."""
        self._first = first
        tasks = f"/proc/{self.sluiced.pid}/task"
        for thread in os.listdir(tasks):
            with open(f"{tasks}/{thread}/comm", encoding="ascii") as file:
                if file.read().startswith("rte-worker"):
                    os.sched_setscheduler(
                        int(thread), os.SCHED_FIFO if first else os.SCHED_OTHER,
                        os.sched_param(1 if first else 0))

    def stop_sluice(self):
        if self.sluiced is None:
            return
        self.stop(self.sluiced)
        self.sluiced = None
        self._first = False
        for path in self._shm:  # left only by one that had to be killed
            if os.path.exists(path):
                os.unlink(path)

    def start_bridge(self):
        """The kernel's bridge in the appliance's place."""
        self.run("a", "ip", "link", "add", "br0", "type", "bridge", "stp_state", 0)
        for device in ("lan0", "wan0"):
            self.run("a", "ip", "link", "set", "dev", device, "master", "br0")
        self.run("a", "ip", "link", "set", "dev", "br0", "up")
        self._wait_ping()

    def stop_bridge(self):
        self.run("a", "ip", "link", "del", "br0")

    def _wait_ping(self):
        wait_for(10, "the client reaches the server", lambda: self.try_run(
            "client", "ping", "-n", "-c", "1", "-W", "1", SERVER).returncode == 0)

    def pid(self, site):
        return self.sluiced.pid

    def log(self, site):
        with open(os.path.join(self.tmp, "a.log"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def sluicectl(self, *words):
        return subprocess.run([SLUICECTL, "-i", self.instance("a"), *map(str, words)], check=False,
                              text=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=10)

    def class_row(self, name, way="up"):
        return next(row for row in self.ctl("a", "show", "classes")["classes"]
                    if row["name"] == name and row["way"] == way)

    # -- traffic --

    def receive(self, site, ports, *words, nice=0):
        """Starts `traffic receive` at a site; finish() gives what it says, by port."""
        process = self.start(site, *self._host_cpus(), "nice", "-n", nice, TRAFFIC, "receive",
                             "--at", ADDRESSES[site],
                             *[word for port in ports for word in ("--port", port)], *words,
                             stdout=subprocess.PIPE, text=True)
        for port in ports:
            self.wait_listen(site, port, udp=True)
        return process

    def send(self, site, port, bps, *words, nice=-5):
        """Starts `traffic send` at a site, to the other; `bps` on the wire."""
        return self._sender(site, nice, "send", port, "--rate", bps, *words)

    def scalable(self, site, port, *words, nice=-5):
        return self._sender(site, nice, "scalable", port, *words)

    def _sender(self, site, nice, job, port, *words):
        to = ADDRESSES["server" if site == "client" else "client"]
        return self.start(site, *self._host_cpus(), "nice", "-n", nice, TRAFFIC, job, "--to", to,
                          "--port", port, *words, stdout=subprocess.PIPE, text=True)

    def _host_cpus(self):
        """Words that keep a program off the CPUs of workers that go first, if there are others."""
        if not self._first or self.workers >= cpus():
            return ()
        return ("taskset", "-c", f"{self.workers}-{cpus() - 1}")

    @staticmethod
    def finish(process, stop=True, seconds=60):
        """Ends a program of the above, or waits for its end; returns its JSON."""
        if stop:
            process.terminate()
        try:
            out, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"{process.args} does not end") from None
        need(process.returncode == 0, f"{process.args} ended with {process.returncode}")
        return json.loads(out)

    def finish_receive(self, process):
        said = {row["port"]: row for row in self.finish(process)["ports"]}
        for port, row in said.items():
            need(row["socket_drops"] == 0,
                 f"the receiver itself lost {row['socket_drops']} datagrams of port {port}")
        return said

    def drained(self, seconds=10):
        """Until nothing waits in the appliance."""
        def empty():
            return all(row["backlog_bytes"] == 0
                       for row in self.ctl("a", "show", "classes")["classes"])
        wait_for(seconds, "the queues are empty", empty, 0.05)

    def nstat(self, site, *names):
        """The kernel's counters of a site, since it was made."""
        out = self.run(site, "nstat", "-asz", *names)
        return {name: int(value) for name, value in re.findall(r"^(\w+)\s+(\d+)", out, re.M)}

    # -- TCP and ping --

    def bulk(self, seconds, warm, up=4, down=0, port=5001, control="cubic"):
        """Starts bulk TCP flows each way; they end by themselves after warm + seconds."""
        runs = []
        for flows, reverse in ((up, False), (down, True)):
            if flows == 0:
                continue
            here = port + len(runs)
            server = self.start("server", "nice", "-n", "-15", "iperf3", "-s", "-1", "-J", "-p", here,
                                stdout=subprocess.PIPE, text=True)
            self.wait_listen("server", here)
            client = self.start(
                "client", "nice", "-n", "-15", "iperf3", "-J", "-c", SERVER, "-p", here, "-P", flows,
                "-t", seconds, "-O", warm, "-C", control, *(["-R"] if reverse else []),
                stdout=subprocess.PIPE, text=True)
            runs.append((client, server, reverse))
        return runs

    @staticmethod
    def finish_bulk(runs):
        """Of each run the bytes that each flow's receiver got, and the seconds it took, without
        the warm-up. What the receiver's application read, not what the sender wrote."""
        results = []
        for client, server, reverse in runs:
            texts = [each.communicate(timeout=90)[0] for each in (client, server)]
            said = json.loads(texts[0 if reverse else 1] or "{}")
            need(client.returncode == 0 and server.returncode == 0 and "error" not in said,
                 f"iperf3: {said.get('error') or client.returncode or server.returncode}")
            flows, seconds = {}, 0
            for interval in said["intervals"]:
                total = interval["sum"]
                # When the warm-up ends while iperf3 (3.12) takes an interval's figures, that one
                # has the bytes since then and the seconds since its own beginning.
                is_torn = abs(total["end"] - total["start"] - total["seconds"]) > 0.1
                if total.get("omitted") or is_torn:
                    continue
                seconds += total["seconds"]
                for stream in interval["streams"]:
                    flows[stream["socket"]] = flows.get(stream["socket"], 0) + stream["bytes"]
            results.append((list(flows.values()), seconds))
        return results

    def ping(self, seconds, gap=0.02):
        """Starts pings from the client to the server."""
        # Into a file: a pipe that nobody reads for long would stop it.
        self._pings += 1
        path = os.path.join(self.tmp, f"ping{self._pings}")
        with open(path, "wb") as file:
            process = self.start("client", "nice", "-n", "-15", "ping", "-n", "-D", "-i", gap, "-c",
                                 round(seconds / gap), "-W", 3, SERVER, stdout=file)
        process.output = path
        return process

    @staticmethod
    def finish_ping(process):
        """[(time of day when the answer came, ms)]"""
        process.wait(90)
        with open(process.output, encoding="ascii") as file:
            return [(float(at), float(ms)) for at, ms in
                    re.findall(r"^\[([\d.]+)\] .* time=([\d.]+) ms", file.read(), re.M)]


def percentile(values, share):
    """The value that this share of them does not exceed."""
    ranked = sorted(values)
    need(ranked, "nothing was measured")
    return ranked[min(int(share * len(ranked)), len(ranked) - 1)]


def jain(values):
    """Jain's index of fairness: 1 if all are equal."""
    return sum(values) ** 2 / (len(values) * sum(v * v for v in values))
