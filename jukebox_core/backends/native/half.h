/* Keys and values as they are kept: floats, or half precision in 2 bytes (IEEE 754 binary16).
 * Where the processor cannot convert, integer operations give the same numbers. */
#ifndef HALF_H
#define HALF_H

#include <stdint.h>
#if defined(__AVX512F__) || defined(__F16C__)
#include <immintrin.h>
#endif

#include "native_step.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define HALF_INFINITY 65536.0f
#define HALF_LARGEST 0x7bff

/* Some numbers of a strip. `has_halves` is known where code is generated. */
struct kept {
  const void *numbers;
  int has_halves;
};

ALWAYS_INLINE struct kept from(struct kept k, int64_t first) {
  k.numbers = (const char *)k.numbers + first * (k.has_halves ? 2 : 4);
  return k;
}

static inline float float_of(uint16_t half) {
  /* The exponent of a float is larger by 112; the product also lifts subnormal numbers. */
  union { uint32_t i; float f; } bits = {(uint32_t)(half & 0x7fff) << 13};
  bits.f *= 0x1p112f;
  bits.i |= (uint32_t)(half & 0x8000) << 16;
  return bits.f;
}

/* To the nearest, ties to even; what is too large for it is the largest there is. */
static inline uint16_t half_of(float x) {
  union { float f; uint32_t i; } bits = {x}, shifted;
  uint32_t sign = bits.i >> 16 & 0x8000, magnitude = bits.i & 0x7fffffff;
  bits.i = magnitude;
  shifted.f = bits.f + 0.5f; /* rounds to the 2^-24 that subnormal numbers count in */
  uint32_t small = shifted.i - 0x3f000000;
  uint32_t normal = (magnitude + 0xfff + (magnitude >> 13 & 1) - (112u << 23)) >> 13;
  uint32_t kept = bits.f < 0x1p-14f ? small : bits.f < HALF_INFINITY ? normal : HALF_LARGEST;
  return sign | (kept > HALF_LARGEST ? HALF_LARGEST : kept);
}

ALWAYS_INLINE float number_at(struct kept k, int64_t i) {
  return k.has_halves ? float_of(((const uint16_t *)k.numbers)[i]) : ((const float *)k.numbers)[i];
}

ALWAYS_INLINE vec halves_at(const uint16_t *halves) {
#if defined(__AVX512F__)
  return (vec)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)halves));
#elif defined(__F16C__)
  union { __m256 parts[2]; vec all; } floats = {
      {_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)halves)),
       _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)halves + 1))}};
  return floats.all;
#else
  typedef uint16_t shorts __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
  typedef uint32_t words __attribute__((vector_size(4 * LANES)));
  words wide = __builtin_convertvector(*(const shorts *)halves, words);
  vec magnitude = (vec)((wide & 0x7fff) << 13) * 0x1p112f;
  return (vec)((words)magnitude | (wide & 0x8000) << 16);
#endif
}

ALWAYS_INLINE vec vector_at(struct kept k, int64_t i) {
  if (k.has_halves) return halves_at((const uint16_t *)k.numbers + i);
  return *(const vec *)((const float *)k.numbers + i);
}

#endif
