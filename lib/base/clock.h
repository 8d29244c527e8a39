/* Time. Everything that is stored or shown is wall-clock milliseconds; everything that waits uses
 * the monotonic clock, which nobody sets back. */
#ifndef LEAT_BASE_CLOCK_H
#define LEAT_BASE_CLOCK_H

#include <stdint.h>

int64_t clock_wall_ms(void);      /* since the Unix epoch */
int64_t clock_monotonic_ms(void); /* since some fixed moment of this boot */
int64_t clock_monotonic_us(void);

#endif
