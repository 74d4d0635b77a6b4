/* One position against the strips of its slot. */
#include <math.h>

#include "half.h"
#include "native_step.h"

#define WIDE 4 /* vectors of values that are summed at once */

struct place {
  int64_t strip, written, num_visible; /* `written` is -1 where nothing is */
};

/* ---- scores: 16 positions at a time ---- */

typedef int32_t lanes __attribute__((vector_size(4 * LANES)));

/* Lane l is the sum of vector `reversed(l)`: halves are folded onto each other. */
static inline vec sums_of(const vec v[LANES]) {
  const lanes low8 = {0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23};
  const lanes low4 = {0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27};
  const lanes low2 = {0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29};
  const lanes low1 = {0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30};
  vec a[8], b[4], c[2];
  for (int i = 0; i < 8; i++)
    a[i] = __builtin_shuffle(v[i], v[i + 8], low8) + __builtin_shuffle(v[i], v[i + 8], low8 + 8);
  for (int i = 0; i < 4; i++)
    b[i] = __builtin_shuffle(a[i], a[i + 4], low4) + __builtin_shuffle(a[i], a[i + 4], low4 + 4);
  for (int i = 0; i < 2; i++)
    c[i] = __builtin_shuffle(b[i], b[i + 2], low2) + __builtin_shuffle(b[i], b[i + 2], low2 + 2);
  return __builtin_shuffle(c[0], c[1], low1) + __builtin_shuffle(c[0], c[1], low1 + 1);
}

static inline int reversed(int four_bits) {
  return (four_bits & 1) << 3 | (four_bits & 2) << 1 | (four_bits & 4) >> 1 | four_bits >> 3;
}

ALWAYS_INLINE float dot(const float *a, struct kept b, int64_t width) {
  vec sums = {0};
  int64_t i = 0;
  for (; i + LANES <= width; i += LANES) sums += *(const vec *)(a + i) * vector_at(b, i);
  float sum = sum_of(sums);
  for (; i < width; i++) sum += a[i] * number_at(b, i);
  return sum;
}

/* scores[p] = scale * query . keys[p] for 16 positions that are `stride` apart. */
ALWAYS_INLINE void score_block(const float *query, struct kept keys, int64_t stride,
                               int64_t width, float scale, float *scores) {
  vec products[LANES] = {{0}};
  int64_t i = 0;
  for (; i + LANES <= width; i += LANES)
    for (int j = 0; j < LANES; j++)
      products[j] += *(const vec *)(query + i) * vector_at(keys, reversed(j) * stride + i);
  *(vec *)scores = sums_of(products);
  for (; i < width; i++)
    for (int j = 0; j < LANES; j++) scores[j] += query[i] * number_at(keys, j * stride + i);
  *(vec *)scores *= scale;
}

/* scores [heads, num_visible] of all heads, a block of keys after the other. */
ALWAYS_INLINE void score(const float *query, struct kept strip, int64_t num_visible, int64_t width,
                         int64_t num_heads, float *scores) {
  int64_t head_width = width / num_heads, stride = 2 * width, p = 0;
  float scale = 1.0f / sqrtf((float)head_width);
  for (; p + LANES <= num_visible; p += LANES)
    for (int64_t h = 0; h < num_heads; h++)
      score_block(query + h * head_width, from(strip, p * stride + h * head_width), stride,
                  head_width, scale, scores + h * num_visible + p);
  for (; p < num_visible; p++)
    for (int64_t h = 0; h < num_heads; h++)
      scores[h * num_visible + p] =
          scale * dot(query + h * head_width, from(strip, p * stride + h * head_width), head_width);
}

/* Softmax without the division by the sum, which is returned. */
static float exponentials(float *scores, int64_t num_visible) {
  float largest = -INFINITY, sum = 0;
#pragma omp simd reduction(max : largest)
  for (int64_t p = 0; p < num_visible; p++) largest = scores[p] > largest ? scores[p] : largest;
  for (int64_t p = 0; p < num_visible; p++) scores[p] = exponential(scores[p] - largest);
#pragma omp simd reduction(+ : sum)
  for (int64_t p = 0; p < num_visible; p++) sum += scores[p];
  return sum;
}

/* ---- the sum of what they weigh ---- */

/* out = sum of weights[p] * values[p], where values are `stride` apart, for some vectors of columns
 * in two sums each; the weights of vector v begin at weights[v]. */
ALWAYS_INLINE void weigh_vectors(const int num_vectors, const float *const *weights,
                                 struct kept values, int64_t num_positions, int64_t stride,
                                 float *out) {
  vec sums[2][WIDE] = {{{0}}};
  int64_t p = 0;
  for (; p + 2 <= num_positions; p += 2, values = from(values, 2 * stride))
    for (int v = 0; v < num_vectors; v++) {
      sums[0][v] += weights[v][p] * vector_at(values, v * LANES);
      sums[1][v] += weights[v][p + 1] * vector_at(values, stride + v * LANES);
    }
  for (int v = 0; p < num_positions && v < num_vectors; v++)
    sums[0][v] += weights[v][p] * vector_at(values, v * LANES);
  for (int v = 0; v < num_vectors; v++) *(vec *)(out + v * LANES) = sums[0][v] + sums[1][v];
}

/* One head of any width. */
ALWAYS_INLINE void weigh(const float *weights, int64_t num_positions, struct kept values,
                         int64_t stride, int64_t width, float *out) {
  const float *same[WIDE] = {weights, weights, weights, weights};
  int64_t i = 0;
  for (; i + WIDE * LANES <= width; i += WIDE * LANES)
    weigh_vectors(WIDE, same, from(values, i), num_positions, stride, out + i);
  for (; i + LANES <= width; i += LANES)
    weigh_vectors(1, same, from(values, i), num_positions, stride, out + i);
  for (int64_t rest = i; rest < width; rest++) out[rest] = 0;
  for (int64_t p = 0; i < width && p < num_positions; p++)
    for (int64_t rest = i; rest < width; rest++)
      out[rest] += weights[p] * number_at(values, p * stride + rest);
}

/* Heads that are one vector each. */
ALWAYS_INLINE void weigh_narrow(const float *weights, int64_t num_positions, struct kept values,
                                int64_t stride, int64_t num_heads, float *out) {
  int64_t h = 0;
  for (; h + WIDE <= num_heads; h += WIDE) {
    const float *own[WIDE];
    for (int v = 0; v < WIDE; v++) own[v] = weights + (h + v) * num_positions;
    weigh_vectors(WIDE, own, from(values, h * LANES), num_positions, stride, out + h * LANES);
  }
  for (; h < num_heads; h++) {
    const float *own = weights + h * num_positions;
    weigh_vectors(1, &own, from(values, h * LANES), num_positions, stride, out + h * LANES);
  }
}

/* Softmax of one query over `num_visible` positions of a strip, for every head. */
ALWAYS_INLINE void attend_strip(const float *query, struct kept strip, int64_t num_visible,
                                int64_t width, int64_t num_heads, float *scores, float *out) {
  int64_t head_width = width / num_heads, stride = 2 * width;
  float sums[num_heads];
  score(query, strip, num_visible, width, num_heads, scores);
  for (int64_t h = 0; h < num_heads; h++)
    sums[h] = exponentials(scores + h * num_visible, num_visible);
  if (head_width == LANES)
    weigh_narrow(scores, num_visible, from(strip, width), stride, num_heads, out);
  else
    for (int64_t h = 0; h < num_heads; h++)
      weigh(scores + h * num_visible, num_visible, from(strip, width + h * head_width), stride,
            head_width, out + h * head_width);
  for (int64_t i = 0; i < width; i++) out[i] /= sums[i / head_width];
}

/* The strips of kv_cache.py: which one a position reads, where it writes, how much it sees. */
static struct place place_of(const struct stack *s, const struct layer *layer, int64_t position,
                             int64_t slot) {
  int64_t block = s->block_tokens, row = position / block, column = position % block;
  int64_t size = layer->strip_positions;
  switch (layer->kind) {
    case ROW: return (struct place){slot, slot * size + column, column + 1};
    case COLUMN: {
      int64_t strip = slot * block + column;
      return (struct place){strip, strip * size + row, row + 1};
    }
    case PREVIOUS_ROW: {
      int64_t parity = row & 1;
      return (struct place){2 * slot + 1 - parity, (2 * slot + parity) * size + column, size};
    }
    case ALL: return (struct place){slot, slot * size + position, position + 1};
    case LYRIC_PREFIX: {
      int64_t last = s->prefix_positions, kept = position < last ? position : last;
      return (struct place){slot, slot * size + kept, position < last ? position + 1 : last};
    }
    default: return (struct place){slot, -1, size};
  }
}

/* Once for each precision, so that neither asks for it inside a loop. */
static void attend_floats(const struct layer *layer, const struct place *place, int64_t width,
                          int64_t num_heads, const float *query, float *scores, float *out) {
  int64_t at = place->strip * layer->strip_positions * 2 * width;
  struct kept strip = {(const float *)layer->strips + at, 0};
  attend_strip(query, strip, place->num_visible, width, num_heads, scores, out);
}

static void attend_halves(const struct layer *layer, const struct place *place, int64_t width,
                          int64_t num_heads, const float *query, float *scores, float *out) {
  int64_t at = place->strip * layer->strip_positions * 2 * width;
  struct kept strip = {(const uint16_t *)layer->strips + at, 1};
  attend_strip(query, strip, place->num_visible, width, num_heads, scores, out);
}

void keep(const struct stack *s, const struct layer *layer, int64_t position, int64_t slot,
          const float *projected) {
  int64_t num_values = 2 * s->attention_width;
  struct place place = place_of(s, layer, position, slot);
  if (place.written < 0) return;
  const float *values = projected + s->attention_width;
  if (layer->has_halves) {
    uint16_t *kept = (uint16_t *)layer->strips + place.written * num_values;
    for (int64_t i = 0; i < num_values; i++) kept[i] = half_of(values[i]);
  } else {
    float *kept = (float *)layer->strips + place.written * num_values;
    for (int64_t i = 0; i < num_values; i++) kept[i] = values[i];
  }
}

void attend(const struct stack *s, const struct layer *layer, int64_t position, int64_t slot,
            const float *projected, float *scores, float *out) {
  struct place place = place_of(s, layer, position, slot);
  if (layer->has_halves)
    attend_halves(layer, &place, s->attention_width, s->num_heads, projected, scores, out);
  else
    attend_floats(layer, &place, s->attention_width, s->num_heads, projected, scores, out);
}
