// SPDX-License-Identifier: Apache-2.0
/*
 * What is timed: system calls, round trips, connections. Reads commands from standard input, one a
 * line, and answers each with "ok VALUE" or "error REASON". Times are ns for one operation: the
 * median of SLICES slices of COUNT operations, so that an interrupt spoils a slice and no more.
 *
 *     join CGROUP              moves this process
 *     network                  a network namespace of its own
 *     cpu N                    runs on that CPU alone
 *     serve PORT               starts servers on all IPv4 addresses: TCP and UDP echo, and on the next
 *                              port one that resets each connection once it has accepted it
 *     getppid SLICES COUNT
 *     badclose SLICES COUNT    a close that fails
 *     switch CGROUP SLICES COUNT       a byte to a process of that cgroup and back, by pipes: four calls
 *     tcp HOST PORT SLICES COUNT       round trips of one byte on one connection
 *     udp HOST PORT SLICES COUNT       round trips of one byte between sockets that are not connected
 *     connect HOST PORT SLICES COUNT   connections made and closed, one after the other
 *
 * Its servers end with it, and it ends with its standard input.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SLICES_MAX 4096
#define SERVERS_MAX 16

static pid_t servers[SERVERS_MAX];
static int server_count;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	double one = *(const double *)a, other = *(const double *)b;

	return (one > other) - (one < other);
}

static int fail(const char *what)
{
	printf("error %s: %s\n", what, strerror(errno));
	return 0;
}

struct target {
	int fd;
	/* Pipes there and back. */
	int there, back;
	struct sockaddr_in address;
};

static int call_getppid(struct target *t)
{
	(void)t;
	syscall(SYS_getppid);
	return 1;
}

static int call_badclose(struct target *t)
{
	(void)t;
	syscall(SYS_close, -1);
	return 1;
}

static int round_trip_pipe(struct target *t)
{
	char byte = 'x';

	return write(t->there, &byte, 1) == 1 && read(t->back, &byte, 1) == 1;
}

static int round_trip_tcp(struct target *t)
{
	char byte = 'x';

	return send(t->fd, &byte, 1, 0) == 1 && recv(t->fd, &byte, 1, 0) == 1;
}

static int round_trip_udp(struct target *t)
{
	char byte = 'x';

	return sendto(t->fd, &byte, 1, 0, (void *)&t->address, sizeof(t->address)) == 1 &&
	       recv(t->fd, &byte, 1, 0) == 1;
}

/* The server resets it: no port is left waiting. */
static int connection(struct target *t)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), held;
	char byte;

	held = fd >= 0 && connect(fd, (void *)&t->address, sizeof(t->address)) == 0 &&
	       recv(fd, &byte, 1, 0) <= 0;
	if (fd >= 0)
		close(fd);
	return held;
}

static int measure(int (*operation)(struct target *), struct target *t, int slices, int count)
{
	static double times[SLICES_MAX];
	double start;
	int slice, i;

	if (slices < 1 || slices > SLICES_MAX || count < 1) {
		errno = EINVAL;
		return fail("measure");
	}
	/* One slice more than is kept: caches fill. */
	for (slice = -1; slice < slices; slice++) {
		start = now();
		for (i = 0; i < count; i++)
			if (!operation(t))
				return fail("operation");
		if (slice >= 0)
			times[slice] = (now() - start) / count;
	}
	qsort(times, slices, sizeof(*times), by_value);
	printf("ok %.2f\n", times[slices / 2]);
	return 1;
}

static int join_cgroup(const char *path)
{
	char file[4096];
	int fd, done;

	snprintf(file, sizeof(file), "%s/cgroup.procs", path);
	fd = open(file, O_WRONLY);
	if (fd < 0)
		return 0;
	done = write(fd, "0", 1) == 1;
	close(fd);
	return done;
}

static void echo_pipe(const char *cgroup, int in, int out)
{
	char byte = 'x';

	if (!join_cgroup(cgroup))
		_exit(1);
	while (read(in, &byte, 1) == 1 && write(out, &byte, 1) == 1)
		;
	_exit(0);
}

static void measure_switch(const char *cgroup, int slices, int count)
{
	int there[2], back[2];
	struct target t;
	pid_t child;

	if (pipe(there) || pipe(back)) {
		fail("pipe");
		return;
	}
	child = fork();
	if (child == 0) {
		close(there[1]);
		close(back[0]);
		echo_pipe(cgroup, there[0], back[1]);
	}
	close(there[0]);
	close(back[1]);
	t.there = there[1];
	t.back = back[0];
	signal(SIGPIPE, SIG_IGN);
	measure(round_trip_pipe, &t, slices, count);
	close(there[1]);
	close(back[0]);
	waitpid(child, NULL, 0);
}

static void limit_wait(int fd)
{
	struct timeval wait = { .tv_sec = 2 };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
}

static void measure_network(const char *what, const char *host, int port, int slices, int count)
{
	struct target t = { .address = { .sin_family = AF_INET, .sin_port = htons(port) } };
	int udp = !strcmp(what, "udp"), one = 1;

	inet_pton(AF_INET, host, &t.address.sin_addr);
	if (!strcmp(what, "connect")) {
		t.fd = -1;
		measure(connection, &t, slices, count);
		return;
	}
	t.fd = socket(AF_INET, udp ? SOCK_DGRAM : SOCK_STREAM, 0);
	limit_wait(t.fd);
	if (udp) {
		measure(round_trip_udp, &t, slices, count);
	} else if (connect(t.fd, (void *)&t.address, sizeof(t.address))) {
		fail("connect");
	} else {
		setsockopt(t.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		measure(round_trip_tcp, &t, slices, count);
	}
	close(t.fd);
}

static void serve_echo(int listener)
{
	int one = 1, fd;
	char byte;

	for (;;) {
		fd = accept(listener, NULL, NULL);
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		while (recv(fd, &byte, 1, 0) == 1)
			send(fd, &byte, 1, MSG_NOSIGNAL);
		close(fd);
	}
}

static void serve_reset(int listener)
{
	struct linger reset = { .l_onoff = 1 };
	int fd;

	for (;;) {
		fd = accept(listener, NULL, NULL);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(fd);
	}
}

static void serve_datagrams(int fd)
{
	struct sockaddr_in from;
	socklen_t length;
	char byte;

	for (;;) {
		length = sizeof(from);
		if (recvfrom(fd, &byte, 1, 0, (void *)&from, &length) == 1)
			sendto(fd, &byte, 1, 0, (void *)&from, length);
	}
}

static int start_server(int type, int port, void (*serve)(int))
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, type, 0), one = 1;
	pid_t child, parent = getpid();

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (void *)&address, sizeof(address)))
		return 0;
	if (type == SOCK_STREAM && listen(fd, 128))
		return 0;
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		close(STDIN_FILENO);
		serve(fd);
	}
	close(fd);
	if (child > 0 && server_count < SERVERS_MAX)
		servers[server_count++] = child;
	return child > 0;
}

static int start_servers(int port)
{
	return start_server(SOCK_STREAM, port, serve_echo) &&
	       start_server(SOCK_DGRAM, port, serve_datagrams) &&
	       start_server(SOCK_STREAM, port + 1, serve_reset);
}

static int pin_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return !sched_setaffinity(0, sizeof(set), &set);
}

static void answer(int done, const char *what)
{
	if (done)
		printf("ok 0\n");
	else
		fail(what);
}

static void obey(char *line)
{
	char what[16] = "", text[4000] = "";
	int port, slices, count;

	if (sscanf(line, "join %3999s", text) == 1)
		answer(join_cgroup(text), "join");
	else if (!strcmp(line, "network"))
		answer(!unshare(CLONE_NEWNET), "network");
	else if (sscanf(line, "cpu %d", &count) == 1)
		answer(pin_to(count), "cpu");
	else if (sscanf(line, "serve %d", &port) == 1)
		answer(start_servers(port), "serve");
	else if (sscanf(line, "getppid %d %d", &slices, &count) == 2)
		measure(call_getppid, NULL, slices, count);
	else if (sscanf(line, "badclose %d %d", &slices, &count) == 2)
		measure(call_badclose, NULL, slices, count);
	else if (sscanf(line, "switch %3999s %d %d", text, &slices, &count) == 3)
		measure_switch(text, slices, count);
	else if (sscanf(line, "%15s %3999s %d %d %d", what, text, &port, &slices, &count) == 5)
		measure_network(what, text, port, slices, count);
	else
		printf("error unknown command\n");
}

int main(void)
{
	char line[4096];

	setvbuf(stdout, NULL, _IOLBF, 0);
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = 0;
		obey(line);
	}
	while (server_count > 0)
		kill(servers[--server_count], SIGKILL);
	while (wait(NULL) > 0)
		;
	return 0;
}
