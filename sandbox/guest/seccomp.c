/* The filter, as classic BPF made from a table of calls.
 *
 * What namespaces and capabilities leave open (keyrings, perf, io_uring, userfaultfd,
 * vsock, netlink families, foreign ABIs) and what would hurt if they failed is refused:
 * EPERM for what a program may try, ENOSYS for what has a fall-back that programs know
 * how to take. Calls younger than this list do not exist.
 *
 * The program is a binary search over the call number, not a list: the kernel runs it
 * once for every number while loading (its cache of constant answers), which makes a
 * list of 200 instructions cost 0.2 ms and the tree 0.06. Numbers of calls that the
 * build machine's headers may lack are written out; from 424 on they are the same on
 * every architecture. */
#include "sandbox/guest/seccomp.h"
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define SECCOMP_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define SECCOMP_ARCH AUDIT_ARCH_AARCH64
#else
#error "no system call numbers for this architecture"
#endif

enum {
    CALL_CLONE3 = 435,
    CALL_OPENAT2 = 437,
    /* Calls up to this one are known to us; later ones get ENOSYS. 469: file_setattr.
     */
    NEWEST_CALL = 469,
};

enum verdict {
    ALLOW,
    DENY,   /* EPERM */
    ABSENT, /* ENOSYS */
    CHECK_CLONE,
    CHECK_IOCTL,
    CHECK_PERSONALITY,
    CHECK_PRCTL,
    CHECK_SOCKET,
    CHECK_SOCKETPAIR,
    CHECK_MODE1, /* permissions are argument 1 (from 0) */
    CHECK_MODE2,
    CHECK_MODE3,
    CHECK_SELF0, /* the process is argument 0: only 0, oneself */
    CHECK_SELF1,
    CHECK_FAST2, /* flags of sending are argument 2: no connecting by it */
    CHECK_FAST3,
    VERDICTS,
};

enum condition {
    ALWAYS,
    NO_CLONE3,
    NO_OPENAT2,
    NO_SET_ID,
    NO_MEMFD,
    KEEP_TREE,
    SHARED
};

struct rule {
    uint16_t call;
    uint8_t verdict, condition;
};

static const struct rule rules[] = {
    /* key rings are not namespaced */
    {SYS_add_key, DENY, ALWAYS},
    {SYS_keyctl, DENY, ALWAYS},
    {SYS_request_key, DENY, ALWAYS},
    /* large kernel interfaces that no sandboxed program needs */
    {SYS_bpf, DENY, ALWAYS},
    {SYS_perf_event_open, DENY, ALWAYS},
    {SYS_userfaultfd, DENY, ALWAYS},
    {SYS_fanotify_init, DENY, ALWAYS},
    {SYS_fanotify_mark, DENY, ALWAYS},
    {SYS_vmsplice, DENY, ALWAYS},
    {SYS_lookup_dcookie, DENY, ALWAYS},
    {SYS_nfsservctl, DENY, ALWAYS},
    {425, ABSENT, ALWAYS}, /* io_uring_setup */
    {426, ABSENT, ALWAYS}, /* io_uring_enter */
    {427, ABSENT, ALWAYS}, /* io_uring_register */
    {447, DENY, ALWAYS},   /* memfd_secret */
    {459, DENY, ALWAYS},   /* lsm_get_self_attr */
    {460, DENY, ALWAYS},   /* lsm_set_self_attr */
    {461, DENY, ALWAYS},   /* lsm_list_modules */
    /* the machine */
    {SYS_acct, DENY, ALWAYS},
    {SYS_adjtimex, DENY, ALWAYS},
    {SYS_clock_adjtime, DENY, ALWAYS},
    {SYS_clock_settime, DENY, ALWAYS},
    {SYS_settimeofday, DENY, ALWAYS},
    {SYS_delete_module, DENY, ALWAYS},
    {SYS_finit_module, DENY, ALWAYS},
    {SYS_init_module, DENY, ALWAYS},
    {SYS_kexec_file_load, DENY, ALWAYS},
    {SYS_kexec_load, DENY, ALWAYS},
    {SYS_quotactl, DENY, ALWAYS},
    {443, DENY, ALWAYS}, /* quotactl_fd */
    {SYS_reboot, DENY, ALWAYS},
    {SYS_sethostname, DENY, ALWAYS},
    {SYS_setdomainname, DENY, ALWAYS},
    {SYS_swapoff, DENY, ALWAYS},
    {SYS_swapon, DENY, ALWAYS},
    {SYS_syslog, DENY, ALWAYS},
    {SYS_vhangup, DENY, ALWAYS},
    /* other processes' memory and descriptors; ptrace stays, for gdb and strace */
    {SYS_kcmp, DENY, ALWAYS},
    {438, DENY, ALWAYS}, /* pidfd_getfd */
    {440, DENY, ALWAYS}, /* process_madvise */
    {448, DENY, ALWAYS}, /* process_mrelease */
    {SYS_process_vm_readv, DENY, ALWAYS},
    {SYS_process_vm_writev, DENY, ALWAYS},
    /* memory placement */
    {SYS_get_mempolicy, DENY, ALWAYS},
    {SYS_mbind, DENY, ALWAYS},
    {SYS_migrate_pages, DENY, ALWAYS},
    {SYS_move_pages, DENY, ALWAYS},
    {SYS_set_mempolicy, DENY, ALWAYS},
    {450, DENY, ALWAYS}, /* set_mempolicy_home_node */
    /* mounts, roots and namespaces */
    {SYS_chroot, DENY, ALWAYS},
    {SYS_mount, DENY, ALWAYS},
    {SYS_pivot_root, DENY, ALWAYS},
    {SYS_setns, DENY, ALWAYS},
    {SYS_umount2, DENY, ALWAYS},
    {SYS_unshare, DENY, ALWAYS},
    {SYS_name_to_handle_at, DENY, ALWAYS},
    {SYS_open_by_handle_at, DENY, ALWAYS},
    {428, ABSENT, ALWAYS},            /* open_tree */
    {429, ABSENT, ALWAYS},            /* move_mount */
    {430, ABSENT, ALWAYS},            /* fsopen */
    {431, ABSENT, ALWAYS},            /* fsconfig */
    {432, ABSENT, ALWAYS},            /* fsmount */
    {433, ABSENT, ALWAYS},            /* fspick */
    {442, ABSENT, ALWAYS},            /* mount_setattr */
    {457, ABSENT, ALWAYS},            /* statmount */
    {458, ABSENT, ALWAYS},            /* listmount */
    {467, ABSENT, ALWAYS},            /* open_tree_attr */
    {CALL_CLONE3, ABSENT, NO_CLONE3}, /* clone3: its flags cannot be seen from here */
    {SYS_clone, CHECK_CLONE, ALWAYS},
    /* by argument */
    {SYS_ioctl, CHECK_IOCTL, ALWAYS},
    {SYS_personality, CHECK_PERSONALITY, ALWAYS},
    {SYS_prctl, CHECK_PRCTL, KEEP_TREE},
    {SYS_socket, CHECK_SOCKET, ALWAYS},
    {SYS_socketpair, CHECK_SOCKETPAIR, ALWAYS},
    {SYS_memfd_create, ABSENT, NO_MEMFD},
    {SYS_fchmod, CHECK_MODE1, NO_SET_ID},
    {SYS_fchmodat, CHECK_MODE2, NO_SET_ID},
    {452, CHECK_MODE2, NO_SET_ID}, /* fchmodat2 */
    {SYS_openat, CHECK_MODE3, NO_SET_ID},
    {CALL_OPENAT2, ABSENT, NO_OPENAT2}, /* openat2: its mode cannot be seen from here */
    {SYS_mkdirat, CHECK_MODE2, NO_SET_ID},
    {SYS_mknodat, CHECK_MODE2, NO_SET_ID},
    /* where the host's own objects are in reach */
    {SYS_shmget, DENY, SHARED},
    {SYS_semget, DENY, SHARED},
    {SYS_msgget, DENY, SHARED},
    {SYS_shmat, DENY, SHARED},
    {SYS_shmctl, DENY, SHARED},
    {SYS_semctl, DENY, SHARED},
    {SYS_semop, DENY, SHARED},
    {SYS_semtimedop, DENY, SHARED},
    {SYS_msgctl, DENY, SHARED},
    {SYS_msgsnd, DENY, SHARED},
    {SYS_msgrcv, DENY, SHARED},
    {SYS_mq_open, DENY, SHARED},
    {SYS_mq_unlink, DENY, SHARED},
    {SYS_prlimit64, CHECK_SELF0, SHARED},
    {SYS_sched_setaffinity, CHECK_SELF0, SHARED},
    {SYS_sched_setattr, CHECK_SELF0, SHARED},
    {SYS_sched_setparam, CHECK_SELF0, SHARED},
    {SYS_sched_setscheduler, CHECK_SELF0, SHARED},
    {SYS_setpriority, CHECK_SELF1, SHARED},
    {SYS_ioprio_set, CHECK_SELF1, SHARED},
    {SYS_listen, DENY, SHARED},
    {SYS_sendmsg, CHECK_FAST2, SHARED}, /* Landlock sees connect() only */
    {SYS_sendto, CHECK_FAST3, SHARED},
    {SYS_sendmmsg, CHECK_FAST3, SHARED},
#ifdef __x86_64__
    {SYS_ioperm, DENY, ALWAYS},
    {SYS_iopl, DENY, ALWAYS},
    {SYS_modify_ldt, DENY, ALWAYS},
    {SYS_create_module, DENY, ALWAYS},
    {SYS_get_kernel_syms, DENY, ALWAYS},
    {SYS_query_module, DENY, ALWAYS},
    {SYS_sysfs, DENY, ALWAYS},
    {SYS__sysctl, DENY, ALWAYS},
    {SYS_uselib, DENY, ALWAYS},
    {SYS_ustat, DENY, ALWAYS},
    {SYS_chmod, CHECK_MODE1, NO_SET_ID},
    {SYS_creat, CHECK_MODE1, NO_SET_ID},
    {SYS_open, CHECK_MODE2, NO_SET_ID},
    {SYS_mkdir, CHECK_MODE1, NO_SET_ID},
    {SYS_mknod, CHECK_MODE1, NO_SET_ID},
#endif
};

enum {
    RULE_COUNT = sizeof rules / sizeof rules[0],
    NAMESPACE_FLAGS = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
                      CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET,
    PROGRAM_MAX = 640,
};

struct program {
    struct sock_filter code[PROGRAM_MAX];
    size_t n;
    const struct rule *rule; /* sorted, only those that apply */
    size_t rule_count;
};

static void emit(struct program *p, uint16_t code, uint32_t k, size_t jt, size_t jf)
{
    if (p->n < PROGRAM_MAX)
        p->code[p->n] = (struct sock_filter){code, (uint8_t)jt, (uint8_t)jf, k};
    p->n++;
}

static void emit_errno(struct program *p, int number)
{
    emit(p, BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)number, 0, 0);
}

static void emit_allow(struct program *p)
{
    emit(p, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
}

/* The low 32 bits of an argument (both architectures are little-endian). The kernel
 * ignores the rest for these calls, so the filter must, too. */
static void emit_argument(struct program *p, uint32_t index)
{
    emit(p, BPF_LD | BPF_W | BPF_ABS,
         (uint32_t)offsetof(struct seccomp_data, args) + 8 * index, 0, 0);
}

/* EPERM when any of the bits is set in the accumulator, else allowed. */
static void emit_refuse_bits(struct program *p, uint32_t bits)
{
    emit(p, BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1);
    emit_errno(p, EPERM);
    emit_allow(p);
}

static void emit_socket(struct program *p)
{
    emit_argument(p, 0);
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, AF_UNIX, 7, 0);
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, AF_INET, 6, 0);
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 5, 0);
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, AF_NETLINK, 1, 0);
    emit_errno(p, EAFNOSUPPORT);
    /* Only NETLINK_ROUTE: node lists interfaces with it. */
    emit_argument(p, 2);
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0);
    emit_errno(p, EPROTONOSUPPORT);
    emit_allow(p);
}

/* Of the host's network only what Landlock sees: TCP. Local sockets by path, such as
 * the user's message bus, it does not. */
static void emit_shared_socket(struct program *p)
{
    enum { TYPE_BITS = 0xf };
    emit_argument(p, 0);
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, AF_INET, 2, 0);
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 1, 0);
    emit_errno(p, EAFNOSUPPORT);
    emit_argument(p, 1);
    emit(p, BPF_ALU | BPF_AND | BPF_K, TYPE_BITS, 0, 0);
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, SOCK_STREAM, 1, 0);
    emit_errno(p, EPROTONOSUPPORT);
    emit_argument(p, 2);
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 2, 0);
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 1, 0);
    emit_errno(p, EPROTONOSUPPORT);
    emit_allow(p);
}

static void emit_self(struct program *p, uint32_t index)
{
    emit_argument(p, index);
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0);
    emit_errno(p, EPERM);
    emit_allow(p);
}

static void emit_personality(struct program *p)
{
    emit_argument(p, 0);
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0xffffffff, 1, 0); /* a question */
    emit(p, BPF_JMP | BPF_JSET | BPF_K, READ_IMPLIES_EXEC, 1, 0);
    emit_allow(p);
    emit_errno(p, EPERM);
}

static void emit_verdict(struct program *p, uint8_t verdict,
                         const struct seccomp_wishes *wishes)
{
    switch (verdict) {
    case DENY:
        emit_errno(p, EPERM);
        return;
    case ABSENT:
        emit_errno(p, ENOSYS);
        return;
    case CHECK_CLONE:
        emit_argument(p, 0);
        emit_refuse_bits(p, NAMESPACE_FLAGS | (wishes->keep_tree ? CLONE_PARENT : 0U));
        return;
    case CHECK_IOCTL:
        emit_argument(p, 1);
        emit(p, BPF_JMP | BPF_JEQ | BPF_K, TIOCSTI, 1, 0);
        emit(p, BPF_JMP | BPF_JEQ | BPF_K, TIOCLINUX, 0, 1);
        emit_errno(p, EPERM);
        emit_allow(p);
        return;
    case CHECK_PERSONALITY:
        emit_personality(p);
        return;
    case CHECK_PRCTL:
        emit_argument(p, 0);
        emit(p, BPF_JMP | BPF_JEQ | BPF_K, PR_SET_CHILD_SUBREAPER, 0, 1);
        emit_errno(p, EPERM);
        emit_allow(p);
        return;
    case CHECK_SOCKET:
        if (wishes->shares_host)
            emit_shared_socket(p);
        else
            emit_socket(p);
        return;
    case CHECK_SOCKETPAIR:
        emit_argument(p, 0);
        emit(p, BPF_JMP | BPF_JEQ | BPF_K, AF_UNIX, 1, 0);
        emit_errno(p, EAFNOSUPPORT);
        emit_allow(p);
        return;
    case CHECK_MODE1:
    case CHECK_MODE2:
    case CHECK_MODE3:
        emit_argument(p, 1 + (uint32_t)verdict - CHECK_MODE1);
        emit_refuse_bits(p, S_ISUID | S_ISGID);
        return;
    case CHECK_SELF0:
    case CHECK_SELF1:
        emit_self(p, (uint32_t)verdict - CHECK_SELF0);
        return;
    case CHECK_FAST2:
    case CHECK_FAST3:
        emit_argument(p, 2 + (uint32_t)verdict - CHECK_FAST2);
        emit_refuse_bits(p, MSG_FASTOPEN);
        return;
    default:
        emit_allow(p);
    }
}

/* Rules [from, to) and the gaps around them, for call numbers from `low` up to (not
 * including) `high`. */
static void emit_tree(struct program *p, size_t from, size_t to, uint32_t low,
                      uint32_t high, const struct seccomp_wishes *wishes)
{
    if (from == to) {
        emit_allow(p);
        return;
    }
    if (to - from == 1 && low == p->rule[from].call && high == low + 1U) {
        emit_verdict(p, p->rule[from].verdict, wishes);
        return;
    }
    size_t middle = from + (to - from) / 2;
    uint32_t cut = p->rule[middle].call;
    size_t right_from = middle;
    if (cut == low) { /* split behind it instead */
        cut++;
        right_from++;
    }
    /* A conditional jump reaches 255 instructions; a plain one any number. */
    emit(p, BPF_JMP | BPF_JGE | BPF_K, cut, 0, 1);
    size_t jump = p->n;
    emit(p, BPF_JMP | BPF_JA, 0, 0, 0);
    emit_tree(p, from, right_from, low, cut, wishes);
    if (jump < PROGRAM_MAX)
        p->code[jump].k = (uint32_t)(p->n - jump - 1);
    emit_tree(p, right_from, to, cut, high, wishes);
}

static int by_call(const void *a, const void *b)
{
    const struct rule *x = a, *y = b;
    return (x->call > y->call) - (x->call < y->call);
}

static bool applies(const struct rule *rule, const struct seccomp_wishes *wishes)
{
    switch (rule->condition) {
    case NO_CLONE3:
        return !wishes->clone3_later;
    case NO_OPENAT2:
        return false; /* pid 1 opens files with it: always later */
    case NO_SET_ID:
        return wishes->no_set_id_bits;
    case NO_MEMFD:
        return wishes->no_memfd;
    case KEEP_TREE:
        return wishes->keep_tree;
    case SHARED:
        return wishes->shares_host;
    default:
        return true;
    }
}

static int load(struct sock_filter *code, size_t n)
{
    struct sock_fprog program = {.len = (unsigned short)n, .filter = code};
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

int seccomp_load(const struct seccomp_wishes *wishes, struct err *err)
{
    struct rule chosen[RULE_COUNT];
    struct program p = {.rule = chosen};
    for (size_t i = 0; i < RULE_COUNT; i++) {
        if (applies(&rules[i], wishes))
            chosen[p.rule_count++] = rules[i];
    }
    qsort(chosen, p.rule_count, sizeof chosen[0], by_call);

    emit(&p, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch), 0, 0);
    emit(&p, BPF_JMP | BPF_JEQ | BPF_K, SECCOMP_ARCH, 1, 0);
    emit_errno(&p, ENOSYS);
    emit(&p, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr), 0, 0);
    /* Above: x32, and calls that nobody has thought about. */
    emit(&p, BPF_JMP | BPF_JGT | BPF_K, NEWEST_CALL, 0, 1);
    emit_errno(&p, ENOSYS);
    emit_tree(&p, 0, p.rule_count, 0, NEWEST_CALL + 1, wishes);
    if (p.n > PROGRAM_MAX)
        return err_set(err, ERR_INTERNAL, "the seccomp filter is too long");
    if (load(p.code, p.n) != 0)
        return err_sys(err, errno, "load the seccomp filter");
    return 0;
}

bool seccomp_has_later(const struct seccomp_wishes *wishes)
{
    return wishes->clone3_later || wishes->no_set_id_bits;
}

int seccomp_load_later(const struct seccomp_wishes *wishes)
{
    uint32_t other = wishes->no_set_id_bits ? CALL_OPENAT2 : CALL_CLONE3;
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CALL_CLONE3, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, other, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    return load(code, sizeof code / sizeof code[0]);
}
