# SPDX-License-Identifier: Apache-2.0
"""tinygrad on its CUDA back end, in front of a card of known size. Its kernels run their time and compute nothing."""
import os

os.environ["CACHELEVEL"] = "0"  # It keeps compiled kernels in the user's home else.
# It looks for the driver where distributions put it and nowhere else, unless told.
os.environ["CUDA_PATH"] = "/run/sluice/simgpu/lib/libcuda.so.1"

from cuda.bindings import driver
from seen import HELD_MIB, MIB, expect, main, ok, refused
from tinygrad import Device, Tensor, dtypes


def used_mib():
    free, total = ok("cuMemGetInfo", driver.cuMemGetInfo())
    expect("no more free than there is", free <= total, True)
    return (total - free) // MIB



def see(card):
    expect("back end", Device.DEFAULT, "CUDA")
    expect("there and back", Tensor([1.5, 2.5, 3.5], device="CUDA").tolist(), [1.5, 2.5, 3.5])
    _, total = ok("cuMemGetInfo", driver.cuMemGetInfo())
    expect("total", total, card.memory_mib * MIB)
    before = used_mib()
    held = Tensor.empty(HELD_MIB * MIB, dtype=dtypes.uint8, device="CUDA").realize()
    held.uop.buffer.ensure_allocated()
    expect("a tensor's use", used_mib() - before, HELD_MIB)
    # Compiled to PTX, loaded, launched and waited for; what it would have computed is not.
    product = (Tensor.ones(64, 64, device="CUDA").contiguous() @ Tensor.ones(64, 64, device="CUDA").contiguous()).realize()
    Device["CUDA"].synchronize()
    expect("its shape", product.shape, (64, 64))
    too_large = Tensor.empty((card.memory_mib + 64) * MIB, dtype=dtypes.uint8, device="CUDA")
    refused("more than there is", (RuntimeError, MemoryError), lambda: too_large.realize().uop.buffer.ensure_allocated())
    expect("and it goes on", Tensor([4.5], device="CUDA").tolist(), [4.5])


main(see)
