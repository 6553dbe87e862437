// The handlers of cuda.cc as targets of CPU programs, whose arrays count as device memory of the fake driver.

#include "cuda.cc"

namespace {

Stream stream(int number) { return reinterpret_cast<Stream>(static_cast<size_t>(number)); }

// Wait for what a handler has left to its stream, as a GPU program would.
ffi::Error Ended(ffi::Error error) {
  if (driver().error.empty()) driver().synchronize(stream(1));
  return error;
}

ffi::Error Reset(Floats qpos, Floats qvel, Flags wanted, ffi::Result<Words> rows, ffi::Result<Floats> reads,
                 std::string_view key) {
  return Ended(ResetOnHost(qpos, qvel, wanted, rows, reads, key, stream(1), 0));
}

ffi::Error Step(Words rows, Floats control, Flags wanted, ffi::Result<Words> rows_out, ffi::Result<Floats> reads,
                ffi::Result<Flags> failed, std::string_view key) {
  return Ended(StepOnHost(rows, control, wanted, rows_out, reads, failed, key, stream(1), 0));
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(StagedReset, Reset, prospect::ResetBinding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(StagedStep, Step, prospect::StepBinding());

// Double the numbers of `count` arrays, [count, size], each on a stream of its own; wait for all only at the end.
extern "C" void StagedDouble(const float* in, float* out, int size, int count) {
  struct Floats {
    const void* data;
    size_t bytes;
    void* untyped_data() const { return const_cast<void*>(data); }
    size_t size_bytes() const { return bytes; }
  };
  const size_t bytes = size * sizeof(float);
  for (int i = 0; i < count; ++i) {
    const Floats from_here{in + i * size, bytes}, to_here{out + i * size, bytes};
    OnHost(stream(2 + i), 0, {from_here}, {to_here}, [&](char** from, char** to) {
      for (int j = 0; j < size; ++j) As<float>(to[0])[j] = 2 * As<float>(from[0])[j];
      return ffi::Error::Success();
    });
  }
  for (int i = 0; i < count; ++i) driver().synchronize(stream(2 + i));
}
