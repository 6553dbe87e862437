// Native MuJoCo as a pure XLA function: rows of state in, rows of state out, no state kept between calls.
//
// A row is the simulation's mjSTATE_INTEGRATION state, followed by the derived fields of the last step that a read
// of kind `rate` needs (e.g. xpos). It is passed as opaque 32-bit words, so that its doubles stay exact in programs
// that have only float32. The numbers that a task observes ("reads") are computed here in double precision and
// returned by the same call as float32.
//
// Physics are registered under a hash of their content. Compiled programs refer to them by this hash, never by a
// pointer, so that a program cached on disk works in another process.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <mujoco/mjbatch.h>
#include <mujoco/mujoco.h>

#include "batch.h"

namespace {

namespace ffi = prospect::ffi;
using prospect::Flags, prospect::Floats, prospect::Words;

// Mirrors of `FIELDS` and `KINDS` in physics.py.
enum Field { kQpos, kQvel, kXpos, kSiteXpos, kCfrcExt, kSensor };
enum Kind { kValue, kRate, kCos, kSin, kDifference };

struct Read {
  int field, start, count, kind, other;
  bool Carried() const { return kind == kRate && field != kQpos && field != kQvel; }
};

struct Physics {
  mjModel* model;
  int substeps;
  bool contact;  // whether contact forces (cfrc_ext) are computed after a step
  std::vector<Read> reads;
  int nstate, ncarry, nread;
  int row() const { return nstate + ncarry; }
};

const mjtNum* Find(const mjData* d, int field) {
  switch (field) {
    case kQpos: return d->qpos;
    case kQvel: return d->qvel;
    case kXpos: return d->xpos;
    case kSiteXpos: return d->site_xpos;
    case kCfrcExt: return d->cfrc_ext;
    default: return d->sensordata;
  }
}

// Everything that persists between calls. Never freed: its threads must not be joined at process exit.
struct Library {
  std::mutex mutex;
  std::map<std::string, std::unique_ptr<Physics>, std::less<>> physics;
  std::map<std::pair<const Physics*, int>, std::vector<mjBatch*>> idle;  // engines not in use
  int threads = 1;
  std::string failure;  // human-readable message of the last failure
};

Library& library() {
  static Library* one = new Library;
  return *one;
}

// An engine for one call: an idle one, or a new one.
class Engine {
 public:
  Engine(const Physics* physics, int count) : key_(physics, count) {
    int threads;
    {
      std::lock_guard<std::mutex> lock(library().mutex);
      threads = std::max(1, std::min(library().threads, count));
      auto& idle = library().idle[key_];
      while (!idle.empty() && batch_ == nullptr) {
        batch_ = idle.back();
        idle.pop_back();
        if (mjb_nthread(batch_) != threads) {
          mjb_deleteBatch(batch_);
          batch_ = nullptr;
        }
      }
    }
    if (batch_ == nullptr) {
      mjBatchConfig config;
      mjb_defaultConfig(&config);
      config.nthread = threads;
      batch_ = mjb_makeBatch(physics->model, count, &config, error_, sizeof(error_));
    }
  }
  ~Engine() {
    if (batch_ == nullptr) return;
    std::lock_guard<std::mutex> lock(library().mutex);
    library().idle[key_].push_back(batch_);
  }
  Engine(const Engine&) = delete;
  mjBatch* get() const { return batch_; }
  const char* error() const { return error_; }

 private:
  std::pair<const Physics*, int> key_;
  mjBatch* batch_ = nullptr;
  char error_[512] = "";
};

enum Mode { kReset, kStep, kLook };

struct Call {
  const Physics* physics;
  Mode mode;
  const float* a;          // reset: added to the initial qpos [n, nq]; step: controls [n, nu]
  const float* b;          // reset: added to the initial qvel [n, nv]
  const mjtNum* rows_in;   // [n, row]; none in a reset
  mjtNum* rows_out;        // [n, row]
  float* reads;            // [n, nread]
  bool* failed;            // [n]
};

constexpr int kFatal[] = {mjWARN_BADQPOS, mjWARN_BADQVEL, mjWARN_BADQACC, mjWARN_BADCTRL};

void Remember(const std::string& what) {
  std::lock_guard<std::mutex> lock(library().mutex);
  library().failure = what;
}

// One simulation of a call; d holds its state.
void Run(const mjModel* m, mjData* d, int sim, void* arg) {
  const Call& call = *static_cast<Call*>(arg);
  const Physics& physics = *call.physics;
  const double dt = m->opt.timestep * physics.substeps;
  mjtNum* carry_out = call.rows_out + static_cast<size_t>(sim) * physics.row() + physics.nstate;
  const mjtNum* carry_in = call.rows_in ? call.rows_in + (carry_out - call.rows_out) : nullptr;
  float* out = call.reads + static_cast<size_t>(sim) * physics.nread;

  // values before the step, for rates: rows are read before the step overwrites them
  mjtNum small[64];
  std::vector<mjtNum> large;
  int total = 0;
  for (const Read& read : physics.reads) total += read.kind == kRate ? read.count : 0;
  mjtNum* before = small;
  if (total > 64) {
    large.resize(total);
    before = large.data();
  }
  if (call.mode == kStep) {
    mjtNum* at = before;
    for (const Read& read : physics.reads) {
      if (read.kind != kRate) continue;
      const mjtNum* from = read.Carried() ? carry_in : Find(d, read.field) + read.start;
      std::copy(from, from + read.count, at);
      at += read.count;
      if (read.Carried()) carry_in += read.count;
    }
  }

  if (call.mode == kReset) {
    mj_resetData(m, d);
    for (int i = 0; i < m->nq; ++i) d->qpos[i] += call.a[static_cast<size_t>(sim) * m->nq + i];
    for (int i = 0; i < m->nv; ++i) d->qvel[i] += call.b[static_cast<size_t>(sim) * m->nv + i];
    mj_forward(m, d);
  } else if (call.mode == kStep) {
    for (int w : kFatal) d->warning[w].number = 0;
    for (int i = 0; i < m->nu; ++i) d->ctrl[i] = call.a[static_cast<size_t>(sim) * m->nu + i];
    for (int i = 0; i < physics.substeps; ++i) mj_step(m, d);
    for (int w : kFatal) {
      if (d->warning[w].number == 0) continue;
      call.failed[sim] = true;
      Remember(mju_warningText(w, d->warning[w].lastinfo));
      mju_zero(d->ctrl, m->nu);  // a control that is NaN or infinite must not stay in the row
    }
    if (physics.contact) mj_rnePostConstraint(m, d);
  } else {
    mj_kinematics(m, d);
  }

  const mjtNum* from = before;
  for (const Read& read : physics.reads) {
    const mjtNum* x = Find(d, read.field) + read.start;
    for (int i = 0; i < read.count; ++i) {
      double y = x[i];
      switch (read.kind) {
        case kRate: y = call.mode == kStep ? (x[i] - from[i]) / dt : 0; break;
        case kCos: y = std::cos(y); break;
        case kSin: y = std::sin(y); break;
        case kDifference: y = x[i] - Find(d, read.field)[read.other + i]; break;
        default: break;
      }
      *out++ = static_cast<float>(y);
    }
    if (read.kind == kRate) from += read.count;
    if (read.Carried()) carry_out = std::copy(x, x + read.count, carry_out);
  }
}

ffi::Error Execute(Call call, const bool* wanted, int count) {
  const Physics& physics = *call.physics;
  const size_t row = physics.row(), nstate = physics.nstate;
  std::vector<int> ids;
  ids.reserve(count);
  std::fill_n(call.failed, count, false);
  for (int i = 0; i < count; ++i) {
    if (wanted[i]) {
      ids.push_back(i);
      continue;
    }
    mjtNum* out = call.rows_out + i * row;
    call.rows_in ? std::copy_n(call.rows_in + i * row, row, out) : std::fill_n(out, row, 0.0);
    std::fill_n(call.reads + static_cast<size_t>(i) * physics.nread, physics.nread, 0.0f);
  }
  if (ids.empty()) return ffi::Error::Success();
  Engine engine(&physics, count);
  if (engine.get() == nullptr) return ffi::Error::Internal(std::string("MuJoCo: ") + engine.error());
  mjtNum* state = mjb_state(engine.get());
  if (call.rows_in) {
    for (int i : ids) std::copy_n(call.rows_in + i * row, nstate, state + i * nstate);
  }
  if (mjb_apply(engine.get(), ids.data(), static_cast<int>(ids.size()), Run, &call, 1)) {
    std::vector<int> bad;
    for (int i : ids) {
      if (mjb_status(engine.get())[i] == 0) continue;
      bad.push_back(i);
      call.failed[i] = true;
      Remember(mjb_error(engine.get(), i));
    }
    if (!call.rows_in) return ffi::Error::Internal("MuJoCo cannot reset: " + std::string(mjb_error(engine.get(), bad[0])));
    // the failed simulations have kept their state: compute its reads again
    call.mode = kLook;
    mjb_apply(engine.get(), bad.data(), static_cast<int>(bad.size()), Run, &call, 0);
  }
  for (int i : ids) std::copy_n(state + i * nstate, nstate, call.rows_out + i * row);
  return ffi::Error::Success();
}

const Physics* Lookup(std::string_view key) {
  std::lock_guard<std::mutex> lock(library().mutex);
  auto found = library().physics.find(key);
  return found == library().physics.end() ? nullptr : found->second.get();
}

ffi::Error Unknown(std::string_view key) {
  return ffi::Error::InvalidArgument("the physics " + std::string(key) + " is not registered in this process");
}

ffi::Error Reset(Floats qpos, Floats qvel, Flags wanted, ffi::Result<Words> rows, ffi::Result<Floats> reads,
                 std::string_view key) {
  return prospect::ResetRows(key, static_cast<int>(wanted.element_count()), qpos.typed_data(), qvel.typed_data(),
                             wanted.typed_data(), rows->typed_data(), reads->typed_data());
}

ffi::Error Step(Words rows, Floats control, Flags wanted, ffi::Result<Words> rows_out, ffi::Result<Floats> reads,
                ffi::Result<Flags> failed, std::string_view key) {
  return prospect::StepRows(key, static_cast<int>(wanted.element_count()), rows.typed_data(), control.typed_data(),
                            wanted.typed_data(), rows_out->typed_data(), reads->typed_data(), failed->typed_data());
}

}  // namespace

ffi::Error prospect::ResetRows(std::string_view key, int count, const float* qpos, const float* qvel,
                               const bool* wanted, uint32_t* rows, float* reads) {
  const Physics* physics = Lookup(key);
  if (physics == nullptr) return Unknown(key);
  const std::unique_ptr<bool[]> failed(new bool[count]);
  Call call{physics, kReset, qpos, qvel, nullptr, reinterpret_cast<mjtNum*>(rows), reads, failed.get()};
  return Execute(call, wanted, count);
}

ffi::Error prospect::StepRows(std::string_view key, int count, const uint32_t* rows, const float* control,
                              const bool* wanted, uint32_t* rows_out, float* reads, bool* failed) {
  const Physics* physics = Lookup(key);
  if (physics == nullptr) return Unknown(key);
  Call call{physics, kStep, control, nullptr, reinterpret_cast<const mjtNum*>(rows),
            reinterpret_cast<mjtNum*>(rows_out), reads, failed};
  return Execute(call, wanted, count);
}

XLA_FFI_DEFINE_HANDLER_SYMBOL(ProspectReset, Reset, prospect::ResetBinding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(ProspectStep, Step, prospect::StepBinding());

// --- called from Python (ctypes) ---

extern "C" {

// Register a copy of the model under `key`; reads is [count, 5]: field, start, count, kind, other. Idempotent.
void ProspectRegister(const char* key, const mjModel* model, int substeps, int contact, const int* reads, int count) {
  std::lock_guard<std::mutex> lock(library().mutex);
  auto& place = library().physics[key];
  if (place) return;
  place = std::make_unique<Physics>();
  place->model = mj_copyModel(nullptr, model);
  place->substeps = substeps;
  place->contact = contact != 0;
  place->nstate = mj_stateSize(model, mjSTATE_INTEGRATION);
  place->ncarry = place->nread = 0;
  for (int i = 0; i < count; ++i) {
    const int* r = reads + 5 * i;
    place->reads.push_back({r[0], r[1], r[2], r[3], r[4]});
    place->nread += r[2];
    place->ncarry += place->reads.back().Carried() ? r[2] : 0;
  }
}

// Set the number of threads that each later call may use, including the caller's. Results do not depend on it.
void ProspectThreads(int threads) {
  std::lock_guard<std::mutex> lock(library().mutex);
  library().threads = threads;
}

// Copy the message of the last failed simulation into `out`, and clear it.
void ProspectFailure(char* out, int size) {
  std::lock_guard<std::mutex> lock(library().mutex);
  std::snprintf(out, size, "%s", library().failure.c_str());
  library().failure.clear();
}
}
