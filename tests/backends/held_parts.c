/* Threads that stand still before they compute a part which they have begun. */
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

#define NUM_OTHERS 2
#define LIMIT_MS 60000
#define NAP_EVERY 53 /* parts */

/* All but the first thread wait until it is opened; the first until they do. */
int64_t is_closed;
static atomic_long num_held, num_parts;

static void nap(void) {
  struct timespec time = {0, 1000000};
  nanosleep(&time, 0);
}

void hold_part(int64_t rank) {
  if (!__atomic_load_n(&is_closed, __ATOMIC_SEQ_CST)) {
    if (atomic_fetch_add(&num_parts, 1) % NAP_EVERY == 0) nap();
    return;
  }
  if (rank) atomic_fetch_add(&num_held, 1);
  for (int i = 0; i < LIMIT_MS && __atomic_load_n(&is_closed, __ATOMIC_SEQ_CST); i++) {
    if (!rank && atomic_load(&num_held) == NUM_OTHERS) return;
    nap();
  }
  if (rank) atomic_fetch_sub(&num_held, 1);
}
