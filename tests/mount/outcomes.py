"""What scripts run by same_as_plain say: one line for each call, its result or its errno."""
import errno
import os
import pwd
import stat
import subprocess


def say(what, call, *args, show=lambda r: "" if r is None else r, **named):
    try:
        print(f"{what}:", show(call(*args, **named)))
        return True
    except OSError as e:
        print(f"{what}: {errno.errorcode.get(e.errno, e.errno)}")
        return False


def mode(path):
    s = os.lstat(path)
    return f"{stat.S_IFMT(s.st_mode):o} {stat.S_IMODE(s.st_mode):o} {s.st_uid and 'somebody'} {s.st_gid and 'group'} {s.st_nlink if not stat.S_ISDIR(s.st_mode) else ''}"


def user(name):
    """Uid of a test user; made on first use."""
    name = "lapse-" + name
    try:
        return pwd.getpwnam(name)
    except KeyError:
        subprocess.run(["useradd", "--system", "--no-create-home", "--shell", "/bin/sh", name], check=True)
        return pwd.getpwnam(name)


def as_user(name, work, *args, groups=()):
    """Runs work in a process of that user, which prints for itself."""
    who = user(name)
    pid = os.fork()
    if not pid:
        code = 1
        try:
            os.setgroups([who.pw_gid, *groups])
            os.setresgid(who.pw_gid, who.pw_gid, who.pw_gid)
            os.setresuid(who.pw_uid, who.pw_uid, who.pw_uid)
            work(*args)
            code = 0
        finally:
            os.sys.stdout.flush()
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0, f"{work} as {name}"
