// The calls of batch.cc on arrays in host memory, and how XLA binds them; cuda.cc uses both.

#pragma once

#include <cstdint>
#include <string_view>

#include "xla/ffi/api/ffi.h"

namespace prospect {

namespace ffi = xla::ffi;

using Floats = ffi::Buffer<ffi::F32>;
using Words = ffi::Buffer<ffi::U32>;
using Flags = ffi::Buffer<ffi::PRED>;

// See `Physics.reset` in physics.py; `key` names the physics, `count` is the number of simulations.
ffi::Error ResetRows(std::string_view key, int count, const float* qpos, const float* qvel, const bool* wanted,
                     uint32_t* rows, float* reads);

// See `Physics.step`.
ffi::Error StepRows(std::string_view key, int count, const uint32_t* rows, const float* control, const bool* wanted,
                    uint32_t* rows_out, float* reads, bool* failed);

inline auto ResetBinding() {
  return ffi::Ffi::Bind()
      .Arg<Floats>()
      .Arg<Floats>()
      .Arg<Flags>()
      .Ret<Words>()
      .Ret<Floats>()
      .Attr<std::string_view>("key");
}

inline auto StepBinding() {
  return ffi::Ffi::Bind()
      .Arg<Words>()
      .Arg<Floats>()
      .Arg<Flags>()
      .Ret<Words>()
      .Ret<Floats>()
      .Ret<Flags>()
      .Attr<std::string_view>("key");
}

}  // namespace prospect
