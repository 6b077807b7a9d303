// CRC-32 (the polynomial of zlib, gzip and zip) by carry-less multiplication, for x86-64: an order of magnitude faster
// than what Node's zlib offers, and the aggregator computes it over every byte it writes. Other machines use zlib.
//
// A block of accumulators is "folded" over the data: multiplied by x^distance modulo the polynomial, so that it lands
// on the bytes `distance` further on, and added to them. What is left at the end is a short message with the same
// CRC; a table finishes it. Background: V. Gopal et al., "Fast CRC Computation for Generic Polynomials Using
// PCLMULQDQ Instruction", Intel, 2009.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define HONEYBEE_CRC32 1
#include <immintrin.h>
#endif

namespace honeybee {

#ifdef HONEYBEE_CRC32

class Crc32 {
 public:
  Crc32() {
    for (uint32_t i = 0; i < 256; i++) {
      uint32_t value = i;
      for (int bit = 0; bit < 8; bit++) value = (value >> 1) ^ (value & 1 ? 0xedb88320u : 0);
      table_[i] = value;
    }
    __builtin_cpu_init();
    wide_ = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("vpclmulqdq");
    narrow_ = __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
  }

  bool supported() const { return narrow_; }

  // As zlib's crc32(): `crc` is 0, or the result for the bytes before.
  uint32_t update(uint32_t crc, const uint8_t *p, size_t n) const {
    crc = ~crc;
    if (wide_ && n >= 512) {
      crc = fold_wide(crc, p, n);
    } else if (narrow_ && n >= 128) {
      crc = fold_narrow(crc, p, n);
    }
    return ~bytewise(crc, p, n);
  }

 private:
  uint32_t bytewise(uint32_t crc, const uint8_t *p, size_t n) const {
    for (size_t i = 0; i < n; i++) crc = (crc >> 8) ^ table_[(crc ^ p[i]) & 0xff];
    return crc;
  }

  // x^power modulo the polynomial, bit-reversed, one place up: the factor for one half of a 128-bit lane.
  static uint64_t factor(unsigned power) {
    uint64_t value = 1;
    for (unsigned i = 0; i < power; i++) value = (value << 1) ^ (value & 0x80000000u ? 0x104c11db7u : 0);
    uint64_t reversed = 0;
    for (unsigned bit = 0; bit < 32; bit++) reversed |= ((value >> bit) & 1) << (31 - bit);
    return reversed << 1;
  }

  // Both leave p and n at what is still to be done byte by byte, and return the CRC up to there.
  __attribute__((target("pclmul,sse4.1"))) uint32_t fold_narrow(uint32_t crc, const uint8_t *&p, size_t &n) const {
    static const uint64_t low = factor(4 * 128 + 32), high = factor(4 * 128 - 32);
    const __m128i factors = _mm_set_epi64x(int64_t(high), int64_t(low));
    const auto *in = reinterpret_cast<const __m128i *>(p);
    __m128i sum[4];
    for (int i = 0; i < 4; i++) sum[i] = _mm_loadu_si128(in + i);
    sum[0] = _mm_xor_si128(sum[0], _mm_cvtsi32_si128(int(crc)));
    for (p += 64, n -= 64; n >= 64; p += 64, n -= 64) {
      in = reinterpret_cast<const __m128i *>(p);
      for (int i = 0; i < 4; i++) {
        const __m128i product =
            _mm_xor_si128(_mm_clmulepi64_si128(sum[i], factors, 0x00), _mm_clmulepi64_si128(sum[i], factors, 0x11));
        sum[i] = _mm_xor_si128(product, _mm_loadu_si128(in + i));
      }
    }
    uint8_t rest[64];
    memcpy(rest, sum, sizeof rest);
    return bytewise(0, rest, sizeof rest);
  }

  __attribute__((target("avx512f,vpclmulqdq"))) uint32_t fold_wide(uint32_t crc, const uint8_t *&p, size_t &n) const {
    static const uint64_t low = factor(16 * 128 + 32), high = factor(16 * 128 - 32);
    const __m512i factors = _mm512_set_epi64(int64_t(high), int64_t(low), int64_t(high), int64_t(low), int64_t(high), int64_t(low),
                                             int64_t(high), int64_t(low));
    __m512i sum[4];
    for (int i = 0; i < 4; i++) sum[i] = _mm512_loadu_si512(p + 64 * i);
    sum[0] = _mm512_xor_si512(sum[0], _mm512_zextsi128_si512(_mm_cvtsi32_si128(int(crc))));
    for (p += 256, n -= 256; n >= 256; p += 256, n -= 256) {
      for (int i = 0; i < 4; i++) {
        const __m512i product =
            _mm512_xor_si512(_mm512_clmulepi64_epi128(sum[i], factors, 0x00), _mm512_clmulepi64_epi128(sum[i], factors, 0x11));
        sum[i] = _mm512_xor_si512(product, _mm512_loadu_si512(p + 64 * i));
      }
    }
    uint8_t rest[256];
    memcpy(rest, sum, sizeof rest);
    const uint8_t *at = rest;
    size_t left = sizeof rest;
    crc = fold_narrow(0, at, left);
    return bytewise(crc, at, left);
  }

  uint32_t table_[256];
  bool wide_ = false;
  bool narrow_ = false;
};

#endif

}  // namespace honeybee
