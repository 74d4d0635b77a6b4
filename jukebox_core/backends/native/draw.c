/* The draw of sampling/sampler.py for one row: temperature, filters, and the id that a number falls
 * on. In fp64 as there, and in the same order. */
#include <math.h>

#include "native_step.h"

/* exp of x <= 0, to about 1 unit in the last place, also below the normal numbers. */
static inline double exponential_of(double x) {
  double clamped = x < -750.0 ? -750.0 : x;
  double shifted = clamped * 1.4426950408889634 + 6755399441055744.0; /* rounds: 1.5 * 2^52 */
  union { double f; uint64_t i; } bits = {shifted}, half, rest;
  double n = shifted - 6755399441055744.0;
  double r = clamped - n * 0.693147180369123816490;
  r -= n * 1.90821492927058770002e-10; /* ln 2 in two parts */
  double p = 1.0 / 6227020800;
  p = p * r + 1.0 / 479001600;
  p = p * r + 1.0 / 39916800;
  p = p * r + 1.0 / 3628800;
  p = p * r + 1.0 / 362880;
  p = p * r + 1.0 / 40320;
  p = p * r + 1.0 / 5040;
  p = p * r + 1.0 / 720;
  p = p * r + 1.0 / 120;
  p = p * r + 1.0 / 24;
  p = p * r + 1.0 / 6;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  /* The power in two factors, since half of it is never below the normal numbers. */
  int64_t power = (int64_t)(bits.i - 0x4338000000000000);
  half.i = (uint64_t)(power / 2 + 1023) << 52;
  rest.i = (uint64_t)(power - power / 2 + 1023) << 52;
  return p * half.f * rest.f;
}

/* Logits over temperature, with 0 as the largest. */
static void temper(const float *logits, int64_t num_ids, double temperature, double *out) {
  float largest = -INFINITY;
#pragma omp simd reduction(max : largest)
  for (int64_t i = 0; i < num_ids; i++) largest = logits[i] > largest ? logits[i] : largest;
  for (int64_t i = 0; i < num_ids; i++) out[i] = ((double)logits[i] - largest) / temperature;
}

/* ---- filters: ids in a heap, the likeliest on top, the lower id where two tie ---- */

static int is_before(const double *values, int32_t a, int32_t b) {
  return values[a] > values[b] || (values[a] == values[b] && a < b);
}

static void sink(const double *values, int32_t *heap, int64_t size, int64_t at) {
  for (int64_t child; (child = 2 * at + 1) < size; at = child) {
    if (child + 1 < size && is_before(values, heap[child + 1], heap[child])) child++;
    if (!is_before(values, heap[child], heap[at])) return;
    int32_t moved = heap[at];
    heap[at] = heap[child], heap[child] = moved;
  }
}

static void heapify(const double *values, int32_t *heap, int64_t size) {
  for (int64_t i = 0; i < size; i++) heap[i] = (int32_t)i;
  for (int64_t i = size / 2 - 1; i >= 0; i--) sink(values, heap, size, i);
}

static int32_t pop(const double *values, int32_t *heap, int64_t *size) {
  int32_t top = heap[0];
  heap[0] = heap[--*size];
  sink(values, heap, *size, 0);
  return top;
}

/* Every id that ties with the k-th stays. */
static void keep_top_k(double *values, int64_t num_ids, int64_t top_k, int32_t *heap) {
  int64_t size = num_ids;
  heapify(values, heap, size);
  for (int64_t i = 1; i < top_k; i++) pop(values, heap, &size);
  double smallest = values[heap[0]];
  for (int64_t i = 0; i < num_ids; i++) values[i] = values[i] < smallest ? -INFINITY : values[i];
}

/* An id stays unless the sum of those before it exceeds p. */
static void keep_top_p(double *values, int64_t num_ids, double top_p, int32_t *heap) {
  int64_t size = num_ids;
  double total = 0, before = 0;
#pragma omp simd reduction(+ : total)
  for (int64_t i = 0; i < num_ids; i++) total += exponential_of(values[i]);
  heapify(values, heap, size);
  while (size && before <= top_p)
    before += exponential_of(values[pop(values, heap, &size)]) / total;
  for (int64_t i = 0; i < size; i++) values[heap[i]] = -INFINITY;
}

/* ---- the draw ---- */

int64_t draw(const float *logits, int64_t num_ids, const struct row *row, double uniform,
             double *chances, int32_t *order) {
  temper(logits, num_ids, row->temperature, chances);
  if (row->top_k > 0 && row->top_k < num_ids) keep_top_k(chances, num_ids, row->top_k, order);
  if (row->top_p > 0 && row->top_p < 1) keep_top_p(chances, num_ids, row->top_p, order);
  double total = 0, sum = 0;
  for (int64_t i = 0; i < num_ids; i++) chances[i] = exponential_of(chances[i]);
#pragma omp simd reduction(+ : total)
  for (int64_t i = 0; i < num_ids; i++) total += chances[i];
  for (int64_t i = 0; i < num_ids; i++) chances[i] /= total;
  int64_t last = 0; /* that adds to the sum */
  for (int64_t i = 0; i < num_ids; i++) {
    double next = sum + chances[i];
    if (next > uniform) return i;
    if (next > sum) last = i;
    sum = next;
  }
  return last;
}
