/* Gives one process another wall clock: SKEW seconds are added to what it is told. Its monotonic clock, by which it waits, stays.
 * libfaketime cannot stand in for this: with its monotonic clock left alone, time.sleep of Python 3.11 and later fails (EINVAL). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long skew(void)
{
    static long seconds;
    static int known;
    if (!known) {
        const char *text = getenv("SKEW");
        seconds = text ? atol(text) : 0;
        known = 1;
    }
    return seconds;
}

int clock_gettime(clockid_t which, struct timespec *now)
{
    int failed = (int)syscall(SYS_clock_gettime, which, now);
    if (!failed && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE))
        now->tv_sec += skew();
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    int failed = (int)syscall(SYS_gettimeofday, now, zone);
    if (!failed)
        now->tv_sec += skew();
    return failed;
}

time_t time(time_t *where)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (where)
        *where = now.tv_sec;
    return now.tv_sec;
}

/* Where the C library has no wait by the monotonic clock, Python waits by this one. */
int sem_timedwait(sem_t *restrict what, const struct timespec *restrict until)
{
    int (*real)(sem_t *, const struct timespec *) = (int (*)(sem_t *, const struct timespec *))dlsym(RTLD_NEXT, "sem_timedwait");
    struct timespec true_time = {until->tv_sec - skew(), until->tv_nsec};
    return real(what, &true_time);
}
