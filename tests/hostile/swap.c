/* Swaps a directory for a link to another place, as fast as it can: hostile_swap NAME
 * TARGET SECONDS. NAME is made as a directory that holds a file "file"; whoever
 * resolves the path twice is led elsewhere. Prints how often it swapped. */
#include "tests/hostile/attack.h"
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char link[256], file[256];
    struct timespec now;
    if (argc != 4 || strlen(argv[1]) > 200)
        return 2;
    snprintf(link, sizeof link, "%s.link", argv[1]);
    snprintf(file, sizeof file, "%s/file", argv[1]);
    /* Whoever writes a file into it may have made it before. */
    if ((mkdir(argv[1], 0755) == -1 && errno != EEXIST) || symlink(argv[2], link) == -1)
        return 1;
    int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd == -1 || write(fd, "inside\n", 7) != 7)
        return 1;
    close(fd);
    clock_gettime(CLOCK_MONOTONIC, &now);
    time_t end = now.tv_sec + strtol(argv[3], NULL, 10);
    unsigned long count = 0;
    for (; now.tv_sec < end; count++) {
        syscall(SYS_renameat2, AT_FDCWD, argv[1], AT_FDCWD, link, RENAME_EXCHANGE);
        clock_gettime(CLOCK_MONOTONIC, &now);
    }
    printf("%lu\n", count);
    return 0;
}
