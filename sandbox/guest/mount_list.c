#include "sandbox/guest/mount_list.h"
#include <string.h>

int mount_list_read(char *text, struct mount_plan *plan)
{
    char *line_end = NULL;
    for (char *line = strtok_r(text, "\n", &line_end); line;
         line = strtok_r(NULL, "\n", &line_end)) {
        char *tab = strchr(line, '\t');
        bool link = strncmp(line, "tc /", 4) == 0;
        bool readonly = link || strncmp(line, "ro /", 4) == 0;
        if (!tab || tab[1] != '/' || plan->mount_count == PLAN_MOUNTS_MAX ||
            (!readonly && strncmp(line, "rw /", 4) != 0))
            return -1;
        *tab = '\0';
        plan->mount[plan->mount_count++] = (struct plan_mount){
            .host = line + 3, .inside = tab + 1, .readonly = readonly, .link = link};
    }
    return 0;
}
