/* Moments as text. Pure. */
#ifndef LEAT_BASE_TIMESTAMP_H
#define LEAT_BASE_TIMESTAMP_H

#include <stdbool.h>
#include <stdint.h>

/* Reads a date and time as of RFC 3339 ("2026-11-27T03:00:00.5+01:00", also with a blank or small letters for T and Z;
 * a leap second counts as the one before) into milliseconds since the Unix epoch; what is finer is cut off. A blank
 * stands for the plus of an offset too, which is what a query makes of one that was not encoded. False when it is
 * none; *ms stays. */
bool timestamp_parse(const char *text, int64_t *ms);

#endif
