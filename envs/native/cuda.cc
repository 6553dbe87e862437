// The calls of batch.cc in XLA programs on an NVIDIA GPU: their arrays are copied to pinned host memory, stepped there
// by the same code on the processor's cores, and copied back on the program's stream. So the bits are the processor's.
//
// The driver is opened at first use, which needs neither its headers nor a toolkit when this is built.
//
// XLA records a call in a CUDA graph only if its handler has the trait kCmdBufferCompatible. These must not have it: a
// graph would repeat the copies without the steps between them.
//
// Two programs in turns (one acts, the host steps, one learns) would not be faster. A step needs the action of the
// policy after the last update, and an update the transition of the last step: nothing overlaps unless the agent acts
// with an older policy, and is another agent. Left is what surrounds a step: here two waits for the stream and eleven
// copies, each a few microseconds; there two launches from Python with all weights as arguments.

#include <dlfcn.h>

#include <cstdlib>
#include <initializer_list>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "batch.h"

namespace {

namespace ffi = prospect::ffi;
using prospect::Flags, prospect::Floats, prospect::Words;

using Status = int;  // CUresult; 0 is success
using Stream = struct CUstream_st*;
using Event = struct CUevent_st*;
using Address = unsigned long long;  // CUdeviceptr

constexpr unsigned kPortable = 1;       // CU_MEMHOSTALLOC_PORTABLE
constexpr unsigned kDisableTiming = 2;  // CU_EVENT_DISABLE_TIMING

// The driver's functions that are used here; `error` says why there are none.
struct Driver {
  Status (*to_host)(void*, Address, size_t, Stream);
  Status (*to_device)(Address, const void*, size_t, Stream);
  Status (*synchronize)(Stream);
  Status (*allocate)(void**, size_t, unsigned);
  Status (*create_event)(Event*, unsigned);
  Status (*record)(Event, Stream);
  Status (*wait)(Event);
  Status (*words)(Status, const char**);
  std::string error;

  Driver() {
    const char* chosen = std::getenv("PROSPECT_LIBCUDA");  // another driver; tests have one of their own
    void* library = dlopen(chosen ? chosen : "libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      error = std::string("the CUDA driver cannot be opened: ") + dlerror();
      return;
    }
    Find(library, "cuMemcpyDtoHAsync_v2", &to_host);
    Find(library, "cuMemcpyHtoDAsync_v2", &to_device);
    Find(library, "cuStreamSynchronize", &synchronize);
    Find(library, "cuMemHostAlloc", &allocate);
    Find(library, "cuEventCreate", &create_event);
    Find(library, "cuEventRecord", &record);
    Find(library, "cuEventSynchronize", &wait);
    Find(library, "cuGetErrorString", &words);
  }

  template <typename Function>
  void Find(void* library, const char* name, Function* place) {
    *place = reinterpret_cast<Function>(dlsym(library, name));
    if (*place == nullptr) error = std::string("the CUDA driver has no ") + name;
  }
};

const Driver& driver() {
  static const Driver* one = new Driver;
  return *one;
}

ffi::Error Failed(Status status) {
  const char* words = nullptr;
  if (driver().words(status, &words) || words == nullptr) words = "unknown error";
  return ffi::Error::Internal("MuJoCo on the GPU: CUDA error " + std::to_string(status) + ", " + words);
}

// Pinned memory for the arrays of one call. The stream may still copy from it when the call has returned.
struct Block {
  char* data = nullptr;
  Event copied = nullptr;  // recorded after the last copy from it
};

// Blocks not in use, by device and bytes, for the next call of that size on any stream. Never freed.
struct Pool {
  std::mutex mutex;
  std::map<std::pair<int, size_t>, std::vector<Block>> idle;
};

Pool& pool() {
  static Pool* one = new Pool;
  return *one;
}

// A block that nothing copies from any more.
Status Take(int device, size_t bytes, Block* block) {
  {
    std::lock_guard<std::mutex> lock(pool().mutex);
    auto& idle = pool().idle[{device, bytes}];
    if (!idle.empty()) {
      *block = idle.back();
      idle.pop_back();
    }
  }
  if (block->data != nullptr) return driver().wait(block->copied);
  if (Status status = driver().allocate(reinterpret_cast<void**>(&block->data), bytes, kPortable)) return status;
  return driver().create_event(&block->copied, kDisableTiming);
}

void Give(int device, size_t bytes, const Block& block) {
  std::lock_guard<std::mutex> lock(pool().mutex);
  pool().idle[{device, bytes}].push_back(block);
}

// An array of a call, on the device.
struct Array {
  template <typename Buffer>
  Array(const Buffer& buffer) : address(reinterpret_cast<Address>(buffer.untyped_data())), bytes(buffer.size_bytes()) {}
  Address address;
  size_t bytes;
};

// Copy the arrays `in` to the host, call work(copies of `in`, memory for `out`), and copy that memory to `out`.
template <typename Work>
ffi::Error OnHost(Stream stream, int device, std::initializer_list<Array> in, std::initializer_list<Array> out,
                  Work work) {
  const Driver& cuda = driver();
  if (!cuda.error.empty()) return ffi::Error::Internal(cuda.error);
  size_t bytes = 0;
  std::vector<size_t> starts;
  for (const auto& arrays : {in, out}) {
    for (const Array& array : arrays) {
      starts.push_back(bytes);
      bytes += (array.bytes + 63) / 64 * 64;
    }
  }
  // After an error of the driver the block is not used again, because the stream's copies may not have ended.
  Block block;
  Status status = Take(device, bytes, &block);
  std::vector<char*> host;
  for (size_t start : starts) host.push_back(block.data + start);
  char** const from = host.data();
  char** const to = from + in.size();
  for (size_t i = 0; i < in.size() && !status; ++i) {
    const Array& array = in.begin()[i];
    if (array.bytes) status = cuda.to_host(from[i], array.address, array.bytes, stream);
  }
  if (!status) status = cuda.synchronize(stream);
  if (status) return Failed(status);
  ffi::Error error = work(from, to);
  for (size_t i = 0; i < out.size() && !status && error.success(); ++i) {
    const Array& array = out.begin()[i];
    if (array.bytes) status = cuda.to_device(array.address, to[i], array.bytes, stream);
  }
  if (!status) status = cuda.record(block.copied, stream);
  if (status) return Failed(status);
  Give(device, bytes, block);
  return error;
}

template <typename T>
T* As(char* data) {
  return reinterpret_cast<T*>(data);
}

ffi::Error ResetOnHost(Floats qpos, Floats qvel, Flags wanted, ffi::Result<Words> rows, ffi::Result<Floats> reads,
                       std::string_view key, Stream stream, int device) {
  return OnHost(stream, device, {qpos, qvel, wanted}, {*rows, *reads}, [&](char** in, char** out) {
    return prospect::ResetRows(key, static_cast<int>(wanted.element_count()), As<float>(in[0]), As<float>(in[1]),
                               As<bool>(in[2]), As<uint32_t>(out[0]), As<float>(out[1]));
  });
}

ffi::Error StepOnHost(Words rows, Floats control, Flags wanted, ffi::Result<Words> rows_out, ffi::Result<Floats> reads,
                      ffi::Result<Flags> failed, std::string_view key, Stream stream, int device) {
  return OnHost(stream, device, {rows, control, wanted}, {*rows_out, *reads, *failed}, [&](char** in, char** out) {
    return prospect::StepRows(key, static_cast<int>(wanted.element_count()), As<uint32_t>(in[0]), As<float>(in[1]),
                              As<bool>(in[2]), As<uint32_t>(out[0]), As<float>(out[1]), As<bool>(out[2]));
  });
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(ProspectResetCuda, ResetOnHost,
                              prospect::ResetBinding().Ctx<ffi::PlatformStream<Stream>>().Ctx<ffi::DeviceOrdinal>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(ProspectStepCuda, StepOnHost,
                              prospect::StepBinding().Ctx<ffi::PlatformStream<Stream>>().Ctx<ffi::DeviceOrdinal>());

// Called from Python (ctypes): why there is no driver, or "".
extern "C" const char* ProspectDriver() { return driver().error.c_str(); }
