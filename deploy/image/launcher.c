/*
 * agent-launcher: the agent's entry point in the image. It hands the three capabilities that eBPF
 * takes to the program, which is not root and has no file capabilities, and becomes that program.
 *
 * A process that is not root loses its capabilities when it executes a file, unless the file carries
 * them. This file does (cap_bpf,cap_perfmon,cap_net_admin+ep), and raises them as ambient, which
 * outlive the next execve. The program itself cannot carry them: the controller's container is
 * granted none, and the kernel refuses with EPERM to execute a file that asks for more than that.
 *
 * Without a capability (an image that was copied without its extended attributes) it says so and
 * goes on: the agent's own checks then tell what does not work.
 *
 * No C library: any compiler builds it, for either architecture, into 1 KB.
 */
typedef unsigned int u32;

#define PROGRAM "/podconfigmap-controller"
#define CAP_NET_ADMIN 12
#define CAP_PERFMON 38
#define CAP_BPF 39
#define CAPABILITY_VERSION_3 0x20080522
#define PR_CAP_AMBIENT 47
#define PR_CAP_AMBIENT_RAISE 2
#define STDERR 2
#define EXIT_CANNOT_EXECUTE 126

#if defined(__x86_64__)
#define SYS_WRITE 1
#define SYS_EXECVE 59
#define SYS_EXIT 60
#define SYS_CAPGET 125
#define SYS_CAPSET 126
#define SYS_PRCTL 157
__asm__(".globl _start\n_start:\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall start\n");

static long call(long number, long a, long b, long c, long d, long e)
{
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return result;
}
#elif defined(__aarch64__)
#define SYS_WRITE 64
#define SYS_CAPGET 90
#define SYS_CAPSET 91
#define SYS_EXIT 93
#define SYS_PRCTL 167
#define SYS_EXECVE 221
__asm__(".globl _start\n_start:\n\tmov x0, sp\n\tbl start\n");

static long call(long number, long a, long b, long c, long d, long e)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4)
			 : "memory");
	return x0;
}
#else
#error "written for x86-64 and arm64"
#endif

struct cap_header {
	u32 version;
	int pid;
};

struct cap_data {
	u32 effective;
	u32 permitted;
	u32 inheritable;
};

static void say(const char *text)
{
	long length = 0;

	while (text[length] != '\0')
		length++;
	call(SYS_WRITE, STDERR, (long)text, length, 0, 0);
}

/* Ambient takes what is permitted and inheritable. */
static void hand_on(int capability, const char *name)
{
	struct cap_header header = { CAPABILITY_VERSION_3, 0 };
	struct cap_data data[2] = { { 0, 0, 0 }, { 0, 0, 0 } };

	if (call(SYS_CAPGET, (long)&header, (long)data, 0, 0, 0) == 0) {
		data[capability / 32].inheritable |= 1u << (capability % 32);
		if (call(SYS_CAPSET, (long)&header, (long)data, 0, 0, 0) == 0 &&
		    call(SYS_PRCTL, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) == 0)
			return;
	}
	say("agent-launcher: cannot hand on ");
	say(name);
	say(": the container was not granted it, or the image lost this file's capabilities\n");
}

__attribute__((noreturn, used)) void start(long *stack)
{
	long argc = stack[0];
	char **argv = (char **)(stack + 1);
	char **envp = argv + argc + 1;

	hand_on(CAP_NET_ADMIN, "CAP_NET_ADMIN");
	hand_on(CAP_PERFMON, "CAP_PERFMON");
	hand_on(CAP_BPF, "CAP_BPF");
	if (argc > 0)
		argv[0] = PROGRAM;
	call(SYS_EXECVE, (long)PROGRAM, (long)argv, (long)envp, 0, 0);
	say("agent-launcher: cannot execute " PROGRAM "\n");
	for (;;)
		call(SYS_EXIT, EXIT_CANNOT_EXECUTE, 0, 0, 0, 0);
}
