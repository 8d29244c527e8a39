#include "store/io_thread.h"

#include "base/buf.h"
#include "base/clock.h"
#include "store/lock_holder.h"
#include "store/write_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { STOP_TRY_MS = 2 };
#define STOP_SIGNAL SIGURG /* ignored by default; here it only interrupts flock */

struct io_thread {
    pthread_t thread;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t asked;
    bool lock, sync, stop;
    unsigned done;

    int lock_fd;  /* borrowed */
    int wal_fd;   /* of the log: it bears no locks of SQLite's, so closing it drops none */
    int event_fd; /* answers */
    struct db *db;
};

static void interrupt(int signo)
{
    (void)signo;
}

static bool stopping(struct io_thread *t)
{
    pthread_mutex_lock(&t->mutex);
    bool stop = t->stop;
    pthread_mutex_unlock(&t->mutex);
    return stop;
}

static unsigned take_lock(struct io_thread *t)
{
    for (int failed; (failed = write_lock_wait(t->lock_fd));) {
        if (failed != EINTR) return IO_LOCK_FAILED;
        if (stopping(t)) return 0;
    }
    lock_holder_set(t->lock_fd, false);
    return IO_LOCKED;
}

static void answer(struct io_thread *t, unsigned done)
{
    const uint64_t one = 1;
    pthread_mutex_lock(&t->mutex);
    t->done |= done;
    pthread_mutex_unlock(&t->mutex);
    ssize_t ignored = write(t->event_fd, &one, sizeof one);
    (void)ignored; /* it cannot be full: it is read before so much is asked again */
}

static void *run(void *arg)
{
    struct io_thread *t = arg;
    for (;;) {
        pthread_mutex_lock(&t->mutex);
        while (!t->lock && !t->sync && !t->stop) pthread_cond_wait(&t->asked, &t->mutex);
        bool sync = t->sync, stop = t->stop, lock = !sync && t->lock;
        if (sync) t->sync = false;
        if (lock) t->lock = false;
        pthread_mutex_unlock(&t->mutex);
        if (stop) return NULL;
        /* the sync first: who waits for it was there before who waits for the lock */
        if (sync) answer(t, fdatasync(t->wal_fd) ? IO_SYNC_FAILED : IO_SYNCED);
        if (lock) answer(t, take_lock(t));
    }
}

/* Only the signal that stops it may interrupt the thread. */
static int start_thread(struct io_thread *t)
{
    struct sigaction action = {.sa_handler = interrupt}; /* no SA_RESTART */
    sigset_t all, before;
    sigemptyset(&action.sa_mask);
    sigaction(STOP_SIGNAL, &action, NULL);
    sigfillset(&all);
    sigdelset(&all, STOP_SIGNAL);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&t->thread, NULL, run, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

static void dispose(struct io_thread *t)
{
    if (t->wal_fd >= 0) close(t->wal_fd);
    if (t->event_fd >= 0) close(t->event_fd);
    pthread_cond_destroy(&t->asked);
    pthread_mutex_destroy(&t->mutex);
    free(t);
}

enum err io_thread_start(struct io_thread **out, struct db *db, struct error *e)
{
    struct io_thread *t = mem_alloc(sizeof *t);
    t->db = db;
    t->lock_fd = txn_lock_fd(db);
    pthread_mutex_init(&t->mutex, NULL);
    pthread_cond_init(&t->asked, NULL);
    t->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    enum err rc = t->event_fd < 0 ? error_errno(e, ERR_IO, "eventfd") : ERR_OK;
    t->wal_fd = -1;
    if (!rc) rc = db_open_beside(db_path(db), "-wal", &t->wal_fd, e);
    if (!rc && (errno = start_thread(t))) rc = error_errno(e, ERR_IO, "pthread_create");
    if (rc)
        dispose(t);
    else
        *out = t;
    return rc;
}

void io_thread_stop(struct io_thread *t)
{
    if (!t) return;
    pthread_mutex_lock(&t->mutex);
    t->stop = true;
    pthread_cond_signal(&t->asked);
    pthread_mutex_unlock(&t->mutex);
    /* The signal may come just before flock begins to wait: until it has ended. */
    for (int running = 1; running;) {
        int64_t at = clock_wall_ms() + STOP_TRY_MS;
        struct timespec until = {.tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000};
        pthread_kill(t->thread, STOP_SIGNAL);
        running = pthread_timedjoin_np(t->thread, NULL, &until);
    }
    if (t->done & IO_LOCKED) txn_unlock(t->db);
    dispose(t);
}

int io_thread_fd(const struct io_thread *t)
{
    return t->event_fd;
}

static void ask(struct io_thread *t, bool *what)
{
    pthread_mutex_lock(&t->mutex);
    *what = true;
    pthread_cond_signal(&t->asked);
    pthread_mutex_unlock(&t->mutex);
}

void io_thread_lock(struct io_thread *t)
{
    ask(t, &t->lock);
}

void io_thread_sync(struct io_thread *t)
{
    ask(t, &t->sync);
}

unsigned io_thread_done(struct io_thread *t)
{
    uint64_t count;
    ssize_t ignored = read(t->event_fd, &count, sizeof count);
    (void)ignored;
    pthread_mutex_lock(&t->mutex);
    unsigned done = t->done;
    t->done = 0;
    pthread_mutex_unlock(&t->mutex);
    return done;
}
