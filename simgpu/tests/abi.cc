// SPDX-License-Identifier: Apache-2.0
// Compiled by tests/clients/abi.py with the vendor's headers beside: a layout or a value of ours
// that differs from the vendor's does not compile.
#include <cstddef>
#include <cstdint>

namespace ours {
#include "simgpu/internal/abi/cuda.h"
#include "simgpu/internal/abi/nvml.h"
}  // namespace ours

#include <cuda.h>
#include <nvml.h>

#define SAME_SIZE(mine, theirs) static_assert(sizeof(ours::mine) == sizeof(::theirs))
#define SAME_PLACE(mine, theirs, field) \
  static_assert(offsetof(ours::mine, field) == offsetof(::theirs, field))
#define SAME_VALUE(name) static_assert(static_cast<int>(ours::name) == static_cast<int>(::name))

SAME_SIZE(CUmemAllocationProp, CUmemAllocationProp);
SAME_PLACE(CUmemAllocationProp, CUmemAllocationProp, location);
SAME_SIZE(CUmemPoolProps, CUmemPoolProps);
SAME_PLACE(CUmemPoolProps, CUmemPoolProps, location);
SAME_PLACE(CUmemPoolProps, CUmemPoolProps, maxSize);
SAME_SIZE(CUmemLocation, CUmemLocation);
SAME_SIZE(CUmemAccessDesc, CUmemAccessDesc);
SAME_PLACE(CUmemAccessDesc, CUmemAccessDesc, flags);
SAME_SIZE(CUDA_ARRAY_DESCRIPTOR, CUDA_ARRAY_DESCRIPTOR);
SAME_PLACE(CUDA_ARRAY_DESCRIPTOR, CUDA_ARRAY_DESCRIPTOR, NumChannels);
SAME_SIZE(CUDA_ARRAY3D_DESCRIPTOR, CUDA_ARRAY3D_DESCRIPTOR);
SAME_PLACE(CUDA_ARRAY3D_DESCRIPTOR, CUDA_ARRAY3D_DESCRIPTOR, Flags);
SAME_SIZE(CUDA_ARRAY_MEMORY_REQUIREMENTS, CUDA_ARRAY_MEMORY_REQUIREMENTS);
SAME_SIZE(CUDA_MEMCPY2D, CUDA_MEMCPY2D);
SAME_PLACE(CUDA_MEMCPY2D, CUDA_MEMCPY2D, dstPitch);
SAME_SIZE(CUDA_MEMCPY3D, CUDA_MEMCPY3D);
SAME_SIZE(CUDA_MEMCPY3D, CUDA_MEMCPY3D_PEER);
SAME_PLACE(CUDA_MEMCPY3D, CUDA_MEMCPY3D, dstHeight);
SAME_PLACE(CUDA_MEMCPY3D, CUDA_MEMCPY3D_PEER, dstHeight);
SAME_SIZE(CUDA_MEMSET_NODE_PARAMS, CUDA_MEMSET_NODE_PARAMS);
SAME_SIZE(CUDA_HOST_NODE_PARAMS, CUDA_HOST_NODE_PARAMS);
SAME_SIZE(CUDA_KERNEL_NODE_PARAMS, CUDA_KERNEL_NODE_PARAMS);
SAME_PLACE(CUDA_KERNEL_NODE_PARAMS, CUDA_KERNEL_NODE_PARAMS, kern);
SAME_SIZE(CUDA_MEM_ALLOC_NODE_PARAMS, CUDA_MEM_ALLOC_NODE_PARAMS);
SAME_PLACE(CUDA_MEM_ALLOC_NODE_PARAMS, CUDA_MEM_ALLOC_NODE_PARAMS, dptr);
SAME_SIZE(CUgraphNodeParams, CUgraphNodeParams);
SAME_PLACE(CUgraphNodeParams, CUgraphNodeParams, kernel);
SAME_SIZE(CUlaunchConfig, CUlaunchConfig);
SAME_PLACE(CUlaunchConfig, CUlaunchConfig, hStream);
SAME_SIZE(CUipcMemHandle, CUipcMemHandle);
SAME_SIZE(CUgraphExecUpdateResultInfo, CUgraphExecUpdateResultInfo);
SAME_SIZE(CUDA_GRAPH_INSTANTIATE_PARAMS, CUDA_GRAPH_INSTANTIATE_PARAMS);
SAME_PLACE(CUDA_GRAPH_INSTANTIATE_PARAMS, CUDA_GRAPH_INSTANTIATE_PARAMS, result_out);
SAME_SIZE(CUdevprop, CUdevprop);
SAME_SIZE(CUuuid, CUuuid);

SAME_VALUE(CUDA_ERROR_OUT_OF_MEMORY);
SAME_VALUE(CUDA_ERROR_NOT_INITIALIZED);
SAME_VALUE(CUDA_ERROR_NO_DEVICE);
SAME_VALUE(CUDA_ERROR_INVALID_CONTEXT);
SAME_VALUE(CUDA_ERROR_INVALID_HANDLE);
SAME_VALUE(CUDA_ERROR_NOT_FOUND);
SAME_VALUE(CUDA_ERROR_NOT_READY);
SAME_VALUE(CUDA_ERROR_ILLEGAL_ADDRESS);
SAME_VALUE(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
SAME_VALUE(CUDA_ERROR_NOT_SUPPORTED);
SAME_VALUE(CUDA_ERROR_SYSTEM_NOT_READY);
SAME_VALUE(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
SAME_VALUE(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD);
SAME_VALUE(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE);
SAME_VALUE(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
SAME_VALUE(CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING);
SAME_VALUE(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
SAME_VALUE(CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY);
SAME_VALUE(CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED);
SAME_VALUE(CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED);
SAME_VALUE(CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS);
SAME_VALUE(CU_MEM_LOCATION_TYPE_HOST_NUMA_CURRENT);
SAME_VALUE(CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
SAME_VALUE(CU_MEMORYTYPE_UNIFIED);

SAME_SIZE(nvmlMemory_t, nvmlMemory_t);
SAME_SIZE(nvmlMemory_v2_t, nvmlMemory_v2_t);
SAME_PLACE(nvmlMemory_v2_t, nvmlMemory_v2_t, used);
SAME_SIZE(nvmlBAR1Memory_t, nvmlBAR1Memory_t);
SAME_SIZE(nvmlProcessInfo_v1_t, nvmlProcessInfo_v1_t);
SAME_SIZE(nvmlProcessInfo_v2_t, nvmlProcessInfo_v2_t);
SAME_SIZE(nvmlProcessDetail_v1_t, nvmlProcessDetail_v1_t);
SAME_SIZE(nvmlProcessDetailList_v1_t, nvmlProcessDetailList_v1_t);
SAME_SIZE(nvmlDeviceAttributes_t, nvmlDeviceAttributes_t);
SAME_PLACE(nvmlDeviceAttributes_t, nvmlDeviceAttributes_t, memorySizeMB);
SAME_SIZE(nvmlUtilization_t, nvmlUtilization_t);
SAME_SIZE(nvmlPciInfo_t, nvmlPciInfo_t);
SAME_PLACE(nvmlPciInfo_t, nvmlPciInfo_t, busId);
SAME_SIZE(nvmlProcessUtilizationSample_t, nvmlProcessUtilizationSample_t);
SAME_SIZE(nvmlProcessUtilizationInfo_v1_t, nvmlProcessUtilizationInfo_v1_t);
SAME_SIZE(nvmlProcessesUtilizationInfo_v1_t, nvmlProcessesUtilizationInfo_v1_t);
SAME_SIZE(nvmlSample_t, nvmlSample_t);
SAME_SIZE(nvmlFieldValue_t, nvmlFieldValue_t);
SAME_PLACE(nvmlFieldValue_t, nvmlFieldValue_t, value);
SAME_VALUE(NVML_ERROR_NOT_SUPPORTED);
SAME_VALUE(NVML_ERROR_INSUFFICIENT_SIZE);
SAME_VALUE(NVML_ERROR_DRIVER_NOT_LOADED);
SAME_VALUE(NVML_ERROR_GPU_IS_LOST);
SAME_VALUE(NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
