/* Paths of a root that is being built. What is in it may have been arranged by
 * sandboxed code of an earlier run, so no link in it is followed and nothing leads
 * outside: a component that is not a directory, where one is needed, is moved out of
 * the way. To be used with umask(0). */
#pragma once
#include <stdbool.h>
#include <sys/types.h>

/* The root, by descriptor; borrowed. */
void inside_use(int root);

/* An O_PATH descriptor of the directory, made with its parents if it is not there; then
 * it gets `mode`. -1 with errno. */
int inside_dir(const char *path, mode_t mode);
/* The same without a descriptor: 0, or -1 with errno. */
int inside_make_dir(const char *path, mode_t mode);
/* The same of what the path's last component lies in, and that component. */
int inside_parent(const char *path, const char **ret_name);
/* An O_PATH descriptor of what is there. -1 with errno. */
int inside_find(const char *path);

/* "/proc/self/fd/N": for system calls that take only paths. */
struct inside_path {
    char text[40];
};
struct inside_path inside_path(int fd);
