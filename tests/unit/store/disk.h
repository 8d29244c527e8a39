/* A disk whose syncs are counted, held up and refused: fdatasync, for the store and for SQLite. */
#ifndef TESTS_STORE_DISK_H
#define TESTS_STORE_DISK_H

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int syncs;             /* begun */
    int last_fd;           /* of these the last ... */
    pthread_t last_thread; /* ... and who asked for it */
    int allowed;           /* so many may end; the others wait */
    int error;             /* errno of those that end now; 0: they succeed */
} disk = {
    .mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .allowed = INT_MAX};

int fdatasync(int fd)
{
    pthread_mutex_lock(&disk.mutex);
    disk.syncs++;
    disk.last_fd = fd;
    disk.last_thread = pthread_self();
    pthread_cond_broadcast(&disk.changed);
    int own = disk.syncs;
    while (own > disk.allowed) pthread_cond_wait(&disk.changed, &disk.mutex);
    int error = disk.error;
    pthread_mutex_unlock(&disk.mutex);
    if (!error) return (int)syscall(SYS_fdatasync, fd);
    errno = error;
    return -1;
}

static inline int disk_syncs(void)
{
    pthread_mutex_lock(&disk.mutex);
    int syncs = disk.syncs;
    pthread_mutex_unlock(&disk.mutex);
    return syncs;
}

/* From now on `more` syncs end and the others wait; INT_MAX: none does. */
static inline void disk_allow(int more)
{
    pthread_mutex_lock(&disk.mutex);
    disk.allowed = more == INT_MAX ? INT_MAX : disk.syncs + more;
    pthread_cond_broadcast(&disk.changed);
    pthread_mutex_unlock(&disk.mutex);
}

static inline void disk_refuse(int error)
{
    pthread_mutex_lock(&disk.mutex);
    disk.error = error;
    pthread_mutex_unlock(&disk.mutex);
}

/* Waits until so many syncs have begun. */
static inline void disk_wait(int syncs)
{
    pthread_mutex_lock(&disk.mutex);
    while (disk.syncs < syncs) pthread_cond_wait(&disk.changed, &disk.mutex);
    pthread_mutex_unlock(&disk.mutex);
}

#endif
