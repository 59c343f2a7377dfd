/* Snapshots as the API knows them; behind each is one of sandbox.h. A deleted one is
 * remembered, so that the tree keeps its shape. */
#pragma once
#include "vercel_api/private.h"

struct snapshot {
    struct vercel_api *api;
    struct snapshot *next;
    char id[API_ID_MAX], parent[API_ID_MAX];
    char local[SANDBOX_NAME_MAX + 1];  /* of sandbox.h */
    char source[SANDBOX_NAME_MAX + 1]; /* the sandbox's name */
    char source_local[API_ID_MAX], session[API_ID_MAX];
    char *project, *region;
    bool deleted, by_hand;
    uint64_t created_ms, updated_ms, used_ms, expires_ms, life_ms, size_bytes;
};

void snapshots_load(struct vercel_api *api);
void snapshots_free(struct vercel_api *api);

/* The one that was just taken of s; it becomes its sandbox's current one, unless that
 * has been told another. */
struct snapshot *snapshot_new(struct session *s, const struct snapshot_info *info);
/* NULL when there is none of that id, or it was deleted or has expired. */
struct snapshot *snapshot_find(struct vercel_api *api, struct str id);
/* It is used: its time starts anew. */
void snapshot_use(struct snapshot *snap);
/* Life after the last use; 0: for ever. */
void snapshot_set_life(struct snapshot *snap, uint64_t life_ms);
/* Those beyond what the sandbox keeps go away. */
void snapshots_evict(const struct record *rec);
/* Those of a deleted sandbox that no other one starts with; and the one that it would
 * have started with, if the sandbox that it is of is gone. */
void snapshots_delete_orphans(const struct record *rec);
void object_snapshot(struct json_writer *w, const struct snapshot *snap);
