/* Runs a fuzz target over files: fuzz_NAME FILE-OR-DIRECTORY ... So the corpus is a
 * plain test where libFuzzer is not to be had. */
#include "base/buf.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(int dir, const char *name)
{
    struct buf b;
    buf_init(&b, 64 * 1024 * 1024);
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    ssize_t n = -1;
    while (fd >= 0) {
        char *to = buf_reserve(&b, 65536);
        n = to ? read(fd, to, 65536) : -1;
        if (n <= 0)
            break;
        b.n += (size_t)n;
    }
    if (fd >= 0)
        close(fd);
    if (n < 0) {
        perror(name);
        return 1;
    }
    LLVMFuzzerTestOneInput((const uint8_t *)(b.p ? b.p : ""), b.n);
    buf_finish(&b);
    return 0;
}

static int run_directory(const char *path, int *ret_files)
{
    DIR *dir = opendir(path);
    if (!dir) {
        perror(path);
        return 1;
    }
    int failed = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] == '.')
            continue;
        failed |= run_file(dirfd(dir), e->d_name);
        ++*ret_files;
    }
    closedir(dir);
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0, files = 0;
    for (int i = 1; i < argc; i++) {
        struct stat st;
        if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode)) {
            failed |= run_directory(argv[i], &files);
        } else {
            failed |= run_file(AT_FDCWD, argv[i]);
            files++;
        }
    }
    printf("%d inputs\n", files);
    return failed || files == 0;
}
