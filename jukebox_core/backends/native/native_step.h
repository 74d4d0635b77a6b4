/* Tokens of priors on a CPU in fp32; see __init__.py. Every number of a row is computed by itself:
 * each sum runs over the same terms in the same order however many rows there are, or has whole
 * numbers that fit, where order does not matter. So a row is the same to the bit in any company, and
 * on any number of threads.
 */
#ifndef NATIVE_STEP_H
#define NATIVE_STEP_H

#include <stddef.h>
#include <stdint.h>

#define LANES 16
#define PREFIX_ROWS 256 /* positions of a prefix that are computed at once */

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

enum kind { ALL, ROW, COLUMN, PREVIOUS_ROW, LYRIC_ENCODER, LYRIC_PREFIX };

/* Weights may be int8 with a scale for each column. */
struct projection {
  const void *weight; /* [in, out], float, or int8_t where there is a scale */
  const float *bias, *scale; /* [out] */
};

/* out = x @ weight + bias (+ residual). For int8 weights x is in `levels` times a scale of its row.
 */
struct product {
  struct projection projection;
  const float *x; /* [rows, depth] */
  const int16_t *levels; /* [rows, even(depth)] */
  const float *level_scales; /* [rows] */
  int64_t rows, depth, columns;
  const float *residual; /* [rows, columns], may be `out`, or null */
  float *out; /* [rows, columns] */
  void *sums; /* [ROWS_AT_ONCE, columns] of 4 bytes */
};
#define ROWS_AT_ONCE 48

/* What threads compute together: parts that depend on nothing but what was complete before it began. A
 * repeatable one writes the same bits whenever it is done again, and on an open sheet or where nothing
 * else is written until a later one is `max_behind` sheets away. It stands first in what it needs. */
struct task {
  void (*work)(const struct task *task, int64_t part, int64_t rank);
  int64_t num_parts; /* at most one for each thread */
  int is_repeatable;
};

/* One thread of a team. It counts what the others count as well. */
struct share {
  struct team *team;
  int64_t rank, num_threads;
  int64_t num_tasks, num_parts, num_opened;
  int64_t sheet, sheet_before; /* that are open: of what is computed now, and of what was before */
};

struct layer {
  int64_t kind;
  int64_t strip_positions, has_halves;
  void *strips; /* [strips, strip_positions, 2 A], float or half precision */
  const float *attention_norm_weight, *attention_norm_bias;
  struct projection query; /* with key and value behind it, except for LYRIC_ENCODER */
  struct projection attention_output;
  const float *mlp_norm_weight, *mlp_norm_bias;
  struct projection mlp_input, mlp_output;
};

struct stack {
  int64_t num_layers, width, attention_width, mlp_width, num_heads;
  int64_t block_tokens, prefix_positions, largest_strip;
  const struct layer *layers;
};

/* A prior with its cache. Positions count the music; `prefix_tokens` stand before it. */
struct prior {
  struct stack stack;
  int64_t vocabulary, context_tokens, prefix_tokens, is_tied;
  int64_t is_large; /* all threads compute each of its tokens together */
  const float *token_embedding, *position_embedding, *logits; /* [V, C], [T, C], [V, C] */
  const float *conditioning; /* [slots, context_tokens, C] */
};

struct row {
  int64_t slot, position; /* `position` is that of the token to be drawn next */
  int64_t top_k; /* 0 keeps every id */
  double temperature, top_p; /* 0 or 1 keeps every id */
};

/* The left factor of a product, also in levels where its weights are int8. */
struct factor {
  float *x; /* [rows, depth] */
  int16_t *levels; /* [rows, even(depth)] */
  float *scales; /* [rows] */
};

/* Numbers of rows between two operations of a layer. Each is written once, where there are several
 * sheets. */
struct sheet {
  struct factor normed, attended, mlp_normed, hidden;
  float *projected, *middle, *mlp_projected, *x; /* `x` is what comes out */
  float *logits;
};

/* All sheets of a team, and what each thread has for itself: `sums` of a product,
 * `scores` of one row, `chances` and `order` of one row of ids. */
struct scratch {
  int64_t num_sheets; /* with one only, nothing is ever done again */
  void *block; /* of memory; null if there is none */
  struct sheet *sheets;
  void *sums; /* [threads, ROWS_AT_ONCE or fewer, widest] of 4 bytes */
  int64_t sums_of_thread;
  float *scores; /* [threads, heads, largest strip] */
  double *chances; /* [threads, V] */
  int32_t *order;
};

/* How long a row of levels is. */
static inline int64_t even(int64_t depth) { return depth + (depth & 1); }

static inline float sum_of(vec v) {
  typedef int32_t lanes __attribute__((vector_size(4 * LANES)));
  v += __builtin_shuffle(v, (lanes){8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7});
  v += __builtin_shuffle(v, (lanes){4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11});
  v += __builtin_shuffle(v, (lanes){2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13});
  return v[0] + v[1];
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

/* Columns [begin, end) of a product; `begin` is a multiple of LANES, and so is `end` unless it is the
 * last of all. */
void project(const struct product *p, int64_t begin, int64_t end);

/* x [depth] in levels, padded to an even number; returns the scale that they are multiplied with. */
float quantize(const float *x, int64_t depth, int16_t *levels);

/* Columns [begin, end) of out = x @ transposed weight: x [rows, depth], weight [columns, depth], out
 * [rows, columns]. */
void compare(const float *weight, const float *x, int64_t rows, int64_t depth, int64_t columns,
             int64_t begin, int64_t end, float *out);

/* What a position leaves in the strip of its layer. projected: query, key and value [3 A], or the
 * query alone [A] */
void keep(const struct stack *s, const struct layer *layer, int64_t position, int64_t slot,
          const float *projected);

/* Softmax of the query of one position, which is kept, over what its layer shows it. out [A] */
void attend(const struct stack *s, const struct layer *layer, int64_t position, int64_t slot,
            const float *projected, float *scores, float *out);

/* The id that `uniform` falls on, of logits [num_ids]. */
int64_t draw(const float *logits, int64_t num_ids, const struct row *row, double uniform,
             double *chances, int32_t *order);

/* Logits [rows, V] of the next token of every row, behind `last_ids` [rows]. Called by every thread
 * of a team, with rows and ids of its own. Where `logits` is null, they are on a sheet, which is
 * returned and stays open. */
const float *predict(const struct prior *p, const struct row *rows, const int64_t *last_ids,
                     int64_t num_rows, const struct scratch *scratch, float *logits,
                     struct share *me);

/* As for a token of every position from 0 on, one after the other, of the whole sequence of a slot:
 * fills the cache. x [num_positions, C] are embedded; logits [V] are of the last. Called by every
 * thread of a team; the scratch is for PREFIX_ROWS, with one sheet. */
void predict_from(const struct prior *p, int64_t slot, const float *x, int64_t num_positions,
                  const struct scratch *scratch, float *logits, struct share *me);

/* Room for so many rows; with `is_repeatable` and several threads, for sheets enough that nobody waits
 * for one who is behind. */
struct scratch scratch_for(const struct prior *p, int64_t num_rows, int has_logits,
                           int64_t num_threads, int is_repeatable);

/* Calls `work` on so many threads, this one among them, and on fewer where no more can be had. They
 * are gone when this returns, so a process that forks or ends meets none of them; signals are left
 * to the other threads of the process. */
void run_team(int64_t num_threads, void (*work)(struct share *me, void *argument), void *argument);

/* Until all parts are done, by whichever threads of the team. Each thread calls it for each task, and
 * finds what was written by those before. */
void compute(struct share *me, const struct task *task);

/* Opens the next sheet, and closes all but this and the one before. Nobody is ever `max_behind` sheets
 * behind those that open one; 0 where there is one sheet. */
void open_sheet(struct share *me, int64_t max_behind);

/* Parts to cut something into that has `size`. One for each thread: the shorter the pieces of its rows,
 * the slower a weight is read. */
static inline int64_t parts_for(const struct share *me, int64_t size) {
  return size < me->num_threads ? size : me->num_threads;
}

#endif
