/* What is called from Python: many tokens of many rows of several priors, shared out to threads.
 *
 * Threads share the groups of small priors, so that none waits for another within a token. Where a
 * prior is large, all threads compute each token of each group together.
 */
#include <pthread.h>
#include <stdlib.h>
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
  int64_t *last_ids;
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

static void step(struct runner *r, struct share *me) {
  struct group *g = r->group;
  const struct prior *p = g->prior;
  const struct scratch *t = &r->scratch;
  for (int64_t m = me->rank; m < g->num_rows; m += me->num_threads)
    r->last_ids[m] = g->ids[g->rows[m].slot * p->context_tokens + g->rows[m].position - 1];
  predict(p, g->rows, r->last_ids, g->num_rows, t, t->logits, me);
  for (int64_t m = me->rank; m < g->num_rows; m += me->num_threads) {
    struct row *row = g->rows + m;
    int64_t at = row->slot * p->context_tokens + row->position++;
    g->ids[at] = draw(t->logits + m * p->vocabulary, p->vocabulary, row, g->uniforms[at],
                      t->chances + me->rank * p->vocabulary, t->order + me->rank * p->vocabulary);
  }
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
  for (struct runner *r = all->runners; r < all->runners + all->num_runners; r++) {
    run_steps(r, r->group->num_steps, me);
    meet(me);
  }
}

/* Samples all tokens of all groups; none, and returns 0, if there is no memory. */
int64_t sample_tokens(struct group *groups, int64_t num_groups, int64_t num_threads) {
  struct runner *runners = calloc(num_groups, sizeof(*runners));
  int is_possible = runners != 0, is_large = 0;
  for (int64_t i = 0; i < num_groups; i++) is_large |= groups[i].prior->is_large;
  for (int64_t i = 0; is_possible && i < num_groups; i++) {
    struct group *g = groups + i;
    runners[i].group = g;
    runners[i].scratch = scratch_for(g->prior, g->num_rows, g->num_rows, is_large ? num_threads : 1);
    runners[i].last_ids = malloc(g->num_rows * sizeof(int64_t));
    is_possible = runners[i].scratch.x && runners[i].last_ids;
  }
  struct runners all = {runners, num_groups, PTHREAD_MUTEX_INITIALIZER};
  if (is_possible && is_large)
    run_team(num_threads, share_tokens, &all);
  else if (is_possible)
    run_team(num_threads < num_groups ? num_threads : num_groups, share_groups, &all);
  for (int64_t i = 0; runners && i < num_groups; i++) {
    free(runners[i].scratch.x);
    free(runners[i].last_ids);
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
                         void (*work)(struct share *me, void *argument)) {
  if (!r->prior->is_large) num_threads = 1;
  r->scratch = scratch_for(r->prior, r->num_rows < max_rows ? r->num_rows : max_rows, 0, num_threads);
  if (!r->scratch.x) return 0;
  run_team(num_threads, work, r);
  free(r->scratch.x);
  return 1;
}

/* logits [num_rows, V] behind `last_ids` [num_rows]; 0 if there is no memory. */
int64_t read_logits(const struct prior *p, const struct row *rows, const int64_t *last_ids,
                    int64_t num_rows, int64_t num_threads, float *logits) {
  struct reading r = {.prior = p, .rows = rows, .last_ids = last_ids, .num_rows = num_rows,
                      .logits = logits};
  return read_with(&r, num_threads, num_rows, read_rows);
}

/* logits [V] behind x [num_positions, C], the embedded beginning of the sequence in `slot`, whose
 * cache is zeros and is filled; 0 if there is no memory. */
int64_t read_prefix(const struct prior *p, int64_t slot, const float *x, int64_t num_positions,
                    int64_t num_threads, float *logits) {
  struct reading r = {.prior = p, .slot = slot, .x = x, .num_rows = num_positions,
                      .logits = logits};
  return read_with(&r, num_threads, PREFIX_ROWS, read_positions);
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
