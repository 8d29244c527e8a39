#include "runner/check_job.h"

#include "base/buf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 3, TICK_MS = 250, WORDS_MAX = 32 };

/* Says an event at once. */
static void tick(int number)
{
    struct buf line = {0};
    buf_fmt(&line, "{\"type\":\"check.tick\",\"payload\":{\"n\":%d}}\n", number);
    ssize_t n = write(EVENTS, line.data, line.len);
    (void)n; /* the runner is gone, and we shall be soon */
    buf_free(&line);
}

static void rest(int ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) && errno == EINTR) continue;
}

/* The number behind `word`, or -1. */
static int number_of(const char *text, const char *word)
{
    size_t len = strlen(word);
    int number = strncmp(text, word, len) ? -1 : atoi(text + len);
    return number > CHECK_JOB_MAX ? CHECK_JOB_MAX : number;
}

/* All of standard input: how much it is, and its beginning. */
static long long read_input(char words[WORDS_MAX])
{
    static char piece[65536];
    long long bytes = 0;
    ssize_t n;
    words[0] = '\0';
    while ((n = read(STDIN_FILENO, piece, sizeof piece)) > 0 || (n < 0 && errno == EINTR)) {
        if (n < 0) continue;
        if (!bytes) snprintf(words, WORDS_MAX, "%.*s", (int)n, piece);
        bytes += n;
    }
    return n < 0 ? -1 : bytes;
}

int check_job_main(void)
{
    char words[WORDS_MAX];
    long long bytes = read_input(words);
    if (bytes < 0) return EX_IOERR;
    int ticks = number_of(words, "ticks "), quiet = number_of(words, "quiet ");
    for (int i = 1; i <= ticks; i++) {
        tick(i);
        rest(TICK_MS);
    }
    if (quiet >= 0) {
        tick(1);
        rest(quiet * 1000);
        tick(2);
    }
    printf("{\"bytes\":%lld}\n", bytes);
    return fflush(stdout) ? EX_IOERR : EX_OK;
}
