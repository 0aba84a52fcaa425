"""How `scripts/bench` measures: interleaved rounds on process time, memory in forked children, the
machine's own rates."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

Work = Callable[[], Any]


@dataclass(frozen=True)
class Way:
    """One way to do a task: `work` does it for `count` things."""

    name: str
    count: int
    work: Work


def interleaved(ways: Sequence[Way], rounds: int) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Time all ways in turn.

    A machine that slows down slows all ways of a round, so that their ratio stays. The clock is the
    process's, which stops while others run.

    Returns:
        Name -> seconds a thing, one of each round; and name -> result of a round before these,
        which warms up.
    """
    times: dict[str, list[float]] = {way.name: [] for way in ways}
    results = {way.name: way.work() for way in ways}
    for _ in range(rounds):
        for way in ways:
            started = time.process_time()
            way.work()
            times[way.name].append((time.process_time() - started) / way.count)
    return times, results


def case(
    name: str,
    things: str,
    ways: Sequence[Way],
    rounds: int,
    rates: Mapping[str, float],
    differ: Callable[..., float] | None = None,
) -> dict[str, Any]:
    """Measure one task as plain data; the first way is ours.

    Args:
        things: what a way does `count` of, such as "units".
        rates: of the machine in GFLOP/s, to tell the shares that ours reaches.
        differ: takes what the ways return, gives the largest relative difference of ours.
    """
    print(f"  {name}", file=sys.stderr, flush=True)
    times, results = interleaved(ways, rounds)
    memory = {way.name: in_child(way.work)[1] for way in ways}
    with FlopCounterMode(display=False) as counter:
        ways[0].work()
    gflop = counter.get_total_flops() / ways[0].count / 1e9
    found = compared(name, things, times, memory) | of_rates(gflop, times[ways[0].name], rates)
    return found | ({"difference": significant(differ(*results.values()))} if differ else {})


def compared(
    name: str, things: str, times: Mapping[str, Sequence[float]], memory: Mapping[str, float] = {}
) -> dict[str, Any]:
    """Put the seconds a thing of all ways, ours first, into a case."""
    ours = next(iter(times.values()))
    found = []
    for way, seconds in times.items():
        ratios = sorted(theirs / own for theirs, own in zip(seconds, ours, strict=True))
        found.append(
            {
                "way": way,
                "per_second": significant(1 / statistics.median(seconds)),
                "seconds": [significant(one) for one in seconds],
                "ours_is_times_faster": [
                    significant(one) for one in (statistics.median(ratios), ratios[0], ratios[-1])
                ],
                "memory_mb": memory.get(way),
            }
        )
    return {"case": name, "things": things, "ways": found}


def of_rates(gflop: float, seconds: Sequence[float], rates: Mapping[str, float]) -> dict[str, Any]:
    """Put GFLOP for a thing and their shares of the machine's rates into a case."""
    reached = gflop / statistics.median(seconds)
    share = {name: significant(reached / rate) for name, rate in rates.items()}
    return {"gflop": significant(gflop), "share": share}


def significant(number: float) -> float:
    """Round to three significant digits."""
    return float(f"{number:.3g}")


def in_child(work: Work) -> tuple[float, float]:
    """Run work in a forked child.

    Returns:
        Seconds of its processor, and by how many MB its largest resident set grew.
    """
    if platform.libc_ver()[0] == "glibc":  # what is free already would hide the growth
        ctypes.CDLL(None).malloc_trim(0)
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    child = fork.Process(target=_run, args=(work, sender))
    child.start()
    sender.close()
    try:
        return receiver.recv()
    finally:
        child.join()


def _run(work: Work, sender: Connection) -> None:
    with torch.no_grad():  # brings the library's own pages
        F.conv2d(torch.ones(1, 3, 8, 8), torch.ones(3, 3, 3, 3))
    before, started = _largest_set_mb(), time.process_time()
    work()
    sender.send((time.process_time() - started, significant(_largest_set_mb() - before)))


def _largest_set_mb() -> float:
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size / 1e6 if sys.platform == "darwin" else size * 1024 / 1e6


def machine(side: int, rounds: int) -> dict[str, Any]:
    """Measure the rates of one matrix product and one 3×3 convolution of 256 maps, in GFLOP/s."""
    rates = {}
    for precision, kind in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        a, b = torch.randn(2, side, side).to(kind)
        column = a.t()[None, :, :, None]
        filters_1x1 = b[:, :, None, None]
        maps = torch.randn(32, 256, side // 64, side // 64).to(kind)
        maps = maps.contiguous(memory_format=torch.channels_last)
        filters = torch.randn(256, 256, 3, 3).to(kind).contiguous(memory_format=torch.channels_last)
        flop = {"matmul": 2 * side**3, "conv3x3": 2 * 9 * 256 * maps.numel()}
        ways = [
            # A product is also a 1×1 convolution, which another library computes.
            Way("matmul", 1, lambda a=a, b=b: a @ b),
            Way("as_conv", 1, lambda m=column, f=filters_1x1: F.conv2d(m, f)),
            Way("conv3x3", 1, lambda m=maps, f=filters: F.conv2d(m, f, padding=1)),
        ]
        with torch.no_grad():
            times, _ = interleaved(ways, rounds)
        seconds = {name: statistics.median(some) for name, some in times.items()}
        seconds["matmul"] = min(seconds["matmul"], seconds.pop("as_conv"))
        rates[precision] = {name: round(flop[name] / s / 1e9, 1) for name, s in seconds.items()}
    return {
        "gflops": rates,
        "processor": f"{os.cpu_count()} × {_processor()}",
        "load_average": round(os.getloadavg()[0], 1),
        "torch": str(torch.__version__),
        "malloc": os.environ.get("GLIBC_TUNABLES", "as it is"),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.partition(": ")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform._processor() or platform.machine()
