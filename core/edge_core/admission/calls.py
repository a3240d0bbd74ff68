"""The system calls that running a model needs none of, and those it may make in one way only.

Numbers are the kernel's: arch/x86/entry/syscalls/syscall_64.tbl, and scripts/syscall.tbl for
aarch64. What a kernel does not know yet is denied all the same, for the day when it does.
"""

import os
import re
import socket
from typing import Final, NamedTuple

# Name, number on x86-64, number on aarch64; `-` where there is none. By what it would allow.
_DENIED: Final = """
writing to the file system:
open 2 -                  creat 85 -                truncate 76 45           ftruncate 77 46
fallocate 285 47          rename 82 -               renameat 264 38          renameat2 316 276
mkdir 83 -                mkdirat 258 34            rmdir 84 -               mknod 133 -
mknodat 259 33            link 86 -                 linkat 265 37            unlink 87 -
unlinkat 263 35           symlink 88 -              symlinkat 266 36         chmod 90 -
fchmod 91 52              fchmodat 268 53           fchmodat2 452 452        chown 92 -
lchown 94 -               fchown 93 55              fchownat 260 54          utime 132 -
utimes 235 -              futimesat 261 -           utimensat 280 88         setxattr 188 5
lsetxattr 189 6           fsetxattr 190 7           setxattrat 463 463       removexattr 197 14
lremovexattr 198 15       fremovexattr 199 16       removexattrat 466 466    file_setattr 469 469
sync 162 81               syncfs 306 267            openat2 437 437          quotactl 179 60
quotactl_fd 443 443       open_by_handle_at 304 265 acct 163 89              swapon 167 224
swapoff 168 225

others, over a network or beside it:
connect 42 203            bind 49 200               listen 50 201            accept 43 202
accept4 288 242           socketpair 53 199

other programs, and processes that outlive this one:
execve 59 221             execveat 322 281          fork 57 -                vfork 58 -
setsid 112 157            setpgid 109 154

other processes:
kill 62 129               tkill 200 130             rt_sigqueueinfo 129 138  pidfd_open 434 434
rt_tgsigqueueinfo 297 240 pidfd_send_signal 424 424 pidfd_getfd 438 438      ptrace 101 117
process_vm_readv 310 270  process_vm_writev 311 271 process_madvise 440 440  kcmp 312 272
process_mrelease 448 448  migrate_pages 256 238     move_pages 279 239       setpriority 141 140
ioprio_set 251 30         sched_setscheduler 144 119 sched_setparam 142 118  sched_setattr 314 274

memory and messages that no limit of this process counts:
memfd_create 319 279      memfd_secret 447 447      shmget 29 194            msgget 68 186
semget 64 190             mq_open 240 180           mq_unlink 241 181        add_key 248 217
request_key 249 218       keyctl 250 219

doors around a filter, and wide ones into the kernel:
io_uring_setup 425 425    io_uring_enter 426 426    io_uring_register 427 427 bpf 321 280
perf_event_open 298 241   userfaultfd 323 282       fanotify_init 300 262    modify_ldt 154 -
personality 135 92

another view of the machine:
mount 165 40              umount2 166 39            mount_setattr 442 442    move_mount 429 429
fsopen 430 430            fsconfig 431 431          fsmount 432 432          fspick 433 433
open_tree 428 428         open_tree_attr 467 467    pivot_root 155 41        chroot 161 51
unshare 272 97            setns 308 268

another person, and the machine itself:
setuid 105 146            setgid 106 144            setreuid 113 145         setregid 114 143
setresuid 117 147         setresgid 119 149         setfsuid 122 151         setfsgid 123 152
setgroups 116 159         capset 126 91             settimeofday 164 170     clock_settime 227 112
adjtimex 159 171          clock_adjtime 305 266     sethostname 170 161      setdomainname 171 162
reboot 169 142            syslog 103 116            vhangup 153 58           iopl 172 -
kexec_load 246 104        kexec_file_load 320 294   init_module 175 105      ioperm 173 -
finit_module 313 273      delete_module 176 106
"""
_COLUMNS: Final = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_CLONE3: Final = 435  # everywhere; what it is asked for stands in memory, where no filter looks
# What whoever reads a camera's stream needs as well: to dial, and a port that packets come to.
_DIALLING: Final = frozenset({"connect", "bind"})

# What decides about a call that may be made in one way only.
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_CLONE_THREAD: Final = 0x10000
_SIGNALS_OTHERS: Final = (8, 10, 15)  # F_SETOWN, F_SETSIG, F_SETOWN_EX: any signal, to anybody
_OWNS: Final = (0x8901, 0x8902)  # FIOSETOWN, SIOCSPGRP: the same once more
_PR_SET_PDEATHSIG: Final = 1
# A name is looked up over the last, which says what addresses this machine has.
_NETWORKS: Final = (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)


class Rule(NamedTuple):
    """One call, judged by one argument of it.

    Attributes:
        name: of the call.
        number: likewise.
        argument: which, from 0; its lower 32 bits are looked at.
        values: to compare with; with `bits` they are masks, of which any bit matches.
        kept: whether the call is made where a value matches, or where none does.
    """

    name: str
    number: int
    argument: int
    values: tuple[int, ...]
    kept: bool
    bits: bool = False


class Calls(NamedTuple):
    """What a filter is made of, for one architecture as linux/audit.h numbers it.

    `denied` are numbers by name. `unknown` is answered as if the kernel did not have it, so
    that its caller takes the older call, which a filter can look into.
    """

    architecture: int
    denied: dict[str, int]
    unknown: int
    rules: tuple[Rule, ...]


def calls_for(machine: str, pid: int, *, dials: bool) -> Calls | None:
    """What a process may not call; None for a machine whose numbers we do not have.

    Args:
        machine: as `platform.machine` says it.
        pid: of the process itself, which may end itself.
        dials: whether it may reach others over a network.
    """
    if machine not in _COLUMNS:
        return None
    column, architecture = _COLUMNS[machine]
    denied = {
        name: int(numbers[column])
        for name, *numbers in re.findall(r"(\w+) (\d+|-) (\d+|-)", _DENIED)
        if numbers[column] != "-" and not (dials and name in _DIALLING)
    }
    rules = tuple(
        Rule(name, numbers[column], argument, values, kept, bits)
        for name, numbers, argument, values, kept, bits in (
            ("openat", (257, 56), 2, (_WRITING,), False, True),
            ("clone", (56, 220), 0, (_CLONE_THREAD,), True, True),
            ("tgkill", (234, 131), 0, (pid,), True, False),  # abort() ends itself with it
            ("prlimit64", (302, 261), 0, (0,), True, False),
            ("sched_setaffinity", (203, 122), 0, (0,), True, False),
            ("fcntl", (72, 25), 1, _SIGNALS_OTHERS, False, False),
            ("ioctl", (16, 29), 1, _OWNS, False, False),
            ("prctl", (157, 167), 0, (_PR_SET_PDEATHSIG,), False, False),
            ("socket", (41, 198), 0, _NETWORKS if dials else (), True, False),
        )
    )
    return Calls(architecture, denied, _CLONE3, rules)
