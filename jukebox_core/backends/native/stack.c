/* From the last ids to logits: embedding, the stack of residual blocks, and the last product. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "native_step.h"

#define QUICK_GELU_SLOPE 1.702f
#define NORM_EPSILON 1e-5f

static void normalize(const float *x, int64_t width, const float *weight, const float *bias,
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

static void quick_gelu(float *x, int64_t width) {
  for (int64_t i = 0; i < width; i++) {
    float exponent = -QUICK_GELU_SLOPE * x[i];
    x[i] /= 1.0f + exponential(exponent > 87.0f ? 87.0f : exponent);
  }
}

/* ---- parts: what a thread does of something, between two meetings ---- */

/* Where the part of a thread begins, of `size` that is cut at multiples of `unit`. */
static int64_t cut(int64_t size, int64_t unit, int64_t rank, int64_t num_threads) {
  int64_t units = size / unit * rank / num_threads;
  return rank == num_threads ? size : units * unit;
}

static int is_mine(int64_t row, const struct share *me) {
  return row % me->num_threads == me->rank;
}

static void normalize_mine(const struct stack *s, const float *weight, const float *bias,
                           const struct projection *next, int64_t num_rows,
                           const struct scratch *t, const struct share *me) {
  int64_t width = s->width;
  for (int64_t m = me->rank; m < num_rows; m += me->num_threads) {
    normalize(t->x + m * width, width, weight, bias, t->normed + m * width);
    if (next->scale)
      t->level_scales[m] = quantize(t->normed + m * width, width, t->levels + m * even(width));
  }
}

/* Rows of x as the next product needs them. */
static void quantize_mine(const struct projection *next, const float *x, int64_t num_rows,
                          int64_t width, const struct scratch *t, const struct share *me) {
  for (int64_t m = me->rank; next->scale && m < num_rows; m += me->num_threads)
    t->level_scales[m] = quantize(x + m * width, width, t->levels + m * even(width));
}

/* The columns of this thread, of x [rows, depth] times a weight. */
static void project_mine(const struct projection *projection, const float *x, int64_t rows,
                         int64_t depth, int64_t columns, const float *residual, float *out,
                         const struct scratch *t, const struct share *me) {
  struct product p = {*projection, x, t->levels, t->level_scales, rows, depth, columns, residual,
                      out,         t->sums};
  project(&p, cut(columns, LANES, me->rank, me->num_threads),
          cut(columns, LANES, me->rank + 1, me->num_threads));
}

/* ---- layers ---- */

static void attend_one(const struct prior *p, const struct layer *layer, const struct row *row,
                       const float *projected, const struct scratch *t, const struct share *me,
                       float *out) {
  const struct stack *s = &p->stack;
  attend(s, layer, row->position + p->prefix_tokens, row->slot, projected,
         t->scores + me->rank * s->num_heads * s->largest_strip, out);
}

/* Rows of a prefix are of one slot, one position behind the other. Within a row of its blocks none
 * writes over what another reads, and each reads of the others what lies before it; so first all of
 * them are kept. Rows of anything else are each of a slot of its own. */
static void attend_mine(const struct prior *p, const struct layer *layer, const struct row *rows,
                        int64_t num_rows, int is_prefix, const struct scratch *t,
                        struct share *me) {
  const struct stack *s = &p->stack;
  int64_t width = s->attention_width;
  int64_t columns = layer->kind == LYRIC_ENCODER ? width : 3 * width;
  for (int64_t begin = 0, end; begin < num_rows; begin = end) {
    int64_t first = rows[begin].position + p->prefix_tokens;
    end = is_prefix ? begin + s->block_tokens - first % s->block_tokens : num_rows;
    end = end < num_rows ? end : num_rows;
    for (int64_t m = begin; m < end; m++)
      if (is_mine(m, me))
        keep(s, layer, rows[m].position + p->prefix_tokens, rows[m].slot,
             t->projected + m * columns);
    if (is_prefix) meet(me);
    for (int64_t m = begin; m < end; m++)
      if (is_mine(m, me))
        attend_one(p, layer, rows + m, t->projected + m * columns, t, me, t->attended + m * width);
    if (is_prefix) meet(me);
  }
}

/* Replaces x [rows, C]. */
static void run_layer(const struct prior *p, const struct layer *layer, const struct row *rows,
                      int64_t num_rows, int is_prefix, const struct scratch *t,
                      struct share *me) {
  const struct stack *s = &p->stack;
  int64_t width = s->attention_width, mlp = s->mlp_width;
  int64_t columns = layer->kind == LYRIC_ENCODER ? width : 3 * width;
  normalize_mine(s, layer->attention_norm_weight, layer->attention_norm_bias, &layer->query,
                 num_rows, t, me);
  meet(me);
  project_mine(&layer->query, t->normed, num_rows, s->width, columns, 0, t->projected, t, me);
  meet(me);
  attend_mine(p, layer, rows, num_rows, is_prefix, t, me);
  quantize_mine(&layer->attention_output, t->attended, num_rows, width, t, me);
  meet(me);
  project_mine(&layer->attention_output, t->attended, num_rows, width, s->width, t->x, t->x, t, me);
  meet(me);
  normalize_mine(s, layer->mlp_norm_weight, layer->mlp_norm_bias, &layer->mlp_input, num_rows, t,
                 me);
  meet(me);
  project_mine(&layer->mlp_input, t->normed, num_rows, s->width, mlp, 0, t->hidden, t, me);
  int64_t begin = cut(mlp, LANES, me->rank, me->num_threads);
  int64_t end = cut(mlp, LANES, me->rank + 1, me->num_threads);
  for (int64_t m = 0; m < num_rows; m++) quick_gelu(t->hidden + m * mlp + begin, end - begin);
  meet(me);
  quantize_mine(&layer->mlp_output, t->hidden, num_rows, mlp, t, me);
  if (layer->mlp_output.scale) meet(me);
  project_mine(&layer->mlp_output, t->hidden, num_rows, mlp, s->width, t->x, t->x, t, me);
  meet(me);
}

static void run_stack(const struct prior *p, const struct row *rows, int64_t num_rows,
                      int is_prefix, const struct scratch *t, struct share *me) {
  for (int64_t l = 0; l < p->stack.num_layers; l++)
    run_layer(p, p->stack.layers + l, rows, num_rows, is_prefix, t, me);
}

/* ---- tokens ---- */

/* Replaces x [rows, C], which comes from the stack. */
static void compare_with_ids(const struct prior *p, const struct row *rows, int64_t num_rows,
                             float *x, float *logits, struct share *me) {
  int64_t width = p->stack.width;
  for (int64_t m = me->rank; p->is_tied && m < num_rows; m += me->num_threads) {
    const float *added =
        p->conditioning + (rows[m].slot * p->context_tokens + rows[m].position) * width;
    for (int64_t i = 0; i < width; i++) x[m * width + i] += added[i];
  }
  meet(me);
  compare(p->logits, x, num_rows, width, p->vocabulary,
          cut(p->vocabulary, LANES, me->rank, me->num_threads),
          cut(p->vocabulary, LANES, me->rank + 1, me->num_threads), logits);
  meet(me);
}

void predict(const struct prior *p, const struct row *rows, const int64_t *last_ids,
             int64_t num_rows, const struct scratch *t, float *logits, struct share *me) {
  int64_t width = p->stack.width;
  for (int64_t m = me->rank; m < num_rows; m += me->num_threads) {
    const float *id = p->token_embedding + last_ids[m] * width;
    const float *place = p->position_embedding + (rows[m].position + p->prefix_tokens) * width;
    const float *added =
        p->conditioning + (rows[m].slot * p->context_tokens + rows[m].position) * width;
    for (int64_t i = 0; i < width; i++) t->x[m * width + i] = id[i] + place[i] + added[i];
  }
  run_stack(p, rows, num_rows, 0, t, me);
  compare_with_ids(p, rows, num_rows, t->x, logits, me);
}

void predict_from(const struct prior *p, int64_t slot, const float *x, int64_t num_positions,
                  const struct scratch *t, float *logits, struct share *me) {
  struct row rows[PREFIX_ROWS];
  int64_t width = p->stack.width, num_rows = 0;
  for (int64_t first = 0; first < num_positions; first += num_rows) {
    num_rows = num_positions - first < PREFIX_ROWS ? num_positions - first : PREFIX_ROWS;
    for (int64_t m = 0; m < num_rows; m++) {
      rows[m] = (struct row){.slot = slot, .position = first + m - p->prefix_tokens};
      if (is_mine(m, me))
        memcpy(t->x + m * width, x + (first + m) * width, width * sizeof(*x));
    }
    run_stack(p, rows, num_rows, 1, t, me);
  }
  int64_t last = num_rows - 1;
  compare_with_ids(p, rows + last, 1, t->x + last * width, logits, me);
}

/* ---- memory ---- */

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

static size_t aligned(size_t num_bytes) { return (num_bytes + 63) & ~(size_t)63; }

struct scratch scratch_for(const struct prior *p, int64_t num_rows, int64_t num_logits,
                           int64_t num_threads) {
  const struct stack *s = &p->stack;
  int64_t deepest = larger(larger(s->width, s->attention_width), s->mlp_width);
  int64_t widest = larger(deepest, 3 * s->attention_width);
  int64_t at_once = num_rows < ROWS_AT_ONCE ? num_rows : ROWS_AT_ONCE;
  struct scratch t = {0};
  const struct {
    void *part;
    size_t num_bytes;
  } parts[] = {
      {&t.x, num_rows * s->width * sizeof(float)},
      {&t.normed, num_rows * s->width * sizeof(float)},
      {&t.projected, num_rows * 3 * s->attention_width * sizeof(float)},
      {&t.attended, num_rows * s->attention_width * sizeof(float)},
      {&t.hidden, num_rows * s->mlp_width * sizeof(float)},
      {&t.logits, num_logits * p->vocabulary * sizeof(float)},
      {&t.level_scales, num_rows * sizeof(float)},
      {&t.levels, num_rows * (deepest + 1) * sizeof(int16_t)},
      {&t.sums, at_once * widest * sizeof(float)},
      {&t.scores, num_threads * s->num_heads * s->largest_strip * sizeof(float)},
      {&t.chances, num_threads * p->vocabulary * sizeof(double)},
      {&t.order, num_threads * p->vocabulary * sizeof(int32_t)},
  };
  const size_t num_parts = sizeof(parts) / sizeof(*parts);
  size_t num_bytes = 0;
  for (size_t i = 0; i < num_parts; i++) num_bytes += aligned(parts[i].num_bytes);
  char *block = aligned_alloc(64, num_bytes);
  for (size_t i = 0; block && i < num_parts; block += aligned(parts[i++].num_bytes))
    memcpy(parts[i].part, &block, sizeof(block));
  return t;
}
