/* Memory for what is computed between two operations. */
#include <stdlib.h>

#include "native_step.h"

#define LINE 64

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

/* Where the next piece of the block begins; before there is a block, pieces are only counted. */
static void *take(char *block, size_t *num_bytes, size_t size) {
  size_t at = *num_bytes;
  *num_bytes += (size + LINE - 1) / LINE * LINE;
  return block ? block + at : 0;
}

static struct factor factor_from(char *block, size_t *num_bytes, int64_t num_rows, int64_t depth) {
  return (struct factor){
      .x = take(block, num_bytes, num_rows * depth * sizeof(float)),
      .levels = take(block, num_bytes, num_rows * even(depth) * sizeof(int16_t)),
      .scales = take(block, num_bytes, num_rows * sizeof(float)),
  };
}

/* What is no longer needed is written over where there is one sheet: caches are small. */
static struct sheet sheet_from(char *block, size_t *num_bytes, const struct prior *p,
                               int64_t num_rows, int has_logits, int is_only_one) {
  const struct stack *s = &p->stack;
  size_t row_bytes = num_rows * sizeof(float);
  struct factor normed = factor_from(block, num_bytes, num_rows, s->width);
  float *x = take(block, num_bytes, s->width * row_bytes);
  return (struct sheet){
      .normed = normed,
      .attended = factor_from(block, num_bytes, num_rows, s->attention_width),
      .mlp_normed = is_only_one ? normed : factor_from(block, num_bytes, num_rows, s->width),
      .hidden = factor_from(block, num_bytes, num_rows, s->mlp_width),
      .projected = take(block, num_bytes, 3 * s->attention_width * row_bytes),
      .middle = is_only_one ? x : take(block, num_bytes, s->width * row_bytes),
      .mlp_projected = take(block, num_bytes, s->mlp_width * row_bytes),
      .x = x,
      .logits = take(block, num_bytes, has_logits ? p->vocabulary * row_bytes : 0),
  };
}

static struct scratch scratch_from(char *block, size_t *num_bytes, const struct prior *p,
                                   int64_t num_rows, int has_logits, int64_t num_threads,
                                   int64_t num_sheets) {
  const struct stack *s = &p->stack;
  int64_t widest = larger(larger(s->width, s->mlp_width), 3 * s->attention_width);
  int64_t at_once = num_rows < ROWS_AT_ONCE ? num_rows : ROWS_AT_ONCE;
  struct scratch t = {.num_sheets = num_sheets, .block = block};
  t.sums_of_thread = (at_once * widest * sizeof(float) + LINE - 1) / LINE * LINE;
  t.sheets = take(block, num_bytes, num_sheets * sizeof(struct sheet));
  t.sums = take(block, num_bytes, num_threads * t.sums_of_thread);
  t.scores = take(block, num_bytes, num_threads * s->num_heads * s->largest_strip * sizeof(float));
  t.chances = take(block, num_bytes, num_threads * p->vocabulary * sizeof(double));
  t.order = take(block, num_bytes, num_threads * p->vocabulary * sizeof(int32_t));
  for (int64_t i = 0; i < num_sheets; i++) {
    struct sheet sheet = sheet_from(block, num_bytes, p, num_rows, has_logits, num_sheets == 1);
    if (block) t.sheets[i] = sheet;
  }
  return t;
}

struct scratch scratch_for(const struct prior *p, int64_t num_rows, int has_logits,
                           int64_t num_threads, int is_repeatable) {
  /* Two that are open, and two in the hands of each other thread. */
  int64_t num_sheets = is_repeatable && num_threads > 1 ? 2 * num_threads + 1 : 1;
  size_t num_bytes = 0, again = 0;
  scratch_from(0, &num_bytes, p, num_rows, has_logits, num_threads, num_sheets);
  char *block = aligned_alloc(LINE, num_bytes);
  if (!block) return (struct scratch){0};
  return scratch_from(block, &again, p, num_rows, has_logits, num_threads, num_sheets);
}
