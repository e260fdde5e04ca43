//! A probe: Python code that tries things and says for each what came of it.

use std::collections::BTreeMap;

use crate::common::client::Client;

/// What every probe begins with. `attempt` notes the name of the errno a try ends with, or what
/// the try answers; `call` makes a system call by its number.
const PRELUDE: &str = r#"
import ctypes, errno, json, os, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
found = {}
def attempt(name, act):
    try:
        found[name] = str(act())
    except OSError as error:
        found[name] = errno.errorcode.get(error.errno, 'E?') if error.errno else type(error).__name__
    except Exception as error:
        found[name] = type(error).__name__
def call(number, *arguments):
    ctypes.set_errno(0)
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    answer = libc.syscall(ctypes.c_long(number), *converted)
    if answer == -1:
        raise OSError(ctypes.get_errno(), '')
    return 'allowed'
def write(path, data=b'x', flags=os.O_WRONLY | os.O_CREAT):
    fd = os.open(path, flags)
    os.write(fd, data)
    os.close(fd)
    return 'allowed'
def read(path):
    with open(path, 'rb') as file:
        data = file.read(256)
    return 'allowed' if data else 'empty'
"#;

/// What came of each try.
#[derive(Debug)]
pub(crate) struct Findings(BTreeMap<String, String>);

/// Runs a probe.
pub(crate) async fn probe(client: &mut Client, code: &str) -> Findings {
    let code = format!("{PRELUDE}\n{code}\nprint(json.dumps(found))");
    let told = client.print(&code).await;
    Findings(serde_json::from_str(told.lines().last().unwrap()).unwrap())
}

impl Findings {
    /// What came of one try.
    #[track_caller]
    pub(crate) fn of(&self, name: &str) -> &str {
        self.0.get(name).unwrap_or_else(|| panic!("{name} was not tried: {self:?}"))
    }

    /// Asserts that every try was refused by the kernel, with whatever errno; `except` names those
    /// for which something else is right.
    #[track_caller]
    pub(crate) fn all_refused(&self, except: &[&str]) {
        assert!(!self.0.is_empty());
        let allowed = |(name, verdict): &(&String, &String)| {
            !except.contains(&name.as_str()) && !is_errno(verdict)
        };
        let allowed: Vec<_> = self.0.iter().filter(allowed).collect();
        assert!(allowed.is_empty(), "not refused: {allowed:#?}");
    }
}

/// Whether a verdict is the name of an errno, such as `EPERM`.
fn is_errno(verdict: &str) -> bool {
    let mut letters = verdict.bytes();
    letters.next() == Some(b'E') && letters.all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}
