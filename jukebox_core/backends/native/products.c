/* Products of a few rows with a large matrix, straight from the weights as they lie. */
#ifdef __AVX512F__
#include <immintrin.h>
#endif

#include "native_step.h"

#define TALL 6 /* rows in a tile of a product */
#define WIDE 4 /* vectors of columns in it: 24 sums and 4 weights fit 32 registers */
#define AHEAD 16 /* rows of a weight to fetch before they are needed */

typedef int8_t bytes __attribute__((vector_size(LANES), aligned(1), may_alias));

static inline __attribute__((always_inline)) vec widened(const int8_t *from) {
#ifdef __AVX512F__ /* the compiler does not find it by itself */
  return (vec)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)from)));
#else
  typedef int32_t whole __attribute__((vector_size(4 * LANES)));
  return __builtin_convertvector(__builtin_convertvector(*(const bytes *)from, whole), vec);
#endif
}

/* out = x @ weight (* scale) + bias (+ residual) from column c on, for a tile of `num_rows` by
 * `num_vectors` vectors of columns. Both are constants where this is inlined, so that the sums stay
 * in registers; so is `is_int8`. */
static inline __attribute__((always_inline)) void tile(
    const int is_int8, const int num_rows, const int num_vectors, struct projection p, int64_t c,
    const float *x, int64_t depth, int64_t columns, const float *residual, float *out) {
  vec sums[TALL][WIDE];
  for (int v = 0; v < num_vectors; v++)
    for (int m = 0; m < num_rows; m++)
      sums[m][v] = is_int8 ? (vec){0} : *(const vec *)(p.bias + c + v * LANES);
  const char *weight = (const char *)p.weight + c * (is_int8 ? 1 : sizeof(float));
  const int64_t stride = columns * (is_int8 ? 1 : sizeof(float));
  for (int64_t k = 0; k < depth; k++, weight += stride) {
    vec row[WIDE];
    for (int v = 0; v < num_vectors; v++) {
      if (is_int8) {
        if (v == 0) __builtin_prefetch(weight + AHEAD * stride);
        row[v] = widened((const int8_t *)weight + v * LANES);
      } else {
        __builtin_prefetch(weight + AHEAD * stride + v * sizeof(vec));
        row[v] = *(const vec *)(weight + v * sizeof(vec));
      }
    }
    for (int m = 0; m < num_rows; m++)
      for (int v = 0; v < num_vectors; v++) sums[m][v] += x[m * depth + k] * row[v];
  }
  for (int m = 0; m < num_rows; m++)
    for (int v = 0; v < num_vectors; v++) {
      int64_t at = m * columns + c + v * LANES;
      if (is_int8)
        sums[m][v] = sums[m][v] * *(const vec *)(p.scale + c + v * LANES) +
                     *(const vec *)(p.bias + c + v * LANES);
      if (residual) sums[m][v] += *(const vec *)(residual + at);
      *(vec *)(out + at) = sums[m][v];
    }
}

static inline __attribute__((always_inline)) void stripe(
    const int is_int8, const int num_vectors, struct projection p, int64_t c, const float *x,
    int64_t rows, int64_t depth, int64_t columns, const float *residual, float *out) {
  for (int64_t done = 0; done < rows;) {
    const float *from = x + done * depth, *added = residual ? residual + done * columns : 0;
    float *to = out + done * columns;
    if (rows - done >= TALL) {
      tile(is_int8, TALL, num_vectors, p, c, from, depth, columns, added, to), done += TALL;
    } else if (rows - done >= 4) {
      tile(is_int8, 4, num_vectors, p, c, from, depth, columns, added, to), done += 4;
    } else if (rows - done >= 2) {
      tile(is_int8, 2, num_vectors, p, c, from, depth, columns, added, to), done += 2;
    } else {
      tile(is_int8, 1, num_vectors, p, c, from, depth, columns, added, to), done += 1;
    }
  }
}

static inline __attribute__((always_inline)) void project_from(
    const int is_int8, struct projection p, const float *x, int64_t rows, int64_t depth,
    int64_t columns, const float *residual, float *out) {
  int64_t c = 0;
  for (; c + WIDE * LANES <= columns; c += WIDE * LANES)
    stripe(is_int8, WIDE, p, c, x, rows, depth, columns, residual, out);
  for (; c + LANES <= columns; c += LANES)
    stripe(is_int8, 1, p, c, x, rows, depth, columns, residual, out);
  for (int64_t m = 0; m < rows; m++)
    for (int64_t rest = c; rest < columns; rest++) {
      float sum = is_int8 ? 0 : p.bias[rest];
      for (int64_t k = 0; k < depth; k++) {
        int64_t at = k * columns + rest;
        float w = is_int8 ? (float)((const int8_t *)p.weight)[at] : ((const float *)p.weight)[at];
        sum += x[m * depth + k] * w;
      }
      if (is_int8) sum = sum * p.scale[rest] + p.bias[rest];
      out[m * columns + rest] = residual ? sum + residual[m * columns + rest] : sum;
    }
}

void project(struct projection p, const float *x, int64_t rows, int64_t depth, int64_t columns,
             const float *residual, float *out) {
  if (p.scale)
    project_from(1, p, x, rows, depth, columns, residual, out);
  else
    project_from(0, p, x, rows, depth, columns, residual, out);
}

/* For `num_columns` rows of a weight that lie one after the other; both numbers are constants where
 * this is inlined. */
static inline __attribute__((always_inline)) void dots(
    const int num_rows, const int num_columns, const float *weight, const float *x, int64_t depth,
    int64_t columns, float *out) {
  vec sums[4][8];
  for (int m = 0; m < num_rows; m++)
    for (int v = 0; v < num_columns; v++) sums[m][v] = (vec){0};
  int64_t k = 0;
  for (; k + LANES <= depth; k += LANES) {
    vec w[8];
    for (int v = 0; v < num_columns; v++) w[v] = *(const vec *)(weight + v * depth + k);
    for (int m = 0; m < num_rows; m++)
      for (int v = 0; v < num_columns; v++)
        sums[m][v] += *(const vec *)(x + m * depth + k) * w[v];
  }
  for (int m = 0; m < num_rows; m++)
    for (int v = 0; v < num_columns; v++) {
      float sum = sum_of(sums[m][v]);
      for (int64_t rest = k; rest < depth; rest++)
        sum += x[m * depth + rest] * weight[v * depth + rest];
      out[m * columns + v] = sum;
    }
}

static inline __attribute__((always_inline)) void dots_of_rows(
    const int num_columns, const float *weight, const float *x, int64_t rows, int64_t depth,
    int64_t columns, float *out) {
  int64_t m = 0;
  for (; num_columns <= 4 && m + 4 <= rows; m += 4)
    dots(4, num_columns, weight, x + m * depth, depth, columns, out + m * columns);
  for (; m < rows; m++)
    dots(1, num_columns, weight, x + m * depth, depth, columns, out + m * columns);
}

void compare(const float *weight, const float *x, int64_t rows, int64_t depth, int64_t columns,
             float *out) {
  int64_t c = 0;
  if (rows < 4)
    for (; c + 8 <= columns; c += 8)
      dots_of_rows(8, weight + c * depth, x, rows, depth, columns, out + c);
  for (; c + 4 <= columns; c += 4)
    dots_of_rows(4, weight + c * depth, x, rows, depth, columns, out + c);
  for (; c < columns; c++)
    dots_of_rows(1, weight + c * depth, x, rows, depth, columns, out + c);
}
