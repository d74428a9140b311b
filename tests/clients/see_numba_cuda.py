# SPDX-License-Identifier: Apache-2.0
"""numba-cuda in front of a card of known size: all but its compiler, which is the vendor's and a large package."""
import contextlib
import ctypes
import gc
import io

import numpy
from cuda.core import Device, LaunchConfig, launch
from numba import cuda
from numba.cuda.cudadrv.driver import CudaAPIError
from seen import MIB, expect, main, refused

PTX = """
.version 7.0
.target sm_80
.address_size 64
.visible .entry sluice_vector_add(.param .u64 a, .param .u64 b, .param .u64 out, .param .u64 n) { ret; }
"""


def let_go():
    """It gives memory back late."""
    gc.collect()
    cuda.current_context().memory_manager.deallocations.clear()


def see_card(card):
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        expect("detect", cuda.detect(), True)
    expect("its list names the card", card.name in said.getvalue(), True)
    expect("cards", len(cuda.list_devices()), 1)
    # A share is charged for the context at the first allocation.
    first = cuda.device_array(1, dtype=numpy.uint8)
    memory = cuda.current_context().get_memory_info()
    expect("total", memory.total, card.memory_mib * MIB)
    expect("a granule at most is used", 0 <= memory.total - memory.free - card.context_mib * MIB <= 2 * MIB, True)
    del first
    let_go()
    return cuda.current_context().get_memory_info().free


def see_data():
    """Arrays there and back, on a stream with events, and a kernel that is carried out."""
    source = numpy.arange(4096, dtype=numpy.float32)
    stream, done = cuda.stream(), cuda.event()
    left = cuda.to_device(source, stream=stream)
    total = cuda.device_array_like(left)
    function = cuda.current_context().create_module_ptx(PTX).get_function("sluice_vector_add")
    shape = LaunchConfig(grid=1, block=32)
    at = [ctypes.c_uint64(a.device_ctypes_pointer.value) for a in (left, left, total)]
    launch(Device().create_stream(stream), shape, function.kernel, *at, ctypes.c_uint64(source.size))
    done.record(stream)
    done.synchronize()
    expect("sums", (total.copy_to_host(stream=stream) == 2 * source).all(), True)
    managed = cuda.managed_array(16, dtype=numpy.float32)
    managed[:] = 7
    expect("managed", set(managed), {7.0})


def see_limit(free_bytes):
    """All that is free in one array, and not one granule more."""
    refused("more than is free", CudaAPIError, lambda: cuda.device_array(free_bytes + 2 * MIB, dtype=numpy.uint8))
    whole = cuda.device_array(free_bytes, dtype=numpy.uint8)
    expect("nothing is free", cuda.current_context().get_memory_info().free, 0)
    del whole
    let_go()
    expect("all is free again", cuda.current_context().get_memory_info().free, free_bytes)


def see(card):
    free_bytes = see_card(card)
    see_limit(free_bytes)
    see_data()


main(see)
