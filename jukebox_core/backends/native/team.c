/* Threads that compute one thing after another together, and never wait long for one that does not run.
 *
 * What they compute is cut into parts. A thread takes its own first, then those that nobody has begun.
 * The core of a thread may be given to another process in the middle of a part, for milliseconds where
 * a part takes microseconds: then another computes that part again. Both write the same bits, as a part
 * depends on nothing but what was complete before it began.
 *
 * The thread that was left behind still writes its part, however late, and nothing else may lie there by
 * then: so what is computed from layer to layer is written on sheets, and nobody writes on a sheet that
 * somebody who is behind still has in hand.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "native_step.h"

#define MAX_THREADS 256
#define SPINS 64 /* looks before a look at the clock */
#ifndef PATIENCE_NS
#define PATIENCE_NS 100000 /* what a part may take longer than all that a thread did itself */
#endif
#define NAP_NS 50000

#ifndef BEFORE_PART /* tests hold threads here */
#define BEFORE_PART(rank)
#endif

/* The last task that it was begun, and done, in. */
struct part {
  _Alignas(64) atomic_long begun;
  atomic_long done;
};

/* The sheets that a thread has in hand, see `opened`; 0 if it has none. */
struct hand {
  _Alignas(64) _Atomic uint64_t sheets;
};

struct team {
  void (*work)(struct share *me, void *argument);
  void *argument;
  struct part *parts;
  struct hand *hands;
  /* Each on a line of its own: everybody writes the one, and reads the other meanwhile. */
  _Alignas(64) atomic_long num_done; /* parts, of all tasks */
  _Alignas(64) atomic_long num_complete; /* tasks */
  _Alignas(64) _Atomic uint64_t newest; /* sheets */
  _Alignas(64) atomic_long num_threads; /* 0 until all have begun */
};

struct member {
  struct team *team;
  int64_t rank;
};

static inline void pause_briefly(void) {
#if defined __x86_64__
  __builtin_ia32_pause();
#elif defined __aarch64__
  __asm__ volatile("yield");
#endif
}

static void nap(void) {
  struct timespec time = {0, NAP_NS};
  nanosleep(&time, 0);
}

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- tasks ---- */

static int is_complete(const struct share *me) {
  return atomic_load(&me->team->num_complete) >= me->num_tasks;
}

/* Whether this thread is the one that raises it to the current task. */
static int raise_to(atomic_long *last, long task) {
  long before = atomic_load(last);
  return before < task && atomic_compare_exchange_strong(last, &before, task);
}

static void do_part(struct share *me, const struct task *task, int64_t part) {
  struct team *team = me->team;
  BEFORE_PART(me->rank);
  task->work(task, part, me->rank);
  /* Parts of the next task begin when all of this are done, so the count is of this task. */
  if (raise_to(&team->parts[part].done, me->num_tasks) &&
      atomic_fetch_add(&team->num_done, 1) + 1 == me->num_parts)
    atomic_store(&team->num_complete, me->num_tasks);
}

static void do_parts(struct share *me, const struct task *task, int64_t begin, int64_t end) {
  for (int64_t part = begin; part < end; part++)
    if (raise_to(&me->team->parts[part].begun, me->num_tasks)) do_part(me, task, part);
}

/* Whether the task was complete before so much time had passed. */
static int wait_for(const struct share *me, int64_t patience_ns) {
  for (int64_t start = 0;;) {
    for (int i = 0; i < SPINS; i++, pause_briefly())
      if (is_complete(me)) return 1;
    int64_t now = now_ns();
    start = start ? start : now;
    if (now - start > patience_ns) return 0;
  }
}

static void do_again(struct share *me, const struct task *task) {
  for (int64_t part = 0; part < task->num_parts && !is_complete(me); part++)
    if (atomic_load(&me->team->parts[part].done) < me->num_tasks) do_part(me, task, part);
}

void compute(struct share *me, const struct task *task) {
  if (me->num_threads == 1) {
    for (int64_t part = 0; part < task->num_parts; part++) task->work(task, part, me->rank);
    return;
  }
  me->num_tasks++;
  me->num_parts += task->num_parts;
  if (is_complete(me)) return;
  int64_t start = now_ns();
  int64_t begin = task->num_parts * me->rank / me->num_threads;
  do_parts(me, task, begin, task->num_parts);
  do_parts(me, task, 0, begin);
  int64_t patience_ns = PATIENCE_NS + (now_ns() - start);
  if (task->is_repeatable) {
    if (!wait_for(me, patience_ns)) do_again(me, task);
  } else {
    while (!wait_for(me, PATIENCE_NS)) nap();
  }
}

/* ---- sheets ---- */

/* Which sheet was opened last, which before it, and how many were opened; at least 1, and never 0. */
static uint64_t opened(uint64_t num_opened, uint64_t newest, uint64_t before) {
  return num_opened << 32 | newest << 16 | before;
}
static uint64_t num_opened_of(uint64_t sheets) { return sheets >> 32; }
static uint64_t newest_of(uint64_t sheets) { return sheets >> 16 & 0xffff; }
static uint64_t before_of(uint64_t sheets) { return sheets & 0xffff; }

static int is_in(uint64_t sheets, uint64_t sheet) {
  return sheets && (newest_of(sheets) == sheet || before_of(sheets) == sheet);
}

/* The first sheet that nobody has in hand behind `newest`. Waits until none is `max_behind` behind. */
static uint64_t free_sheet(const struct share *me, uint64_t newest, int64_t max_behind) {
  uint64_t sheet = 0, wanted = num_opened_of(newest) + 1;
  for (int64_t i = 0; i < me->num_threads; i++) {
    uint64_t held = atomic_load(&me->team->hands[i].sheets);
    while (held && wanted - num_opened_of(held) >= (uint64_t)max_behind &&
           atomic_load(&me->team->newest) == newest) {
      nap();
      held = atomic_load(&me->team->hands[i].sheets);
    }
    if (is_in(newest, sheet) || is_in(held, sheet)) sheet++, i = -1;
  }
  return sheet;
}

/* Correct because: who has sheets in hand said so, and found them the newest after that. Whoever looks
 * for a free one later than the next was opened sees it, and the next is none of the two by itself. */
void open_sheet(struct share *me, int64_t max_behind) {
  if (me->num_threads == 1 || !max_behind) return;
  struct team *team = me->team;
  uint64_t wanted = ++me->num_opened, newest = atomic_load(&team->newest);
  if (num_opened_of(newest) < wanted) {
    uint64_t next = opened(wanted, free_sheet(me, newest, max_behind), newest_of(newest));
    if (atomic_compare_exchange_strong(&team->newest, &newest, next)) newest = next;
  }
  atomic_store(&team->hands[me->rank].sheets, num_opened_of(newest) == wanted ? newest : 0);
  if (num_opened_of(newest) != wanted) return;
  if (atomic_load(&team->newest) != newest) atomic_store(&team->hands[me->rank].sheets, 0);
  me->sheet = newest_of(newest), me->sheet_before = before_of(newest);
}

/* ---- threads ---- */

static void *join_team(void *argument) {
  struct member *member = argument;
  struct team *team = member->team;
  int64_t num_threads;
  for (int64_t i = 0; !(num_threads = atomic_load(&team->num_threads)); i++)
    if (i < SPINS)
      pause_briefly();
    else
      nap();
  struct share me = {.team = team, .rank = member->rank, .num_threads = num_threads};
  team->work(&me, team->argument);
  /* Nothing is in its hands, should it be the first to go. */
  atomic_store(&team->hands[me.rank].sheets, 0);
  return 0;
}

void run_team(int64_t num_threads, void (*work)(struct share *me, void *argument),
              void *argument) {
  num_threads = num_threads < 1 ? 1 : num_threads < MAX_THREADS ? num_threads : MAX_THREADS;
  struct part parts[num_threads];
  struct hand hands[num_threads];
  memset(parts, 0, sizeof(parts));
  memset(hands, 0, sizeof(hands));
  struct team team = {.work = work, .argument = argument, .parts = parts, .hands = hands};
  pthread_t threads[num_threads];
  struct member members[num_threads];
  int64_t num_begun = 0;
  sigset_t everything, before;
  sigfillset(&everything);
  pthread_sigmask(SIG_SETMASK, &everything, &before);
  for (; num_begun + 1 < num_threads; num_begun++) {
    members[num_begun] = (struct member){&team, num_begun + 1};
    if (pthread_create(threads + num_begun, 0, join_team, members + num_begun)) break;
  }
  pthread_sigmask(SIG_SETMASK, &before, 0);
  atomic_store(&team.num_threads, num_begun + 1);
  struct share me = {.team = &team, .num_threads = num_begun + 1};
  work(&me, argument);
  atomic_store(&hands[0].sheets, 0);
  for (int64_t i = 0; i < num_begun; i++) pthread_join(threads[i], 0);
}
