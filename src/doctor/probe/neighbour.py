# Leaves traces for another session to look for, and says on which port it listens and whom the
# machine takes it for.
import ctypes, os, signal, socket, subprocess
name, WORK = FACTS['neighbour'], FACTS['work']
for place in (WORK, '/tmp', '/dev/shm', '/var/tmp'):
    try:
        open(f'{place}/{name}', 'w').write('secret')
    except OSError:
        pass
libc = ctypes.CDLL(None, use_errno=True)
libc.shmget(FACTS['neighbour_key'], 4096, 0o1666)
libc.msgget(FACTS['neighbour_key'], 0o1666)
abstract = socket.socket(socket.AF_UNIX)
abstract.bind(b'\0' + name.encode())
abstract.listen()
server = socket.create_server(('127.0.0.1', 0))
# Signals that nobody takes count for their user, and so do timers, inotify and message queues.
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN + 3])
for _ in range(FACTS['neighbour_signals']):
    os.kill(os.getpid(), signal.SIGRTMIN + 3)
child = subprocess.Popen(['sh', '-c', 'sleep 600; : ' + name])
inside, outside, _ = map(int, open('/proc/self/uid_map').readline().split())
print(server.getsockname()[1], os.getuid() - inside + outside, flush=True)
