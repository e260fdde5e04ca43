"""`%pip`: installs where this interpreter finds it, and says plainly when that cannot work."""

import os
import re
import shlex
import subprocess
import sys

from _cellgate import shell_commands
from _cellgate.magics import UsageError

# Whatever people write for it in a cell or a shell: pip would try for minutes to reach an index.
COMMAND = re.compile(
    r"(?P<indent>\s*)(?:!+\s*)?(?:(?:python3?|\{sys\.executable\}|\$sys\.executable)\s+-m\s+)?pip3?\s+"
    r"(?P<arguments>(?:install|download|uninstall|list|show|freeze|check)\b"
    r"(?:[^|&;<>'\"]|'[^']*'|\"[^\"]*\")*)"
)


def pip(line):
    """Runs pip. Raises UsageError without pip or network, CalledProcessError if it fails."""
    words = shlex.split(line)
    if not words:
        raise UsageError("%pip needs a command, as in: %pip install NAME")
    if not _has_pip():
        raise UsageError(
            "this interpreter has no pip; ask for a template whose image brings the package"
        )
    if words[0] in ("install", "download") and _needs_network(words) and not _has_network():
        raise UsageError(
            "this sandbox has no network, so pip cannot reach a package index; "
            "packages have to come with the template, or as wheel files put into the session"
        )
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    target = None
    if words[0] == "install":
        target = _add_target(words, environment)
    code = shell_commands.run([sys.executable, "-m", "pip", *words], environment)
    if code:
        raise subprocess.CalledProcessError(code, "pip " + line)
    if target is not None and target not in sys.path:
        import site

        site.addsitedir(target)
    import importlib

    importlib.invalidate_caches()


def _add_target(words, environment):
    """Picks a place that is writable; answers it if it is not on the path anyhow."""
    import site
    import sysconfig

    if any(word.startswith(("--target", "-t", "--user", "--prefix", "--root")) for word in words):
        return None
    if os.access(sysconfig.get_path("purelib"), os.W_OK):
        return None
    # An interpreter of the system's package manager may refuse pip; the session's own directory
    # does not concern that manager.
    environment["PIP_BREAK_SYSTEM_PACKAGES"] = "1"
    if sys.prefix == sys.base_prefix and site.ENABLE_USER_SITE:
        words.insert(1, "--user")
        return site.getusersitepackages()
    target = os.path.join(os.path.expanduser("~"), ".local", "packages")
    words[1:1] = ["--target", target]
    return target


def _has_pip():
    from importlib.util import find_spec

    return find_spec("pip") is not None


def _needs_network(words):
    names = [word for word in words[1:] if not word.startswith("-")]
    if "--no-index" in words or os.environ.get("PIP_NO_INDEX"):
        return False
    return not all(os.path.exists(name) for name in names) or not names


def _has_network():
    """Whether any interface but the loopback has a route."""
    for path, field in (("/proc/net/route", 0), ("/proc/net/ipv6_route", -1)):
        try:
            with open(path) as file:
                rows = [row.split() for row in file if row.strip()]
        except OSError:
            continue
        if any(row[field] not in ("lo", "Iface") for row in rows):
            return True
    return False
