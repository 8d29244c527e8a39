#include "task/progress.h"

double progress_remaining(double elapsed, double percent)
{
    if (percent <= 0 || elapsed < 0) return -1;
    return percent >= 100 ? 0 : elapsed / (percent / 100) - elapsed;
}

struct progress_gate progress_gate(int64_t per_second)
{
    return (struct progress_gate){.interval_ms = 1000 / (per_second > 0 ? per_second : 1)};
}

bool progress_report(struct progress_gate *g, int64_t now)
{
    if (now < g->open_at) {
        g->waiting = true;
        return false;
    }
    progress_written(g, now);
    return true;
}

int64_t progress_due(const struct progress_gate *g)
{
    return g->waiting ? g->open_at : INT64_MAX;
}

void progress_written(struct progress_gate *g, int64_t now)
{
    g->waiting = false;
    g->open_at = now + g->interval_ms;
}
