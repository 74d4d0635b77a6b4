/* What is called from Python: many tokens of many rows of several priors, shared out to threads.
 *
 * Threads share the groups of small priors, so that none waits for another within a token. Where a
 * prior is large, all threads compute each token of each group together.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "native_step.h"

#define CHUNK 8 /* tokens of a group before another may take its thread */

/* Rows of one prior that step together. */
struct group {
  const struct prior *prior;
  struct row *rows; /* their positions are counted on */
  int64_t num_rows, num_steps; /* the steps that are left */
  int64_t *ids; /* [slots, context_tokens], those before `position` are there */
  const double *uniforms; /* [slots, context_tokens] */
  double seconds; /* how long it was run */
};

/* A group with the memory that it needs. */
struct runner {
  struct group *group;
  struct scratch scratch;
  struct row *rows; /* [threads, num_rows]: each thread counts positions by itself */
  int64_t *last_ids; /* [threads, num_rows] */
  int is_running;
};

struct runners {
  struct runner *runners;
  int64_t num_runners;
  pthread_mutex_t lock;
};

static double now_sec(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec + 1e-9 * now.tv_nsec;
}

/* What the threads draw together. */
struct drawing {
  struct task task;
  const struct group *group;
  const struct row *rows;
  const struct scratch *scratch;
  const float *logits;
};

static void draw_rows(const struct task *task, int64_t part, int64_t rank) {
  const struct drawing *d = (const struct drawing *)task;
  int64_t num_ids = d->group->prior->vocabulary, context = d->group->prior->context_tokens;
  for (int64_t m = part; m < d->group->num_rows; m += task->num_parts) {
    const struct row *row = d->rows + m;
    int64_t at = row->slot * context + row->position;
    d->group->ids[at] = draw(d->logits + m * num_ids, num_ids, row, d->group->uniforms[at],
                             d->scratch->chances + rank * num_ids,
                             d->scratch->order + rank * num_ids);
  }
}

static void step(struct runner *r, struct share *me) {
  const struct group *g = r->group;
  struct row *rows = r->rows + me->rank * g->num_rows;
  int64_t *last_ids = r->last_ids + me->rank * g->num_rows;
  for (int64_t m = 0; m < g->num_rows; m++)
    last_ids[m] = g->ids[rows[m].slot * g->prior->context_tokens + rows[m].position - 1];
  const float *logits = predict(g->prior, rows, last_ids, g->num_rows, &r->scratch, 0, me);
  struct task task = {draw_rows, parts_for(me, g->num_rows), r->scratch.num_sheets > 1};
  struct drawing drawing = {task, g, rows, &r->scratch, logits};
  compute(me, &drawing.task);
  for (int64_t m = 0; m < g->num_rows; m++) rows[m].position++;
}

static void run_steps(struct runner *r, int64_t num_steps, struct share *me) {
  double start = now_sec();
  for (int64_t i = 0; i < num_steps; i++) step(r, me);
  if (me->rank == 0) r->group->seconds += now_sec() - start;
}

/* The group that is furthest from its end, of those that nobody runs. */
static struct runner *next_runner(const struct runners *all) {
  struct runner *next = 0;
  for (struct runner *r = all->runners; r < all->runners + all->num_runners; r++)
    if (!r->is_running && r->group->num_steps > (next ? next->group->num_steps : 0)) next = r;
  return next;
}

static void share_groups(__attribute__((unused)) struct share *me, void *argument) {
  struct runners *all = argument;
  struct share alone = {.num_threads = 1};
  pthread_mutex_lock(&all->lock);
  for (struct runner *r; (r = next_runner(all));) {
    int64_t num_steps = r->group->num_steps < CHUNK ? r->group->num_steps : CHUNK;
    r->is_running = 1;
    pthread_mutex_unlock(&all->lock);
    run_steps(r, num_steps, &alone);
    pthread_mutex_lock(&all->lock);
    r->group->num_steps -= num_steps;
    r->is_running = 0;
  }
  pthread_mutex_unlock(&all->lock);
}

static void share_tokens(struct share *me, void *argument) {
  struct runners *all = argument;
  for (struct runner *r = all->runners; r < all->runners + all->num_runners; r++)
    run_steps(r, r->group->num_steps, me);
}

/* Memory for so many threads; 0 if there is none. */
static int prepare(struct runner *r, struct group *g, int64_t num_threads) {
  size_t num_bytes = g->num_rows * sizeof(*r->rows);
  r->group = g;
  r->scratch = scratch_for(g->prior, g->num_rows, 1, num_threads, 1);
  r->rows = malloc(num_threads * num_bytes);
  r->last_ids = malloc(num_threads * g->num_rows * sizeof(*r->last_ids));
  if (!r->scratch.block || !r->rows || !r->last_ids) return 0;
  for (int64_t i = 0; i < num_threads; i++) memcpy(r->rows + i * g->num_rows, g->rows, num_bytes);
  return 1;
}

/* Samples all tokens of all groups; none, and returns 0, if there is no memory. */
int64_t sample_tokens(struct group *groups, int64_t num_groups, int64_t num_threads) {
  struct runner *runners = calloc(num_groups, sizeof(*runners));
  int is_possible = runners != 0, is_large = 0;
  for (int64_t i = 0; i < num_groups; i++) is_large |= groups[i].prior->is_large;
  for (int64_t i = 0; is_possible && i < num_groups; i++)
    is_possible = prepare(runners + i, groups + i, is_large ? num_threads : 1);
  struct runners all = {runners, num_groups, PTHREAD_MUTEX_INITIALIZER};
  if (is_possible && is_large)
    run_team(num_threads, share_tokens, &all);
  else if (is_possible)
    run_team(num_threads < num_groups ? num_threads : num_groups, share_groups, &all);
  for (int64_t i = 0; runners && i < num_groups; i++) {
    struct runner *r = runners + i;
    if (is_possible) memcpy(r->group->rows, r->rows, r->group->num_rows * sizeof(*r->rows));
    free(r->scratch.block);
    free(r->rows);
    free(r->last_ids);
  }
  free(runners);
  return is_possible;
}

/* What a team is to read. */
struct reading {
  const struct prior *prior;
  const struct row *rows;
  const int64_t *last_ids;
  int64_t num_rows, slot;
  const float *x;
  struct scratch scratch;
  float *logits;
};

static void read_rows(struct share *me, void *argument) {
  const struct reading *r = argument;
  predict(r->prior, r->rows, r->last_ids, r->num_rows, &r->scratch, r->logits, me);
}

static void read_positions(struct share *me, void *argument) {
  const struct reading *r = argument;
  predict_from(r->prior, r->slot, r->x, r->num_rows, &r->scratch, r->logits, me);
}

static int64_t read_with(struct reading *r, int64_t num_threads, int64_t max_rows,
                         int is_repeatable, void (*work)(struct share *me, void *argument)) {
  if (!r->prior->is_large) num_threads = 1;
  int64_t num_rows = r->num_rows < max_rows ? r->num_rows : max_rows;
  r->scratch = scratch_for(r->prior, num_rows, 0, num_threads, is_repeatable);
  if (!r->scratch.block) return 0;
  run_team(num_threads, work, r);
  free(r->scratch.block);
  return 1;
}

/* logits [num_rows, V] behind `last_ids` [num_rows]; 0 if there is no memory. */
int64_t read_logits(const struct prior *p, const struct row *rows, const int64_t *last_ids,
                    int64_t num_rows, int64_t num_threads, float *logits) {
  struct reading r = {.prior = p, .rows = rows, .last_ids = last_ids, .num_rows = num_rows,
                      .logits = logits};
  return read_with(&r, num_threads, num_rows, 1, read_rows);
}

/* logits [V] behind x [num_positions, C], the embedded beginning of the sequence in `slot`, whose
 * cache is zeros and is filled; 0 if there is no memory. */
int64_t read_prefix(const struct prior *p, int64_t slot, const float *x, int64_t num_positions,
                    int64_t num_threads, float *logits) {
  struct reading r = {.prior = p, .slot = slot, .x = x, .num_rows = num_positions,
                      .logits = logits};
  return read_with(&r, num_threads, PREFIX_ROWS, 0, read_positions);
}

/* ids [num_rows] of logits [num_rows, num_ids] and as many uniforms; 0 if there is no memory. */
int64_t draw_ids(const float *logits, int64_t num_ids, const struct row *rows,
                 const double *uniforms, int64_t num_rows, int64_t *ids) {
  double *chances = malloc(num_ids * sizeof(*chances));
  int32_t *order = malloc(num_ids * sizeof(*order));
  int is_possible = chances && order;
  for (int64_t m = 0; is_possible && m < num_rows; m++)
    ids[m] = draw(logits + m * num_ids, num_ids, rows + m, uniforms[m], chances, order);
  free(chances);
  free(order);
  return is_possible;
}
