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

static void quick_gelu(const float *x, int64_t width, float *out) {
  for (int64_t i = 0; i < width; i++) {
    float exponent = -QUICK_GELU_SLOPE * x[i];
    out[i] = x[i] / (1.0f + exponential(exponent > 87.0f ? 87.0f : exponent));
  }
}

/* ---- parts: what a thread does of something ---- */

/* What all tasks of a layer, or around the stack, go by. */
struct pass {
  struct task task;
  const struct prior *prior;
  const struct layer *layer;
  const struct row *rows;
  int64_t num_rows, begin, end; /* of a prefix, `begin` to `end` attend at once */
  const struct scratch *scratch;
  const struct sheet *sheet, *before;
  const int64_t *last_ids;
  const float *embedded;
  float *logits;
};

typedef void work(const struct task *task, int64_t part, int64_t rank);

static const struct pass *pass_of(const struct task *task) { return (const struct pass *)task; }

static void compute_in(struct share *me, struct pass *pass, work *work, int64_t num_parts) {
  pass->task.work = work;
  pass->task.num_parts = num_parts;
  pass->task.is_repeatable = pass->scratch->num_sheets > 1;
  compute(me, &pass->task);
}

static void compute_rows(struct share *me, struct pass *pass, work *work) {
  compute_in(me, pass, work, parts_for(me, pass->num_rows));
}

static void compute_columns(struct share *me, struct pass *pass, work *work, int64_t columns) {
  compute_in(me, pass, work, parts_for(me, columns));
}

/* A layer opens one, and so does what is before and behind the stack. Nobody is a whole token behind: so
 * what a layer has kept of one is there while anybody still reads it. */
static void turn_sheet(struct share *me, struct pass *pass) {
  int64_t of_token = pass->prior->stack.num_layers + 2;
  open_sheet(me, pass->scratch->num_sheets > 1 ? of_token : 0);
  pass->sheet = pass->scratch->sheets + me->sheet;
  pass->before = pass->scratch->sheets + me->sheet_before;
}

/* Where a part begins, of `size` that is cut at multiples of `unit`. */
static int64_t cut(int64_t size, int64_t unit, int64_t part, int64_t num_parts) {
  return part == num_parts ? size : size / unit * part / num_parts * unit;
}

/* Row m as the next product needs it. */
static void finish_row(const struct factor *factor, const struct projection *next, int64_t m,
                       int64_t width) {
  if (next->scale)
    factor->scales[m] = quantize(factor->x + m * width, width, factor->levels + m * even(width));
}

/* The columns of a part, of a factor [rows, depth] times a weight. */
static void project_part(const struct pass *pass, const struct projection *projection,
                         const struct factor *factor, int64_t depth, int64_t columns,
                         const float *residual, float *out, int64_t part, int64_t rank) {
  struct product p = {*projection, factor->x, factor->levels, factor->scales, pass->num_rows,
                      depth,       columns,   residual,       out,
                      (char *)pass->scratch->sums + rank * pass->scratch->sums_of_thread};
  project(&p, cut(columns, LANES, part, pass->task.num_parts),
          cut(columns, LANES, part + 1, pass->task.num_parts));
}

/* The rows of a part of x [rows, width], normalized for the product that is next. */
static void normalize_part(const struct pass *pass, const float *x, const float *weight,
                           const float *bias, const struct factor *normed,
                           const struct projection *next, int64_t part) {
  int64_t width = pass->prior->stack.width;
  for (int64_t m = part; m < pass->num_rows; m += pass->task.num_parts) {
    normalize(x + m * width, width, weight, bias, normed->x + m * width);
    finish_row(normed, next, m, width);
  }
}

/* ---- layers ---- */

static int64_t projected_columns(const struct pass *pass) {
  int64_t width = pass->prior->stack.attention_width;
  return pass->layer->kind == LYRIC_ENCODER ? width : 3 * width;
}

static void normalize_rows(const struct task *task, int64_t part,
                           __attribute__((unused)) int64_t rank) {
  const struct pass *pass = pass_of(task);
  const struct layer *layer = pass->layer;
  normalize_part(pass, pass->before->x, layer->attention_norm_weight, layer->attention_norm_bias,
                 &pass->sheet->normed, &layer->query, part);
}

static void project_queries(const struct task *task, int64_t part, int64_t rank) {
  const struct pass *pass = pass_of(task);
  project_part(pass, &pass->layer->query, &pass->sheet->normed, pass->prior->stack.width,
               projected_columns(pass), 0, pass->sheet->projected, part, rank);
}

static void keep_row(const struct pass *pass, int64_t m) {
  const struct row *row = pass->rows + m;
  keep(&pass->prior->stack, pass->layer, row->position + pass->prior->prefix_tokens, row->slot,
       pass->sheet->projected + m * projected_columns(pass));
}

static void attend_row(const struct pass *pass, int64_t m, int64_t rank) {
  const struct stack *s = &pass->prior->stack;
  const struct row *row = pass->rows + m;
  attend(s, pass->layer, row->position + pass->prior->prefix_tokens, row->slot,
         pass->sheet->projected + m * projected_columns(pass),
         pass->scratch->scores + rank * s->num_heads * s->largest_strip,
         pass->sheet->attended.x + m * s->attention_width);
  finish_row(&pass->sheet->attended, &pass->layer->attention_output, m, s->attention_width);
}

/* Rows that are each of a slot of its own. */
static void attend_rows(const struct task *task, int64_t part, int64_t rank) {
  const struct pass *pass = pass_of(task);
  for (int64_t m = part; m < pass->num_rows; m += task->num_parts) {
    keep_row(pass, m);
    attend_row(pass, m, rank);
  }
}

static void keep_prefix(const struct task *task, int64_t part,
                        __attribute__((unused)) int64_t rank) {
  const struct pass *pass = pass_of(task);
  for (int64_t m = pass->begin + part; m < pass->end; m += task->num_parts) keep_row(pass, m);
}

static void attend_prefix(const struct task *task, int64_t part, int64_t rank) {
  const struct pass *pass = pass_of(task);
  for (int64_t m = pass->begin + part; m < pass->end; m += task->num_parts)
    attend_row(pass, m, rank);
}

/* Rows of a prefix are of one slot, one position behind the other. Within a row of its blocks none
 * writes over what another reads, and each reads of the others what lies before it; so first all of
 * them are kept. */
static void attend_all(struct share *me, struct pass *pass, int is_prefix) {
  if (!is_prefix) {
    compute_rows(me, pass, attend_rows);
    return;
  }
  int64_t block = pass->prior->stack.block_tokens;
  for (pass->begin = 0; pass->begin < pass->num_rows; pass->begin = pass->end) {
    int64_t first = pass->rows[pass->begin].position + pass->prior->prefix_tokens;
    int64_t end = pass->begin + block - first % block;
    pass->end = end < pass->num_rows ? end : pass->num_rows;
    compute_in(me, pass, keep_prefix, parts_for(me, pass->end - pass->begin));
    compute_in(me, pass, attend_prefix, parts_for(me, pass->end - pass->begin));
  }
}

static void project_attended(const struct task *task, int64_t part, int64_t rank) {
  const struct pass *pass = pass_of(task);
  const struct stack *s = &pass->prior->stack;
  project_part(pass, &pass->layer->attention_output, &pass->sheet->attended, s->attention_width,
               s->width, pass->before->x, pass->sheet->middle, part, rank);
}

static void normalize_middle(const struct task *task, int64_t part,
                             __attribute__((unused)) int64_t rank) {
  const struct pass *pass = pass_of(task);
  const struct layer *layer = pass->layer;
  normalize_part(pass, pass->sheet->middle, layer->mlp_norm_weight, layer->mlp_norm_bias,
                 &pass->sheet->mlp_normed, &layer->mlp_input, part);
}

static void project_into_mlp(const struct task *task, int64_t part, int64_t rank) {
  const struct pass *pass = pass_of(task);
  int64_t mlp = pass->prior->stack.mlp_width, begin = cut(mlp, LANES, part, task->num_parts);
  int64_t columns = cut(mlp, LANES, part + 1, task->num_parts) - begin;
  project_part(pass, &pass->layer->mlp_input, &pass->sheet->mlp_normed, pass->prior->stack.width,
               mlp, 0, pass->sheet->mlp_projected, part, rank);
  for (int64_t m = 0; m < pass->num_rows; m++)
    quick_gelu(pass->sheet->mlp_projected + m * mlp + begin, columns,
               pass->sheet->hidden.x + m * mlp + begin);
}

static void quantize_hidden(const struct task *task, int64_t part,
                            __attribute__((unused)) int64_t rank) {
  const struct pass *pass = pass_of(task);
  for (int64_t m = part; m < pass->num_rows; m += task->num_parts)
    finish_row(&pass->sheet->hidden, &pass->layer->mlp_output, m, pass->prior->stack.mlp_width);
}

static void project_out_of_mlp(const struct task *task, int64_t part, int64_t rank) {
  const struct pass *pass = pass_of(task);
  const struct stack *s = &pass->prior->stack;
  project_part(pass, &pass->layer->mlp_output, &pass->sheet->hidden, s->mlp_width, s->width,
               pass->sheet->middle, pass->sheet->x, part, rank);
}

static void run_stack(struct share *me, struct pass *pass, int is_prefix) {
  const struct stack *s = &pass->prior->stack;
  for (int64_t l = 0; l < s->num_layers; l++) {
    pass->layer = s->layers + l;
    turn_sheet(me, pass);
    compute_rows(me, pass, normalize_rows);
    compute_columns(me, pass, project_queries, projected_columns(pass));
    attend_all(me, pass, is_prefix);
    compute_columns(me, pass, project_attended, s->width);
    compute_rows(me, pass, normalize_middle);
    compute_columns(me, pass, project_into_mlp, s->mlp_width);
    if (pass->layer->mlp_output.scale) compute_rows(me, pass, quantize_hidden);
    compute_columns(me, pass, project_out_of_mlp, s->width);
  }
}

/* ---- tokens ---- */

static const float *conditioning_of(const struct pass *pass, int64_t m) {
  const struct prior *p = pass->prior;
  const struct row *row = pass->rows + m;
  return p->conditioning + (row->slot * p->context_tokens + row->position) * p->stack.width;
}

static void embed_rows(const struct task *task, int64_t part,
                       __attribute__((unused)) int64_t rank) {
  const struct pass *pass = pass_of(task);
  const struct prior *p = pass->prior;
  int64_t width = p->stack.width;
  for (int64_t m = part; m < pass->num_rows; m += task->num_parts) {
    const float *id = p->token_embedding + pass->last_ids[m] * width;
    const float *place =
        p->position_embedding + (pass->rows[m].position + p->prefix_tokens) * width;
    const float *added = conditioning_of(pass, m);
    float *x = pass->sheet->x + m * width;
    for (int64_t i = 0; i < width; i++) x[i] = id[i] + place[i] + added[i];
  }
}

static void copy_embedded(const struct task *task, int64_t part,
                          __attribute__((unused)) int64_t rank) {
  const struct pass *pass = pass_of(task);
  int64_t width = pass->prior->stack.width;
  for (int64_t m = part; m < pass->num_rows; m += task->num_parts)
    memcpy(pass->sheet->x + m * width, pass->embedded + m * width, width * sizeof(float));
}

/* Rows [begin, end), to be compared with the embedding of ids. */
static void condition_last(const struct task *task, int64_t part,
                           __attribute__((unused)) int64_t rank) {
  const struct pass *pass = pass_of(task);
  int64_t width = pass->prior->stack.width;
  for (int64_t m = pass->begin + part; m < pass->end; m += task->num_parts) {
    const float *x = pass->before->x + m * width, *added = conditioning_of(pass, m);
    for (int64_t i = 0; i < width; i++) pass->sheet->middle[m * width + i] = x[i] + added[i];
  }
}

static void compare_last(const struct task *task, int64_t part,
                         __attribute__((unused)) int64_t rank) {
  const struct pass *pass = pass_of(task);
  const struct prior *p = pass->prior;
  const float *x = p->is_tied ? pass->sheet->middle : pass->before->x;
  compare(p->logits, x + pass->begin * p->stack.width, pass->end - pass->begin, p->stack.width,
          p->vocabulary, cut(p->vocabulary, LANES, part, task->num_parts),
          cut(p->vocabulary, LANES, part + 1, task->num_parts), pass->logits);
}

/* Logits of rows [begin, end) behind the stack. */
static void compare_with_ids(struct share *me, struct pass *pass, int64_t begin, float *logits) {
  turn_sheet(me, pass);
  pass->begin = begin, pass->end = pass->num_rows;
  pass->logits = logits ? logits : pass->sheet->logits;
  if (pass->prior->is_tied) compute_in(me, pass, condition_last, parts_for(me, pass->end - begin));
  compute_columns(me, pass, compare_last, pass->prior->vocabulary);
}

const float *predict(const struct prior *p, const struct row *rows, const int64_t *last_ids,
                     int64_t num_rows, const struct scratch *t, float *logits, struct share *me) {
  struct pass pass = {.prior = p, .rows = rows, .num_rows = num_rows, .scratch = t,
                      .last_ids = last_ids};
  turn_sheet(me, &pass);
  compute_rows(me, &pass, embed_rows);
  run_stack(me, &pass, 0);
  compare_with_ids(me, &pass, 0, logits);
  return pass.logits;
}

void predict_from(const struct prior *p, int64_t slot, const float *x, int64_t num_positions,
                  const struct scratch *t, float *logits, struct share *me) {
  struct row rows[PREFIX_ROWS];
  struct pass pass = {.prior = p, .rows = rows, .scratch = t};
  for (int64_t first = 0; first < num_positions; first += pass.num_rows) {
    int64_t left = num_positions - first;
    pass.num_rows = left < PREFIX_ROWS ? left : PREFIX_ROWS;
    pass.embedded = x + first * p->stack.width;
    for (int64_t m = 0; m < pass.num_rows; m++)
      rows[m] = (struct row){.slot = slot, .position = first + m - p->prefix_tokens};
    turn_sheet(me, &pass);
    compute_rows(me, &pass, copy_embedded);
    run_stack(me, &pass, 1);
  }
  compare_with_ids(me, &pass, pass.num_rows - 1, logits);
}
