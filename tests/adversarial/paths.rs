//! Paths of the files API that would lead out of the working directory, and what user code does to a
//! directory while it is removed. What stands outside is looked at afterwards.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::suite::{Stage, rows};

/// What has to be there still: code of each row sees a file and an empty directory outside.
const OUTSIDE: &str = "import os\nos.makedirs('/tmp/outside/kept')\n\
                       open('/tmp/outside/file', 'w').close()\n";

const LINKS: &str = "os.symlink('/tmp/outside', 'out')\nos.symlink('..', 'up')\nos.mkdir('d')\n\
                     os.symlink('/tmp/outside', 'd/out')";

/// The directory itself stays where it is; the interpreter goes back.
const DEEP: &str = "for _ in range(3000):\n    os.mkdir('d')\n    os.chdir('d')\n\
                    os.chdir('/'.join(['..'] * 1000))\nos.chdir('/'.join(['..'] * 1000))\n\
                    os.chdir('/'.join(['..'] * 1000))";

/// A directory and a link change places without a moment between.
const SWAPS: &str = "import ctypes, threading\nos.makedirs('d/e')\n\
                     for n in range(2000): open(f'd/e/{n}', 'w').close()\n\
                     os.symlink('/tmp/outside', 'link')\nlibrary = ctypes.CDLL(None)\n\
                     def swap():\n    while True: library.renameat2(-100, b'd/e', -100, b'link', 2)\n\
                     threading.Thread(target=swap, daemon=True).start()";

const GROWS: &str = "import threading, time\nos.mkdir('d')\nend = time.monotonic() + 2\n\
                     def grow():\n    n = 0\n    while time.monotonic() < end:\n        n += 1\n        \
                     try: os.makedirs(f'd/{n}/e')\n        except OSError: pass\n\
                     threading.Thread(target=grow, daemon=True).start()";

rows![asks:
    a_removal_above_the_working_directory "400" => (LINKS, "DELETE", "files/%2e%2e/tmp/outside/file", &[400]),
    a_removal_of_the_working_directory "400" => ("", "DELETE", "files/%2e?recursive=true", &[400]),
    a_removal_of_an_absolute_path "400" => ("", "DELETE", "files/%2ftmp%2foutside?recursive=true", &[400]),
    a_removal_over_a_link "403" => (LINKS, "DELETE", "files/out/file", &[403]),
    a_removal_over_a_link_upwards "403" => (LINKS, "DELETE", "files/up/tmp?recursive=true", &[403]),
    a_removal_of_a_directory_with_a_link_out "204; of the link the name alone"
        => (LINKS, "DELETE", "files/d?recursive=true", &[204]),
    a_removal_of_a_tree_of_3000_levels "409 that says what to do" => (DEEP, "DELETE", "files/d?recursive=true", &[409]),
    a_removal_of_what_turns_into_a_link_and_back "204, 403, 404 or 409; nothing outside is removed"
        => (SWAPS, "DELETE", "files/d?recursive=true", &[204, 403, 404, 409]),
    a_removal_of_what_grows_meanwhile "204, or 409 that says what to do"
        => (GROWS, "DELETE", "files/d?recursive=true", &[204, 409]),
    a_move_above_the_working_directory "400" => (LINKS, "POST", "files/d?move_to=../d", &[400]),
    a_move_over_a_link "403" => (LINKS, "POST", "files/d?move_to=out/d", &[403]),
    a_move_onto_a_link "409; the link stays" => (LINKS, "POST", "files/d?move_to=out", &[409]),
    a_move_into_itself "409" => (LINKS, "POST", "files/d?move_to=d/d", &[409]),
    a_new_directory_over_a_link "403" => (LINKS, "POST", "directories/out/d", &[403]),
    a_new_directory_in_the_place_of_a_link "403" => (LINKS, "POST", "directories/out", &[403]),
];

/// Code that runs before, the method, what follows the session in the address, and the statuses that
/// the answer may have.
type Row = (&'static str, &'static str, &'static str, &'static [u16]);

async fn asks(stage: &Stage, (code, method, tail, statuses): Row) {
    let gateway = stage.gateway();
    let mut client = stage.session().await;
    client.run(&format!("{OUTSIDE}{code}")).await.expect("ok", true);
    let head = format!(
        "{method} /v1/sessions/{}/{tail} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
         Connection: close\r\nContent-Length: 0\r\n\r\n",
        client.session(),
        gateway.address,
        gateway.token
    );
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    assert!(statuses.contains(&status), "{answer}");
    if status != 204 {
        assert!(answer.contains("\"detail\":\""), "{answer}");
    }
    let left = client.run("sorted(os.listdir('/tmp/outside'))").await;
    assert_eq!(left.result(), "['file', 'kept']");
    client.end().await;
}
