#include "base/timestamp.h"

#include <stddef.h>

enum { DAY_MS = 86400000, HOUR_MS = 3600000, MINUTE_MS = 60000 };

/* `count` digits, a number from `min` to `max`; moves on. */
static bool number(const char **p, int count, int min, int max, int *out)
{
    int value = 0;
    for (int i = 0; i < count; i++) {
        if (**p < '0' || **p > '9') return false;
        value = value * 10 + *(*p)++ - '0';
    }
    *out = value;
    return value >= min && value <= max;
}

/* One of the characters; moves on. */
static bool mark(const char **p, const char *any)
{
    for (; *any; any++)
        if (**p == *any) return ++*p, true;
    return false;
}

static int days_of_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
}

/* Days from 1970-01-01 to a day of the Gregorian calendar, counted in years that begin with March. */
static int64_t days_since_epoch(int year, int month, int day)
{
    int64_t y = month > 2 ? year : year - 1;
    int64_t era = (y >= 0 ? y : y - 399) / 400, of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* "Z" or "+01:00" in milliseconds east of UTC. */
static bool offset(const char **p, int64_t *ms)
{
    int hours, minutes;
    *ms = 0;
    if (mark(p, "Zz")) return true;
    bool west = **p == '-';
    if (!mark(p, "+- ")) return false;
    if (!number(p, 2, 0, 23, &hours) || !mark(p, ":") || !number(p, 2, 0, 59, &minutes))
        return false;
    *ms = ((int64_t)hours * HOUR_MS + (int64_t)minutes * MINUTE_MS) * (west ? -1 : 1);
    return true;
}

/* ".25" in milliseconds; none is 0. */
static bool fraction(const char **p, int64_t *ms)
{
    *ms = 0;
    if (!mark(p, ".")) return true;
    if (**p < '0' || **p > '9') return false;
    for (int64_t unit = 100; **p >= '0' && **p <= '9'; unit /= 10) *ms += (*(*p)++ - '0') * unit;
    return true;
}

bool timestamp_parse(const char *text, int64_t *ms)
{
    int year, month, day, hour, minute, second;
    int64_t part, east;
    const char **p = &text;
    if (!number(p, 4, 0, 9999, &year) || !mark(p, "-") || !number(p, 2, 1, 12, &month) ||
        !mark(p, "-") || !number(p, 2, 1, days_of_month(year, month), &day) || !mark(p, "Tt ") ||
        !number(p, 2, 0, 23, &hour) || !mark(p, ":") || !number(p, 2, 0, 59, &minute) ||
        !mark(p, ":") || !number(p, 2, 0, 60, &second) || !fraction(p, &part) ||
        !offset(p, &east) || **p)
        return false;
    *ms = days_since_epoch(year, month, day) * DAY_MS + (int64_t)hour * HOUR_MS +
          (int64_t)minute * MINUTE_MS + (int64_t)(second < 60 ? second : 59) * 1000 + part - east;
    return true;
}
