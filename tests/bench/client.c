/* The client of the measurements: starts the server as a client does, measures one row
 * of the issue's table after the other beside the machine's floor, and prints one
 * table. It never fails because of a time; it does when a row could not be measured at
 * all. */
#include "base/err.h"
#include "tests/bench/client/rows.h"
#include <getopt.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { ROW_PATIENCE_S = 300, CELL_BYTES = 96 };

static void on_alarm(int signum)
{
    static const char text[] = "bench: no progress for minutes, giving up\n";
    (void)signum;
    if (write(STDERR_FILENO, text, sizeof(text) - 1) > 0)
        _exit(3);
    _exit(4);
}

/* A handler, not SIG_IGN: that would be inherited by what we measure. */
static void on_pipe(int signum)
{
    (void)signum;
}

static void set_up(void)
{
    sigaction(SIGALRM, &(struct sigaction){.sa_handler = on_alarm}, NULL);
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = on_pipe}, NULL);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    setvbuf(stdout, NULL, _IOLBF, 0);
}

static void number(char cell[CELL_BYTES], double value, int decimals)
{
    if (value >= 1e5)
        snprintf(cell, CELL_BYTES, "%.*f k", value >= 1e6 ? 0 : 1, value / 1e3);
    else
        snprintf(cell, CELL_BYTES, "%.*f", decimals, value);
}

static void spread(char cell[CELL_BYTES], struct sample *s, int decimals)
{
    char low[CELL_BYTES], high[CELL_BYTES];
    if (s->n == 0) {
        snprintf(cell, CELL_BYTES, "-");
        return;
    }
    number(low, sample_percentile(s, 10), decimals);
    number(high, sample_percentile(s, 90), decimals);
    snprintf(cell, CELL_BYTES, "%.40s..%.40s", low, high);
}

/* A machine whose floor is above the issue's is judged by the ratio that the issue asks
 * for. */
static const char *verdict(const struct row *row, double floor, double ours)
{
    bool met = row->kind == TARGET_AT_MOST    ? ours <= row->target
               : row->kind == TARGET_AT_LEAST ? ours >= row->target
                                              : ours <= row->target * floor;
    if (!met && row->kind == TARGET_AT_MOST && row->issue_floor > 0 &&
        floor > row->issue_floor && ours / floor <= row->target / row->issue_floor)
        return "met (x)";
    return met ? "met" : "missed";
}

/* "<= 2.0 (2.06 x)": the figure, and what it is of the issue's floor. */
static void target(char cell[CELL_BYTES], const struct row *row)
{
    if (row->kind == TARGET_RATIO_AT_MOST) {
        snprintf(cell, CELL_BYTES, "<= %.2f x", row->target);
        return;
    }
    char value[CELL_BYTES], of_floor[CELL_BYTES] = "";
    number(value, row->target, row->target < 10 ? 1 : 0);
    if (row->issue_floor > 0)
        snprintf(of_floor, sizeof(of_floor), " (%.2f x)",
                 row->target / row->issue_floor);
    snprintf(cell, CELL_BYTES, "%s %.40s%.40s",
             row->kind == TARGET_AT_MOST ? "<=" : ">=", value, of_floor);
}

static void print_line(const char *label, const char *const cells[7])
{
    printf("| %-62s | %8s | %8s | %7s | %19s | %-7s | %17s | %17s |\n", label, cells[0],
           cells[1], cells[2], cells[3], cells[4], cells[5], cells[6]);
}

static void print_head(void)
{
    print_line("", (const char *[]){"floor", "ours", "ratio", "target", "verdict",
                                    "floor p10..p90", "ours p10..p90"});
    print_line("---",
               (const char *[]){"---:", "---:", "---:", "---:", "---", "---:", "---:"});
}

/* row: whose target counts; NULL: none does. */
static void print_figure(const char *label, struct figure *f, const struct row *row,
                         int decimals)
{
    char floor[CELL_BYTES] = "-", ours[CELL_BYTES], ratio[CELL_BYTES] = "-";
    char wanted[CELL_BYTES] = "", floor_spread[CELL_BYTES], our_spread[CELL_BYTES];
    double floor_p50 = sample_percentile(&f->floor, 50);
    double ours_p50 = sample_percentile(&f->ours, 50);
    number(ours, ours_p50, decimals);
    if (f->floor.n > 0) {
        number(floor, floor_p50, decimals);
        snprintf(ratio, sizeof(ratio), "%.2f x", ours_p50 / floor_p50);
    }
    if (row)
        target(wanted, row);
    spread(floor_spread, &f->floor, decimals);
    spread(our_spread, &f->ours, decimals);
    print_line(label, (const char *[]){floor, ours, ratio, wanted,
                                       row ? verdict(row, floor_p50, ours_p50) : "",
                                       floor_spread, our_spread});
}

/* judge: with the verdict, which needs the floor. */
static void print_row(const struct row *row, struct measurement *m, bool judge)
{
    char label[CELL_BYTES];
    print_figure(row->label, &m->main, judge ? row : NULL, row->decimals);
    for (int i = 0; i < BESIDE_MAX; i++) {
        if (m->beside[i].ours.n == 0)
            continue;
        snprintf(label, sizeof(label), "... %s", m->beside[i].label);
        print_figure(label, &m->beside[i], NULL, row->decimals);
    }
}

static int run_row(struct bench *b, const struct row *row)
{
    struct measurement m = {0};
    struct err err = {0};
    alarm((unsigned)b->profile_s + ROW_PATIENCE_S);
    b->started_s = clock_s();
    int rc = row->measure(b, &m, &err);
    alarm(0);
    if (rc < 0)
        printf("| %-62s | not measured: %s |\n", row->label, err.msg);
    else
        print_row(row, &m, b->profile_s <= 0);
    sample_finish(&m.main.floor);
    sample_finish(&m.main.ours);
    for (int i = 0; i < BESIDE_MAX; i++) {
        sample_finish(&m.beside[i].floor);
        sample_finish(&m.beside[i].ours);
    }
    return rc;
}

static const struct row *row_find(const char *id)
{
    for (size_t i = 0; i < row_count; i++)
        if (strcmp(rows[i].id, id) == 0)
            return &rows[i];
    return NULL;
}

static int usage(FILE *to, int status)
{
    fprintf(
        to,
        "usage: bench_client --server PATH --echo PATH [--quick] [--verbose] [row...]\n"
        "       bench_client --server PATH --echo PATH --profile ROW [--seconds N]\n"
        "  --quick      fewer repetitions\n"
        "  --profile    repeat that row for N seconds (10), without the floor\n"
        "  --verbose    show the servers' stderr\n"
        "rows:");
    for (size_t i = 0; i < row_count; i++)
        fprintf(to, " %s", rows[i].id);
    fprintf(to, "\n");
    return status;
}

struct options {
    struct bench bench;
    const char *profile;
    double seconds;
};

/* 0, or the exit status + 1 of a program that ends here. */
static int parse(struct options *o, int argc, char **argv)
{
    static const struct option names[] = {{"server", required_argument, NULL, 's'},
                                          {"echo", required_argument, NULL, 'e'},
                                          {"quick", no_argument, NULL, 'q'},
                                          {"verbose", no_argument, NULL, 'v'},
                                          {"profile", required_argument, NULL, 'p'},
                                          {"seconds", required_argument, NULL, 'n'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    *o = (struct options){.seconds = 10};
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (c) {
        case 's':
            o->bench.server = optarg;
            break;
        case 'e':
            o->bench.echo = optarg;
            break;
        case 'q':
            o->bench.quick = true;
            break;
        case 'v':
            o->bench.verbose = true;
            break;
        case 'p':
            o->profile = optarg;
            break;
        case 'n':
            o->seconds = strtod(optarg, NULL);
            break;
        case 'h':
            return usage(stdout, 1);
        default:
            return usage(stderr, 3);
        }
    }
    if (!o->bench.server || !o->bench.echo)
        return usage(stderr, 3);
    for (int i = optind; i < argc; i++)
        if (!row_find(argv[i]))
            return usage(stderr, 3);
    return o->profile && !row_find(o->profile) ? usage(stderr, 3) : 0;
}

int main(int argc, char **argv)
{
    struct options o;
    int status = parse(&o, argc, argv);
    if (status != 0)
        return status - 1;
    set_up();
    print_head();
    if (o.profile) {
        o.bench.profile_s = o.seconds;
        return run_row(&o.bench, row_find(o.profile)) < 0;
    }
    int failed = 0;
    if (optind == argc)
        for (size_t i = 0; i < row_count; i++)
            failed |= run_row(&o.bench, &rows[i]) < 0;
    for (int i = optind; i < argc; i++)
        failed |= run_row(&o.bench, row_find(argv[i])) < 0;
    return failed;
}
