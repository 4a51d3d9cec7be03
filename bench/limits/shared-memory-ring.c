/*
 * The least there is to a dispatch: a call of two cache lines there, its result back, through two rings of
 * shared memory between two threads that never sleep.
 *
 * shared-memory-ring COUNT IN_FLIGHT prints the milliseconds that COUNT round trips took.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SLOTS 8192

struct call {
	char text[120];
	int length;
	int result;
};

static _Alignas(128) struct call calls[SLOTS];
static _Alignas(128) _Atomic unsigned long queued;
static _Alignas(128) _Atomic unsigned long done;

/* Two threads may have to share one processor. */
static void await(_Atomic unsigned long *word, unsigned long value)
{
	for (int spins = 0; atomic_load_explicit(word, memory_order_acquire) < value; spins++)
		if (spins > 1000)
			sched_yield();
}

static void *answer(void *argument)
{
	unsigned long count = *(unsigned long *)argument;

	for (unsigned long i = 0; i < count; i++) {
		struct call *call = &calls[i % SLOTS];
		char copy[sizeof(call->text)];

		await(&queued, i + 1);
		memcpy(copy, call->text, call->length);
		call->result = copy[0] == 0;
		atomic_store_explicit(&done, i + 1, memory_order_release);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned long count = argc > 1 ? atol(argv[1]) : 1000000;
	unsigned long limit = argc > 2 ? atol(argv[2]) : 64;
	unsigned long failed = 0;
	struct timespec start, end;
	pthread_t thread;

	pthread_create(&thread, NULL, answer, &count);
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (unsigned long i = 0, seen = 0; seen < count;) {
		if (i < count && i - seen < limit) {
			struct call *call = &calls[i % SLOTS];

			call->length = snprintf(call->text, sizeof(call->text), "noop %lu", i) + 1;
			atomic_store_explicit(&queued, ++i, memory_order_release);
		} else {
			await(&done, seen + 1);
		}
		while (seen < atomic_load_explicit(&done, memory_order_acquire))
			failed += calls[seen++ % SLOTS].result;
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	pthread_join(thread, NULL);
	if (failed)
		return 1;
	printf("%f\n", (end.tv_sec - start.tv_sec) * 1e3 + (end.tv_nsec - start.tv_nsec) / 1e6);
	return 0;
}
