/* Loaded into the daemon by tests: no fdatasync begins while the file that HOLD_SYNC names exists. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

int fdatasync(int fd) {
    const char *held = getenv("HOLD_SYNC");
    while (held && access(held, F_OK) == 0)
        usleep(1000);
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}
