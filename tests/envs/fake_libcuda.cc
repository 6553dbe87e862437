// A CUDA driver without a GPU: device memory is the host's, and a stream does nothing before somebody waits for it.

#include <cstring>
#include <map>
#include <string>
#include <vector>

namespace {

struct Copy {
  void* to;
  const void* from;
  size_t bytes;
};

std::map<void*, std::vector<Copy>> streams;     // stream -> copies that it has not made yet
std::map<void*, void*> events;                  // event -> the stream it was last recorded on
std::map<std::string, int> calls;               // function -> number of calls
std::string failing;                            // the function that fails

int Call(const char* name) {
  ++calls[name];
  return failing == name ? 700 : 0;
}

void Drain(void* stream) {
  for (const Copy& copy : streams[stream]) std::memcpy(copy.to, copy.from, copy.bytes);
  streams[stream].clear();
}

}  // namespace

extern "C" {

int cuMemcpyDtoHAsync_v2(void* to, unsigned long long from, size_t bytes, void* stream) {
  streams[stream].push_back({to, reinterpret_cast<const void*>(from), bytes});
  return Call("cuMemcpyDtoHAsync_v2");
}

int cuMemcpyHtoDAsync_v2(unsigned long long to, const void* from, size_t bytes, void* stream) {
  streams[stream].push_back({reinterpret_cast<void*>(to), from, bytes});
  return Call("cuMemcpyHtoDAsync_v2");
}

int cuStreamSynchronize(void* stream) {
  Drain(stream);
  return Call("cuStreamSynchronize");
}

int cuMemHostAlloc(void** place, size_t bytes, unsigned) {
  *place = new char[bytes];
  return Call("cuMemHostAlloc");
}

int cuEventCreate(void** event, unsigned) {
  *event = new char;
  return Call("cuEventCreate");
}

int cuEventRecord(void* event, void* stream) {
  events[event] = stream;
  return Call("cuEventRecord");
}

int cuEventSynchronize(void* event) {
  if (events.count(event)) Drain(events[event]);
  return Call("cuEventSynchronize");
}

int cuGetErrorString(int, const char** words) {
  *words = "an illegal memory access";
  return 0;
}

// --- for the tests ---

int FakeCalls(const char* name) { return calls[name]; }

void FakeFail(const char* name) { failing = name; }
}
