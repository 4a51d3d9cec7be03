/*
 * The least there is to launching: posix_spawn, a pidfd in an epoll set, wait4.
 *
 * posix-spawn-loop COUNT IN_FLIGHT prints the milliseconds that COUNT times /bin/true took.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

int main(int argc, char **argv)
{
	long count = argc > 1 ? atol(argv[1]) : 1000;
	long limit = argc > 2 ? atol(argv[2]) : 8;
	long started = 0, ended = 0;
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	double start;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
	posix_spawn_file_actions_adddup2(&actions, 0, 1);
	posix_spawn_file_actions_adddup2(&actions, 0, 2);
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setflags(&attributes,
		POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);

	start = milliseconds();
	while (ended < count) {
		struct epoll_event events[64];
		int ready;

		while (started < count && started - ended < limit) {
			char serial[24];
			char *arguments[] = { "/bin/true", serial, NULL };
			struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT };
			pid_t pid;
			int pidfd;

			snprintf(serial, sizeof(serial), "%ld", started);
			if (posix_spawn(&pid, arguments[0], &actions, &attributes, arguments, environ))
				fail("posix_spawn");
			pidfd = syscall(SYS_pidfd_open, pid, 0);
			if (pidfd < 0)
				fail("pidfd_open");
			event.data.u64 = (unsigned long)pid << 32 | (unsigned int)pidfd;
			if (epoll_ctl(epoll, EPOLL_CTL_ADD, pidfd, &event))
				fail("epoll_ctl");
			started++;
		}
		ready = epoll_wait(epoll, events, 64, -1);
		for (int i = 0; i < ready; i++) {
			struct rusage usage;
			int status;

			if (wait4(events[i].data.u64 >> 32, &status, 0, &usage) < 0)
				fail("wait4");
			close((int)(events[i].data.u64 & 0xffffffff));
			ended++;
		}
	}
	printf("%f\n", milliseconds() - start);
	return 0;
}
