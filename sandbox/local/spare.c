/* One sandbox is kept ready after the first use, for the next that asks for nothing
 * special: it costs its taker no more than a command. It has run an empty command, so
 * that the kernel has seen the programs that every command needs. Nobody's until then,
 * it is not counted, not listed, and goes with the zygote as the others do. */
#include "base/log.h"
#include "base/mem.h"
#include "sandbox/local/local.h"

enum { BEGIN_MS = 100 }; /* after a sandbox is made: its first command goes first */

static bool is_usual(const struct sandbox *sb)
{
    const struct sandbox_spec *wish = &sb->wish.spec;
    return !sb->kept && !wish->snapshot.n && !wish->memory_bytes && !wish->disk_bytes &&
           !wish->cpu_millis && !wish->pids && !wish->mount_count &&
           !(sb->is_default &&
             (sb->set->config.workspace || sb->set->config.mount_count));
}

static void make(void *ctx)
{
    struct local *l = ctx;
    struct err err;
    struct local_ground ground = {.hold = {.dir = -1, .lock = -1},
                                  .layers = {.lock = -1}};
    if (l->spare || !l->zygote || l->launcher != LAUNCH_NAMESPACES)
        return;
    struct sandbox *nobody = mem_new(struct sandbox);
    nobody->set = l->set;
    local_image_begin(l->set, &nobody->wish);
    l->spare = local_box_new(l, nobody, &ground, &err);
    if (l->spare) {
        l->spare->spare = true;
    } else {
        log_info("ignoring that no sandbox could be made in advance: %s", err.msg);
        mem_free(nobody);
    }
}

void local_spare_want(struct local *l)
{
    if (l->spare || l->set->finishing)
        return;
    if (!l->spare_timer)
        l->spare_timer = loop_timer_new(l->set->loop, make, l);
    loop_timer_start(l->spare_timer, BEGIN_MS);
}

static struct box *release(struct local *l)
{
    struct box *box = l->spare;
    l->spare = NULL;
    box->spare = false;
    owned_spec_finish(&box->sandbox->wish);
    mem_free(box->sandbox);
    box->sandbox = NULL;
    return box;
}

struct box *local_spare_take(struct local *l, struct sandbox *sb)
{
    if (!l->spare || !is_usual(sb))
        return NULL;
    struct box *box = release(l);
    box->sandbox = sb;
    sb->impl = box;
    if (sb->wish.spec.network)
        local_network_policy(box, sb->wish.spec.network);
    return box;
}

void local_spare_drop(struct local *l)
{
    if (l->spare)
        local_box_free(release(l));
}

void local_spare_finish(struct local *l)
{
    local_spare_drop(l);
    loop_timer_free(l->spare_timer);
    l->spare_timer = NULL;
}
