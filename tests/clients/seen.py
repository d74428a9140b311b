# SPDX-License-Identifier: Apache-2.0
"""What each see_*.py has in common: a card of known size, and how what a client says of it is judged.

see_NAME.py --memory-mib N --context-mib N --name TEXT
Inside a share, N is the share and not the card. Concrete values, not only "it runs".
"""
import argparse
import os
import subprocess
import sys

MIB = 1 << 20
HELD_MIB = 512  # What `hold` takes.
failures = []


def expect(what, got, wanted):
    if got != wanted:
        failures.append(f"{what}: got {got!r}, wanted {wanted!r}")


def refused(what, error, call):
    """The call ends in that error."""
    try:
        call()
        failures.append(f"{what}: it was not refused")
    except error:
        pass


def ok(what, answer):
    """The values of a cuda-bindings answer, whose first is the error code."""
    from cuda.bindings import driver

    expect(what, answer[0], driver.CUresult.CUDA_SUCCESS)
    return answer[1] if len(answer) == 2 else answer[1:]


def hold():
    """Makes this process one that uses the card: a context and a block of memory."""
    from cuda.bindings import driver

    ok("cuInit", driver.cuInit(0))
    device = ok("cuDeviceGet", driver.cuDeviceGet(0))
    ok("cuCtxSetCurrent", driver.cuCtxSetCurrent(ok("retain", driver.cuDevicePrimaryCtxRetain(device))))
    ok("cuMemAlloc", driver.cuMemAlloc(HELD_MIB * MIB))


def run_tool(name, *arguments):
    """What a command of the clients prints."""
    tool = os.path.join(os.path.dirname(sys.executable), name)
    environment = dict(os.environ, TERM="xterm", LC_ALL="C.UTF-8", COLUMNS="120")
    return subprocess.run(
        [tool, *arguments], stdout=subprocess.PIPE, timeout=60, check=True, env=environment
    ).stdout.decode()


def main(see):
    parser = argparse.ArgumentParser()
    parser.add_argument("--memory-mib", type=int, required=True)
    parser.add_argument("--context-mib", type=int, required=True)
    parser.add_argument("--name", required=True)
    card = parser.parse_args()
    card.held_mib = card.context_mib + HELD_MIB
    see(card)
    for failure in failures:
        print(failure)
    sys.exit(1 if failures else 0)
