# SPDX-License-Identifier: Apache-2.0
"""cuda-bindings in front of a card of known size."""
import ctypes

from cuda.bindings import driver
from seen import MIB, expect, main, ok


def see_data():
    """A copy there and back, a memset, and a kernel that is carried out."""
    count = 4096
    source = (ctypes.c_float * count)(*([1.5] * count))
    back = (ctypes.c_float * count)()
    left = ok("cuMemAlloc", driver.cuMemAlloc(4 * count))
    right = ok("cuMemAlloc", driver.cuMemAlloc(4 * count))
    ok("cuMemcpyHtoD", driver.cuMemcpyHtoD(left, ctypes.addressof(source), 4 * count))
    ok("cuMemsetD32", driver.cuMemsetD32(right, 0x40000000, count))  # 2.0
    ptx = b".version 7.0\n.target sm_80\n.visible .entry sluice_vector_add() { ret; }\n\0"
    module = ok("cuModuleLoadData", driver.cuModuleLoadData(ptx))
    add = ok("cuModuleGetFunction", driver.cuModuleGetFunction(module, b"sluice_vector_add"))
    values = [ctypes.c_uint64(int(v)) for v in (left, right, left, count)]
    pointers = (ctypes.c_void_p * 4)(*[ctypes.addressof(v) for v in values])
    stream = ok("cuStreamCreate", driver.cuStreamCreate(1))
    ok(
        "cuLaunchKernel",
        driver.cuLaunchKernel(
            add, 1, 1, 1, 32, 1, 1, 0, stream, ctypes.addressof(pointers), 0
        ),
    )
    ok("cuStreamSynchronize", driver.cuStreamSynchronize(stream))
    ok("cuMemcpyDtoH", driver.cuMemcpyDtoH(ctypes.addressof(back), left, 4 * count))
    expect("sums", set(back), {3.5})
    ok("cuStreamDestroy", driver.cuStreamDestroy(stream))
    ok("cuModuleUnload", driver.cuModuleUnload(module))
    ok("cuMemFree", driver.cuMemFree(left))
    ok("cuMemFree", driver.cuMemFree(right))


def pool_props():
    props = driver.CUmemPoolProps()
    props.allocType = driver.CUmemAllocationType.CU_MEM_ALLOCATION_TYPE_PINNED
    props.location.type = driver.CUmemLocationType.CU_MEM_LOCATION_TYPE_DEVICE
    props.location.id = 0
    return props


def see_every_route_refuse(bytes_too_many):
    """The same answer, OUT_OF_MEMORY, from every way to take memory."""
    refused = driver.CUresult.CUDA_ERROR_OUT_OF_MEMORY
    expect("cuMemAlloc", driver.cuMemAlloc(bytes_too_many)[0], refused)
    rows = bytes_too_many // 65536
    expect("cuMemAllocPitch", driver.cuMemAllocPitch(65536, rows, 4)[0], refused)
    expect("cuMemAllocAsync", driver.cuMemAllocAsync(bytes_too_many, 0)[0], refused)
    pool = ok("cuMemPoolCreate", driver.cuMemPoolCreate(pool_props()))
    expect(
        "cuMemAllocFromPoolAsync",
        driver.cuMemAllocFromPoolAsync(bytes_too_many, pool, 0)[0],
        refused,
    )
    ok("cuMemPoolDestroy", driver.cuMemPoolDestroy(pool))
    prop = driver.CUmemAllocationProp()
    prop.type = driver.CUmemAllocationType.CU_MEM_ALLOCATION_TYPE_PINNED
    prop.location.type = driver.CUmemLocationType.CU_MEM_LOCATION_TYPE_DEVICE
    prop.location.id = 0
    expect("cuMemCreate", driver.cuMemCreate(bytes_too_many, prop, 0)[0], refused)
    shape = driver.CUDA_ARRAY3D_DESCRIPTOR()
    shape.Width, shape.Height = 16384, 16384
    shape.Depth = bytes_too_many // (16384 * 16384 * 4) + 1
    shape.Format = driver.CUarray_format.CU_AD_FORMAT_FLOAT
    shape.NumChannels = 1
    expect("cuArray3DCreate", driver.cuArray3DCreate(shape)[0], refused)
    graph = ok("cuGraphCreate", driver.cuGraphCreate(0))
    node = driver.CUDA_MEM_ALLOC_NODE_PARAMS()
    node.poolProps = pool_props()
    node.bytesize = bytes_too_many
    added = driver.cuGraphAddMemAllocNode(graph, None, 0, node)
    if added[0] == driver.CUresult.CUDA_SUCCESS:  # Then the launch must say it.
        executable = driver.cuGraphInstantiate(graph, 0)
        if executable[0] == driver.CUresult.CUDA_SUCCESS:
            expect("cuGraphLaunch", driver.cuGraphLaunch(executable[1], 0)[0], refused)
        else:
            expect("cuGraphInstantiate", executable[0], refused)
    else:
        expect("cuGraphAddMemAllocNode", added[0], refused)
    ok("cuGraphDestroy", driver.cuGraphDestroy(graph))


def see_the_rest(free):
    """To the last granule, and not one more."""
    ok("the rest", driver.cuMemAlloc(free - 2 * MIB))
    ok("the last granule", driver.cuMemAlloc(2 * MIB))
    expect("one more", driver.cuMemAlloc(2 * MIB)[0], driver.CUresult.CUDA_ERROR_OUT_OF_MEMORY)
    expect("nothing free", ok("cuMemGetInfo", driver.cuMemGetInfo())[0], 0)


def see(card):
    ok("cuInit", driver.cuInit(0))
    expect("cards", ok("cuDeviceGetCount", driver.cuDeviceGetCount()), 1)
    device = ok("cuDeviceGet", driver.cuDeviceGet(0))
    name = ok("cuDeviceGetName", driver.cuDeviceGetName(96, device))
    expect("name", name.split(b"\0")[0].decode(), card.name)
    expect("total", ok("cuDeviceTotalMem", driver.cuDeviceTotalMem(device)), card.memory_mib * MIB)
    context = ok("cuDevicePrimaryCtxRetain", driver.cuDevicePrimaryCtxRetain(device))
    ok("cuCtxSetCurrent", driver.cuCtxSetCurrent(context))
    # A share is charged for the context at the first allocation.
    ok("cuMemFree", driver.cuMemFree(ok("cuMemAlloc", driver.cuMemAlloc(1))))
    free, total = ok("cuMemGetInfo", driver.cuMemGetInfo())
    expect("total in a context", total, card.memory_mib * MIB)
    expect("free in a context", free, (card.memory_mib - card.context_mib) * MIB)
    see_data()
    see_every_route_refuse((card.memory_mib + 64) * MIB)
    expect("free again", ok("cuMemGetInfo", driver.cuMemGetInfo())[0], free)
    see_the_rest(free)


main(see)
