#include "store/write_lock.h"

#include "base/clock.h"
#include "store/lock_holder.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <sys/file.h>
#include <sys/time.h>

/* Who waits holds a shared lock of this byte, which nobody writes. */
static struct flock waiters(short type)
{
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = 1 << 20, .l_len = 1};
}

int write_lock_wait(int fd)
{
    struct flock range = waiters(F_RDLCK);
    fcntl(fd, F_OFD_SETLK, &range); /* where it fails, nobody is let in early */
    int failed = flock(fd, LOCK_EX) ? errno : 0;
    range = waiters(F_UNLCK);
    fcntl(fd, F_OFD_SETLK, &range);
    return failed;
}

bool write_lock_wanted(int fd)
{
    struct flock range = waiters(F_WRLCK);
    return !fcntl(fd, F_OFD_GETLK, &range) && range.l_type != F_UNLCK;
}

static void interrupt(int signo)
{
    (void)signo;
}

static enum err enter(int fd, int64_t wait_ms, struct error *e)
{
    if (!flock(fd, LOCK_EX | LOCK_NB)) return ERR_OK;
    if (errno != EWOULDBLOCK && errno != EINTR) return error_errno(e, ERR_IO, "flock");

    if (wait_ms <= 0) return error_set(e, ERR_BUSY, "the database is busy");
    /* flock has no deadline of its own. The alarm repeats, so that one that fires just before the
     * call begins does not leave it waiting for ever. */
    int64_t deadline = clock_monotonic_ms() + wait_ms;
    struct sigaction action = {.sa_handler = interrupt}, before;
    sigemptyset(&action.sa_mask);
    sigaction(SIGALRM, &action, &before);
    sigset_t alarm_only, mask_before;
    sigemptyset(&alarm_only);
    sigaddset(&alarm_only, SIGALRM);
    sigprocmask(SIG_UNBLOCK, &alarm_only, &mask_before);
    struct itimerval timer = {
        .it_interval = {.tv_usec = 20000},
        .it_value = {.tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000 + 1}};
    setitimer(ITIMER_REAL, &timer, NULL);

    int failed;
    do {
        failed = write_lock_wait(fd);
    } while (failed == EINTR && clock_monotonic_ms() < deadline);

    timer = (struct itimerval){0};
    setitimer(ITIMER_REAL, &timer, NULL);
    sigprocmask(SIG_SETMASK, &mask_before, NULL);
    sigaction(SIGALRM, &before, NULL);

    if (!failed) return ERR_OK;
    if (failed == EINTR)
        return error_set(e, ERR_BUSY, "the database is busy: no turn within %lld ms",
                         (long long)wait_ms);
    errno = failed;
    return error_errno(e, ERR_IO, "flock");
}

enum err write_lock_take(int fd, int64_t wait_ms, struct error *e)
{
    enum err rc = enter(fd, wait_ms, e);
    if (!rc) lock_holder_set(fd, false);
    return rc;
}

void write_lock_release(int fd)
{
    lock_holder_clear(fd);
    flock(fd, LOCK_UN);
}
