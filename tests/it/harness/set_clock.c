/* Loaded in front of the C library: the real program under a clock that a test sets. The file named by SET_CLOCK holds three numbers:
   the second at which the clock stands still, or 0; by how many seconds it is off while it runs; and how many seconds more have passed, for
   the clocks that nobody sets. While it stands still, so does the monotonic clock: a slow machine does not make a test's seconds longer. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000

static volatile const int64_t *set;
/* What the monotonic clock shows while it stands still, in nanoseconds; 0 while it runs. */
static int64_t stopped_at;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("SET_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *page = file < 0 ? MAP_FAILED : mmap(NULL, 24, PROT_READ, MAP_SHARED, file, 0);
    if (page == MAP_FAILED)
        abort();
    close(file);
    set = page;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    int result = (int)syscall(SYS_clock_gettime, clock, time);
    if (result != 0 || !set)
        return result;
    int64_t still = set[0];
    if (clock == CLOCK_MONOTONIC) {
        int64_t now = time->tv_sec * SECOND + time->tv_nsec, stopped = 0;
        if (!still)
            __atomic_store_n(&stopped_at, 0, __ATOMIC_SEQ_CST);
        else if (!__atomic_compare_exchange_n(&stopped_at, &stopped, now, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            now = stopped;
        time->tv_sec = now / SECOND;
        time->tv_nsec = now % SECOND;
    }
    if (clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE || clock == CLOCK_MONOTONIC_RAW || clock == CLOCK_BOOTTIME)
        time->tv_sec += set[2];
    if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)
        return result;
    if (still) {
        time->tv_sec = still;
        time->tv_nsec = 0;
    } else {
        time->tv_sec += set[1];
    }
    return 0;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        return -1;
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *where)
{
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        return -1;
    if (where)
        *where = now.tv_sec;
    return now.tv_sec;
}
