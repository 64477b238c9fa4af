"""A process that the kernel tests steer: one JSON command a line on standard input, one JSON answer
a line on standard output. It ends when its standard input does, so nothing outlives the test.

Python because a test must decide exactly which system calls are made, and in which cgroup.
"""
import ctypes
import errno
import json
import mmap
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
TYPES = {"stream": socket.SOCK_STREAM, "dgram": socket.SOCK_DGRAM, "raw": socket.SOCK_RAW}
# By name, as the tests ask for them: x86_64, aarch64.
NUMBERS = {
    "getppid": {"x86_64": 110, "aarch64": 173},
    "getuid": {"x86_64": 102, "aarch64": 174},
    "close": {"x86_64": 3, "aarch64": 57},
}

sockets = {}
floods = {}


def join(cgroup):
    with open(os.path.join(cgroup, "cgroup.procs"), "w") as procs:
        procs.write(str(os.getpid()))


def new_network():
    if LIBC.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def shell(line):
    done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{line}: {done.stderr.strip()}")
    return done.stdout


def write_file(path, text):
    with open(path, "w") as file:
        file.write(text)


def open_socket(id, family, type, protocol=0, reuseport=False, v6only=False, options=()):
    sock = socket.socket(FAMILIES[family], TYPES[type], protocol)
    if family == 6 and type != "raw":
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(v6only))
    if reuseport:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    for level, name, value in options:
        sock.setsockopt(level, name, bytes.fromhex(value) if isinstance(value, str) else value)
    sockets[id] = sock


def bind(id, host, port):
    sockets[id].bind((host, port))
    return sockets[id].getsockname()[1]


def listen(id):
    sockets[id].listen(16)


def connect(id, host, port, timeout=5.0):
    sockets[id].settimeout(timeout)
    sockets[id].connect((host, port))


def accept(id, as_id, timeout=5.0):
    sockets[id].settimeout(timeout)
    sockets[as_id], peer = sockets[id].accept()
    return peer[:2]


def send(id, data):
    return sockets[id].send(data.encode())


def send_to(id, data, host, port):
    return sockets[id].sendto(data.encode(), (host, port))


def fast_open(id, data, host, port):
    """Connects by sending."""
    return sockets[id].sendto(data.encode(), socket.MSG_FASTOPEN, (host, port))


def send_hex(id, data, host):
    return sockets[id].sendto(bytes.fromhex(data), (host, 0))


def receive(id, timeout=5.0):
    sockets[id].settimeout(timeout)
    data, peer = sockets[id].recvfrom(65536)
    return {"data": data[:64].decode("latin1"), "size": len(data), "from": list(peer[:2] if peer else [])}


def port_of(id):
    return sockets[id].getsockname()[1]


def close(id):
    sockets.pop(id).close()


def close_all():
    for id in list(sockets):
        close(id)


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def ping(host, family=4, timeout=5.0):
    """An ICMP echo with a raw socket; True when the answer came."""
    protocol = socket.IPPROTO_ICMP if family == 4 else socket.IPPROTO_ICMPV6
    kind, answer, skip = (8, 0, 20) if family == 4 else (128, 129, 0)
    with socket.socket(FAMILIES[family], socket.SOCK_RAW, protocol) as sock:
        head = struct.pack("!BBHHH", kind, 0, 0, os.getpid() & 0xFFFF, 1)
        if family == 4:
            head = struct.pack("!BBHHH", kind, 0, checksum(head), os.getpid() & 0xFFFF, 1)
        sock.sendto(head, (host, 0))
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            sock.settimeout(max(0.01, end - time.monotonic()))
            data = sock.recvfrom(2048)[0][skip:]
            if data[0] == answer and data[4:8] == head[4:8]:
                return True
    return False


def flood(id, host, port, family=4):
    """Sends UDP datagrams, 50 a millisecond at most, until `flood_stop`."""
    state = {"stop": False, "sent": 0}

    def run():
        with socket.socket(FAMILIES[family], socket.SOCK_DGRAM) as sock:
            sock.connect((host, port))
            while not state["stop"]:
                for _ in range(20):
                    try:
                        sock.send(b"flood")
                        state["sent"] += 1
                    except OSError:
                        pass
                time.sleep(0.001)

    state["thread"] = threading.Thread(target=run)
    state["thread"].start()
    floods[id] = state


def flood_stop(id):
    state = floods.pop(id)
    state["stop"] = True
    state["thread"].join()
    return state["sent"]


def drain(id):
    """How many datagrams wait in the socket."""
    sockets[id].setblocking(False)
    count = 0
    try:
        while True:
            sockets[id].recv(65536)
            count += 1
    except BlockingIOError:
        return count


def machine_code_call(number):
    """A function that makes one system call through the 32-bit entry: mov eax, number; int 0x80; ret."""
    code = b"\xb8" + struct.pack("<I", number) + b"\xcd\x80\xc3"
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return ctypes.CFUNCTYPE(ctypes.c_int)(address), page


def make_calls(name, count):
    if name == "read":
        fd = os.open("/dev/zero", os.O_RDONLY)
        for _ in range(count):
            os.read(fd, 1)
        os.close(fd)
    elif name == "failing_close":
        for _ in range(count):
            LIBC.syscall(NUMBERS["close"][os.uname().machine], 999)
    elif name.startswith("compat:"):
        call, page = machine_code_call(int(name.split(":")[1]))
        for _ in range(count):
            call()
    else:
        number = NUMBERS[name][os.uname().machine]
        for _ in range(count):
            LIBC.syscall(number)


def work(cgroup, steps, threads=1):
    """In a child that is in `cgroup` only for the steps: ["read", 1000], ["move", "<cgroup>"]."""
    pid = os.fork()
    if pid != 0:
        _, status = os.waitpid(pid, 0)
        if status != 0:
            raise RuntimeError(f"the worker ended with {status}")
        return pid
    try:
        join(cgroup)
        for name, argument in steps:
            if name == "move":
                join(argument)
            elif threads == 1:
                make_calls(name, argument)
            else:
                workers = [
                    threading.Thread(target=make_calls, args=(name, argument // threads))
                    for _ in range(threads)
                ]
                for worker in workers:
                    worker.start()
                for worker in workers:
                    worker.join()
        os._exit(0)
    except BaseException as error:  # Nothing may return into the parent's loop.
        print(repr(error), file=sys.stderr)
        os._exit(1)


class Churn:
    """A child that does one thing again and again until it is told to stop, and counts."""

    def __init__(self, step, cgroup):
        # Whether to stop; how often it was done; how often with an answer of True.
        self.shared = mmap.mmap(-1, 24)
        self.pid = os.fork()
        if self.pid != 0:
            return
        try:
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if cgroup is not None:
                join(cgroup)
            done = through = 0
            while self.shared[0] == 0:
                if step():
                    through += 1
                done += 1
                struct.pack_into("=QQ", self.shared, 8, done, through)
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)

    def tally(self):
        return struct.unpack_from("=QQ", self.shared, 8)

    def stop(self):
        self.shared[0] = 1
        _, status = os.waitpid(self.pid, 0)
        if status != 0:
            raise RuntimeError(f"the child ended with {status}")
        return self.tally()


churns = {}


def churn_calls(id, cgroup):
    """One read and one failing close each time."""
    fd = os.open("/dev/zero", os.O_RDONLY)
    failing, nowhere = NUMBERS["close"][os.uname().machine], 999

    def step():
        os.read(fd, 1)
        LIBC.syscall(failing, nowhere)

    churns[id] = Churn(step, cgroup)


def churn_connects(id, host, port):
    """Tries a port with one packet each time; True when somebody answered."""

    def step():
        with socket.socket() as sock:
            sock.setblocking(False)
            sock.connect_ex((host, port))
            _, writable, _ = select.select([], [sock], [], 0.001)
            return len(writable) > 0

    churns[id] = Churn(step, None)


def churn_tally(id):
    return churns[id].tally()


def churn_stop(id):
    return churns.pop(id).stop()


COMMANDS = {
    function.__name__: function
    for function in (
        join, new_network, shell, write_file, open_socket, bind, listen, connect, accept, send,
        send_to, send_hex, fast_open, receive, port_of, close, close_all, ping, flood, flood_stop, drain, work,
        churn_calls, churn_connects, churn_tally, churn_stop,
    )
}


def main():
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = {"ok": COMMANDS[command.pop("op")](**command)}
        except TimeoutError:
            answer = {"error": "TIMEOUT"}
        except OSError as error:
            answer = {"error": errno.errorcode.get(error.errno, str(error))}
        except Exception as error:
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)


main()
