// Finds the lines that may hold a needle: those that do, and those with an escape `\uXXXX` that could stand for one of its
// characters. The twin of query/line-search.ts; both find the same lines.
//
// One pass over the bytes looks for both at once: at each position two bytes of the needle (its rarest) and `\u` are compared,
// 32 positions at a time where the processor can.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define HONEYBEE_SEARCH_AVX2 1
#include <immintrin.h>
#endif

namespace honeybee {

class LineSearch {
 public:
  // units: which code units below 256 the needle has; wide: it has others. notices: lines that begin with NOTICE, too.
  LineSearch(const uint8_t *needle, size_t length, const uint8_t *units, bool wide, bool notices)
      : needle_(needle), length_(length), units_(units), wide_(wide), notices_(notices) {
    // The two rarest of the first 32 places; the same one twice where the needle is one byte.
    for (size_t i = 1; i < length && i < 32; i++) {
      if (rank(needle[i]) < rank(needle[first_])) first_ = i;
    }
    second_ = first_ == 0 && length > 1 ? 1 : 0;
    for (size_t i = 0; i < length && i < 32; i++) {
      if (i != first_ && rank(needle[i]) < rank(needle[second_])) second_ = i;
    }
#ifdef HONEYBEE_SEARCH_AVX2
    __builtin_cpu_init();
    wide_registers_ = __builtin_cpu_supports("avx2");
#endif
  }

  // Pairs of start and end, without the newline, of candidate lines in [start, end); at most `room` of them.
  size_t find(const uint8_t *bytes, size_t start, size_t end, int32_t *found, size_t room) const {
    size_t count = 0;
    for (size_t at = start; at < end && count < room;) {
      size_t line, stop;
      if (notices_) {
        line = at;
        stop = line_end(bytes, at, end);
        if (!is_notice(bytes, line, stop) && hit(bytes, line, stop) == stop) {
          at = stop + 1;
          continue;
        }
      } else {
        const size_t place = hit(bytes, at, end);
        if (place >= end) break;
        const void *before = place > at ? memrchr_(bytes + at, place - at) : nullptr;
        line = before ? size_t(static_cast<const uint8_t *>(before) - bytes) + 1 : at;
        stop = line_end(bytes, place, end);
      }
      found[count * 2] = int32_t(line);
      found[count * 2 + 1] = int32_t(stop);
      count++;
      at = stop + 1;
    }
    return count;
  }

 private:
  static constexpr char NOTICE[] = "{\"version\":2,\"message\":{\"Node";

  static int rank(uint8_t c) {
    if (c >= 'a' && c <= 'z') return memchr("etaoinsrhdl_", c, 12) ? 9 : 6;
    if (c >= '0' && c <= '9') return c == '0' || c == '1' || c == '2' ? 8 : 7;
    if (c == '.' || c == '-' || c == ':' || c == ' ' || c == ',' || c == '"') return 8;
    return c >= 0x80 ? 3 : 5;
  }

  static const void *memrchr_(const uint8_t *bytes, size_t length) {
    for (size_t i = length; i > 0; i--) {
      if (bytes[i - 1] == '\n') return bytes + i - 1;
    }
    return nullptr;
  }

  static size_t line_end(const uint8_t *bytes, size_t at, size_t end) {
    const void *newline = memchr(bytes + at, '\n', end - at);
    return newline ? size_t(static_cast<const uint8_t *>(newline) - bytes) : end;
  }

  static bool is_notice(const uint8_t *bytes, size_t start, size_t end) {
    return end - start >= sizeof NOTICE - 1 && memcmp(bytes + start, NOTICE, sizeof NOTICE - 1) == 0;
  }

  static int hex(uint8_t c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  }

  // `\u` stands at `at`.
  bool hides(const uint8_t *bytes, size_t at, size_t end) const {
    if (end - at < 6) return true;
    int unit = 0;
    for (size_t i = 2; i < 6; i++) {
      const int digit = hex(bytes[at + i]);
      // No escape after all (the end of `\\u`): the line is read in vain.
      if (digit < 0) return true;
      unit = unit * 16 + digit;
    }
    return unit < 256 ? units_[unit] != 0 : wide_;
  }

  bool is_hit(const uint8_t *bytes, size_t at, size_t end) const {
    if (end - at >= length_ && memcmp(bytes + at, needle_, length_) == 0) return true;
    return bytes[at] == '\\' && end - at >= 2 && bytes[at + 1] == 'u' && hides(bytes, at, end);
  }

  // The first place in [at, end) where the needle or such an escape begins; `end` where there is none.
  size_t hit(const uint8_t *bytes, size_t at, size_t end) const {
#ifdef HONEYBEE_SEARCH_AVX2
    if (wide_registers_) at = hit_wide(bytes, at, end);
#endif
    for (; at < end; at++) {
      if ((bytes[at] == needle_[0] || bytes[at] == '\\') && is_hit(bytes, at, end)) return at;
    }
    return end;
  }

#ifdef HONEYBEE_SEARCH_AVX2
  // As hit(), but gives up, with a place before which nothing is, where fewer than 32 bytes and the needle are left.
  __attribute__((target("avx2"))) size_t hit_wide(const uint8_t *bytes, size_t at, size_t end) const {
    const __m256i first = _mm256_set1_epi8(char(needle_[first_])), second = _mm256_set1_epi8(char(needle_[second_]));
    const __m256i backslash = _mm256_set1_epi8('\\'), letter = _mm256_set1_epi8('u');
    const size_t beyond = length_ < 2 ? 2 : length_;
    while (end - at >= 32 + beyond) {
      const uint8_t *p = bytes + at;
      const __m256i needle = _mm256_and_si256(_mm256_cmpeq_epi8(load(p + first_), first), _mm256_cmpeq_epi8(load(p + second_), second));
      const __m256i escape = _mm256_and_si256(_mm256_cmpeq_epi8(load(p), backslash), _mm256_cmpeq_epi8(load(p + 1), letter));
      uint32_t mask = uint32_t(_mm256_movemask_epi8(_mm256_or_si256(needle, escape)));
      for (; mask != 0; mask &= mask - 1) {
        const size_t place = at + size_t(__builtin_ctz(mask));
        if (is_hit(bytes, place, end)) return place;
      }
      at += 32;
    }
    return at;
  }

  __attribute__((target("avx2"))) static __m256i load(const uint8_t *p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(p));
  }
#endif

  const uint8_t *needle_;
  size_t length_;
  const uint8_t *units_;
  bool wide_;
  bool notices_;
  size_t first_ = 0;
  size_t second_ = 0;
#ifdef HONEYBEE_SEARCH_AVX2
  bool wide_registers_ = false;
#endif
};

constexpr char LineSearch::NOTICE[];

}  // namespace honeybee
