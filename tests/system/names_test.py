#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""One name for one thing: the stages and reasons in the tables, the code, the CLI and the README.

    sudo tests/system/names_test.py

Reads controlplane/channel/stages.def and reasons.def and holds against them dataplane/worker*.c,
`sluicectl show workers` and `show drops` of a running daemon, and the picture in README.md.
"""
# tests/run.py: beside others
import glob
import os
import re

from daemon import TOP, Folder, Skipped, check, config, need, run


def source(*names):
    """The text of files, comments taken out."""
    text = ""
    for name in names:
        with open(os.path.join(TOP, name), encoding="utf-8") as file:
            text += file.read()
    return re.sub(r"/\*.*?\*/", "", text, flags=re.S)


def dataplane():
    """All of it, file by file."""
    return {name: source(name) for ending in ("c", "h")
            for name in glob.glob(f"dataplane/**/*.{ending}", root_dir=TOP, recursive=True)}


# [(identifier, name)]
STAGES = re.findall(r'^STAGE\((\w+), "([^"]+)"', source("controlplane/channel/stages.def"), re.M)
REASONS = re.findall(r'^(DROP|PASS)\((\w+), "([^"]+)"', source("controlplane/channel/reasons.def"),
                     re.M)


def tables():
    need(len(STAGES) >= 11, f"stages.def has {len(STAGES)} stages only")
    need(len(REASONS) >= 25, f"reasons.def has {len(REASONS)} reasons only")
    for identifier, name in STAGES:
        need(identifier.lower() == name, f"stage {identifier} is shown as {name}")
    for _, identifier, name in REASONS:
        need(identifier.lower().replace("_", "-") == name, f"{identifier} is shown as {name}")
    for names in ([name for _, name in STAGES], [name for _, _, name in REASONS]):
        need(len(set(names)) == len(names), "a name stands twice")
    return f"{len(STAGES)} stages, {len(REASONS)} reasons"


def functions():
    """Each stage has one function stage_NAME() that counts as that stage, and there is no other."""
    text = "".join(body for name, body in dataplane().items()
                   if re.fullmatch(r"dataplane/worker\w*\.c", name))
    bodies = dict(re.findall(r"^[a-z][\w *]*?\bstage_(\w+)\((?:[^;{]*?)\)\n\{\n(.*?)^\}", text,
                             re.M | re.S))
    names = [name for _, name in STAGES]
    need(set(bodies) == set(names),
         f"functions without a stage: {sorted(set(bodies) - set(names))}, "
         f"stages without a function: {sorted(set(names) - set(bodies))}")
    for identifier, name in STAGES:
        counted = re.findall(r"stage_end\(w, STAGE_(\w+),", bodies[name])
        need(counted == [identifier], f"stage_{name}() counts as {counted}")


def call_order():
    """The poll loop calls them in the order of stages.def: through carry() for what came in."""
    text = source("dataplane/worker.c")

    def calls(function):
        body = re.search(rf"^static \w+ {function}\(.*?^\}}", text, re.M | re.S)
        need(body, f"worker.c has no {function}()")
        return re.findall(r"\b(?:stage_)?(\w+)\(", "".join(re.findall(
            r"\bstage_(?!begin|end)\w+\(|\bcarry\(", body.group(0).split("{", 1)[1])))
    order = []
    for name in calls("poll_once"):
        # What comes from a ring has been received and parsed by another worker.
        order += [name] if name != "carry" else calls("carry") if "parse" in order else []
    # schedule releases to compress as queue does: its call stands behind, its place before.
    order.remove("schedule")
    order.insert(order.index("compress"), "schedule")
    need(order == [name for _, name in STAGES], f"worker.c calls {order}")


def shown(daemon):
    names = [name for _, name in STAGES]
    for worker in daemon.ctl("show", "workers", "--interval", 0)["workers"]:
        rows = [row["stage"] for row in worker["stages"]]
        need(rows == names, f"worker {worker['worker']} shows {rows}")
    done = daemon.try_ctl("show", "workers", "--interval", 0)
    table = re.search(r"^STAGE .*?\n(.*)", done.stdout, re.M | re.S)
    need(table, f"`show workers` has no table of stages: {done.stdout}")
    rows = [line.split()[0] for line in table.group(1).splitlines() if line.strip()]
    need(rows == names, f"the text shows {rows}")


def drops(daemon):
    kinds = {"DROP": "dropped", "PASS": "passed"}
    rows = [(row["reason"], row["kind"]) for row in daemon.ctl("show", "drops", "--all")["drops"]]
    need(rows == [(name, kinds[kind]) for kind, _, name in REASONS], f"--json shows {rows}")
    done = daemon.try_ctl("show", "drops", "--all")
    rows = [line.split()[:2] for line in done.stdout.splitlines()[1:]]
    need(rows == [[name, kinds[kind]] for kind, _, name in REASONS], f"the text shows {rows}")


def no_dead_reason():
    text = "".join(dataplane().values())
    dead = [f"{kind}_{name}" for kind, name, _ in REASONS
            if not re.search(rf"\b{kind}_{name}\b", text)]
    need(not dead, f"nothing in dataplane/ counts {', '.join(dead)}")
    unknown = set(re.findall(r"\b((?:DROP|PASS)_[A-Z0-9_]+)\b", text)) - {
        f"{kind}_{name}" for kind, name, _ in REASONS}
    need(not unknown, f"not in reasons.def: {sorted(unknown)}")


def readme():
    """Its picture of a packet's way, `rx -> parse -> ...`, and its table: all stages, in order."""
    path = os.path.join(TOP, "README.md")
    if not os.path.exists(path):
        raise Skipped("there is no README.md")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    names = [name for _, name in STAGES]
    # One chain a way; a way may leave stages out.
    chains = [re.split(r"\s*->\s*", chain) for chain in re.findall(r"\w+(?:\s*->\s*\w+){3,}", text)]
    need(chains, "there is no picture of stages like rx -> parse -> ...")
    for chain in chains:
        need(chain == [name for name in names if name in chain], f"the picture shows {chain}")
    missing = set(names).difference(*chains)
    need(not missing, f"the picture misses {sorted(missing)}")
    table = re.search(r"^\| *stage *\|.*\n\|[- |]*\n((?:\|.*\n)+)", text, re.M)
    if table:
        rows = [line.split("|")[1].strip(" `") for line in table.group(1).splitlines()]
        need(rows == names, f"the table has {rows}")


def main():
    check("the tables agree with themselves", tables)
    check("each stage has its function", functions)
    check("worker.c calls the stages in order", call_order)
    check("every reason is counted somewhere", no_dead_reason)
    check("the README's picture names the stages", readme)
    with Folder() as folder:
        daemon = folder.ready(config())
        check("sluicectl show workers has the stages", shown, daemon)
        check("sluicectl show drops has the reasons", drops, daemon)


if __name__ == "__main__":
    run(main)
