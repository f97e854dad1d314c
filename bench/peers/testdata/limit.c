/*
 * limit starts containers as fast as plain C can, with the features of
 * container.DefaultSpec: namespaces for PIDs, mounts, network, host name, IPC,
 * users and cgroups; users mapped; an overlay of the image's layers; the usual
 * mounts, devices, masked and read-only paths; cgroup limits; loopback, or a veth
 * into a bridge with an address and a route; capabilities dropped,
 * no_new_privs, the system call filter; execve. It is what other runtimes are
 * compared with: all its work is done for each container anew, in the order that
 * costs least, and nothing is read, parsed, checked or explained.
 *
 *	limit run NAME OPTIONS -- PROGRAM ARGS...    starts one, waits, removes its
 *	                                             cgroups, ends with its status
 *	limit serve OPTIONS -- PROGRAM ARGS...       starts many, as asked on fd 0
 *
 * The commands of serve are lines, each answered by one on fd 3: "s N" starts
 * container N and is answered by "TIME PID", with the time at which the start
 * began in nanoseconds of CLOCK_MONOTONIC; "s N ADDRESS BITS GATEWAY BRIDGE" gives
 * it a veth into the bridge of that number, and an address. "w N" waits for a
 * container and removes what it left, "k N" kills it first. They have fds 1 and 2.
 *
 * Options, each for all containers:
 *	-d DIR       a folder, in which each container gets one: DIR/NAME
 *	-l LOWER     the layers' mounts, as an overlay's lowerdir
 *	-u ID        the host's number of the containers' user and group 0
 *	-f FILE      the system call filter, as an array of struct sock_filter
 *	-F FLAGS     flags of seccomp(2)
 *	-g DIR       a cgroup: each container gets one in it, DIR/NAME
 *	-s FILE=TEXT a setting of the last -g
 *	-2           the last -g is of cgroup v2
 *
 * Build: cc -O2 -static -o limit limit.c
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/capability.h>
#include <linux/ethtool.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/mount.h>
#include <linux/rtnetlink.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <linux/securebits.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MNT_DETACH 2 /* <sys/mount.h> and <linux/mount.h> do not go together in every libc */

#define ETH_INDEX 1000 /* the number of eth0 inside */
#define IN6_ADDR_GEN_MODE_NONE 1

struct group {
	const char *dir;
	int unified;
	struct { const char *file, *text; } set[32];
	int settings;
};

static struct {
	const char *dir, *lower;
	unsigned id;
	struct sock_fprog filter;
	unsigned filter_flags;
	struct group groups[16];
	int ngroups;
	char **argv;
	int ipv6;
} opt;

/* A container. The child shares our memory until its execve. */
struct container {
	char name[32];
	char veth[IFNAMSIZ];
	int index; /* of the veth */
	int pid, pidfd;
	unsigned tid; /* futex: cleared when the memory is no longer shared */
	unsigned gate, attached, configured, settled;
	int bridge; /* 0 for loopback alone */
	in_addr_t address, gateway;
	int bits;
	int rootfs;
	int tasks[16], ntasks;
	int line, err; /* what failed in the child */
};

/* In the child no libc: its errno is ours too. */
static inline long sys(long n, long a, long b, long c, long d, long e, long f)
{
	long ret;
	register long r10 asm("r10") = d;
	register long r8 asm("r8") = e;
	register long r9 asm("r9") = f;
	asm volatile("syscall" : "=a"(ret) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
	return ret;
}
#define S(n, ...) S_(n, __VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define S_(n, a, b, c, d, e, f, ...) sys(SYS_##n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

#define TRY(call)                                \
	({                                       \
		long r_ = (call);                \
		if (r_ < 0) {                    \
			c->line = __LINE__;      \
			c->err = (int)-r_;       \
			S(exit_group, 127);      \
		}                                \
		r_;                              \
	})
#define UNLESS(allowed, call)                    \
	({                                       \
		long q_ = (call);                \
		if (q_ != -(allowed))            \
			TRY(q_);                 \
		q_;                              \
	})

/* await waits in the child for its parent, which may have died. */
static void await(unsigned *word)
{
	static const struct timespec patience = {.tv_sec = 10};
	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == 0)
		if (S(futex, word, FUTEX_WAIT, 0, &patience) == -ETIMEDOUT)
			S(exit_group, 127);
}

static void announce(unsigned *word)
{
	__atomic_store_n(word, 1, __ATOMIC_RELEASE);
	S(futex, word, FUTEX_WAKE, 1);
}

/* ---- netlink: a batch of requests in a buffer ---- */

struct batch {
	char bytes[1024];
	unsigned len;
	struct nlmsghdr *last;
};

static inline void *put(struct batch *b, const void *data, unsigned len)
{
	void *at = b->bytes + b->len;
	__builtin_memcpy(at, data, len);
	b->len += (len + 3) & ~3u;
	if (b->last)
		b->last->nlmsg_len = (unsigned)(b->bytes + b->len - (char *)b->last);
	return at;
}

static void request(struct batch *b, int type, int flags, const void *header, unsigned len)
{
	struct nlmsghdr h = {.nlmsg_len = sizeof h, .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | flags, .nlmsg_seq = 1};
	b->last = (void *)(b->bytes + b->len);
	put(b, &h, sizeof h);
	put(b, header, len);
}

static void attr(struct batch *b, int type, const void *data, unsigned len)
{
	struct rtattr a = {.rta_len = RTA_LENGTH(len), .rta_type = type};
	put(b, &a, sizeof a);
	put(b, data, len);
}

static struct rtattr *nest(struct batch *b, int type)
{
	struct rtattr a = {.rta_type = type};
	return put(b, &a, sizeof a);
}

static void end(struct batch *b, struct rtattr *a) { a->rta_len = (unsigned short)(b->bytes + b->len - (char *)a); }

static void setlink(struct batch *b, int index, unsigned flags)
{
	struct ifinfomsg i = {.ifi_index = index, .ifi_flags = flags, .ifi_change = flags};
	request(b, RTM_SETLINK, 0, &i, sizeof i);
}

static void no_ipv6_address(struct batch *b, int index)
{
	unsigned char none = IN6_ADDR_GEN_MODE_NONE;
	if (!opt.ipv6)
		return;
	setlink(b, index, 0);
	struct rtattr *spec = nest(b, IFLA_AF_SPEC), *v6 = nest(b, AF_INET6);
	attr(b, IFLA_INET6_ADDR_GEN_MODE, &none, 1);
	end(b, v6);
	end(b, spec);
}

/* converse sends requests that are answered only if they fail, and before
 * sendto returns: so an answer is an error. */
static long converse(int fd, struct batch *b)
{
	struct {
		struct nlmsghdr h;
		struct nlmsgerr e;
		char rest[256];
	} reply;
	long r = S(sendto, fd, b->bytes, b->len, 0, 0, 0);
	if (r < 0)
		return r;
	r = S(recvfrom, fd, &reply, sizeof reply, MSG_DONTWAIT, 0, 0);
	if (r == -EAGAIN)
		return 0;
	return r < 0 ? r : reply.e.error;
}

/* attach makes the veth: one end in the bridge, the other in the child. */
static long attach(int fd, struct container *c)
{
	struct batch b = {0};
	int one = 1;
	unsigned char mac[6] = {2, 0x42};
	memcpy(mac + 2, &c->address, 4);
	struct ifinfomsg i = {.ifi_index = c->index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP}, p = {.ifi_index = ETH_INDEX};
	request(&b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &i, sizeof i);
	attr(&b, IFLA_IFNAME, c->veth, (unsigned)strlen(c->veth) + 1);
	attr(&b, IFLA_MASTER, &c->bridge, 4);
	attr(&b, IFLA_NUM_TX_QUEUES, &one, 4);
	attr(&b, IFLA_NUM_RX_QUEUES, &one, 4);
	struct rtattr *info = nest(&b, IFLA_LINKINFO);
	attr(&b, IFLA_INFO_KIND, "veth", 5);
	struct rtattr *data = nest(&b, IFLA_INFO_DATA), *peer = nest(&b, VETH_INFO_PEER);
	put(&b, &p, sizeof p);
	attr(&b, IFLA_IFNAME, "eth0", 5);
	attr(&b, IFLA_NUM_TX_QUEUES, &one, 4);
	attr(&b, IFLA_NUM_RX_QUEUES, &one, 4);
	attr(&b, IFLA_ADDRESS, mac, 6);
	attr(&b, IFLA_NET_NS_PID, &c->pid, 4);
	end(&b, peer);
	end(&b, data);
	end(&b, info);
	no_ipv6_address(&b, c->index);
	return converse(fd, &b);
}

/* settle makes the kernel see now, and not in the background, that the veth has
 * a carrier: until then the bridge drops what the container sends. */
static long settle(int fd, struct container *c)
{
	struct ethtool_value v = {.cmd = ETHTOOL_GLINK};
	struct ifreq r = {.ifr_data = (void *)&v};
	strcpy(r.ifr_name, c->veth);
	return S(ioctl, fd, SIOCETHTOOL, &r);
}

/* configure gives the child its address and its default route. */
static void configure(struct container *c)
{
	struct batch b = {0};
	in_addr_t broadcast = c->address | htonl((1u << (32 - c->bits)) - 1);
	struct ifaddrmsg m = {.ifa_family = AF_INET, .ifa_prefixlen = (unsigned char)c->bits, .ifa_scope = RT_SCOPE_UNIVERSE, .ifa_index = ETH_INDEX};
	struct rtmsg r = {.rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_BOOT, .rtm_scope = RT_SCOPE_UNIVERSE, .rtm_type = RTN_UNICAST};
	setlink(&b, 1, IFF_UP);
	no_ipv6_address(&b, ETH_INDEX);
	request(&b, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &m, sizeof m);
	attr(&b, IFA_LOCAL, &c->address, 4);
	attr(&b, IFA_ADDRESS, &c->address, 4);
	attr(&b, IFA_BROADCAST, &broadcast, 4);
	setlink(&b, ETH_INDEX, IFF_UP);
	request(&b, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &r, sizeof r);
	attr(&b, RTA_GATEWAY, &c->gateway, 4);
	int fd = (int)TRY(S(socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
	await(&c->attached);
	TRY(converse(fd, &b));
	S(close, fd);
	announce(&c->configured);
}

static void loopback(struct container *c)
{
	struct ifreq r = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd = (int)TRY(S(socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	TRY(S(ioctl, fd, SIOCSIFFLAGS, &r));
	S(close, fd);
}

/* ---- the child ---- */

static const char *const devices[] = {"null", "zero", "full", "random", "urandom", "tty"};
static const char *const masked[] = {
	"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
	"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
	"/sys/devices/virtual/powercap",
};
static const char *const readonly[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};

/* Docker's: CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP
 * NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD AUDIT_WRITE SETFCAP */
#define CAPS 0xa80425fbu

static void mounts(struct container *c)
{
	/* The new root first: then every path is the container's, whatever links
	 * are in its image. The old one is reached by its descriptor. */
	char at[256];
	char *p = stpcpy(stpcpy(stpcpy(at, opt.dir), "/"), c->name);
	strcpy(p, "/rootfs");
	TRY(S(mount, 0, "/", 0, MS_REC | MS_SLAVE, 0));
	TRY(S(move_mount, c->rootfs, "", AT_FDCWD, at, MOVE_MOUNT_F_EMPTY_PATH));
	TRY(S(setgroups, 0, 0));
	TRY(S(setresgid, 0, 0, 0));
	TRY(S(setresuid, 0, 0, 0));
	TRY(S(prctl, PR_SET_PDEATHSIG, SIGKILL)); /* a change of user clears it */
	TRY(S(setsid, 0));
	int old = (int)TRY(S(open, "/", O_PATH | O_DIRECTORY | O_CLOEXEC));
	TRY(S(fchdir, c->rootfs));
	TRY(S(pivot_root, ".", "."));

	UNLESS(EEXIST, S(mkdir, "/proc", 0755));
	TRY(S(mount, "proc", "/proc", "proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, 0));
	UNLESS(EEXIST, S(mkdir, "/dev", 0755));
	TRY(S(mount, "tmpfs", "/dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"));
	for (unsigned i = 0; i < sizeof devices / sizeof *devices; i++) {
		char host[32] = "dev/";
		strcpy(host + 4, devices[i]);
		char here[32] = "/dev/";
		strcpy(here + 5, devices[i]);
		int fd = (int)TRY(S(open_tree, old, host, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
		TRY(S(mknod, here, S_IFREG | 0666, 0));
		TRY(S(move_mount, fd, "", AT_FDCWD, here, MOVE_MOUNT_F_EMPTY_PATH));
		S(close, fd);
	}
	TRY(S(symlink, "/proc/self/fd", "/dev/fd"));
	TRY(S(symlink, "/proc/self/fd/0", "/dev/stdin"));
	TRY(S(symlink, "/proc/self/fd/1", "/dev/stdout"));
	TRY(S(symlink, "/proc/self/fd/2", "/dev/stderr"));
	TRY(S(symlink, "pts/ptmx", "/dev/ptmx"));
	TRY(S(mkdir, "/dev/pts", 0755));
	TRY(S(mount, "devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"));
	TRY(S(mkdir, "/dev/shm", 0755));
	TRY(S(mount, "shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NOEXEC | MS_NODEV, "mode=1777,size=65536k"));
	TRY(S(mkdir, "/dev/mqueue", 0755));
	TRY(S(mount, "mqueue", "/dev/mqueue", "mqueue", MS_NOSUID | MS_NOEXEC | MS_NODEV, 0));
	UNLESS(EEXIST, S(mkdir, "/sys", 0755));
	TRY(S(mount, "sysfs", "/sys", "sysfs", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY, 0));

	/* One empty file system covers all masked folders. */
	const char *empty = 0;
	for (unsigned i = 0; i < sizeof masked / sizeof *masked; i++) {
		long r = S(mount, "/dev/null", masked[i], 0, MS_BIND, 0);
		if (r == -ENOENT)
			continue;
		if (r != -ENOTDIR) {
			TRY(r);
		} else if (empty) {
			TRY(S(mount, empty, masked[i], 0, MS_BIND, 0));
		} else {
			TRY(S(mount, "tmpfs", masked[i], "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, 0));
			empty = masked[i];
		}
	}
	for (unsigned i = 0; i < sizeof readonly / sizeof *readonly; i++) {
		if (UNLESS(ENOENT, S(mount, readonly[i], readonly[i], 0, MS_BIND | MS_REC, 0)) == 0)
			TRY(S(mount, 0, readonly[i], 0, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NOEXEC | MS_NODEV, 0));
	}
	TRY(S(fchdir, old));
	TRY(S(umount2, ".", MNT_DETACH));
	TRY(S(chdir, "/"));
}

static void privileges(struct container *c)
{
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (cap > 31 || !(CAPS & 1u << cap))
			UNLESS(EINVAL, S(prctl, PR_CAPBSET_DROP, cap));
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2] = {{.effective = CAPS, .permitted = CAPS}};
	TRY(S(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
	TRY(S(capset, &h, d));
	TRY(S(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	TRY(S(seccomp, SECCOMP_SET_MODE_FILTER, opt.filter_flags, &opt.filter));
}

static void child(void *arg)
{
	struct container *c = arg;
	TRY(S(prctl, PR_SET_PDEATHSIG, SIGKILL));
	for (int i = 0; i < c->ntasks; i++)
		TRY(S(write, c->tasks[i], "0", 1));
	TRY(S(unshare, CLONE_NEWCGROUP));
	S(umask, 022);
	await(&c->gate); /* for the mappings of users */
	mounts(c);
	if (c->bridge)
		configure(c);
	else
		loopback(c);
	TRY(S(sethostname, "container", 9));
	privileges(c);
	if (c->bridge)
		await(&c->settled);
	TRY(S(close_range, 3, ~0u, 0));
	TRY(S(chdir, "/"));
	static char *const env[] = {"PATH=/", 0};
	TRY(S(execve, opt.argv[0], opt.argv, env));
}

static long clone_child(struct clone_args *a, void *arg)
{
	long ret;
	register void (*fn)(void *) asm("r12") = child;
	register void *param asm("r13") = arg;
	asm volatile("syscall\n\t"
		     "test %%rax, %%rax\n\t"
		     "jnz 1f\n\t"
		     "xor %%ebp, %%ebp\n\t"
		     "mov %%r13, %%rdi\n\t"
		     "call *%%r12\n\t"
		     "hlt\n"
		     "1:"
		     : "=a"(ret)
		     : "a"(SYS_clone3), "D"(a), "S"(sizeof *a), "r"(fn), "r"(param)
		     : "rcx", "r11", "memory");
	return ret;
}

/* ---- the parent ---- */

static void die(const char *what)
{
	fprintf(stderr, "limit: %s: %s\n", what, strerror(errno));
	exit(125);
}
#define MUST(call)                      \
	({                              \
		typeof(call) m_ = (call); \
		if (m_ < 0)             \
			die(#call);     \
		m_;                     \
	})

static void overlay(struct container *c)
{
	char dir[256];
	snprintf(dir, sizeof dir, "%s/%s", opt.dir, c->name);
	MUST(mkdir(dir, 0755));
	MUST(chdir(dir));
	MUST(mkdir("upper", 0755));
	MUST(mkdir("work", 0755));
	MUST(mkdir("rootfs", 0755));
	MUST(chown("upper", opt.id, opt.id));
	MUST(chown("work", opt.id, opt.id));
	int fs = (int)MUST(syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC));
	MUST(syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "lowerdir", opt.lower, 0));
	MUST(syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "source", "overlay", 0));
	MUST(syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "upperdir", "upper", 0));
	MUST(syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "workdir", "work", 0));
	MUST(syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
	c->rootfs = (int)MUST(syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0));
	close(fs);
}

static char *group_path(char *buf, struct group *g, struct container *c, const char *file)
{
	char *p = stpcpy(stpcpy(stpcpy(buf, g->dir), "/"), c->name);
	if (file)
		strcpy(stpcpy(p, "/"), file);
	return buf;
}

/* groups makes the cgroups, opens what the child writes to, and returns the
 * folder of version 2, in which it is born, or -1. */
static int groups(struct container *c)
{
	char path[512];
	int born = -1;
	for (struct group *g = opt.groups; g < opt.groups + opt.ngroups; g++) {
		MUST(mkdir(group_path(path, g, c, NULL), 0755));
		int dir = MUST(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
		for (int i = 0; i < g->settings; i++) {
			int fd = MUST(openat(dir, g->set[i].file, O_WRONLY | O_CLOEXEC));
			MUST(write(fd, g->set[i].text, strlen(g->set[i].text)));
			/* The settings of one file follow one another. */
			for (; i + 1 < g->settings && !strcmp(g->set[i].file, g->set[i + 1].file); i++)
				MUST(write(fd, g->set[i + 1].text, strlen(g->set[i + 1].text)));
			close(fd);
		}
		if (g->unified) {
			born = dir;
			continue;
		}
		c->tasks[c->ntasks++] = MUST(openat(dir, "tasks", O_WRONLY | O_CLOEXEC));
		close(dir);
	}
	return born;
}

static void map_ids(int pid)
{
	static const char *const files[] = {"uid_map", "gid_map"};
	char path[64], line[64];
	int len = snprintf(line, sizeof line, "0 %u 65536\n", opt.id);
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof path, "/proc/%d/%s", pid, files[i]);
		int fd = MUST(open(path, O_WRONLY | O_CLOEXEC));
		MUST(write(fd, line, (size_t)len));
		close(fd);
	}
}

/* await_or_end waits for the child to come so far, or to fail. */
static void await_or_end(struct container *c, unsigned *word)
{
	static const struct timespec slice = {.tv_nsec = 10000000};
	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == 0 && __atomic_load_n(&c->err, __ATOMIC_ACQUIRE) == 0)
		S(futex, word, FUTEX_WAIT, 0, &slice);
}

static char *stack;
static int netlink = -1;
#define STACK (64 << 10)

static int start(struct container *c)
{
	overlay(c);
	int born = groups(c);
	struct clone_args a = {
		.flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_VM | CLONE_PIDFD |
			 CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID | CLONE_CLEAR_SIGHAND,
		.pidfd = (__u64)&c->pidfd, .child_tid = (__u64)&c->tid, .parent_tid = (__u64)&c->tid,
		.exit_signal = SIGCHLD, .stack = (__u64)stack, .stack_size = STACK,
	};
	if (born >= 0) {
		a.flags |= CLONE_INTO_CGROUP;
		a.cgroup = (__u64)born;
	}
	long pid = clone_child(&a, c);
	if (pid < 0) {
		errno = (int)-pid;
		die("clone3");
	}
	c->pid = (int)pid;
	map_ids(c->pid);
	announce(&c->gate);
	if (c->bridge) {
		long r = attach(netlink, c);
		if (r < 0 && c->err == 0) {
			errno = (int)-r;
			die("attaching the veth");
		}
		announce(&c->attached);
		await_or_end(c, &c->configured);
		if (!c->err)
			settle(netlink, c);
		announce(&c->settled);
	}
	for (int i = 0; i < c->ntasks; i++)
		close(c->tasks[i]);
	if (born >= 0)
		close(born);
	close(c->rootfs);
	MUST(chdir("/"));
	/* Its execve is done when it has left our memory. */
	for (unsigned t; (t = __atomic_load_n(&c->tid, __ATOMIC_ACQUIRE)) != 0;)
		S(futex, &c->tid, FUTEX_WAIT, t, 0);
	return c->err;
}

static int finish(struct container *c)
{
	siginfo_t info;
	char path[512];
	MUST(waitid(P_PIDFD, (id_t)c->pidfd, &info, WEXITED));
	close(c->pidfd);
	for (struct group *g = opt.groups; g < opt.groups + opt.ngroups; g++)
		MUST(rmdir(group_path(path, g, c, NULL)));
	return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

static int unlink_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)st, (void)type, (void)f;
	return remove(path);
}

static long long now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void serve(void)
{
	static struct container all[4096];
	char line[128];
	int null = MUST(open("/dev/null", O_RDONLY | O_CLOEXEC)), in = MUST(fcntl(0, F_DUPFD_CLOEXEC, 100));
	MUST(dup2(null, 0)); /* the containers' */
	int out = MUST(fcntl(3, F_DUPFD_CLOEXEC, 100));
	close(3);
	FILE *commands = fdopen(in, "r");
	while (fgets(line, sizeof line, commands)) {
		long long begin = now();
		int n = atoi(line + 1);
		if (n < 0 || n >= (int)(sizeof all / sizeof *all))
			exit(125);
		struct container *c = &all[n];
		if (line[0] == 's') {
			char address[16] = "", gateway[16] = "";
			/* The last veth of that number may not be gone yet. */
			static int serial = 0;
			*c = (struct container){.index = (1 << 29) + serial};
			snprintf(c->veth, sizeof c->veth, "limit%d", serial++);
			if (sscanf(line + 1, "%d %15s %d %15s %d", &n, address, &c->bits, gateway, &c->bridge) == 5) {
				c->address = inet_addr(address);
				c->gateway = inet_addr(gateway);
			}
			snprintf(c->name, sizeof c->name, "c%d", n);
			if (start(c))
				dprintf(out, "error: line %d of limit.c: %s\n", c->line, strerror(c->err));
			else
				dprintf(out, "%lld %d\n", begin, c->pid);
			continue;
		}
		if (line[0] == 'k')
			MUST(syscall(SYS_pidfd_send_signal, c->pidfd, SIGKILL, NULL, 0));
		int code = finish(c);
		char dir[256];
		snprintf(dir, sizeof dir, "%s/%s", opt.dir, c->name);
		MUST(nftw(dir, unlink_one, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT));
		dprintf(out, "%d\n", code);
	}
}

static void read_filter(const char *path)
{
	struct stat st;
	int fd = MUST(open(path, O_RDONLY | O_CLOEXEC));
	MUST(fstat(fd, &st));
	opt.filter.len = (unsigned short)((size_t)st.st_size / sizeof(struct sock_filter));
	opt.filter.filter = malloc((size_t)st.st_size);
	if (read(fd, opt.filter.filter, (size_t)st.st_size) != st.st_size)
		die(path);
	close(fd);
}

int main(int argc, char **argv)
{
	struct container one = {0};
	if (argc < 3)
		return 125;
	int running = !strcmp(argv[1], "run");
	if (running)
		snprintf(one.name, sizeof one.name, "%s", argv[2]);
	optind = running ? 3 : 2;
	for (int o; (o = getopt(argc, argv, "+d:l:u:f:F:g:s:2")) != -1;) {
		struct group *g = &opt.groups[opt.ngroups - 1];
		switch (o) {
		case 'd': opt.dir = optarg; break;
		case 'l': opt.lower = optarg; break;
		case 'u': opt.id = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'f': read_filter(optarg); break;
		case 'F': opt.filter_flags = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'g': opt.groups[opt.ngroups++].dir = optarg; break;
		case 's':
			g->set[g->settings].file = optarg;
			*strchr(optarg, '=') = 0;
			g->set[g->settings++].text = optarg + strlen(optarg) + 1;
			break;
		case '2': g->unified = 1; break;
		default: return 125;
		}
	}
	opt.argv = argv + optind;
	opt.ipv6 = access("/proc/sys/net/ipv6", F_OK) == 0;
	static char room[STACK] __attribute__((aligned(16)));
	stack = room;
	if (!running) {
		netlink = MUST(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
		serve();
		return 0;
	}
	if (start(&one)) {
		fprintf(stderr, "limit: line %d of limit.c: %s\n", one.line, strerror(one.err));
		finish(&one);
		return 125;
	}
	return finish(&one);
}
