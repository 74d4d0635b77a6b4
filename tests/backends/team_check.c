/* Threads that mix numbers for a while, on sheets: a task that misses what an earlier one wrote, or finds
 * what a later one wrote, changes all numbers behind it. Prints the last of them, as one thread does. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "native_step.h"

#define NUM_STEPS 1500
#define NUM_THREADS 3
#define WIDTH 7
#define HOLD_EVERY 97 /* parts */
#define MAX_BEHIND 1000

/* `ARE_DONE_AGAIN`: threads that write one bit pattern twice are what it is about, so it is no race. */
#ifdef ARE_DONE_AGAIN
typedef _Atomic uint64_t number;
#else
typedef uint64_t number;
#endif

struct mixing {
  struct task task;
  uint64_t step;
  const number *from;
  number *to;
};

struct page {
  number first[WIDTH], second[WIDTH];
};

static struct page pages[2 * NUM_THREADS + 1];
static number results[WIDTH];

void hold_part(void) {
  static atomic_ulong num_parts;
  struct timespec time = {0, 300000};
  if (atomic_fetch_add(&num_parts, 1) % HOLD_EVERY == 0) nanosleep(&time, 0);
}

static void mix(const struct task *task, int64_t part, __attribute__((unused)) int64_t rank) {
  const struct mixing *m = (const struct mixing *)task;
  for (int64_t i = part; i < WIDTH; i += task->num_parts) {
    uint64_t mixed = m->step + i;
    for (int64_t j = 0; m->from && j < WIDTH; j++) mixed = (mixed ^ m->from[j]) * 6364136223846793005;
    m->to[i] = mixed;
  }
}

static void mix_for_a_while(struct share *me, __attribute__((unused)) void *argument) {
  for (uint64_t step = 0; step < NUM_STEPS; step++) {
    open_sheet(me, MAX_BEHIND);
    struct page *page = pages + me->sheet, *before = pages + me->sheet_before;
    struct task task = {mix, parts_for(me, WIDTH), 1};
    struct mixing first = {task, 2 * step, step ? before->second : 0, page->first};
    struct mixing second = {task, 2 * step + 1, page->first, page->second};
    compute(me, &first.task);
    compute(me, &second.task);
    struct mixing last = {task, 0, page->second, results};
    if (step + 1 == NUM_STEPS) compute(me, &last.task);
  }
}

int main(int num_arguments, char **arguments) {
  run_team(num_arguments > 1 ? atoi(arguments[1]) : 1, mix_for_a_while, 0);
  for (int64_t i = 0; i < WIDTH; i++) printf("%llx ", (unsigned long long)results[i]);
  return 0;
}
