/* How much a directory of the store has on disk. */
#pragma once

enum { MEASURE_FD = 3, MEASURE_REPORT_FD = 4 };

/* Writes the bytes of all that is in MEASURE_FD to MEASURE_REPORT_FD, as a uint64_t;
 * returns the exit status. Sandboxed code may work in the directory meanwhile: what
 * moves may be missed or make it fail, nothing leads it elsewhere. */
int measure_main(void);
