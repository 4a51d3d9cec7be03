/*
 * The exec step: the program between posix_spawn and a helper that is to have something of its own.
 *
 * All that belongs to a helper and not to the service (its user, keyring, limits, umask, files) is set here, in the
 * helper's process and in memory of its own, so that no thread of the service ever takes it on: a thread that did could
 * be signalled by that user meanwhile, and a signal is enough to run code in it. It is static, without a C library and
 * without a writable global, and is started with the service's identity and the helper's argv and environment.
 *
 *   descriptor 0        the description, below: a socket, or a sealed file in memory, so that nothing of it stands in argv
 *   descriptor 1        a socket; its end of file without a byte says that the exec has succeeded (it is close-on-exec)
 *   descriptor 2 + n    the helper's descriptor n, or closed: then the helper's is closed, or opened by a record
 *
 * The description is a header and records, little-endian like every machine that this is built for, each at a multiple of
 * eight bytes. Records stand in the order of their operations, which is the order of this file: what needs the service's
 * rights comes before they go, what is looked up by a path comes after. Anything else is refused.
 *
 * A failure is told as two words, the step that the record names and the error number, and ends the process: whoever
 * reads the socket knows that nothing of the program ran. exec-step.test.ts runs it by itself, and on foreign machines.
 */
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

/* What is not in the architecture's own table is in the one that all newer ones share. */
#if defined(__x86_64__)
enum {
  SYS_read = 0, SYS_write = 1, SYS_open_like = 257, SYS_close = 3, SYS_mmap = 9, SYS_fcntl = 72, SYS_chdir = 80,
  SYS_umask = 95, SYS_setgroups = 116, SYS_setresuid = 117, SYS_setresgid = 119, SYS_capget = 125, SYS_capset = 126,
  SYS_setpriority = 141, SYS_sched_setscheduler = 144, SYS_prctl = 157, SYS_sched_setaffinity = 203,
  SYS_exit_group = 231, SYS_add_key = 248, SYS_keyctl = 250, SYS_ioprio_set = 251, SYS_dup3 = 292,
  SYS_prlimit64 = 302, SYS_execve = 59,
};
#else
enum {
  SYS_read = 63, SYS_write = 64, SYS_open_like = 56, SYS_close = 57, SYS_mmap = 222, SYS_fcntl = 25, SYS_chdir = 49,
  SYS_umask = 166, SYS_setgroups = 159, SYS_setresuid = 147, SYS_setresgid = 149, SYS_capget = 90, SYS_capset = 91,
  SYS_setpriority = 140, SYS_sched_setscheduler = 119, SYS_prctl = 167, SYS_sched_setaffinity = 122,
  SYS_exit_group = 94, SYS_add_key = 217, SYS_keyctl = 219, SYS_ioprio_set = 30, SYS_dup3 = 24,
  SYS_prlimit64 = 261, SYS_execve = 221,
};
#endif
enum { SYS_close_range = 436 };

enum {
  EPERM = 1, EBADF = 9, EACCES = 13, EINVAL = 22, ENOSYS = 38, ENOEXEC = 8,
  AT_FDCWD = -100, PROT_READ_WRITE = 3, MAP_PRIVATE_ANONYMOUS = 0x22, F_DUPFD_CLOEXEC = 1030, O_WRONLY = 1,
  O_CLOEXEC = 02000000, RLIMIT_NOFILE = 7, IOPRIO_WHO_PROCESS = 1,
  KEYCTL_GET_KEYRING_ID = 0, KEYCTL_JOIN_SESSION_KEYRING = 1, KEY_SPEC_SESSION_KEYRING = -3,
  PR_CAPBSET_READ = 23, PR_CAPBSET_DROP = 24, PR_SET_NO_NEW_PRIVS = 38, PR_CAP_AMBIENT = 47,
  PR_CAP_AMBIENT_CLEAR_ALL = 4, CAPABILITY_VERSION_3 = 0x20080522,
  NEW_FILES = 0666, FEW_BYTES = 1024, MAGIC = 0x3173686b /* "khs1" */, NOT_FOUND = 127, MOST_DESCRIPTORS = 1 << 20,
};

/* The operations, in their order; exec-step.ts has the same numbers. */
enum {
  /* As the service. */
  OP_SESSION_KEYRING = 1, /* a new one, without a name */
  OP_KEY,                 /* name, NUL, secret: a key of type "user" in it */
  OP_CGROUP,              /* path of a cgroup.procs, NUL */
  OP_RLIMIT,              /* argument: resource; soft and hard limit, 64 bits each */
  OP_NICE,                /* argument: niceness */
  OP_IO_PRIORITY,         /* argument: as ioprio_set(2) has it */
  OP_AFFINITY,            /* mask of processors */
  OP_SCHEDULER,           /* argument: policy; priority, 32 bits */
  OP_UMASK,               /* argument: mask */
  OP_BOUNDING,            /* 64 bits: the capabilities that stay in the bounding set */
  OP_INHERITABLE,         /* 64 bits: those that stay in the inheritable set, and so in the ambient set */
  OP_GROUPS,              /* 32 bits each */
  OP_GROUP,               /* argument: gid */
  OP_USER,                /* argument: uid */
  /* As the helper. */
  OP_NO_CAPABILITIES, /* all sets but the bounding set are emptied */
  OP_NO_NEW_PRIVS,
  OP_DIRECTORY, /* path, NUL */
  OP_OPEN,      /* argument: descriptor; 32 bits of open(2)'s flags, path, NUL */
  OP_EXEC,      /* argument 1: a file without a format is a script of /bin/sh; path, NUL */
};

struct header {
  u32 magic;
  u32 descriptors;
  u32 length; /* of all records */
  u32 unused;
};

struct record {
  u32 operation;
  u32 step; /* told if it fails */
  u32 argument;
  u32 length; /* of the payload */
  u8 payload[];
};

struct capabilities {
  u32 effective, permitted, inheritable;
};

static __attribute__((noinline)) long call(long number, long a, long b, long c, long d, long e, long f) {
#if defined(__x86_64__)
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
#elif defined(__riscv) && __riscv_xlen == 64
  register long a7 __asm__("a7") = number;
  register long a0 __asm__("a0") = a;
  register long a1 __asm__("a1") = b;
  register long a2 __asm__("a2") = c;
  register long a3 __asm__("a3") = d;
  register long a4 __asm__("a4") = e;
  register long a5 __asm__("a5") = f;
  __asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5) : "memory");
  return a0;
#elif defined(__loongarch64)
  register long a7 __asm__("$a7") = number;
  register long a0 __asm__("$a0") = a;
  register long a1 __asm__("$a1") = b;
  register long a2 __asm__("$a2") = c;
  register long a3 __asm__("$a3") = d;
  register long a4 __asm__("$a4") = e;
  register long a5 __asm__("$a5") = f;
  __asm__ volatile("syscall 0"
                   : "+r"(a0)
                   : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5)
                   : "$t0", "$t1", "$t2", "$t3", "$t4", "$t5", "$t6", "$t7", "$t8", "memory");
  return a0;
#else
#error "an architecture that khelper does not know"
#endif
}

#define CALL(number, a, b, c, d, e) call(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)

/* Sixty-four bits at a multiple of four. */
static u64 read64(const u8 *at) { return *(const u32 *)at | (u64) * (const u32 *)(at + 4) << 32; }

__attribute__((noreturn)) static void fail(long status, u32 step, long error) {
  u32 told[2] = {step, (u32)-error};
  CALL(SYS_write, status, told, sizeof told, 0, 0);
  for (;;) CALL(SYS_exit_group, NOT_FOUND, 0, 0, 0, 0);
}

/* The helper's descriptors to their numbers, the rest closed. In ascending order: what is overwritten has been moved. */
static long place_descriptors(long count, long status) {
  for (long n = 0; n < count; n += 1) {
    long result = CALL(SYS_dup3, n + 2, n, 0, 0, 0);
    if (result == -EBADF) CALL(SYS_close, n, 0, 0, 0, 0);
    else if (result < 0) return result;
  }
  long result = CALL(SYS_close_range, status + 1, ~0u, 0, 0, 0);
  u64 limits[2] = {0, 0};
  if (result == -ENOSYS) CALL(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, limits, 0);
  long most = limits[0] < MOST_DESCRIPTORS ? (long)limits[0] : MOST_DESCRIPTORS;
  for (long n = status + 1; n < most; n += 1) CALL(SYS_close, n, 0, 0, 0, 0);
  for (long n = count; n < status; n += 1) CALL(SYS_close, n, 0, 0, 0, 0);
  return 0;
}

/*
 * Where keyrings are not to be had at all (not built in, or forbidden by a filter, which the helper inherits), there is
 * none of the service's to be kept from it. Anything else, a quota that is used up above all, is a failure.
 */
static long join_session_keyring(void) {
  long result = CALL(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0);
  if (result >= 0) return 0;
  long probe = CALL(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0, 0, 0);
  return probe == -ENOSYS || probe == -EPERM ? 1 : result;
}

static long add_key(const u8 *payload, u32 length) {
  u32 name = 0;
  while (name < length && payload[name] != 0) name += 1;
  if (name >= length) return -EINVAL;
  u64 type = 0x72657375; /* "user" */
  const u8 *secret = payload + name + 1;
  return CALL(SYS_add_key, &type, payload, secret, length - name - 1, KEY_SPEC_SESSION_KEYRING);
}

static long enter_cgroup(const u8 *path) {
  long file = CALL(SYS_open_like, AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0, 0);
  if (file < 0) return file;
  u8 itself = '0';
  long result = CALL(SYS_write, file, &itself, 1, 0, 0);
  CALL(SYS_close, file, 0, 0, 0, 0);
  return result;
}

static long limit_bounding(u64 stays) {
  for (int capability = 0; capability < 64; capability += 1) {
    if (stays >> capability & 1) continue;
    long present = CALL(SYS_prctl, PR_CAPBSET_READ, capability, 0, 0, 0);
    if (present < 0) break;
    long result = present == 0 ? 0 : CALL(SYS_prctl, PR_CAPBSET_DROP, capability, 0, 0, 0);
    if (result < 0) return result;
  }
  return 0;
}

/* Linux takes what leaves the inheritable set out of the ambient set as well. */
static long limit_inheritable(u64 stays) {
  u32 header[2] = {CAPABILITY_VERSION_3, 0};
  struct capabilities sets[2];
  long result = CALL(SYS_capget, header, sets, 0, 0, 0);
  if (result < 0) return result;
  sets[0].inheritable &= (u32)stays;
  sets[1].inheritable &= (u32)(stays >> 32);
  return CALL(SYS_capset, header, sets, 0, 0, 0);
}

static long drop_capabilities(void) {
  u32 header[2] = {CAPABILITY_VERSION_3, 0};
  u64 nothing[3] = {0, 0, 0};
  CALL(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  return CALL(SYS_capset, header, nothing, 0, 0, 0);
}

static long open_file(long number, u32 flags, const u8 *path) {
  long file = CALL(SYS_open_like, AT_FDCWD, path, flags, NEW_FILES, 0);
  if (file < 0 || file == number) return file;
  long result = CALL(SYS_dup3, file, number, 0, 0, 0);
  CALL(SYS_close, file, 0, 0, 0, 0);
  return result;
}

/* argc's word and what is below argv[0] is room for one argument more. */
static long execute(long *stack, const u8 *path, u32 scripts) {
  long argc = stack[0];
  long result = CALL(SYS_execve, path, stack + 1, stack + argc + 2, 0, 0);
  if (result != -ENOEXEC || !scripts) return result;
  u64 shell = 0x0068732f6e69622f; /* "/bin/sh" */
  stack[0] = (long)&shell;
  stack[1] = (long)path;
  return CALL(SYS_execve, &shell, stack, stack + argc + 2, 0, 0);
}

static long read_all(u8 *into, long length) {
  for (long done = 0; done < length;) {
    long count = CALL(SYS_read, 0, into + done, length - done, 0, 0);
    if (count <= 0) return count < 0 ? count : -EINVAL;
    done += count;
  }
  return 0;
}

__attribute__((noreturn, used)) static void step(long *stack) {
  struct header header;
  /* Where a page is there already; most descriptions are short. */
  u64 few[FEW_BYTES / sizeof(u64)];
  const u8 *at = (const u8 *)few;
  long result = read_all((u8 *)&header, sizeof header);
  if (result < 0) fail(1, 0, result);
  if (header.magic != MAGIC || header.descriptors > MOST_DESCRIPTORS) fail(1, 0, -EINVAL);
  if (header.length > FEW_BYTES) {
    result = call(SYS_mmap, 0, header.length, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0);
    if (result < 0 && result > -4096) fail(1, 0, result);
    at = (const u8 *)result;
  }
  result = read_all((u8 *)at, header.length);
  if (result < 0) fail(1, 0, result);
  const u8 *end = at + header.length;
  long count = (long)header.descriptors;
  long status = CALL(SYS_fcntl, 1, F_DUPFD_CLOEXEC, count + 2, 0, 0);
  if (status < 0) fail(1, 0, status);
  result = place_descriptors(count, status);
  if (result < 0) fail(status, 0, result);

  u32 last = 0;
  int keyrings = 1;
  while (end - at >= (long)sizeof(struct record)) {
    const struct record *record = (const struct record *)at;
    const u8 *payload = record->payload;
    u32 length = record->length;
    u32 argument = record->argument;
    if (record->operation < last || length > (u64)(end - payload)) fail(status, record->step, -EINVAL);
    last = record->operation;
    switch (record->operation) {
    case OP_SESSION_KEYRING:
      result = join_session_keyring();
      keyrings = result == 0;
      break;
    case OP_KEY:
      result = keyrings ? add_key(payload, length) : 0;
      break;
    case OP_CGROUP:
      result = enter_cgroup(payload);
      break;
    case OP_RLIMIT: {
      u64 limits[2] = {read64(payload), read64(payload + 8)};
      result = CALL(SYS_prlimit64, 0, argument, limits, 0, 0);
      break;
    }
    case OP_NICE:
      result = CALL(SYS_setpriority, 0, 0, (int)argument, 0, 0);
      /* Linux says EACCES here, and EPERM everywhere else. */
      if (result == -EACCES) result = -EPERM;
      break;
    case OP_IO_PRIORITY:
      result = CALL(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, argument, 0, 0);
      break;
    case OP_AFFINITY:
      result = CALL(SYS_sched_setaffinity, 0, length, payload, 0, 0);
      break;
    case OP_SCHEDULER:
      result = CALL(SYS_sched_setscheduler, 0, argument, payload, 0, 0);
      break;
    case OP_UMASK:
      result = CALL(SYS_umask, argument, 0, 0, 0, 0);
      break;
    case OP_BOUNDING:
      result = limit_bounding(read64(payload));
      break;
    case OP_INHERITABLE:
      result = limit_inheritable(read64(payload));
      break;
    case OP_GROUPS:
      result = CALL(SYS_setgroups, length / 4, payload, 0, 0, 0);
      break;
    case OP_GROUP:
      result = CALL(SYS_setresgid, argument, argument, argument, 0, 0);
      break;
    case OP_USER:
      result = CALL(SYS_setresuid, argument, argument, argument, 0, 0);
      break;
    case OP_NO_CAPABILITIES:
      result = drop_capabilities();
      break;
    case OP_NO_NEW_PRIVS:
      result = CALL(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
      break;
    case OP_DIRECTORY:
      result = CALL(SYS_chdir, payload, 0, 0, 0, 0);
      break;
    case OP_OPEN:
      result = open_file(argument, *(const u32 *)payload, payload + 4);
      break;
    case OP_EXEC:
      result = execute(stack, payload, argument);
      break;
    default:
      result = -EINVAL;
    }
    if (result < 0) fail(status, record->step, result);
    at = payload + ((length + 7) & ~7u);
  }
  fail(status, 0, -EINVAL);
}

/* The stack as Linux hands it over: argc, argv, NULL, the environment, NULL. */
#if defined(__x86_64__)
__asm__(".globl _start\n_start: xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call step\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n_start: mov x0, sp\n b step\n");
#elif defined(__riscv)
__asm__(".globl _start\n_start: mv a0, sp\n andi sp, sp, -16\n j step\n");
#elif defined(__loongarch64)
__asm__(".globl _start\n_start: move $a0, $sp\n bstrins.d $sp, $zero, 3, 0\n b step\n");
#endif
