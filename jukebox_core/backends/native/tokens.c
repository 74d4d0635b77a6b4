/* What is called from Python: many tokens of many rows of several priors, shared out to threads. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "native_step.h"

#define CHUNK 8 /* tokens of a group before another may take its thread */
#define MAX_THREADS 256

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

static void step(struct group *g, const struct scratch *t, int64_t *last_ids) {
  const struct prior *p = g->prior;
  for (int64_t m = 0; m < g->num_rows; m++)
    last_ids[m] = g->ids[g->rows[m].slot * p->context_tokens + g->rows[m].position - 1];
  predict(p, g->rows, last_ids, g->num_rows, t, t->logits);
  for (int64_t m = 0; m < g->num_rows; m++) {
    struct row *row = g->rows + m;
    int64_t at = row->slot * p->context_tokens + row->position++;
    g->ids[at] = draw(t->logits + m * p->vocabulary, p->vocabulary, row, g->uniforms[at],
                      t->chances, t->order);
  }
}

static void run_chunk(struct runner *r) {
  struct group *g = r->group;
  double start = now_sec();
  for (int64_t i = 0; g->num_steps && i < CHUNK; i++, g->num_steps--)
    step(g, &r->scratch, r->last_ids);
  g->seconds += now_sec() - start;
}

/* The group that is furthest from its end, of those that nobody runs. */
static struct runner *next_runner(const struct runners *all) {
  struct runner *next = 0;
  for (struct runner *r = all->runners; r < all->runners + all->num_runners; r++)
    if (!r->is_running && r->group->num_steps > (next ? next->group->num_steps : 0)) next = r;
  return next;
}

static void *run(void *argument) {
  struct runners *all = argument;
  pthread_mutex_lock(&all->lock);
  for (struct runner *r; (r = next_runner(all));) {
    r->is_running = 1;
    pthread_mutex_unlock(&all->lock);
    run_chunk(r);
    pthread_mutex_lock(&all->lock);
    r->is_running = 0;
  }
  pthread_mutex_unlock(&all->lock);
  return 0;
}

/* The threads are gone when this returns, so a process that forks or ends meets none of them;
 * signals are left to the other threads of the process. */
static void run_all(struct runners *all, int64_t num_threads) {
  pthread_t threads[MAX_THREADS];
  int64_t num_begun = 0, most = num_threads < all->num_runners ? num_threads : all->num_runners;
  sigset_t everything, before;
  sigfillset(&everything);
  pthread_sigmask(SIG_SETMASK, &everything, &before);
  while (num_begun + 1 < most && num_begun < MAX_THREADS &&
         !pthread_create(threads + num_begun, 0, run, all))
    num_begun++;
  pthread_sigmask(SIG_SETMASK, &before, 0);
  run(all);
  for (int64_t i = 0; i < num_begun; i++) pthread_join(threads[i], 0);
}

/* Samples all tokens of all groups; none, and returns 0, if there is no memory. */
int64_t sample_tokens(struct group *groups, int64_t num_groups, int64_t num_threads) {
  struct runner *runners = calloc(num_groups, sizeof(*runners));
  int is_possible = runners != 0;
  for (int64_t i = 0; is_possible && i < num_groups; i++) {
    struct group *g = groups + i;
    runners[i].group = g;
    runners[i].scratch = scratch_for(g->prior, g->num_rows, g->num_rows);
    runners[i].last_ids = malloc(g->num_rows * sizeof(int64_t));
    is_possible = runners[i].scratch.x && runners[i].last_ids;
  }
  struct runners all = {runners, num_groups, PTHREAD_MUTEX_INITIALIZER};
  if (is_possible) run_all(&all, num_threads);
  for (int64_t i = 0; runners && i < num_groups; i++) {
    free(runners[i].scratch.x);
    free(runners[i].last_ids);
  }
  free(runners);
  return is_possible;
}

/* logits [num_rows, V] behind `last_ids` [num_rows]; 0 if there is no memory. */
int64_t read_logits(const struct prior *p, const struct row *rows, const int64_t *last_ids,
                    int64_t num_rows, float *logits) {
  struct scratch t = scratch_for(p, num_rows, 0);
  if (!t.x) return 0;
  predict(p, rows, last_ids, num_rows, &t, logits);
  free(t.x);
  return 1;
}

/* logits [V] behind x [num_positions, C], the embedded beginning of the sequence in `slot`, whose
 * cache is zeros and is filled; 0 if there is no memory. */
int64_t read_prefix(const struct prior *p, int64_t slot, const float *x, int64_t num_positions,
                    float *logits) {
  struct scratch t = scratch_for(p, num_positions, 0);
  struct row *rows = malloc(num_positions * sizeof(*rows));
  int is_possible = t.x && rows;
  if (is_possible) predict_from(p, rows, slot, x, num_positions, &t, logits);
  free(t.x);
  free(rows);
  return is_possible;
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
