// SPDX-License-Identifier: Apache-2.0
#include "simgpu/internal/cuda/process.h"

namespace sluice::simgpu {
namespace {

struct ErrorRow {
  CUresult code;
  const char* name;
  const char* text;
};

#define ERROR_ROW(code, text) \
  { code, #code, text }
constexpr ErrorRow kErrors[] = {
    ERROR_ROW(CUDA_SUCCESS, "no error"),
    ERROR_ROW(CUDA_ERROR_INVALID_VALUE, "invalid argument"),
    ERROR_ROW(CUDA_ERROR_OUT_OF_MEMORY, "out of memory"),
    ERROR_ROW(CUDA_ERROR_NOT_INITIALIZED, "initialization error"),
    ERROR_ROW(CUDA_ERROR_DEINITIALIZED, "driver shutting down"),
    ERROR_ROW(CUDA_ERROR_DEVICE_UNAVAILABLE, "device is busy or unavailable"),
    ERROR_ROW(CUDA_ERROR_NO_DEVICE, "no CUDA-capable device is detected"),
    ERROR_ROW(CUDA_ERROR_INVALID_DEVICE, "invalid device ordinal"),
    ERROR_ROW(CUDA_ERROR_INVALID_IMAGE, "device kernel image is invalid"),
    ERROR_ROW(CUDA_ERROR_INVALID_CONTEXT, "invalid device context"),
    ERROR_ROW(CUDA_ERROR_MAP_FAILED, "mapping of buffer object failed"),
    ERROR_ROW(CUDA_ERROR_UNMAP_FAILED, "unmapping of buffer object failed"),
    ERROR_ROW(CUDA_ERROR_ALREADY_MAPPED, "resource already mapped"),
    ERROR_ROW(CUDA_ERROR_NOT_MAPPED, "resource not mapped"),
    ERROR_ROW(CUDA_ERROR_UNSUPPORTED_LIMIT, "limit is not supported"),
    ERROR_ROW(CUDA_ERROR_PEER_ACCESS_UNSUPPORTED, "peer access is not supported"),
    ERROR_ROW(CUDA_ERROR_INVALID_PTX, "a PTX text could not be read"),
    ERROR_ROW(CUDA_ERROR_INVALID_SOURCE, "device kernel image is invalid"),
    ERROR_ROW(CUDA_ERROR_FILE_NOT_FOUND, "file not found"),
    ERROR_ROW(CUDA_ERROR_OPERATING_SYSTEM, "an operating system call failed"),
    ERROR_ROW(CUDA_ERROR_INVALID_HANDLE, "invalid resource handle"),
    ERROR_ROW(CUDA_ERROR_ILLEGAL_STATE, "the operation cannot be done in the present state"),
    ERROR_ROW(CUDA_ERROR_NOT_FOUND, "named symbol not found"),
    ERROR_ROW(CUDA_ERROR_NOT_READY, "device not ready"),
    ERROR_ROW(CUDA_ERROR_ILLEGAL_ADDRESS, "an illegal memory access was encountered"),
    ERROR_ROW(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "too many resources requested for launch"),
    ERROR_ROW(CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED, "peer access is already enabled"),
    ERROR_ROW(CUDA_ERROR_PEER_ACCESS_NOT_ENABLED, "peer access has not been enabled"),
    ERROR_ROW(CUDA_ERROR_PRIMARY_CONTEXT_ACTIVE, "the primary context is already active"),
    ERROR_ROW(CUDA_ERROR_CONTEXT_IS_DESTROYED, "context is destroyed"),
    ERROR_ROW(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, "host memory is already registered"),
    ERROR_ROW(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, "host memory is not registered"),
    ERROR_ROW(CUDA_ERROR_NOT_PERMITTED, "operation not permitted"),
    ERROR_ROW(CUDA_ERROR_NOT_SUPPORTED, "operation not supported"),
    ERROR_ROW(CUDA_ERROR_SYSTEM_NOT_READY, "system not yet initialized"),
    ERROR_ROW(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "not permitted while a stream is capturing"),
    ERROR_ROW(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "the capture failed earlier"),
    ERROR_ROW(CUDA_ERROR_STREAM_CAPTURE_MERGE, "two captures would be merged"),
    ERROR_ROW(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, "the capture did not begin in this stream"),
    ERROR_ROW(CUDA_ERROR_STREAM_CAPTURE_UNJOINED, "the capture was not joined to its origin"),
    ERROR_ROW(CUDA_ERROR_STREAM_CAPTURE_ISOLATION, "a dependency outside the capture"),
    ERROR_ROW(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, "a capture would depend on the legacy stream"),
    ERROR_ROW(CUDA_ERROR_CAPTURED_EVENT, "the event was last recorded in a capture"),
    ERROR_ROW(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, "the capture ends on the wrong thread"),
    ERROR_ROW(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, "the graph update changes its shape"),
    ERROR_ROW(CUDA_ERROR_INVALID_RESOURCE_TYPE, "not that type of resource"),
    ERROR_ROW(CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION, "the resources do not go together"),
    ERROR_ROW(CUDA_ERROR_UNKNOWN, "unknown error"),
};
#undef ERROR_ROW

const ErrorRow* Find(int code) {
  for (const ErrorRow& row : kErrors) {
    if (row.code == code) return &row;
  }
  return nullptr;
}

}  // namespace

SLUICE_SIM_CALL cuGetErrorName(int code, const char** name) {
  if (name == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const ErrorRow* row = Find(code);
  *name = row == nullptr ? nullptr : row->name;
  return row == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

SLUICE_SIM_CALL cuGetErrorString(int code, const char** text) {
  if (text == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const ErrorRow* row = Find(code);
  *text = row == nullptr ? nullptr : row->text;
  return row == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

}  // namespace sluice::simgpu
