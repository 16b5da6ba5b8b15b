"""Tries to see and do what an action must not. Each attempt ends in a line `NAME: blocked` or
`NAME: open DETAIL`. Nothing here does harm where it succeeds: calls that would are made with arguments
that the kernel refuses in another way than a sandbox does (EINVAL, ENODEV, not EPERM or ENOSYS).

Arguments: the folder outside, the workspace's folder, the victim's process, a TCP port, a UDP port, the
name of an abstract socket; the file to write to."""

import ctypes
import errno
import os
import socket
import struct
import sys

OUTSIDE, WORKSPACE, VICTIM, TCP, UDP, ABSTRACT, RESULTS = sys.argv[1:8]
VICTIM, TCP, UDP = int(VICTIM), int(TCP), int(UDP)
libc = ctypes.CDLL(None, use_errno=True)
X86 = os.uname().machine == "x86_64"
attempts = []


class Blocked(Exception):
    pass


def attempt(function):
    attempts.append(function)
    return function


def call(number, *args):
    """Makes a system call. Blocked: no permission, no such call, or no such process."""
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
    code = ctypes.get_errno()
    if result == -1 and code in (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.ESRCH):
        raise Blocked(os.strerror(code))
    return result if result != -1 else -code


def apart(function):
    """Calls a function in a process of its own, as what it does would change this one."""
    pid = os.fork()
    if pid == 0:
        try:
            function()
        except (Blocked, OSError):
            os._exit(1)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0:
        raise Blocked("refused")
    return "let through"


def read(path):
    with open(path, "rb") as file:
        return file.read(64)


@attempt
def socket_to_the_host():
    """The host of a virtual machine, past every network namespace."""
    if not hasattr(socket, "AF_VSOCK"):
        raise Blocked("unknown")
    return socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).fileno()


@attempt
def socket_of_the_kernel():
    return socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET).fileno()


# Files.

@attempt
def read_file_outside():
    return read(OUTSIDE + "/secret")


@attempt
def read_shadow():
    return len(read("/etc/shadow"))


@attempt
def list_home():
    return os.listdir("/root") if os.getuid() == 0 else os.listdir(OUTSIDE)


@attempt
def read_undeclared_input():
    return read(WORKSPACE + "/undeclared.txt")


@attempt
def list_workspace():
    return os.listdir(WORKSPACE)


@attempt
def write_outside():
    with open(OUTSIDE + "/open/written", "w") as file:
        file.write("x")


@attempt
def make_folder_outside():
    os.mkdir(OUTSIDE + "/open/made")


@attempt
def cut_file_outside():
    os.truncate(OUTSIDE + "/open/target", 1)


@attempt
def remove_file_outside():
    os.unlink(OUTSIDE + "/open/doomed")


@attempt
def link_file_from_outside():
    os.link(OUTSIDE + "/open/target", "linked")


@attempt
def move_file_outside():
    with open("mine", "w") as file:
        file.write("x")
    os.rename("mine", OUTSIDE + "/open/moved")


@attempt
def through_symlink():
    os.symlink(OUTSIDE, "way")
    return read("way/secret")


@attempt
def through_dots():
    return read("../" * 40 + OUTSIDE.lstrip("/") + "/secret")


@attempt
def through_root_of_victim():
    return read(f"/proc/{VICTIM}/root{OUTSIDE}/secret")


@attempt
def through_folder_of_victim():
    return os.listdir(f"/proc/{VICTIM}/cwd/")


@attempt
def through_init():
    return read(f"/proc/1/root{OUTSIDE}/secret")


@attempt
def write_system():
    with open("/usr/share/partita-escape", "w"):
        os.unlink("/usr/share/partita-escape")


@attempt
def run_undeclared_program():
    pid = os.fork()
    if pid == 0:
        try:
            os.execv("/usr/bin/gzip", ["gzip", "--version"])
        except OSError:
            os._exit(99)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 99:
        raise Blocked("cannot be run")


@attempt
def inherited_files():
    fds = [int(fd) for fd in os.listdir("/proc/self/fd")]
    extra = []
    for fd in fds:
        try:
            if fd > 2:
                extra.append(os.readlink(f"/proc/self/fd/{fd}"))
        except OSError:
            pass
    # The one by which the listing was made, and the one the results go to.
    if all(link.startswith("/proc/") or link.endswith("/" + RESULTS) for link in extra):
        raise Blocked("only the standard three")
    return extra


# What is known of files, and noted with them.

@attempt
def look_at_file_outside():
    return os.stat(OUTSIDE + "/secret").st_size


@attempt
def change_mode_outside():
    os.chmod(OUTSIDE + "/open/target", 0o640)


@attempt
def change_times_outside():
    os.utime(OUTSIDE + "/open/target", (1, 1))


@attempt
def change_owner_outside():
    os.chown(OUTSIDE + "/open/target", os.getuid(), os.getgid())


@attempt
def flags_of_its_folder():
    """The folder may be the next attempt's. No flag is changed."""
    import fcntl
    folder = os.open(".", os.O_RDONLY)
    flags = bytearray(8)
    try:
        fcntl.ioctl(folder, 0x80086601, flags)  # FS_IOC_GETFLAGS
        fcntl.ioctl(folder, 0x40086602, bytes(flags))
    except OSError as error:
        if error.errno in (errno.ENOTTY, errno.EOPNOTSUPP):
            raise Blocked("the file system has none")
        raise
    return flags.hex()


@attempt
def project_of_its_folder():
    import fcntl
    fcntl.ioctl(os.open(".", os.O_RDONLY), 0x401C5820, bytes(28))  # FS_IOC_FSSETXATTR


# The network.

@attempt
def tcp_to_host():
    with socket.create_connection(("127.0.0.1", TCP), timeout=2):
        return "connected"


@attempt
def udp_to_host():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.connect(("127.0.0.1", UDP))
        udp.settimeout(1)
        udp.send(b"ping")
        # Whoever listens answers, so that a packet that got nowhere is told from one that did.
        return udp.recv(16)


@attempt
def outside_address():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.connect(("192.0.2.1", 9))
        return udp.getsockname()


@attempt
def abstract_socket():
    with socket.socket(socket.AF_UNIX) as unix:
        unix.connect("\0" + ABSTRACT)
        return "connected"


@attempt
def socket_in_folder():
    with socket.socket(socket.AF_UNIX) as unix:
        unix.connect(OUTSIDE + "/socket")
        return "connected"


@attempt
def datagram_from_a_pair():
    """One of a pair of sockets can be sent to another socket by its path."""
    one, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        one.sendto(b"x", OUTSIDE + "/datagrams")
    except OSError as error:
        if error.errno in (errno.EPERM, errno.ENOENT):
            # It gets there, and is not taken in unless the other end is gone.
            return one.connect(OUTSIDE + "/datagrams")
        raise


@attempt
def raw_socket():
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP):
        return "made"


@attempt
def packet_socket():
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW):
        return "made"


# Other processes.

@attempt
def signal_victim():
    os.kill(VICTIM, 0)


@attempt
def signal_everybody_elses_leader():
    if os.getppid() > 1:
        os.kill(os.getppid(), 0)
    raise Blocked("it is its own leader's child")


@attempt
def environment_of_victim():
    return read(f"/proc/{VICTIM}/environ")


@attempt
def command_of_victim():
    return read(f"/proc/{VICTIM}/cmdline")


@attempt
def memory_of_victim():
    with open(f"/proc/{VICTIM}/mem", "rb"):
        return "opened"


@attempt
def memory_of_first_process():
    # At this level the first process is the sandbox's own.
    with open("/proc/1/mem", "r+b"):
        return "opened"


@attempt
def trace_victim():
    return call(101 if X86 else 117, 0x4206, VICTIM, 0, 0)  # PTRACE_SEIZE


@attempt
def trace_itself():
    return apart(lambda: call(101 if X86 else 117, 0, 0, 0, 0))  # PTRACE_TRACEME


@attempt
def read_memory_of_victim():
    return call(310 if X86 else 270, VICTIM, 0, 0, 0, 0, 0)  # process_vm_readv


@attempt
def file_of_victim():
    fd = os.pidfd_open(VICTIM)
    return call(438, fd, 0, 0)  # pidfd_getfd


@attempt
def limits_of_victim():
    return call(302 if X86 else 261, VICTIM, 7, 0, 0)  # prlimit64, RLIMIT_NOFILE: nothing is changed


@attempt
def limits_of_parent():
    return call(302 if X86 else 261, os.getppid() or 1, 7, 0, 0)


@attempt
def processors_of_victim():
    os.sched_setaffinity(VICTIM, os.sched_getaffinity(0))


@attempt
def scheduling_of_victim():
    os.sched_setscheduler(VICTIM, os.SCHED_OTHER, os.sched_param(0))


@attempt
def priority_of_victim():
    os.setpriority(os.PRIO_PROCESS, VICTIM, 1)


@attempt
def priority_of_the_user():
    """The one it has already."""
    os.setpriority(os.PRIO_USER, 0, os.getpriority(os.PRIO_USER, 0))


@attempt
def disk_priority_of_victim():
    return call(251 if X86 else 30, 1, VICTIM, 0)  # ioprio_set


@attempt
def memory_pages_of_victim():
    return call(279 if X86 else 239, VICTIM, 0, 0, 0, 0, 0)  # move_pages


# What processes share. At `full` it is nobody else's.

@attempt
def system_v_memory():
    return call(29 if X86 else 194, 0x50617274, 1, 0)  # shmget, of a key that nobody has


@attempt
def system_v_queue():
    return call(68 if X86 else 186, 0x50617274, 0)  # msgget


@attempt
def system_v_semaphores():
    return call(64 if X86 else 190, 0x50617274, 1, 0)  # semget


@attempt
def posix_queue():
    return call(240 if X86 else 180, ctypes.c_char_p(b"partita-none"), 0, 0, 0)  # mq_open


# The kernel.

def named(name, x86, arm, *args):
    def function():
        return apart(lambda: call(x86 if X86 else arm, *args))
    function.__name__ = name
    attempts.append(function)


NOWHERE = ctypes.c_char_p(b"/nonexistent/partita")
named("mount", 165, 40, NOWHERE, NOWHERE, ctypes.c_char_p(b"tmpfs"), 0, 0)
named("unmount", 166, 39, NOWHERE, 0)
named("pivot_root", 155, 41, NOWHERE, NOWHERE)
named("chroot", 161, 51, NOWHERE)
named("fsopen", 430, 430, ctypes.c_char_p(b"nonexistent"), 0)
named("open_tree", 428, 428, -100, NOWHERE, 0)
named("move_mount", 429, 429, -1, NOWHERE, -1, NOWHERE, 0)
named("new_user_namespace", 272, 97, 0x10000000)
named("new_mount_namespace", 272, 97, 0x00020000)
named("clone3", 435, 435, 0, 0)
named("enter_namespace", 308, 268, -1, 0)
named("add_key", 248, 217, NOWHERE, NOWHERE, 0, 0, 0)
named("request_key", 249, 218, NOWHERE, NOWHERE, 0, 0)
named("keyctl", 250, 219, 0, -3, 0)
named("io_uring", 425, 425, 0, 0)
named("bpf", 321, 280, 9999, 0, 0)
named("perf", 298, 241, 0, 0, -1, -1, 0)
named("userfaultfd", 323, 282, 0x7fff0000)
named("open_by_handle", 304, 265, -1, 0, 0)
named("kexec", 246, 104, 0, 0, 0, 0x7fffffff)
named("load_module", 175, 105, 0, 0, 0)
named("unload_module", 176, 106, NOWHERE, 0)
named("reboot", 169, 142, 0, 0, 0, 0)
named("kernel_log", 103, 116, 9999, 0, 0)
named("swap", 167, 224, NOWHERE, 0)
named("set_clock", 227, 112, 0, 0)
named("fanotify", 300, 262, 0x7fffffff, 0)
named("host_name", 170, 161, 0, 1 << 20)
named("accounting", 163, 89, NOWHERE)


@attempt
def clone_with_user_namespace():
    number = 56 if X86 else 220
    pid = call(number, 0x10000000 | 17, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    if pid > 0:
        os.waitpid(pid, 0)
    return pid


@attempt
def x32_call():
    if not X86:
        raise Blocked("there is none")
    result = call(0x40000000 + 39)
    if result == -errno.ENOSYS:
        raise Blocked("no such call")
    return result


@attempt
def core_pattern():
    os.close(os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY))


@attempt
def magic_keys():
    os.close(os.open("/proc/sysrq-trigger", os.O_WRONLY))


@attempt
def control_groups():
    return os.listdir("/sys/fs/cgroup")


@attempt
def devices():
    found = []
    for name in ("mem", "kmsg", "vda", "sda", "nvme0n1", "kvm", "fuse", "tty", "console", "ptmx"):
        try:
            os.close(os.open("/dev/" + name, os.O_RDWR))
            found.append(name)
        except OSError:
            pass
    if not found:
        raise Blocked("none")
    return found


@attempt
def make_device():
    os.mknod("device", 0o20666, os.makedev(1, 1))


@attempt
def type_into_terminal():
    import fcntl
    import termios
    try:
        fcntl.ioctl(0, termios.TIOCSTI, b"x")
    except OSError as error:
        # ENOTTY: the filter let it through to a file that is no terminal.
        if error.errno == errno.ENOTTY:
            return "reached the file"
        raise


# Rights.

@attempt
def become_root():
    if os.getuid() != 0:
        os.setuid(0)
        return "root"
    raise Blocked("it is root already, in its own eyes")


@attempt
def set_user_bit():
    with open("suid", "w"):
        pass
    os.chmod("suid", 0o4755)


@attempt
def set_group_bit():
    with open("sgid", "w"):
        pass
    os.chmod("sgid", 0o2755)


@attempt
def create_with_user_bit():
    os.close(os.open("suid2", os.O_CREAT | os.O_WRONLY, 0o4755))
    if os.stat("suid2").st_mode & 0o4000 == 0:
        raise Blocked("the bit is gone")


@attempt
def nameless_file_with_user_bit():
    file = os.open(".", os.O_TMPFILE | os.O_WRONLY, 0o4755)
    os.link(f"/proc/self/fd/{file}", "suid3", follow_symlinks=True)
    if os.stat("suid3").st_mode & 0o4000 == 0:
        raise Blocked("the bit is gone")


@attempt
def capabilities():
    with open("/proc/self/status") as file:
        lines = dict(line.split(":\t") for line in file.read().splitlines() if line.startswith("Cap"))
    # What could still be gained (`CapBnd`) cannot be, without new privileges.
    if int(lines["CapEff"], 16) == 0 and int(lines["CapPrm"], 16) == 0 and int(lines["CapAmb"], 16) == 0:
        raise Blocked("none")
    return lines["CapEff"]


@attempt
def new_privileges():
    if libc.prctl(39, 0, 0, 0, 0) == 1:
        raise Blocked("never")
    return "possible"


with open(RESULTS, "w") as results:
    for function in attempts:
        name = function.__name__
        try:
            detail = function()
            print(f"{name}: open {str(detail)[:80]!r}", file=results)
        except Blocked as why:
            print(f"{name}: blocked {why}", file=results)
        except OSError as error:
            print(f"{name}: blocked {error.strerror}", file=results)
        except Exception as error:
            print(f"{name}: blocked {type(error).__name__}", file=results)
