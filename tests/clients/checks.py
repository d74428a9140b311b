# SPDX-License-Identifier: Apache-2.0
"""Real NVML and CUDA clients against a card of known size: concrete values, not only "it runs".

checks.py --memory-mib N --context-mib N --name TEXT
Inside a share, N is the share and not the card.
"""
import argparse
import ctypes
import json
import os
import subprocess
import sys

MIB = 1 << 20
failures = []


def expect(what, got, wanted):
    if got != wanted:
        failures.append(f"{what}: got {got!r}, wanted {wanted!r}")


def ok(what, answer):
    """The values of a cuda-bindings answer, whose first is the error code."""
    from cuda.bindings import driver

    expect(what, answer[0], driver.CUresult.CUDA_SUCCESS)
    return answer[1] if len(answer) == 2 else answer[1:]


def tool(name):
    return os.path.join(os.path.dirname(sys.executable), name)


def check_nvml(args):
    import pynvml

    pynvml.nvmlInit()
    device = pynvml.nvmlDeviceGetHandleByIndex(0)
    expect("NVML's name", pynvml.nvmlDeviceGetName(device), args.name)
    expect("memory", pynvml.nvmlDeviceGetMemoryInfo(device).total, args.memory_mib * MIB)
    second = pynvml.nvmlDeviceGetMemoryInfo(device, pynvml.nvmlMemory_v2)
    expect("memory v2", second.total - second.reserved, args.memory_mib * MIB)
    by_uuid = pynvml.nvmlDeviceGetHandleByUUID(pynvml.nvmlDeviceGetUUID(device))
    expect("index by UUID", pynvml.nvmlDeviceGetIndex(by_uuid), 0)
    by_bus = pynvml.nvmlDeviceGetHandleByPciBusId(pynvml.nvmlDeviceGetPciInfo(device).busId)
    expect("index by bus", pynvml.nvmlDeviceGetIndex(by_bus), 0)
    try:
        pynvml.nvmlDeviceGetTotalEccErrors(device, 0, 0)
        failures.append("ECC counters answered")
    except pynvml.NVMLError_NotSupported:
        pass
    pynvml.nvmlShutdown()


def check_gpustat(args, used_mib, pid):
    answer = subprocess.run(
        [tool("gpustat"), "--json"], stdout=subprocess.PIPE, timeout=60, check=True
    )
    card = json.loads(answer.stdout)["gpus"][0]
    expect("gpustat's name", card["name"], args.name)
    expect("gpustat's memory", card["memory.total"], args.memory_mib)
    expect("gpustat's use", card["memory.used"], used_mib)
    expect("gpustat's pids", [row["pid"] for row in card["processes"] or []], [pid])
    expect("gpustat's pid use", [row["gpu_memory_usage"] for row in card["processes"]], [used_mib])


def check_nvitop(args, used_mib, pid):
    import nvitop

    device = nvitop.Device.all()[0]
    expect("nvitop's name", device.name(), args.name)
    expect("nvitop's memory", device.memory_total(), args.memory_mib * MIB)
    expect("nvitop's use", device.memory_used(), used_mib * MIB)
    processes = device.processes()
    expect("nvitop's pids", list(processes), [pid])
    expect("nvitop's pid use", processes[pid].gpu_memory(), used_mib * MIB)
    page = subprocess.run(
        [tool("nvitop"), "--once"],
        stdout=subprocess.PIPE,
        timeout=60,
        check=True,
        env=dict(os.environ, TERM="xterm", LC_ALL="C.UTF-8", COLUMNS="120"),
    ).stdout.decode()
    expect("nvitop's page shows the driver", "580.0-simulated" in page, True)


def check_data(driver):
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


def pool_props(driver):
    props = driver.CUmemPoolProps()
    props.allocType = driver.CUmemAllocationType.CU_MEM_ALLOCATION_TYPE_PINNED
    props.location.type = driver.CUmemLocationType.CU_MEM_LOCATION_TYPE_DEVICE
    props.location.id = 0
    return props


def check_every_route_refuses(driver, bytes_too_many):
    """The same answer, OUT_OF_MEMORY, from every way to take memory."""
    refused = driver.CUresult.CUDA_ERROR_OUT_OF_MEMORY
    expect("cuMemAlloc", driver.cuMemAlloc(bytes_too_many)[0], refused)
    rows = bytes_too_many // 65536
    expect("cuMemAllocPitch", driver.cuMemAllocPitch(65536, rows, 4)[0], refused)
    expect("cuMemAllocAsync", driver.cuMemAllocAsync(bytes_too_many, 0)[0], refused)
    pool = ok("cuMemPoolCreate", driver.cuMemPoolCreate(pool_props(driver)))
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
    node.poolProps = pool_props(driver)
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


def check_cuda(args):
    """Returns what this process then holds, in MiB."""
    from cuda.bindings import driver

    ok("cuInit", driver.cuInit(0))
    device = ok("cuDeviceGet", driver.cuDeviceGet(0))
    name = ok("cuDeviceGetName", driver.cuDeviceGetName(96, device))
    expect("CUDA's name", name.split(b"\0")[0].decode(), args.name)
    expect("total", ok("cuDeviceTotalMem", driver.cuDeviceTotalMem(device)), args.memory_mib * MIB)
    context = ok("cuDevicePrimaryCtxRetain", driver.cuDevicePrimaryCtxRetain(device))
    ok("cuCtxSetCurrent", driver.cuCtxSetCurrent(context))
    # A share is charged for the context at the first allocation.
    ok("cuMemFree", driver.cuMemFree(ok("cuMemAlloc", driver.cuMemAlloc(1))))
    free, total = ok("cuMemGetInfo", driver.cuMemGetInfo())
    expect("total in a context", total, args.memory_mib * MIB)
    expect("free in a context", free, (args.memory_mib - args.context_mib) * MIB)
    check_data(driver)
    check_every_route_refuses(driver, (args.memory_mib + 64) * MIB)
    expect("free again", ok("cuMemGetInfo", driver.cuMemGetInfo())[0], free)

    # To the last granule, and not one more.
    ok("the rest", driver.cuMemAlloc(free - 2 * MIB))
    ok("the last granule", driver.cuMemAlloc(2 * MIB))
    expect(
        "one more",
        driver.cuMemAlloc(2 * MIB)[0],
        driver.CUresult.CUDA_ERROR_OUT_OF_MEMORY,
    )
    expect("nothing free", ok("cuMemGetInfo", driver.cuMemGetInfo())[0], 0)
    return args.memory_mib


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--memory-mib", type=int, required=True)
    parser.add_argument("--context-mib", type=int, required=True)
    parser.add_argument("--name", required=True)
    args = parser.parse_args()
    check_nvml(args)
    used_mib = check_cuda(args)
    check_gpustat(args, used_mib, os.getpid())
    check_nvitop(args, used_mib, os.getpid())
    for failure in failures:
        print(failure)
    sys.exit(1 if failures else 0)


main()
