# SPDX-License-Identifier: Apache-2.0
"""gpustat, the command, in front of a card of known size."""
import json
import os

from seen import expect, hold, main, run_tool


def see(card):
    hold()
    cards = json.loads(run_tool("gpustat", "--json"))["gpus"]
    expect("cards", len(cards), 1)
    expect("name", cards[0]["name"], card.name)
    expect("memory", cards[0]["memory.total"], card.memory_mib)
    expect("use", cards[0]["memory.used"], card.held_mib)
    rows = [(row["pid"], row["gpu_memory_usage"]) for row in cards[0]["processes"] or []]
    expect("processes", rows, [(os.getpid(), card.held_mib)])
    text = run_tool("gpustat", "--no-color", "--show-pid")
    expect("the figures in its line", f"{card.held_mib:5} / {card.memory_mib:5} MB" in text, True)


main(see)
