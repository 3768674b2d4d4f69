/*
 * What a call of the library is measured against: a call into a shared library that does nothing
 * but one uncontended increment and decrement.
 */

#include <stdatomic.h>

static atomic_ulong count;

void bench_atomic(void);
void bench_atomic(void)
{
    atomic_fetch_add_explicit(&count, 1, memory_order_acquire);
    atomic_fetch_sub_explicit(&count, 1, memory_order_release);
}
