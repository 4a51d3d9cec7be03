/*
 * The least there is to a blocking call: one word there, one word back, two threads that sleep in futex(2).
 *
 * futex-ping-pong COUNT prints the milliseconds that COUNT round trips took.
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static _Alignas(128) _Atomic unsigned int ping;
static _Alignas(128) _Atomic unsigned int pong;

static void await(_Atomic unsigned int *word, unsigned int value)
{
	unsigned int seen;

	while ((seen = atomic_load(word)) != value)
		syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void set(_Atomic unsigned int *word, unsigned int value)
{
	atomic_store(word, value);
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *answer(void *count)
{
	for (unsigned int i = 1; i <= *(unsigned int *)count; i++) {
		await(&ping, i);
		set(&pong, i);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned int count = argc > 1 ? atol(argv[1]) : 100000;
	struct timespec start, end;
	pthread_t thread;

	pthread_create(&thread, NULL, answer, &count);
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (unsigned int i = 1; i <= count; i++) {
		set(&ping, i);
		await(&pong, i);
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	pthread_join(thread, NULL);
	printf("%f\n", (end.tv_sec - start.tv_sec) * 1e3 + (end.tv_nsec - start.tv_nsec) / 1e6);
	return 0;
}
