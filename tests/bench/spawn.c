/* spawn PROGRAM COUNT: how many times a second the bare minimum can run PROGRAM, one after another:
 * posix_spawn(3), waitpid(2). What leatd is measured against. */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    if (argc != 3) return 64;
    long count = strtol(argv[2], NULL, 10);
    char *const arguments[] = {argv[1], NULL}, *const environment[] = {NULL};
    double began = now();
    for (long i = 0; i < count; i++) {
        pid_t pid;
        int status;
        if (posix_spawn(&pid, argv[1], NULL, NULL, arguments, environment)) return 71;
        if (waitpid(pid, &status, 0) != pid || status) return 70;
    }
    printf("%.0f\n", (double)count / (now() - began));
    return 0;
}
