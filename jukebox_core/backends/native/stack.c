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

static void normalize_rows(const struct stack *s, const float *weight, const float *bias,
                           int64_t num_rows, const struct scratch *scratch) {
  for (int64_t m = 0; m < num_rows; m++)
    normalize(scratch->x + m * s->width, s->width, weight, bias, scratch->normed + m * s->width);
}

/* Replaces x [rows, C]. */
static void run_stack(const struct prior *p, const struct row *rows, int64_t num_rows,
                      const struct scratch *t) {
  const struct stack *s = &p->stack;
  for (int64_t l = 0; l < s->num_layers; l++) {
    const struct layer *layer = s->layers + l;
    int64_t width = s->attention_width;
    int64_t columns = layer->kind == LYRIC_ENCODER ? width : 3 * width;
    normalize_rows(s, layer->attention_norm_weight, layer->attention_norm_bias, num_rows, t);
    project(layer->query, t->normed, num_rows, s->width, columns, 0, t->projected);
    for (int64_t m = 0; m < num_rows; m++)
      attend(s, layer, rows[m].position + p->prefix_tokens, rows[m].slot,
             t->projected + m * columns, t->scores, t->attended + m * width);
    project(layer->attention_output, t->attended, num_rows, width, s->width, t->x, t->x);
    normalize_rows(s, layer->mlp_norm_weight, layer->mlp_norm_bias, num_rows, t);
    project(layer->mlp_input, t->normed, num_rows, s->width, s->mlp_width, 0, t->hidden);
    quick_gelu(t->hidden, num_rows * s->mlp_width);
    project(layer->mlp_output, t->hidden, num_rows, s->mlp_width, s->width, t->x, t->x);
  }
}

/* Replaces x [rows, C], which comes from the stack. */
static void compare_with_ids(const struct prior *p, const struct row *rows, int64_t num_rows,
                             float *x, float *logits) {
  int64_t width = p->stack.width;
  for (int64_t m = 0; p->is_tied && m < num_rows; m++) {
    const float *added =
        p->conditioning + (rows[m].slot * p->context_tokens + rows[m].position) * width;
    for (int64_t i = 0; i < width; i++) x[m * width + i] += added[i];
  }
  compare(p->logits, x, num_rows, width, p->vocabulary, logits);
}

void predict(const struct prior *p, const struct row *rows, const int64_t *last_ids,
             int64_t num_rows, const struct scratch *t, float *logits) {
  int64_t width = p->stack.width;
  for (int64_t m = 0; m < num_rows; m++) {
    const float *id = p->token_embedding + last_ids[m] * width;
    const float *place = p->position_embedding + (rows[m].position + p->prefix_tokens) * width;
    const float *added =
        p->conditioning + (rows[m].slot * p->context_tokens + rows[m].position) * width;
    for (int64_t i = 0; i < width; i++) t->x[m * width + i] = id[i] + place[i] + added[i];
  }
  run_stack(p, rows, num_rows, t);
  compare_with_ids(p, rows, num_rows, t->x, logits);
}

void predict_from(const struct prior *p, struct row *rows, int64_t slot, const float *x,
                  int64_t num_positions, const struct scratch *t, float *logits) {
  int64_t width = p->stack.width, last = num_positions - 1;
  for (int64_t m = 0; m < num_positions; m++)
    rows[m] = (struct row){.slot = slot, .position = m - p->prefix_tokens};
  memcpy(t->x, x, num_positions * width * sizeof(*x));
  run_stack(p, rows, num_positions, t);
  compare_with_ids(p, rows + last, 1, t->x + last * width, logits);
}

static size_t aligned(size_t num_bytes) { return (num_bytes + 63) & ~(size_t)63; }

struct scratch scratch_for(const struct prior *p, int64_t num_rows, int64_t num_logits) {
  const struct stack *s = &p->stack;
  const int64_t numbers[] = {
      num_rows * s->width,           num_rows * s->width,
      num_rows * 3 * s->attention_width, num_rows * s->attention_width,
      num_rows * s->mlp_width,       num_logits * p->vocabulary,
      s->num_heads * s->largest_strip,
  };
  struct scratch t = {0};
  float **parts[] = {&t.x, &t.normed, &t.projected, &t.attended, &t.hidden, &t.logits, &t.scores};
  const int num_parts = sizeof(parts) / sizeof(*parts);
  size_t num_bytes = aligned(p->vocabulary * sizeof(double)) + p->vocabulary * sizeof(int32_t);
  for (int i = 0; i < num_parts; i++) num_bytes += aligned(numbers[i] * sizeof(float));
  char *block = aligned_alloc(64, aligned(num_bytes));
  for (int i = 0; block && i < num_parts; i++) {
    *parts[i] = (float *)block;
    block += aligned(numbers[i] * sizeof(float));
  }
  t.chances = (double *)block;
  t.order = block ? (int32_t *)(block + aligned(p->vocabulary * sizeof(double))) : 0;
  return t;
}
