# SPDX-License-Identifier: Apache-2.0
"""nvitop, the module and the command, in front of a card of known size."""
import os

import nvitop
from seen import MIB, expect, hold, main, run_tool


def see(card):
    hold()
    expect("cards", len(nvitop.Device.all()), 1)
    device = nvitop.Device.all()[0]
    expect("name", device.name(), card.name)
    expect("memory", device.memory_total(), card.memory_mib * MIB)
    expect("use", device.memory_used(), card.held_mib * MIB)
    expect("free", device.memory_free(), (card.memory_mib - card.held_mib) * MIB)
    processes = device.processes()
    expect("processes", list(processes), [os.getpid()])
    expect("its use", processes[os.getpid()].gpu_memory(), card.held_mib * MIB)
    page = run_tool("nvitop", "--once")
    expect("its page shows the driver", "580.0-simulated" in page, True)
    expect("its page shows the process", f" {os.getpid()} " in page, True)


main(see)
