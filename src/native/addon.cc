// The native addon: the fast scanner, and the few system calls that Node does not offer.
//
// Runs on whichever thread calls it; keeps no global state but the choice of simdjson's kernel. It never throws into
// JavaScript for input: bad input is an answer. Wrong arguments are a programming error and end in an exception.
#include <node_api.h>

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "crc32.h"
#include "line_search.h"
#include "scanner.h"

namespace {

napi_value fail(napi_env env, const char *message) {
  napi_throw_error(env, "ERR_HONEYBEE_ADDON", message);
  return nullptr;
}

#ifdef HONEYBEE_CRC32
const honeybee::Crc32 &checksum() {
  static const honeybee::Crc32 instance;
  return instance;
}
#endif

struct View {
  uint8_t *data = nullptr;
  size_t bytes = 0;
};

bool view(napi_env env, napi_value value, View &result) {
  napi_typedarray_type type;
  size_t length;
  void *data;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, nullptr, nullptr) != napi_ok) return false;
  result.data = static_cast<uint8_t *>(data);
  result.bytes = type == napi_int32_array || type == napi_uint32_array ? length * 4 : length;
  return true;
}

bool integer(napi_env env, napi_value value, int64_t &result) {
  return napi_get_value_int64(env, value, &result) == napi_ok;
}

napi_value number(napi_env env, int64_t value) {
  napi_value result;
  napi_create_int64(env, value, &result);
  return result;
}

template <size_t N>
bool arguments(napi_env env, napi_callback_info info, napi_value (&values)[N]) {
  size_t count = N;
  return napi_get_cb_info(env, info, &count, values, nullptr, nullptr) == napi_ok && count == N;
}

// The scanner keeps raw pointers into buffers of JavaScript; these references keep them alive as long as it lives.
struct Bound {
  honeybee::Scanner scanner;
  napi_ref references[4];
};

// createScanner(source, target, result: Int32Array(5), nodeId: Uint8Array(48), maxFrameBytes, maxDepth)
napi_value create_scanner(napi_env env, napi_callback_info info) {
  napi_value args[6];
  View source, target, result, id;
  int64_t max_frame, max_depth;
  if (!arguments(env, info, args) || !view(env, args[0], source) || !view(env, args[1], target) || !view(env, args[2], result) ||
      !view(env, args[3], id) || !integer(env, args[4], max_frame) || !integer(env, args[5], max_depth)) {
    return fail(env, "createScanner(source, target, result, nodeId, maxFrameBytes, maxDepth)");
  }
  if (result.bytes < 5 * 4 || id.bytes < 48 || source.bytes < honeybee::PADDING || source.bytes > INT32_MAX) {
    return fail(env, "createScanner: a buffer is too small or too large");
  }
  auto *bound = new Bound;
  if (!bound->scanner.init(source.data, source.bytes, target.data, target.bytes, reinterpret_cast<int32_t *>(result.data), id.data,
                           uint32_t(max_frame), uint32_t(max_depth))) {
    delete bound;
    return fail(env, "createScanner: out of memory");
  }
  for (int i = 0; i < 4; i++) napi_create_reference(env, args[i], 1, &bound->references[i]);
  napi_value external;
  napi_create_external(
      env, bound,
      [](napi_env env, void *data, void *) {
        auto *bound = static_cast<Bound *>(data);
        for (napi_ref reference : bound->references) napi_delete_reference(env, reference);
        delete bound;
      },
      nullptr, &external);
  return external;
}

// scan(scanner, start, end, targetOffset, targetSpace, resume) -> honeybee::Stop; details in the result array.
napi_value scan(napi_env env, napi_callback_info info) {
  napi_value args[6];
  void *data;
  int32_t numbers[5];
  if (!arguments(env, info, args) || napi_get_value_external(env, args[0], &data) != napi_ok) return fail(env, "scan: arguments");
  for (int i = 0; i < 5; i++) napi_get_value_int32(env, args[i + 1], &numbers[i]);
  auto &scanner = static_cast<Bound *>(data)->scanner;
  if (!scanner.in_range(numbers[0], numbers[1], numbers[2], numbers[3])) return fail(env, "scan: outside of the buffers");
  const int32_t stop = scanner.scan(uint32_t(numbers[0]), uint32_t(numbers[1]), uint32_t(numbers[2]), uint32_t(numbers[3]), numbers[4] != 0);
  napi_value result;
  napi_create_int32(env, stop, &result);
  return result;
}

// lineEnds(bytes, start, end, ends: Int32Array) -> how many newlines were found; ends[i] is the offset behind each.
napi_value line_ends(napi_env env, napi_callback_info info) {
  napi_value args[4];
  View bytes, ends;
  int64_t start, end;
  if (!arguments(env, info, args) || !view(env, args[0], bytes) || !integer(env, args[1], start) || !integer(env, args[2], end) ||
      !view(env, args[3], ends) || start < 0 || end < start || size_t(end) > bytes.bytes) {
    return fail(env, "lineEnds(bytes, start, end, ends)");
  }
  auto *out = reinterpret_cast<int32_t *>(ends.data);
  const size_t room = ends.bytes / 4;
  size_t count = 0;
  for (size_t at = size_t(start); at < size_t(end) && count < room;) {
    const void *newline = memchr(bytes.data + at, '\n', size_t(end) - at);
    if (!newline) break;
    at = size_t(static_cast<const uint8_t *>(newline) - bytes.data) + 1;
    out[count++] = int32_t(at);
  }
  return number(env, int64_t(count));
}

// countLines(bytes, start, end) -> how many newlines.
napi_value count_lines(napi_env env, napi_callback_info info) {
  napi_value args[3];
  View bytes;
  int64_t start, end;
  if (!arguments(env, info, args) || !view(env, args[0], bytes) || !integer(env, args[1], start) || !integer(env, args[2], end) ||
      start < 0 || end < start || size_t(end) > bytes.bytes) {
    return fail(env, "countLines(bytes, start, end)");
  }
  int64_t count = 0;
  for (const uint8_t *at = bytes.data + start, *stop = bytes.data + end; at < stop; at++) count += *at == '\n';
  return number(env, count);
}

// skipLines(bytes, start, end, lines) -> the offset behind so many newlines; end where there are fewer.
napi_value skip_lines(napi_env env, napi_callback_info info) {
  napi_value args[4];
  View bytes;
  int64_t start, end, lines;
  if (!arguments(env, info, args) || !view(env, args[0], bytes) || !integer(env, args[1], start) || !integer(env, args[2], end) ||
      !integer(env, args[3], lines) || start < 0 || end < start || size_t(end) > bytes.bytes) {
    return fail(env, "skipLines(bytes, start, end, lines)");
  }
  int64_t at = start;
  for (; lines > 0; lines--) {
    const void *newline = memchr(bytes.data + at, '\n', size_t(end - at));
    if (!newline) return number(env, end);
    at = static_cast<const uint8_t *>(newline) - bytes.data + 1;
  }
  return number(env, at);
}

// findLines(bytes, start, end, needle, units: Uint8Array(256), flags, found: Int32Array) -> how many candidates; see line_search.h.
napi_value find_lines(napi_env env, napi_callback_info info) {
  napi_value args[7];
  View bytes, needle, units, found;
  int64_t start, end, flags;
  if (!arguments(env, info, args) || !view(env, args[0], bytes) || !integer(env, args[1], start) || !integer(env, args[2], end) ||
      !view(env, args[3], needle) || !view(env, args[4], units) || !integer(env, args[5], flags) || !view(env, args[6], found) ||
      start < 0 || end < start || size_t(end) > bytes.bytes || end > INT32_MAX || needle.bytes == 0 || units.bytes < 256) {
    return fail(env, "findLines(bytes, start, end, needle, units, flags, found)");
  }
  const honeybee::LineSearch search(needle.data, needle.bytes, units.data, (flags & 1) != 0, (flags & 2) != 0);
  return number(env, int64_t(search.find(bytes.data, size_t(start), size_t(end), reinterpret_cast<int32_t *>(found.data), found.bytes / 8)));
}

#ifdef HONEYBEE_CRC32
// crc32(bytes, crc) -> as zlib's. Only exported where the processor can.
napi_value crc32(napi_env env, napi_callback_info info) {
  napi_value args[2], result;
  View bytes;
  int64_t crc;
  if (!arguments(env, info, args) || !view(env, args[0], bytes) || !integer(env, args[1], crc)) return fail(env, "crc32(bytes, crc)");
  napi_create_uint32(env, checksum().update(uint32_t(crc), bytes.data, bytes.bytes), &result);
  return result;
}
#endif

// copy(target, targetOffset, source, sourceOffset, length): memcpy, because TypedArray.set into shared memory goes word by word.
napi_value copy(napi_env env, napi_callback_info info) {
  napi_value args[5];
  View target, source;
  int64_t to, from, length;
  if (!arguments(env, info, args) || !view(env, args[0], target) || !integer(env, args[1], to) || !view(env, args[2], source) ||
      !integer(env, args[3], from) || !integer(env, args[4], length)) {
    return fail(env, "copy(target, targetOffset, source, sourceOffset, length)");
  }
  if (to < 0 || from < 0 || length < 0 || size_t(to + length) > target.bytes || size_t(from + length) > source.bytes) {
    return fail(env, "copy: outside of the buffers");
  }
  memcpy(target.data + to, source.data + from, size_t(length));
  return nullptr;
}

// duplicate(fd) -> a second descriptor of the same socket, closed on exec; or -errno.
napi_value duplicate(napi_env env, napi_callback_info info) {
  napi_value args[1];
  int64_t fd;
  if (!arguments(env, info, args) || !integer(env, args[0], fd)) return fail(env, "duplicate(fd)");
  const int copy = fcntl(int(fd), F_DUPFD_CLOEXEC, 0);
  return number(env, copy < 0 ? -errno : copy);
}

// closeDescriptor(fd) -> 0 or -errno; for descriptors that were never opened as a socket.
napi_value close_descriptor(napi_env env, napi_callback_info info) {
  napi_value args[1];
  int64_t fd;
  if (!arguments(env, info, args) || !integer(env, args[0], fd)) return fail(env, "closeDescriptor(fd)");
  return number(env, close(int(fd)) < 0 ? -errno : 0);
}

struct Trim {
  napi_async_work work = nullptr;
  napi_ref callback = nullptr;
  int fd = -1;
  int64_t offset = 0;
  int64_t length = 0;
  int error = 0;
};

// trim(fd, offset, length, done): writes that range of a file back and drops it from the page cache, on a pool
// thread. done(errno), 0 where all went well: a write error is told once per descriptor, so that who does not listen here
// has an fsync that succeeds though data was lost. The caller keeps fd open until done was called.
napi_value trim(napi_env env, napi_callback_info info) {
  napi_value args[4], name;
  int64_t fd;
  auto *task = new Trim;
  if (!arguments(env, info, args) || !integer(env, args[0], fd) || !integer(env, args[1], task->offset) ||
      !integer(env, args[2], task->length)) {
    delete task;
    return fail(env, "trim(fd, offset, length, done)");
  }
  task->fd = int(fd);
  napi_create_reference(env, args[3], 1, &task->callback);
  napi_create_string_utf8(env, "honeybee:trim", NAPI_AUTO_LENGTH, &name);
  napi_create_async_work(
      env, nullptr, name,
      [](napi_env, void *data) {
        auto *task = static_cast<Trim *>(data);
#ifdef __linux__
        if (sync_file_range(task->fd, task->offset, task->length,
                            SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER) < 0)
          task->error = errno;
        // Some file systems have no such call; that loses nothing.
        if (task->error == ENOSYS || task->error == EINVAL || task->error == ESPIPE || task->error == EBADF) task->error = 0;
        posix_fadvise(task->fd, task->offset, task->length, POSIX_FADV_DONTNEED);
#endif
      },
      [](napi_env env, napi_status status, void *data) {
        auto *task = static_cast<Trim *>(data);
        napi_value callback, global, error = number(env, task->error);
        napi_get_reference_value(env, task->callback, &callback);
        napi_get_global(env, &global);
        napi_delete_reference(env, task->callback);
        napi_delete_async_work(env, task->work);
        delete task;
        if (status != napi_cancelled) napi_call_function(env, global, callback, 1, &error, nullptr);
      },
      task, &task->work);
  napi_queue_async_work(env, task->work);
  return nullptr;
}

// kernel() -> the name of the simdjson kernel in use, as "icelake", "haswell", "arm64", "fallback".
napi_value kernel(napi_env env, napi_callback_info) {
  napi_value result;
  const std::string name = simdjson::get_active_implementation()->name();
  napi_create_string_utf8(env, name.c_str(), name.size(), &result);
  return result;
}

// Which functions there are and what they take: one more with each change, here and in addon.ts.
constexpr uint32_t INTERFACE = 3;

// What was buffered for a slow consumer goes back to the system when it is freed. Left alone, glibc raises this threshold
// to 32 MiB the first time such a buffer is freed, and keeps the next ones.
void bound_allocator() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 1024 * 1024);
  mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
  // Every thread would get an arena of its own, and keep what was freed in it: six of them are 8 MB. The data plane
  // allocates nothing, so nobody waits for the other one's lock.
  mallopt(M_ARENA_MAX, 2);
#endif
}

napi_value init(napi_env env, napi_value exports) {
  bound_allocator();
  const struct {
    const char *name;
    napi_callback function;
  } functions[] = {
      {"createScanner", create_scanner}, {"scan", scan},   {"lineEnds", line_ends}, {"countLines", count_lines}, {"skipLines", skip_lines}, {"findLines", find_lines}, {"copy", copy}, {"duplicate", duplicate},
      {"closeDescriptor", close_descriptor}, {"trim", trim}, {"kernel", kernel},
  };
  for (const auto &entry : functions) {
    napi_value function;
    napi_create_function(env, entry.name, NAPI_AUTO_LENGTH, entry.function, nullptr, &function);
    napi_set_named_property(env, exports, entry.name, function);
  }
  napi_value interface;
  napi_create_uint32(env, INTERFACE, &interface);
  napi_set_named_property(env, exports, "interface", interface);
#ifdef HONEYBEE_CRC32
  if (checksum().supported()) {
    napi_value function;
    napi_create_function(env, "crc32", NAPI_AUTO_LENGTH, crc32, nullptr, &function);
    napi_set_named_property(env, exports, "crc32", function);
  }
#endif
  return exports;
}

}  // namespace

NAPI_MODULE(NODE_GYP_MODULE_NAME, init)
