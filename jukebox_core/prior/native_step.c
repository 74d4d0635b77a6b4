/* One decode step of a stack of residual blocks in fp32, on one thread; see native_step.py. Weights
 * may be int8 with a scale for each column: only they are smaller, all arithmetic stays in fp32.
 *
 * Every row is computed by itself: each sum runs over the same terms in the same order however many
 * rows there are, so a row is the same to the bit in any company.
 */
#include <math.h>
#include <stdint.h>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

#define LANES 16
#define TALL 6 /* rows in a tile of a product */
#define WIDE 4 /* vectors of columns in it: 24 sums and 4 weights fit 32 registers */
#define AHEAD 16 /* rows of a weight to fetch before they are needed */
#define QUICK_GELU_SLOPE 1.702f
#define NORM_EPSILON 1e-5f

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int8_t bytes __attribute__((vector_size(LANES), aligned(1), may_alias));

enum kind { ALL, ROW, COLUMN, PREVIOUS_ROW, LYRIC_ENCODER, LYRIC_PREFIX };

struct projection {
  const void *weight; /* [in, out], float, or int8_t where there is a scale */
  const float *bias, *scale; /* [out] */
};

struct layer {
  int64_t kind;
  int64_t strip_positions;
  float *strips; /* [strips, strip_positions, 2 A] */
  const float *attention_norm_weight, *attention_norm_bias;
  struct projection query; /* with key and value behind it, except for LYRIC_ENCODER */
  struct projection attention_output;
  const float *mlp_norm_weight, *mlp_norm_bias;
  struct projection mlp_input, mlp_output;
};

struct stack {
  int64_t num_layers, width, attention_width, mlp_width, num_heads;
  int64_t block_tokens, prefix_positions;
  const struct layer *layers;
};

struct place {
  int64_t strip, written, num_visible; /* `written` is -1 where nothing is */
};

/* ---- products ---- */

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

static void project(struct projection p, const float *x, int64_t rows, int64_t depth,
                    int64_t columns, const float *residual, float *out) {
  if (p.scale)
    project_from(1, p, x, rows, depth, columns, residual, out);
  else
    project_from(0, p, x, rows, depth, columns, residual, out);
}

/* ---- what is done to one row ---- */

static inline float sum_of(vec v) {
  typedef int32_t lanes __attribute__((vector_size(4 * LANES)));
  v += __builtin_shuffle(v, (lanes){8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7});
  v += __builtin_shuffle(v, (lanes){4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11});
  v += __builtin_shuffle(v, (lanes){2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13});
  return v[0] + v[1];
}

static void normalise(const float *x, int64_t width, const float *weight, const float *bias,
                      float *out) {
  double sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < width; i++) sum += x[i];
  float mean = (float)(sum / width);
#pragma omp simd reduction(+ : squares)
  for (int64_t i = 0; i < width; i++) squares += (double)(x[i] - mean) * (x[i] - mean);
  float scale = (float)(1.0 / sqrt(squares / width + NORM_EPSILON));
  for (int64_t i = 0; i < width; i++) out[i] = (x[i] - mean) * scale * weight[i] + bias[i];
}

/* exp of x <= 88, to 2 units in the last place; what would be below the normal numbers is 0. */
static inline float exponential(float x) {
  float clamped = x < -87.0f ? -87.0f : x;
  float shifted = clamped * 1.44269504f + 12582912.0f; /* rounds: 1.5 * 2^23 */
  union { float f; int32_t i; } bits = {shifted}, power;
  float n = shifted - 12582912.0f;
  float r = clamped - n * 0.693359375f + n * 2.12194440e-4f; /* ln 2 in two parts */
  float p = 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  power.i = (int32_t)((uint32_t)(bits.i + 127) << 23);
  return x < -87.0f ? 0.0f : p * power.f;
}

static void quick_gelu(float *x, int64_t width) {
  for (int64_t i = 0; i < width; i++) {
    float exponent = -QUICK_GELU_SLOPE * x[i];
    x[i] /= 1.0f + exponential(exponent > 87.0f ? 87.0f : exponent);
  }
}

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
static void attend(const float *query, const float *strip, int64_t num_visible, int64_t width,
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

/* ---- the stack ---- */

static void attention(const struct stack *s, const struct layer *layer, const int64_t *positions,
                      const int64_t *slots, int64_t rows, const float *normed, float *projected,
                      float *scores, float *attended, float *x) {
  int64_t width = s->attention_width, columns = layer->kind == LYRIC_ENCODER ? width : 3 * width;
  project(layer->query, normed, rows, s->width, columns, 0, projected);
  for (int64_t m = 0; m < rows; m++) {
    const float *query = projected + m * columns;
    struct place place = place_of(s, layer, positions[m], slots[m]);
    if (place.written >= 0) {
      float *kept = layer->strips + place.written * 2 * width;
      for (int64_t i = 0; i < 2 * width; i++) kept[i] = query[width + i];
    }
    const float *strip = layer->strips + place.strip * layer->strip_positions * 2 * width;
    attend(query, strip, place.num_visible, width, s->num_heads, scores, attended + m * width);
  }
  project(layer->attention_output, attended, rows, width, s->width, x, x);
}

/* x [rows, width] is replaced. `scratch` is laid out below. */
void decode_stack(const struct stack *s, const int64_t *positions, const int64_t *slots,
                  int64_t rows, float *x, float *scratch) {
  float *normed = scratch, *projected = normed + rows * s->width;
  float *attended = projected + rows * 3 * s->attention_width;
  float *hidden = attended + rows * s->attention_width;
  float *scores = hidden + rows * s->mlp_width;
  for (int64_t l = 0; l < s->num_layers; l++) {
    const struct layer *layer = s->layers + l;
    for (int64_t m = 0; m < rows; m++)
      normalise(x + m * s->width, s->width, layer->attention_norm_weight,
                layer->attention_norm_bias, normed + m * s->width);
    attention(s, layer, positions, slots, rows, normed, projected, scores, attended, x);
    for (int64_t m = 0; m < rows; m++)
      normalise(x + m * s->width, s->width, layer->mlp_norm_weight, layer->mlp_norm_bias,
                normed + m * s->width);
    project(layer->mlp_input, normed, rows, s->width, s->mlp_width, 0, hidden);
    quick_gelu(hidden, rows * s->mlp_width);
    project(layer->mlp_output, hidden, rows, s->mlp_width, s->width, x, x);
  }
}
