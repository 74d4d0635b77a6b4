/* One position against the strips of its slot. */
#include <math.h>

#include "native_step.h"

#define WIDE 4 /* vectors of values that are summed at once */

struct place {
  int64_t strip, written, num_visible; /* `written` is -1 where nothing is */
};

static inline float dot(const float *a, const float *b, int64_t width) {
  vec sums = {0};
  int64_t i = 0;
  for (; i + LANES <= width; i += LANES) sums += *(const vec *)(a + i) * *(const vec *)(b + i);
  float sum = sum_of(sums);
  for (; i < width; i++) sum += a[i] * b[i];
  return sum;
}

/* out = sum of weights[p] * values[p] over positions that are `stride` apart. */
static void weigh(const float *weights, int64_t num_positions, const float *values, int64_t stride,
                  int64_t width, float *out) {
  int64_t i = 0;
  for (; i + WIDE * LANES <= width; i += WIDE * LANES) {
    vec sums[WIDE] = {{0}};
    for (int64_t p = 0; p < num_positions; p++)
      for (int v = 0; v < WIDE; v++)
        sums[v] += weights[p] * *(const vec *)(values + p * stride + i + v * LANES);
    for (int v = 0; v < WIDE; v++) *(vec *)(out + i + v * LANES) = sums[v];
  }
  for (int64_t rest = i; rest < width; rest++) out[rest] = 0;
  for (int64_t p = 0; p < num_positions; p++)
    for (int64_t rest = i; rest < width; rest++) out[rest] += weights[p] * values[p * stride + rest];
}

/* Softmax of one query over `num_visible` positions of a strip, for every head. */
static void attend_strip(const float *query, const float *strip, int64_t num_visible, int64_t width,
                   int64_t num_heads, float *scores, float *out) {
  int64_t head_width = width / num_heads;
  float scale = 1.0f / sqrtf((float)head_width);
  for (int64_t head = 0; head < width; head += head_width) {
    float largest = -INFINITY, sum = 0;
    for (int64_t p = 0; p < num_visible; p++) {
      scores[p] = scale * dot(query + head, strip + p * 2 * width + head, head_width);
      largest = scores[p] > largest ? scores[p] : largest;
    }
    for (int64_t p = 0; p < num_visible; p++) scores[p] = exponential(scores[p] - largest);
    for (int64_t p = 0; p < num_visible; p++) sum += scores[p];
    for (int64_t p = 0; p < num_visible; p++) scores[p] /= sum;
    weigh(scores, num_visible, strip + width + head, 2 * width, head_width, out + head);
  }
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

void attend(const struct stack *s, const struct layer *layer, int64_t position, int64_t slot,
            const float *projected, float *scores, float *out) {
  int64_t width = s->attention_width;
  struct place place = place_of(s, layer, position, slot);
  if (place.written >= 0) {
    float *kept = layer->strips + place.written * 2 * width;
    for (int64_t i = 0; i < 2 * width; i++) kept[i] = projected[width + i];
  }
  const float *strip = layer->strips + place.strip * layer->strip_positions * 2 * width;
  attend_strip(projected, strip, place.num_visible, width, s->num_heads, scores, out);
}
