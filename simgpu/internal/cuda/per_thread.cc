// SPDX-License-Identifier: Apache-2.0
#include "simgpu/internal/cuda/stream.h"

// The forms of calls whose stream 0 is the calling thread's own: `_ptsz` of calls with a stream,
// `_ptds` of those without. One row a call: its name and its arguments' types.
namespace sluice::simgpu {

struct ArrayMapInfo;
struct BatchCopy3D;
union BatchMemOp;

// clang-format off
#define SIM_PER_THREAD(call, form, types, parameters, arguments) \
  SLUICE_SIM_CALL call types;                                     \
  SLUICE_SIM_CALL call##form parameters {                         \
    PerThreadScope scope;                                         \
    return call arguments;                                        \
  }
#define SIM_PTSZ(call, types, parameters, arguments) \
  SIM_PER_THREAD(call, _ptsz, types, parameters, arguments)
#define SIM_PTDS(call, types, parameters, arguments) \
  SIM_PER_THREAD(call, _ptds, types, parameters, arguments)

SIM_PTSZ(cuEventRecord, (CUevent, CUstream), (CUevent a, CUstream b), (a, b))
SIM_PTSZ(cuEventRecordWithFlags, (CUevent, CUstream, unsigned), (CUevent a, CUstream b, unsigned c), (a, b, c))
SIM_PTSZ(cuGraphInstantiateWithParams, (CUgraphExec*, CUgraph, CUDA_GRAPH_INSTANTIATE_PARAMS*), (CUgraphExec* a, CUgraph b, CUDA_GRAPH_INSTANTIATE_PARAMS* c), (a, b, c))
SIM_PTSZ(cuGraphLaunch, (CUgraphExec, CUstream), (CUgraphExec a, CUstream b), (a, b))
SIM_PTSZ(cuGraphUpload, (CUgraphExec, CUstream), (CUgraphExec a, CUstream b), (a, b))
SIM_PTSZ(cuLaunchCooperativeKernel, (CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, CUstream, void**), (CUfunction a, unsigned b, unsigned c, unsigned d, unsigned e, unsigned f, unsigned g, unsigned h, CUstream i, void** j), (a, b, c, d, e, f, g, h, i, j))
SIM_PTSZ(cuLaunchHostFunc, (CUstream, CUhostFn, void*), (CUstream a, CUhostFn b, void* c), (a, b, c))
SIM_PTSZ(cuLaunchKernel, (CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, CUstream, void**, void**), (CUfunction a, unsigned b, unsigned c, unsigned d, unsigned e, unsigned f, unsigned g, unsigned h, CUstream i, void** j, void** k), (a, b, c, d, e, f, g, h, i, j, k))
SIM_PTSZ(cuLaunchKernelEx, (const CUlaunchConfig*, CUfunction, void**, void**), (const CUlaunchConfig* a, CUfunction b, void** c, void** d), (a, b, c, d))
SIM_PTSZ(cuMemAllocAsync, (CUdeviceptr*, size_t, CUstream), (CUdeviceptr* a, size_t b, CUstream c), (a, b, c))
SIM_PTSZ(cuMemAllocFromPoolAsync, (CUdeviceptr*, size_t, CUmemoryPool, CUstream), (CUdeviceptr* a, size_t b, CUmemoryPool c, CUstream d), (a, b, c, d))
SIM_PTSZ(cuMemFreeAsync, (CUdeviceptr, CUstream), (CUdeviceptr a, CUstream b), (a, b))
SIM_PTDS(cuMemcpy, (CUdeviceptr, CUdeviceptr, size_t), (CUdeviceptr a, CUdeviceptr b, size_t c), (a, b, c))
SIM_PTSZ(cuMemcpy2DAsync_v2, (const CUDA_MEMCPY2D*, CUstream), (const CUDA_MEMCPY2D* a, CUstream b), (a, b))
SIM_PTDS(cuMemcpy2DUnaligned_v2, (const CUDA_MEMCPY2D*), (const CUDA_MEMCPY2D* a), (a))
SIM_PTDS(cuMemcpy2D_v2, (const CUDA_MEMCPY2D*), (const CUDA_MEMCPY2D* a), (a))
SIM_PTSZ(cuMemcpy3DAsync_v2, (const CUDA_MEMCPY3D*, CUstream), (const CUDA_MEMCPY3D* a, CUstream b), (a, b))
SIM_PTDS(cuMemcpy3DPeer, (const CUDA_MEMCPY3D*), (const CUDA_MEMCPY3D* a), (a))
SIM_PTSZ(cuMemcpy3DPeerAsync, (const CUDA_MEMCPY3D*, CUstream), (const CUDA_MEMCPY3D* a, CUstream b), (a, b))
SIM_PTDS(cuMemcpy3D_v2, (const CUDA_MEMCPY3D*), (const CUDA_MEMCPY3D* a), (a))
SIM_PTSZ(cuMemcpyAsync, (CUdeviceptr, CUdeviceptr, size_t, CUstream), (CUdeviceptr a, CUdeviceptr b, size_t c, CUstream d), (a, b, c, d))
SIM_PTDS(cuMemcpyAtoA_v2, (CUarray, size_t, CUarray, size_t, size_t), (CUarray a, size_t b, CUarray c, size_t d, size_t e), (a, b, c, d, e))
SIM_PTDS(cuMemcpyAtoD_v2, (CUdeviceptr, CUarray, size_t, size_t), (CUdeviceptr a, CUarray b, size_t c, size_t d), (a, b, c, d))
SIM_PTSZ(cuMemcpyAtoHAsync_v2, (void*, CUarray, size_t, size_t, CUstream), (void* a, CUarray b, size_t c, size_t d, CUstream e), (a, b, c, d, e))
SIM_PTDS(cuMemcpyAtoH_v2, (void*, CUarray, size_t, size_t), (void* a, CUarray b, size_t c, size_t d), (a, b, c, d))
SIM_PTDS(cuMemcpyDtoA_v2, (CUarray, size_t, CUdeviceptr, size_t), (CUarray a, size_t b, CUdeviceptr c, size_t d), (a, b, c, d))
SIM_PTSZ(cuMemcpyDtoDAsync_v2, (CUdeviceptr, CUdeviceptr, size_t, CUstream), (CUdeviceptr a, CUdeviceptr b, size_t c, CUstream d), (a, b, c, d))
SIM_PTDS(cuMemcpyDtoD_v2, (CUdeviceptr, CUdeviceptr, size_t), (CUdeviceptr a, CUdeviceptr b, size_t c), (a, b, c))
SIM_PTSZ(cuMemcpyDtoHAsync_v2, (void*, CUdeviceptr, size_t, CUstream), (void* a, CUdeviceptr b, size_t c, CUstream d), (a, b, c, d))
SIM_PTDS(cuMemcpyDtoH_v2, (void*, CUdeviceptr, size_t), (void* a, CUdeviceptr b, size_t c), (a, b, c))
SIM_PTSZ(cuMemcpyHtoAAsync_v2, (CUarray, size_t, const void*, size_t, CUstream), (CUarray a, size_t b, const void* c, size_t d, CUstream e), (a, b, c, d, e))
SIM_PTDS(cuMemcpyHtoA_v2, (CUarray, size_t, const void*, size_t), (CUarray a, size_t b, const void* c, size_t d), (a, b, c, d))
SIM_PTSZ(cuMemcpyHtoDAsync_v2, (CUdeviceptr, const void*, size_t, CUstream), (CUdeviceptr a, const void* b, size_t c, CUstream d), (a, b, c, d))
SIM_PTDS(cuMemcpyHtoD_v2, (CUdeviceptr, const void*, size_t), (CUdeviceptr a, const void* b, size_t c), (a, b, c))
SIM_PTDS(cuMemcpyPeer, (CUdeviceptr, CUcontext, CUdeviceptr, CUcontext, size_t), (CUdeviceptr a, CUcontext b, CUdeviceptr c, CUcontext d, size_t e), (a, b, c, d, e))
SIM_PTSZ(cuMemcpyPeerAsync, (CUdeviceptr, CUcontext, CUdeviceptr, CUcontext, size_t, CUstream), (CUdeviceptr a, CUcontext b, CUdeviceptr c, CUcontext d, size_t e, CUstream f), (a, b, c, d, e, f))
SIM_PTSZ(cuMemsetD16Async, (CUdeviceptr, unsigned short, size_t, CUstream), (CUdeviceptr a, unsigned short b, size_t c, CUstream d), (a, b, c, d))
SIM_PTDS(cuMemsetD16_v2, (CUdeviceptr, unsigned short, size_t), (CUdeviceptr a, unsigned short b, size_t c), (a, b, c))
SIM_PTSZ(cuMemsetD2D16Async, (CUdeviceptr, size_t, unsigned short, size_t, size_t, CUstream), (CUdeviceptr a, size_t b, unsigned short c, size_t d, size_t e, CUstream f), (a, b, c, d, e, f))
SIM_PTDS(cuMemsetD2D16_v2, (CUdeviceptr, size_t, unsigned short, size_t, size_t), (CUdeviceptr a, size_t b, unsigned short c, size_t d, size_t e), (a, b, c, d, e))
SIM_PTSZ(cuMemsetD2D32Async, (CUdeviceptr, size_t, unsigned, size_t, size_t, CUstream), (CUdeviceptr a, size_t b, unsigned c, size_t d, size_t e, CUstream f), (a, b, c, d, e, f))
SIM_PTDS(cuMemsetD2D32_v2, (CUdeviceptr, size_t, unsigned, size_t, size_t), (CUdeviceptr a, size_t b, unsigned c, size_t d, size_t e), (a, b, c, d, e))
SIM_PTSZ(cuMemsetD2D8Async, (CUdeviceptr, size_t, unsigned char, size_t, size_t, CUstream), (CUdeviceptr a, size_t b, unsigned char c, size_t d, size_t e, CUstream f), (a, b, c, d, e, f))
SIM_PTDS(cuMemsetD2D8_v2, (CUdeviceptr, size_t, unsigned char, size_t, size_t), (CUdeviceptr a, size_t b, unsigned char c, size_t d, size_t e), (a, b, c, d, e))
SIM_PTSZ(cuMemsetD32Async, (CUdeviceptr, unsigned, size_t, CUstream), (CUdeviceptr a, unsigned b, size_t c, CUstream d), (a, b, c, d))
SIM_PTDS(cuMemsetD32_v2, (CUdeviceptr, unsigned, size_t), (CUdeviceptr a, unsigned b, size_t c), (a, b, c))
SIM_PTSZ(cuMemsetD8Async, (CUdeviceptr, unsigned char, size_t, CUstream), (CUdeviceptr a, unsigned char b, size_t c, CUstream d), (a, b, c, d))
SIM_PTDS(cuMemsetD8_v2, (CUdeviceptr, unsigned char, size_t), (CUdeviceptr a, unsigned char b, size_t c), (a, b, c))
SIM_PTSZ(cuStreamAddCallback, (CUstream, CUstreamCallback, void*, unsigned), (CUstream a, CUstreamCallback b, void* c, unsigned d), (a, b, c, d))
SIM_PTSZ(cuStreamBeginCapture, (CUstream), (CUstream a), (a))
SIM_PTSZ(cuStreamBeginCaptureToGraph, (CUstream, CUgraph, const CUgraphNode*, const void*, size_t, int), (CUstream a, CUgraph b, const CUgraphNode* c, const void* d, size_t e, int f), (a, b, c, d, e, f))
SIM_PTSZ(cuStreamBeginCapture_v2, (CUstream, int), (CUstream a, int b), (a, b))
SIM_PTSZ(cuStreamEndCapture, (CUstream, CUgraph*), (CUstream a, CUgraph* b), (a, b))
SIM_PTSZ(cuStreamGetCaptureInfo, (CUstream, int*, uint64_t*), (CUstream a, int* b, uint64_t* c), (a, b, c))
SIM_PTSZ(cuStreamGetCaptureInfo_v2, (CUstream, int*, uint64_t*, CUgraph*, const CUgraphNode**, size_t*), (CUstream a, int* b, uint64_t* c, CUgraph* d, const CUgraphNode** e, size_t* f), (a, b, c, d, e, f))
SIM_PTSZ(cuStreamGetCaptureInfo_v3, (CUstream, int*, uint64_t*, CUgraph*, const CUgraphNode**, const void**, size_t*), (CUstream a, int* b, uint64_t* c, CUgraph* d, const CUgraphNode** e, const void** f, size_t* g), (a, b, c, d, e, f, g))
SIM_PTSZ(cuStreamGetCtx, (CUstream, CUcontext*), (CUstream a, CUcontext* b), (a, b))
SIM_PTSZ(cuStreamGetCtx_v2, (CUstream, CUcontext*, void**), (CUstream a, CUcontext* b, void** c), (a, b, c))
SIM_PTSZ(cuStreamGetDevice, (CUstream, CUdevice*), (CUstream a, CUdevice* b), (a, b))
SIM_PTSZ(cuStreamGetFlags, (CUstream, unsigned*), (CUstream a, unsigned* b), (a, b))
SIM_PTSZ(cuStreamGetId, (CUstream, unsigned long long*), (CUstream a, unsigned long long* b), (a, b))
SIM_PTSZ(cuStreamGetPriority, (CUstream, int*), (CUstream a, int* b), (a, b))
SIM_PTSZ(cuStreamIsCapturing, (CUstream, int*), (CUstream a, int* b), (a, b))
SIM_PTSZ(cuStreamQuery, (CUstream), (CUstream a), (a))
SIM_PTSZ(cuStreamSynchronize, (CUstream), (CUstream a), (a))
SIM_PTSZ(cuStreamUpdateCaptureDependencies, (CUstream, CUgraphNode*, size_t, unsigned), (CUstream a, CUgraphNode* b, size_t c, unsigned d), (a, b, c, d))
SIM_PTSZ(cuStreamUpdateCaptureDependencies_v2, (CUstream, CUgraphNode*, const void*, size_t, unsigned), (CUstream a, CUgraphNode* b, const void* c, size_t d, unsigned e), (a, b, c, d, e))
SIM_PTSZ(cuStreamWaitEvent, (CUstream, CUevent, unsigned), (CUstream a, CUevent b, unsigned c), (a, b, c))
SIM_PTSZ(cuStreamWaitValue32, (CUstream, CUdeviceptr, uint32_t, unsigned), (CUstream a, CUdeviceptr b, uint32_t c, unsigned d), (a, b, c, d))
SIM_PTSZ(cuStreamWaitValue32_v2, (CUstream, CUdeviceptr, uint32_t, unsigned), (CUstream a, CUdeviceptr b, uint32_t c, unsigned d), (a, b, c, d))
SIM_PTSZ(cuStreamWaitValue64, (CUstream, CUdeviceptr, uint64_t, unsigned), (CUstream a, CUdeviceptr b, uint64_t c, unsigned d), (a, b, c, d))
SIM_PTSZ(cuStreamWaitValue64_v2, (CUstream, CUdeviceptr, uint64_t, unsigned), (CUstream a, CUdeviceptr b, uint64_t c, unsigned d), (a, b, c, d))
SIM_PTSZ(cuStreamWriteValue32, (CUstream, CUdeviceptr, uint32_t, unsigned), (CUstream a, CUdeviceptr b, uint32_t c, unsigned d), (a, b, c, d))
SIM_PTSZ(cuStreamWriteValue32_v2, (CUstream, CUdeviceptr, uint32_t, unsigned), (CUstream a, CUdeviceptr b, uint32_t c, unsigned d), (a, b, c, d))
SIM_PTSZ(cuStreamWriteValue64, (CUstream, CUdeviceptr, uint64_t, unsigned), (CUstream a, CUdeviceptr b, uint64_t c, unsigned d), (a, b, c, d))
SIM_PTSZ(cuStreamWriteValue64_v2, (CUstream, CUdeviceptr, uint64_t, unsigned), (CUstream a, CUdeviceptr b, uint64_t c, unsigned d), (a, b, c, d))
SIM_PTSZ(cuMemDiscardAndPrefetchBatchAsync, (CUdeviceptr*, size_t*, size_t, CUmemLocation*, size_t*, size_t, unsigned long long, CUstream), (CUdeviceptr* a, size_t* b, size_t c, CUmemLocation* d, size_t* e, size_t f, unsigned long long g, CUstream h), (a, b, c, d, e, f, g, h))
SIM_PTSZ(cuMemDiscardBatchAsync, (CUdeviceptr*, size_t*, size_t, unsigned long long, CUstream), (CUdeviceptr* a, size_t* b, size_t c, unsigned long long d, CUstream e), (a, b, c, d, e))
SIM_PTSZ(cuMemMapArrayAsync, (const ArrayMapInfo*, unsigned, CUstream), (const ArrayMapInfo* a, unsigned b, CUstream c), (a, b, c))
SIM_PTSZ(cuMemPrefetchAsync, (CUdeviceptr, size_t, CUdevice, CUstream), (CUdeviceptr a, size_t b, CUdevice c, CUstream d), (a, b, c, d))
SIM_PTSZ(cuMemPrefetchAsync_v2, (CUdeviceptr, size_t, CUmemLocation, unsigned, CUstream), (CUdeviceptr a, size_t b, CUmemLocation c, unsigned d, CUstream e), (a, b, c, d, e))
SIM_PTSZ(cuMemPrefetchBatchAsync, (CUdeviceptr*, size_t*, size_t, CUmemLocation*, size_t*, size_t, unsigned long long, CUstream), (CUdeviceptr* a, size_t* b, size_t c, CUmemLocation* d, size_t* e, size_t f, unsigned long long g, CUstream h), (a, b, c, d, e, f, g, h))
SIM_PTSZ(cuMemcpy3DBatchAsync, (size_t, const BatchCopy3D*, size_t*, unsigned long long, CUstream), (size_t a, const BatchCopy3D* b, size_t* c, unsigned long long d, CUstream e), (a, b, c, d, e))
SIM_PTSZ(cuMemcpy3DBatchAsync_v2, (size_t, const BatchCopy3D*, unsigned long long, CUstream), (size_t a, const BatchCopy3D* b, unsigned long long c, CUstream d), (a, b, c, d))
SIM_PTSZ(cuMemcpyBatchAsync, (CUdeviceptr*, CUdeviceptr*, size_t*, size_t, void*, size_t*, size_t, size_t*, CUstream), (CUdeviceptr* a, CUdeviceptr* b, size_t* c, size_t d, void* e, size_t* f, size_t g, size_t* h, CUstream i), (a, b, c, d, e, f, g, h, i))
SIM_PTSZ(cuMemcpyBatchAsync_v2, (CUdeviceptr*, CUdeviceptr*, size_t*, size_t, void*, size_t*, size_t, CUstream), (CUdeviceptr* a, CUdeviceptr* b, size_t* c, size_t d, void* e, size_t* f, size_t g, CUstream h), (a, b, c, d, e, f, g, h))
SIM_PTSZ(cuStreamAttachMemAsync, (CUstream, CUdeviceptr, size_t, unsigned), (CUstream a, CUdeviceptr b, size_t c, unsigned d), (a, b, c, d))
SIM_PTSZ(cuStreamBatchMemOp, (CUstream, unsigned, const BatchMemOp*, unsigned), (CUstream a, unsigned b, const BatchMemOp* c, unsigned d), (a, b, c, d))
SIM_PTSZ(cuStreamBatchMemOp_v2, (CUstream, unsigned, const BatchMemOp*, unsigned), (CUstream a, unsigned b, const BatchMemOp* c, unsigned d), (a, b, c, d))
#undef SIM_PTDS
#undef SIM_PTSZ
#undef SIM_PER_THREAD
// clang-format on

}  // namespace sluice::simgpu
