/* Threads that compute one thing together, and wait for each other after every part of it. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "native_step.h"

#define MAX_THREADS 256
#define SPINS 4000 /* looks before a thread sleeps: tens of microseconds */

struct team {
  void (*work)(struct share *me, void *argument);
  void *argument;
  int64_t num_threads; /* 0 until all have begun */
  pthread_mutex_t lock;
  pthread_cond_t changed;
  /* Each on a line of its own: everybody writes the first, and reads the second meanwhile. */
  _Alignas(64) atomic_long num_arrived;
  _Alignas(64) atomic_long num_meetings;
  _Alignas(64) atomic_long num_asleep;
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

static void sleep_until(struct team *team, long num_meetings) {
  pthread_mutex_lock(&team->lock);
  atomic_fetch_add(&team->num_asleep, 1);
  while (atomic_load(&team->num_meetings) < num_meetings)
    pthread_cond_wait(&team->changed, &team->lock);
  atomic_fetch_sub(&team->num_asleep, 1);
  pthread_mutex_unlock(&team->lock);
}

void meet(struct share *me) {
  struct team *team = me->team;
  if (me->num_threads == 1) return;
  long wanted = ++me->num_meetings;
  if (atomic_fetch_add(&team->num_arrived, 1) == me->num_threads - 1) {
    atomic_store(&team->num_arrived, 0);
    atomic_store(&team->num_meetings, wanted);
    if (!atomic_load(&team->num_asleep)) return;
    pthread_mutex_lock(&team->lock);
    pthread_cond_broadcast(&team->changed);
    pthread_mutex_unlock(&team->lock);
    return;
  }
  for (int i = 0; i < SPINS; i++, pause_briefly())
    if (atomic_load_explicit(&team->num_meetings, memory_order_acquire) >= wanted) return;
  sleep_until(team, wanted);
}

static void *join_team(void *argument) {
  struct member *member = argument;
  struct team *team = member->team;
  pthread_mutex_lock(&team->lock);
  while (!team->num_threads) pthread_cond_wait(&team->changed, &team->lock);
  pthread_mutex_unlock(&team->lock);
  struct share me = {team, member->rank, team->num_threads, 0};
  team->work(&me, team->argument);
  return 0;
}

void run_team(int64_t num_threads, void (*work)(struct share *me, void *argument),
              void *argument) {
  struct team team = {work, argument, 0, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER,
                      0,    0,        0};
  pthread_t threads[MAX_THREADS];
  struct member members[MAX_THREADS];
  int64_t num_begun = 0;
  sigset_t everything, before;
  sigfillset(&everything);
  pthread_sigmask(SIG_SETMASK, &everything, &before);
  for (; num_begun + 1 < num_threads && num_begun < MAX_THREADS; num_begun++) {
    members[num_begun] = (struct member){&team, num_begun + 1};
    if (pthread_create(threads + num_begun, 0, join_team, members + num_begun)) break;
  }
  pthread_sigmask(SIG_SETMASK, &before, 0);
  pthread_mutex_lock(&team.lock);
  team.num_threads = num_begun + 1;
  pthread_cond_broadcast(&team.changed);
  pthread_mutex_unlock(&team.lock);
  struct share me = {&team, 0, team.num_threads, 0};
  work(&me, argument);
  for (int64_t i = 0; i < num_begun; i++) pthread_join(threads[i], 0);
}
