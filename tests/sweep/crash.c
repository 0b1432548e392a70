/* Loaded into an engine by LD_PRELOAD: kills it at a chosen moment of its N-th commit to the journal, with SIGKILL, or
 * lets the disk fail then. A commit is what is written to the write-ahead log up to the sync that makes it durable.
 *
 * CRASH_AT    N.MOMENT; the moments: write (before its first byte is written), sync (written, not synced), done (synced);
 *             eio (the sync fails), hang (the sync never returns), full (no space from here on, until the file `reserve` beside the journal is gone)
 * CRASH_FILE  this file is made just then
 *
 * Does nothing in any process but the engine (which is the scout of its `exec`, before there is a run), and nothing that the engine starts inherits it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static long commit = 1, wanted = -1;
static int begun;
static char moment[16], mark[4096];

__attribute__((constructor)) static void setup(void)
{
    char line[4096];
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, line, sizeof line - 1), i = 0;
    int engine = 0;
    if (fd >= 0)
        close(fd);
    for (line[n > 0 ? n : 0] = 0; i < n; i += (ssize_t)strlen(line + i) + 1)
        engine |= strcmp(line + i, "engine") == 0 || strcmp(line + i, "scout") == 0;
    if (!engine)
        return;
    const char *at = getenv("CRASH_AT"), *file = getenv("CRASH_FILE");
    if (at && file && sscanf(at, "%ld.%15s", &wanted, moment) == 2)
        snprintf(mark, sizeof mark, "%s", file);
    unsetenv("LD_PRELOAD");
    unsetenv("CRASH_AT");
    unsetenv("CRASH_FILE");
}

static int is_log(int fd)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    return n > 15 && memcmp(path + n - 15, "/journal.db-wal", 15) == 0;
}

static void leave_mark(void)
{
    int fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
}

static int is_now(const char *what)
{
    return commit == wanted && strcmp(what, moment) == 0;
}

static void die_at(const char *now)
{
    if (!is_now(now))
        return;
    leave_mark();
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

/* Whether the disk is full for this file of the journal. */
static int no_space(int fd)
{
    char link[64], path[4096];
    if (strcmp(moment, "full") != 0 || commit < wanted)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 16);
    char *name = n > 0 ? memrchr(path, '/', (size_t)n) : NULL;
    if (!name)
        return 0;
    strcpy(name, "/reserve");
    return access(path, F_OK) == 0;
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at)
{
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (!real)
        real = (ssize_t(*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
    if (wanted > 0 && !begun && is_log(fd)) {
        begun = 1;
        die_at("write");
    }
    if (wanted > 0 && is_log(fd) && no_space(fd)) {
        leave_mark();
        begun = 0;
        errno = ENOSPC;
        return -1;
    }
    return real(fd, bytes, length, at);
}

static int sync_with(const char *name, int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    if (wanted <= 0 || !begun || !is_log(fd))
        return real(fd);
    die_at("sync");
    if (is_now("hang")) {
        leave_mark();
        for (;;)
            pause();
    }
    if (is_now("eio")) {
        leave_mark();
        commit++;
        errno = EIO;
        return -1;
    }
    int done = real(fd);
    die_at("done");
    begun = 0;
    commit++;
    return done;
}

int fsync(int fd) { return sync_with("fsync", fd); }
int fdatasync(int fd) { return sync_with("fdatasync", fd); }
