/* Preloaded into a process: a disk whose syncs fail, as Linux reports them.

   A sync that fails leaves what was written in the page cache, and calls it clean: the next sync has nothing to do and
   succeeds, though the disk has got nothing of it, or all, or the first bytes. What the disk has got is kept in the file
   $PLATTER: the pages, one byte for each that is set while it is dirty, and how many syncs there were, how many failed,
   and whether the last one did. One sync in $ONE_IN fails, by a count that all processes share, and after a failure the
   next one succeeds. It is the mark file alone that this is about; who writes it has locked it.
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PAGE = 4096, TORN = 60, PAGES = 3, DIRTY = PAGE * PAGES, COUNTS = DIRTY + PAGES };

static int is_mark(int fd)
{
    static const char end[] = "_nonce.mark";
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path);
    ssize_t tail = sizeof end - 1;
    return length > tail && !memcmp(path + length - tail, end, tail);
}

static ssize_t real_pwrite(int fd, const void *data, size_t size, off_t offset)
{
    static ssize_t (*real)(int, const void *, size_t, off_t);
    if (!real)
        real = (ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite");
    return real(fd, data, size, offset);
}

static int platter(void)
{
    return open(getenv("PLATTER"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    if (size && is_mark(fd)) {
        int disk = platter();
        for (off_t page = offset / PAGE; page <= (off_t)(offset + size - 1) / PAGE && page < PAGES; page++)
            real_pwrite(disk, "\1", 1, DIRTY + page);
        close(disk);
    }
    return real_pwrite(fd, data, size, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off_t offset)
{
    return pwrite(fd, data, size, offset);
}

/* How many bytes of each dirty page the disk gets; all, if the sync does not fail. */
static int stored(int disk, int *failed)
{
    uint64_t counts[3] = {0, 0, 0};
    unsigned one_in = atoi(getenv("ONE_IN")), seed = atoi(getenv("SEED"));
    if (pread(disk, counts, sizeof counts, COUNTS) < 0)
        abort();
    seed += ++counts[0] * 7919;
    *failed = !counts[2] && rand_r(&seed) % one_in == 0;
    counts[1] += *failed;
    counts[2] = *failed;
    real_pwrite(disk, counts, sizeof counts, COUNTS);
    static const int parts[] = {0, TORN, PAGE};
    return *failed ? parts[rand_r(&seed) % 3] : PAGE;
}

int fdatasync(int fd)
{
    static int (*real)(int);
    if (!real)
        real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    if (!is_mark(fd))
        return real(fd);
    int failed, disk = platter(), size = stored(disk, &failed);
    if (!failed && real(fd))
        abort();
    char dirty[PAGES] = {0};
    if (pread(disk, dirty, PAGES, DIRTY) < 0)
        abort();
    for (int page = 0; page < PAGES; page++) {
        char data[PAGE] = {0};
        if (dirty[page]) {
            if (pread(fd, data, PAGE, (off_t)page * PAGE) < 0)
                abort();
            real_pwrite(disk, data, size, (off_t)page * PAGE);
        }
        real_pwrite(disk, "", 1, DIRTY + page);
    }
    close(disk);
    if (failed)
        errno = EIO;
    return failed ? -1 : 0;
}
