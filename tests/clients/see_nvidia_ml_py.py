# SPDX-License-Identifier: Apache-2.0
"""nvidia-ml-py in front of a card of known size."""
import os

import pynvml
from seen import MIB, expect, hold, main, refused


def see_memory(card, device):
    for what, used_mib in (("before", 0), ("while held", card.held_mib)):
        if used_mib:
            hold()
        memory = pynvml.nvmlDeviceGetMemoryInfo(device)
        expect(f"memory {what}", memory.total, card.memory_mib * MIB)
        expect(f"used {what}", memory.used, used_mib * MIB)
        expect(f"free {what}", memory.free, (card.memory_mib - used_mib) * MIB)
        second = pynvml.nvmlDeviceGetMemoryInfo(device, pynvml.nvmlMemory_v2)
        expect(f"memory v2 {what}", second.total - second.reserved, card.memory_mib * MIB)
        expect(f"free v2 {what}", second.free, memory.free)


def see_processes(card, device):
    rows = pynvml.nvmlDeviceGetComputeRunningProcesses(device)
    expect("processes", [(row.pid, row.usedGpuMemory) for row in rows], [(os.getpid(), card.held_mib * MIB)])
    expect("graphics processes", pynvml.nvmlDeviceGetGraphicsRunningProcesses(device), [])


def see(card):
    pynvml.nvmlInit()
    expect("cards", pynvml.nvmlDeviceGetCount(), 1)
    device = pynvml.nvmlDeviceGetHandleByIndex(0)
    expect("name", pynvml.nvmlDeviceGetName(device), card.name)
    by_uuid = pynvml.nvmlDeviceGetHandleByUUID(pynvml.nvmlDeviceGetUUID(device))
    expect("index by UUID", pynvml.nvmlDeviceGetIndex(by_uuid), 0)
    by_bus = pynvml.nvmlDeviceGetHandleByPciBusId(pynvml.nvmlDeviceGetPciInfo(device).busId)
    expect("index by bus", pynvml.nvmlDeviceGetIndex(by_bus), 0)
    refused("ECC counters", pynvml.NVMLError_NotSupported, lambda: pynvml.nvmlDeviceGetTotalEccErrors(device, 0, 0))
    see_memory(card, device)
    see_processes(card, device)
    pynvml.nvmlShutdown()


main(see)
