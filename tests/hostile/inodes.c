/* Makes empty files until it cannot: hostile_inodes DIRECTORY [MOST]. Prints "N and
 * then ENOSPC". */
#include "tests/hostile/attack.h"
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    unsigned long count = 0, most = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000000;
    char name[32];
    if (argc < 2 || chdir(argv[1]) == -1)
        return 2;
    for (; count < most; count++) {
        snprintf(name, sizeof name, "%lu", count);
        int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (fd == -1)
            break;
        close(fd);
    }
    printf("%lu and then %s\n", count,
           count < most ? strerrorname_np(errno) : "enough");
    return 0;
}
