/* Products of a few rows with a large matrix, straight from the weights as they lie.
 *
 * A block of some rows of the weight is read across all columns before the next, so that memory is
 * read nearly as it lies, and the block after it is fetched meanwhile. Sums wait in between.
 *
 * With int8 weights both factors are whole numbers: rows in as many levels as leave room for the sum
 * in 32 bits. Sums are exact, so all processors agree on them, whatever instructions they have.
 */
#include <math.h>
#if defined __x86_64__
#include <immintrin.h>
#endif

#include "native_step.h"

#define TALL 6 /* rows in a tile of a product */
#ifdef __AVX512F__
#define WIDE 4 /* vectors of columns in it: 24 sums and 4 weights fit 32 registers */
#else
#define WIDE 1 /* as 2 or 4 registers each */
#endif
#define SHALLOW 32 /* rows of the weight in a block if one tile has all rows, */
#define DEEP 64 /* and otherwise; both are even */
#define CACHED 131072 /* floats of a weight that is one block: they stay in a cache of the core */
#define AHEAD 16 /* rows to fetch before they are needed then */
#define LARGEST_WEIGHT 127

typedef int8_t bytes __attribute__((vector_size(LANES), aligned(1), may_alias));
typedef int32_t whole __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t pair __attribute__((aligned(2), may_alias)); /* two levels */

#define INLINE static inline __attribute__((always_inline))

/* ---- whole numbers ---- */

static int32_t num_levels(int64_t depth) {
  int64_t fitting = INT32_MAX / (LARGEST_WEIGHT * depth);
  return fitting < INT16_MAX ? (int32_t)fitting : INT16_MAX;
}

float quantize(const float *x, int64_t depth, int16_t *levels) {
  float largest = 0;
#pragma omp simd reduction(max : largest)
  for (int64_t i = 0; i < depth; i++) largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
  const float most = (float)num_levels(depth), per_level = largest > 0 ? most / largest : 0;
  for (int64_t i = 0; i < depth; i++) {
    float level = rintf(x[i] * per_level);
    levels[i] = (int16_t)(int32_t)(level < -most ? -most : level > most ? most : level);
  }
  if (depth & 1) levels[depth] = 0;
  return largest / most;
}

INLINE whole widened(const int8_t *from) {
#ifdef __AVX512F__ /* the compiler does not find it by itself */
  return (whole)_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)from));
#else
  return __builtin_convertvector(*(const bytes *)from, whole);
#endif
}

/* sum + the lower halves of `weights` times the first of two levels + the upper ones times the other
 */
INLINE whole add_pairs(whole sum, whole weights, pair levels) {
#if defined __AVX512VNNI__
  return (whole)_mm512_dpwssd_epi32((__m512i)sum, (__m512i)weights, _mm512_set1_epi32(levels));
#elif defined __AVX512BW__
  return sum + (whole)_mm512_madd_epi16((__m512i)weights, _mm512_set1_epi32(levels));
#elif defined __AVX2__
  union {
    whole all;
    __m256i half[2];
  } products = {weights};
  for (int i = 0; i < 2; i++)
    products.half[i] = _mm256_madd_epi16(products.half[i], _mm256_set1_epi32(levels));
  return sum + products.all;
#else
  return sum + ((weights << 16) >> 16) * (int32_t)(int16_t)levels + (weights >> 16) * (levels >> 16);
#endif
}

/* ---- one tile, in the middle of a row of tiles ---- */

/* Rows m.. by columns c.. of a product, and rows [from, to) of its weight; those `ahead` rows behind
 * are fetched. */
struct spot {
  int64_t m, c, from, to, ahead;
};

INLINE void finish(const struct product *p, int64_t m, int64_t c, vec sum) {
  int64_t at = m * p->columns + c;
  if (p->residual) sum += *(const vec *)(p->residual + at);
  *(vec *)(p->out + at) = sum;
}

/* `num_rows` and `num_vectors` are constants where this is inlined, so that the sums stay in
 * registers; so is `is_fetching`. */
INLINE void tile_of_floats(const int num_rows, const int num_vectors, const int is_fetching,
                           const struct product *p, struct spot at) {
  vec sums[TALL][WIDE];
  const int64_t columns = p->columns, ahead = at.ahead * columns, depth = p->depth;
  float *waiting = (float *)p->sums + at.m % ROWS_AT_ONCE * columns + at.c;
  for (int m = 0; m < num_rows; m++)
    for (int v = 0; v < num_vectors; v++)
      sums[m][v] = at.from ? *(const vec *)(waiting + m * columns + v * LANES)
                           : *(const vec *)(p->projection.bias + at.c + v * LANES);
  const float *weight = (const float *)p->projection.weight + at.from * columns + at.c;
  const float *x = p->x + at.m * p->depth;
  for (int64_t k = at.from; k < at.to; k++, weight += columns) {
    vec row[WIDE];
    for (int v = 0; v < num_vectors; v++) {
      if (is_fetching) __builtin_prefetch(weight + ahead + v * LANES);
      row[v] = *(const vec *)(weight + v * LANES);
    }
    for (int m = 0; m < num_rows; m++)
      for (int v = 0; v < num_vectors; v++) sums[m][v] += x[m * depth + k] * row[v];
  }
  for (int m = 0; m < num_rows; m++)
    for (int v = 0; v < num_vectors; v++)
      if (at.to < p->depth)
        *(vec *)(waiting + m * columns + v * LANES) = sums[m][v];
      else
        finish(p, at.m + m, at.c + v * LANES, sums[m][v]);
}

/* Two rows of an int8 weight, behind one another in the halves of `row`. */
INLINE void pair_up(const int num_vectors, const struct product *p, struct spot at, int64_t k,
                    whole *row) {
  const int8_t *first = (const int8_t *)p->projection.weight + k * p->columns + at.c;
  const int8_t *second = k + 1 < p->depth ? first + p->columns : first; /* times 0 then */
  __builtin_prefetch(first + at.ahead * p->columns);
  __builtin_prefetch(second + at.ahead * p->columns);
  for (int v = 0; v < num_vectors; v++)
    row[v] = (widened(first + v * LANES) & 0xffff) | (widened(second + v * LANES) << 16);
}

/* `paired` are the rows of the weight if they were paired up before. */
INLINE void tile_of_levels(const int num_rows, const int num_vectors, const struct product *p,
                           struct spot at, const whole (*paired)[WIDE]) {
  whole sums[TALL][WIDE];
  const int64_t columns = p->columns, row_levels = even(p->depth);
  int32_t *waiting = (int32_t *)p->sums + at.m % ROWS_AT_ONCE * columns + at.c;
  for (int m = 0; m < num_rows; m++)
    for (int v = 0; v < num_vectors; v++)
      sums[m][v] = at.from ? *(const whole *)(waiting + m * columns + v * LANES) : (whole){0};
  const int16_t *x = p->levels + at.m * row_levels;
  for (int64_t k = at.from; k < at.to; k += 2) {
    whole row[WIDE];
    if (paired)
      for (int v = 0; v < num_vectors; v++) row[v] = paired[(k - at.from) / 2][v];
    else
      pair_up(num_vectors, p, at, k, row);
    for (int m = 0; m < num_rows; m++)
      for (int v = 0; v < num_vectors; v++)
        sums[m][v] = add_pairs(sums[m][v], row[v], *(const pair *)(x + m * row_levels + k));
  }
  for (int m = 0; m < num_rows; m++)
    for (int v = 0; v < num_vectors; v++) {
      int64_t c = at.c + v * LANES;
      if (at.to < p->depth)
        *(whole *)(waiting + m * columns + v * LANES) = sums[m][v];
      else
        finish(p, at.m + m, c,
               __builtin_convertvector(sums[m][v], vec) * p->level_scales[at.m + m] *
                       *(const vec *)(p->projection.scale + c) +
                   *(const vec *)(p->projection.bias + c));
    }
}

/* ---- all rows by some columns ---- */

INLINE void tile(const int is_int8, const int num_rows, const int num_vectors, const int is_first,
                 const struct product *p, struct spot at, const whole (*paired)[WIDE]) {
  if (is_int8)
    tile_of_levels(num_rows, num_vectors, p, at, paired);
  else
    tile_of_floats(num_rows, num_vectors, is_first, p, at);
}

INLINE void tiles(const int is_int8, const int num_vectors, const int is_first,
                  const struct product *p, struct spot at, int64_t num_rows,
                  const whole (*paired)[WIDE]) {
  while (num_rows > 0) {
    int done = num_rows >= TALL ? TALL : num_rows >= 4 ? 4 : num_rows >= 2 ? 2 : 1;
    if (done == TALL)
      tile(is_int8, TALL, num_vectors, is_first, p, at, paired);
    else if (done == 4)
      tile(is_int8, 4, num_vectors, is_first, p, at, paired);
    else if (done == 2)
      tile(is_int8, 2, num_vectors, is_first, p, at, paired);
    else
      tile(is_int8, 1, num_vectors, is_first, p, at, paired);
    at.m += done, num_rows -= done;
  }
}

/* Weights are fetched ahead by the first rows that need them, and int8 ones are paired up once where
 * several tiles need them. */
INLINE void stripe(const int is_int8, const int num_vectors, const struct product *p,
                   struct spot at, int64_t num_rows) {
  if (is_int8 && num_rows > TALL) {
    whole paired[DEEP / 2][WIDE];
    for (int64_t k = at.from; k < at.to; k += 2)
      pair_up(num_vectors, p, at, k, paired[(k - at.from) / 2]);
    tiles(1, num_vectors, 0, p, at, num_rows, (const whole(*)[WIDE])paired);
    return;
  }
  int64_t first = num_rows < TALL ? num_rows : TALL;
  tiles(is_int8, num_vectors, 1, p, at, first, 0);
  at.m += first;
  tiles(is_int8, num_vectors, 0, p, at, num_rows - first, 0);
}

/* Columns that fill no vector. */
static void project_rest(const struct product *p, int64_t begin, int64_t end) {
  const int64_t row_levels = even(p->depth);
  for (int64_t m = 0; m < p->rows; m++)
    for (int64_t c = begin; c < end; c++) {
      float sum = p->projection.bias[c];
      if (p->projection.scale) {
        const int8_t *weight = (const int8_t *)p->projection.weight + c;
        int32_t levels = 0;
        for (int64_t k = 0; k < p->depth; k++)
          levels += p->levels[m * row_levels + k] * weight[k * p->columns];
        sum += (float)levels * p->level_scales[m] * p->projection.scale[c];
      } else {
        const float *weight = (const float *)p->projection.weight + c;
        for (int64_t k = 0; k < p->depth; k++) sum += p->x[m * p->depth + k] * weight[k * p->columns];
      }
      int64_t at = m * p->columns + c;
      p->out[at] = p->residual ? sum + p->residual[at] : sum;
    }
}

INLINE void project_from(const int is_int8, const struct product *p, int64_t begin, int64_t end) {
  for (int64_t m = 0; m < p->rows; m += ROWS_AT_ONCE) {
    int64_t num_rows = p->rows - m < ROWS_AT_ONCE ? p->rows - m : ROWS_AT_ONCE;
    int64_t block = num_rows <= TALL ? SHALLOW : DEEP;
    if (!is_int8 && p->depth * p->columns <= CACHED) block = p->depth;
    for (int64_t from = 0; from < p->depth; from += block) {
      int64_t to = from + block < p->depth ? from + block : p->depth;
      struct spot at = {m, begin, from, to, block < p->depth ? block : AHEAD};
      for (; at.c + WIDE * LANES <= end; at.c += WIDE * LANES)
        stripe(is_int8, WIDE, p, at, num_rows);
      for (; at.c + LANES <= end; at.c += LANES) stripe(is_int8, 1, p, at, num_rows);
    }
  }
}

void project(const struct product *p, int64_t begin, int64_t end) {
  if (p->projection.scale)
    project_from(1, p, begin, end);
  else
    project_from(0, p, begin, end);
  project_rest(p, begin + (end - begin) / LANES * LANES, end);
}

/* ---- logits ---- */

/* For `num_columns` rows of a weight that lie one after the other; both numbers are constants where
 * this is inlined. */
INLINE void dots(const int num_rows, const int num_columns, const float *weight, const float *x,
                 int64_t depth, int64_t columns, float *out) {
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

INLINE void dots_of_rows(const int num_columns, const float *weight, const float *x, int64_t rows,
                         int64_t depth, int64_t columns, float *out) {
  int64_t m = 0;
  for (; num_columns <= 4 && m + 4 <= rows; m += 4)
    dots(4, num_columns, weight, x + m * depth, depth, columns, out + m * columns);
  for (; m < rows; m++)
    dots(1, num_columns, weight, x + m * depth, depth, columns, out + m * columns);
}

void compare(const float *weight, const float *x, int64_t rows, int64_t depth, int64_t columns,
             int64_t begin, int64_t end, float *out) {
  int64_t c = begin;
  if (rows < 4)
    for (; c + 8 <= end; c += 8)
      dots_of_rows(8, weight + c * depth, x, rows, depth, columns, out + c);
  for (; c + 4 <= end; c += 4)
    dots_of_rows(4, weight + c * depth, x, rows, depth, columns, out + c);
  for (; c < end; c++) dots_of_rows(1, weight + c * depth, x, rows, depth, columns, out + c);
}
