# SPDX-License-Identifier: Apache-2.0
"""The suites of ./run. Each takes the machine and how long one measurement may last, and yields rows for its JSON lines."""
import os
import shutil
import statistics
import sys
import time

from machine import Impossible, eventually

HERE = os.path.dirname(os.path.abspath(__file__))
BYPASS_S = 45


def read_work(text):
    """[(time, microseconds of work done)] of `work busy`."""
    return [(float(at), int(done)) for at, done in (line.split() for line in text.splitlines() if line[:1].isdigit())]


def rate(points, since, until):
    """The part of the card's time between two moments; None: too little was said."""
    inside = [point for point in points if since <= point[0] <= until]
    if len(inside) < 2 or inside[-1][0] == inside[0][0]:
        return None
    return (inside[-1][1] - inside[0][1]) / 1e6 / (inside[-1][0] - inside[0][0])


def slack(seconds):
    """Programs do not start at the same moment."""
    return min(2, 4 * seconds)


def bypass(machine, _):
    """Every way to memory, asked for pieces until refused under a limit of 1 GiB; what was given out is read from outside."""
    routes = machine.text(("shim_probe", "dlsym", "routes"), {"memory": "1GiB"}).split()
    if not routes:
        raise Impossible("no share can be had here")
    before = machine.nvml.used_mib()
    other = machine.start(("work", "hold", 0))
    other.line()
    context_mib = machine.nvml.used_mib() - before
    other.rest()
    end = time.monotonic() + BYPASS_S
    for route in routes:
        if time.monotonic() > end:
            yield {"route": route, "skipped": "the suite's time is over"}
            continue
        before = machine.nvml.used_mib()
        program = machine.start(("shim_probe", "dlsym", "pile", route, 64 << 20), {"memory": "1GiB"})
        code = program.line()
        used = machine.nvml.used_mib() - before
        program.rest()
        # What a context really takes is charged as it was measured last; a first one may differ.
        given = used - context_mib
        yield {"route": route, "code": code, "used_mib": used, "context_mib": context_mib,
               "ok": code in ("2", "500", "0", "801") and given <= 1024}


def views(machine, _):
    """CUDA's figures inside a share."""
    row = machine.one(("work", "views"), {"memory": "2GiB"})
    yield {**row, "ok": row.get("total_mib") == row.get("device_mib") == 2048 and row["free_mib"] <= 2048}


def nvidia_smi(machine, _):
    """The vendor's tool inside a share, while somebody else holds memory outside."""
    if shutil.which("nvidia-smi") is None:
        raise Impossible("nvidia-smi is not on this machine")
    other = machine.start(("work", "hold", 1 << 30))
    other.line()
    query = "nvidia-smi --query-gpu=memory.total,memory.used,memory.free --format=csv,noheader,nounits; "
    query += "nvidia-smi --query-compute-apps=pid,used_memory --format=csv,noheader,nounits"
    lines = machine.text(["/bin/sh", "-c", query], {"memory": "2GiB"}).splitlines()
    total, used, free = [int(word) for word in lines[0].split(",")]
    yield {"total_mib": total, "used_mib": used, "free_mib": free, "others": lines[1:], "ok": total == 2048 and free <= total and not lines[1:]}


def overhead(machine, _):
    """The same calls on the bare card and inside a share that is alone, A B A B."""
    sides = {"native": [], "share": []}
    for _ in range(3):
        sides["native"].append(machine.one(("work", "costs")))
        sides["share"].append(machine.one(("work", "costs"), {"memory": "2GiB"}))
    for name in sides["native"][0]:
        native, share = (statistics.median(row[name] for row in sides[side]) for side in ("native", "share"))
        yield {"name": name, "native": native, "share": share, "added": round(share - native, 1)}


def alone(machine, seconds):
    """Work done in a while on the bare card and inside a share that is alone and uncapped."""
    for form, us in (("kernel", 100), ("graph", 100)):
        done = {}
        for side, share in (("native", None), ("share", {"memory": "2GiB"})):
            points = read_work(machine.text(("work", "busy", form, us, seconds), share))
            done[side] = rate(points, 0, 1e12) or 0
        lost = 100 * (1 - done["share"] / done["native"]) if done["native"] else None
        yield {"form": form, "kernel_us": us, **done, "lost_percent": lost}


def accuracy(machine, seconds):
    """A cap, alone on the card: the part of the card's time that was had, with kernels of many lengths."""
    for form, us in (("kernel", 10), ("kernel", 1000), ("kernel", 50_000), ("graph", 20), ("graph", 1000)):
        for cap in (30, 70):
            share = {"memory": "1GiB", "compute": f"{cap}%", "cap": f"{cap}%"}
            points = read_work(machine.text(("work", "busy", form, us, seconds), share))
            # In the beginning the bucket is full.
            got = rate(points, points[0][0] + min(0.5, seconds / 4), 1e12) if points else None
            yield {"form": form, "kernel_us": us, "cap_percent": cap, "had_percent": got and round(100 * got, 2),
                   "error_points": got and round(100 * got - cap, 2)}


def together(machine, shares, seconds, us=1000):
    """What several shares had of the card while all of them worked."""
    programs = [machine.start(("work", "busy", "kernel", us, seconds + slack(seconds)), share) for share in shares]
    points = [read_work(program.rest()) for program in programs]
    if not all(points):
        raise Impossible("a share did not work")
    since, until = max(each[0][0] for each in points) + min(0.5, seconds / 4), min(each[-1][0] for each in points)
    return [rate(each, since, until) or 0 for each in points]


def fairness(machine, seconds):
    """Guarantees of 30 and 70 %, and four equal ones."""
    had = together(machine, [{"memory": "1GiB", "compute": part} for part in ("30%", "70%")], seconds)
    whole = sum(had) or 1
    yield {"split": "30/70", "had_percent": [round(100 * each, 2) for each in had], "error_points": round(100 * had[0] / whole - 30, 2)}
    had = together(machine, [{"memory": "1GiB", "compute": "25%"}] * 4, seconds)
    jain = sum(had) ** 2 / (4 * sum(each**2 for each in had)) if any(had) else 0
    yield {"split": "4 x 25", "had_percent": [round(100 * each, 2) for each in had], "jain": round(jain, 4)}


def convergence(machine, seconds):
    """A second share joins: how long until the first one has its half, within five points, and what it had before."""
    first = machine.start(("work", "busy", "kernel", 1000, 2 * seconds + slack(seconds)), {"memory": "1GiB", "compute": "50%"})
    first.line()
    time.sleep(seconds)
    second = machine.start(("work", "busy", "kernel", 1000, seconds), {"memory": "1GiB", "compute": "50%"})
    joined, left = read_work(second.rest()), read_work(first.rest())
    if not joined or not left:
        raise Impossible("a share did not work")
    begin, end, at = joined[0][0], joined[-1][0], joined[0][0]
    while at < end and abs((rate(left, at, at + 0.2) or 0) - 0.5) > 0.05:
        at += 0.02
    yield {"alone_percent": round(100 * (rate(left, 0, begin) or 0), 2), "converged_s": round(at - begin, 2) if at < end else None}


def lending(machine, seconds):
    """An idle share's time is lent, and is back when it wakes: how much longer its 1 ms takes than on a card of its own."""
    lender = {"memory": "1GiB", "compute": "50%"}
    wake = ("work", "wake", 1000, max(3, int(10 * seconds)), 50)
    by_itself = machine.one(wake, lender)["took_ms"]
    borrower = machine.start(("work", "busy", "kernel", 1000, 60), lender)
    borrower.line()
    beside = machine.one(wake, lender)["took_ms"]
    borrower.kill()
    base = statistics.median(by_itself)
    yield {"alone_ms": base, "beside_median_ms": statistics.median(beside), "beside_worst_ms": max(beside),
           "returned_ms": round(statistics.median(beside) - base, 2)}


def recovery(machine, _):
    """A program that holds most of its share is killed; another in the same share wants it."""
    row = machine.one(("work", "recover", 1200 << 20), {"memory": "2GiB"})
    yield {**row, "ok": row.get("code") == 0 and row.get("refused_before") == 2}


def green(machine, _):
    """Half of the multiprocessors, inside a share: no memory beyond it."""
    row = machine.one(("work", "green"), {"memory": "2GiB"})
    yield {**row, "ok": row.get("past_the_limit") == 2}


def checkpoint(machine, _):
    """An idle program in a share leaves the card and comes back, with its data."""
    before = set(machine.nvml.processes())
    program = machine.start(("work", "idle"), {"memory": "2GiB"})
    program.line()
    pids = set(machine.nvml.processes()) - before
    if len(pids) != 1:
        raise Impossible(f"NVML names {len(pids)} processes of the share")
    held = machine.nvml.used_mib()
    other = machine.start(("work", "checkpoint", pids.pop()))
    suspended = other.line()
    gone = held - machine.nvml.used_mib()
    resumed = other.rest().strip()
    sound = "sound" in program.rest()
    yield {"suspend": suspended, "freed_mib": gone, "resume": resumed, "ok": sound and gone >= 256}


def kills(machine, _):
    """SIGKILL from outside while a kernel runs: the card's memory is back, and the next share works."""
    before = machine.nvml.used_mib()
    program = machine.start(("work", "busy", "kernel", 50_000, 60), {"memory": "2GiB"})
    program.line()
    held = machine.nvml.used_mib() - before
    program.kill()
    back = eventually(lambda: machine.nvml.used_mib() <= before)
    after = machine.one(("work", "views"), {"memory": "2GiB"})
    yield {"held_mib": held, "back_s": back and round(back, 3), "ok": back is not None and "failed" not in after}


def torch(machine, seconds):
    """PyTorch, where it is: what it is told of memory, a request beyond the share, and steps of a small training."""
    program = [sys.executable, HERE + "/torch_smoke.py", str(seconds)]
    native, share = machine.ask(program), machine.ask(program, {"memory": "8GiB"})
    if not native or "absent" in native[-1]:
        raise Impossible(native[-1]["absent"] if native else "PyTorch did not start")
    yield {"native": native[-1], "share": share[-1] if share else None,
           "ok": bool(share) and share[-1].get("total_mib") == 8192 and share[-1].get("refused") is True}


# In the order of what would be missed most.
SUITES = [views, nvidia_smi, bypass, overhead, alone, fairness, accuracy, convergence, lending, recovery, kills, green, checkpoint, torch]
