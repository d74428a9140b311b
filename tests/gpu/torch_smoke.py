# SPDX-License-Identifier: Apache-2.0
"""PyTorch on this machine's card, once: torch_smoke.py SECONDS. One JSON line."""
import json
import sys
import time


def measure(torch, seconds):
    free, total = torch.cuda.mem_get_info()
    row = {"torch": torch.__version__, "free_mib": free >> 20, "total_mib": total >> 20}
    try:
        torch.empty(total + (1 << 28), dtype=torch.uint8, device="cuda")
        row["refused"] = False
    except torch.cuda.OutOfMemoryError:
        row["refused"] = True
    layers = [torch.nn.Linear(2048, 2048), torch.nn.ReLU(), torch.nn.Linear(2048, 2048)]
    model = torch.nn.Sequential(*layers).cuda()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    data = torch.randn(512, 2048, device="cuda")
    steps, end = 0, None
    while end is None or time.monotonic() < end:
        loss = model(data).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        torch.cuda.synchronize()
        steps += 1
        if end is None:  # The first step is a warm-up.
            begin, steps = time.monotonic(), 0
            end = begin + seconds
    row["steps_per_s"] = round(steps / (time.monotonic() - begin), 1)
    return row


def main():
    try:
        import torch
    except ImportError as error:
        return {"absent": str(error)}
    if not torch.cuda.is_available():
        return {"absent": "PyTorch sees no card"}
    return measure(torch, float(sys.argv[1]))


print(json.dumps(main()))
