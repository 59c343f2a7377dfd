/* Drives: named directories of this machine that outlive sandboxes and are mounted in
 * them. One session may write to a drive, or any number may read it: what is mounted as
 * a snapshot does not change, because nobody writes meanwhile. */
#pragma once
#include "vercel_api/private.h"

enum { DRIVE_NAME_MAX = 64, DRIVE_MOUNTS_MAX = 4 };

struct drive {
    struct vercel_api *api;
    struct drive *next;
    char id[API_ID_MAX], name[DRIVE_NAME_MAX + 1];
    char *project, *region;
    uint64_t max_bytes, created_ms, updated_ms;
};

int drives_open(struct vercel_api *api, struct err *err);
void drives_free(struct vercel_api *api);

/* `mounts` of a request: {PATH: {drive, mode}}; absent and empty are fine. */
int drives_check_mounts(struct json mounts, struct arena *a, struct err *err);
/* Can a session of it begin now, with the drives that it mounts? -1: answered. */
int drives_admit(struct request *r, const struct record *rec);
/* What is mounted in it; strings live in *a. Returns how many. */
size_t drives_mounts(const struct session *s, struct arena *a,
                     struct sandbox_mount mounts[DRIVE_MOUNTS_MAX]);
void drives_write_mounts(struct json_writer *w, const struct record *rec);

void drive_list_page(struct request *r);
void drive_show(struct request *r);
void drive_make(struct request *r);
void drive_remove(struct request *r);
