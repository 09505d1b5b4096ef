/* Loaded into the daemon by tests: calls that begin while a file exists wait until it is gone. HOLD_SYNC names it for every fdatasync, HOLD_RECEIVE for every
 * receive of a shard's own thread, which stands still then. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void wait_while(const char *variable) {
    const char *held = getenv(variable);
    while (held && access(held, F_OK) == 0)
        usleep(1000);
}

int fdatasync(int fd) {
    wait_while("HOLD_SYNC");
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}

ssize_t recv(int fd, void *buf, size_t len, int flags) {
    char thread[16] = "";
    pthread_getname_np(pthread_self(), thread, sizeof thread);
    if (strncmp(thread, "shard-", 6) == 0)
        wait_while("HOLD_RECEIVE");
    return ((ssize_t (*)(int, void *, size_t, int))dlsym(RTLD_NEXT, "recv"))(fd, buf, len, flags);
}
