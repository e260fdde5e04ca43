//! Paths that try to lead out of the working directory, and traps that user code lays in it.

use serde_json::json;

use crate::common::suite::{Stage, cases};
use crate::requests::ask;

cases![no_path_leads_out, no_link_leads_out, no_trap_is_stepped_into];

async fn no_path_leads_out(stage: &Stage) {
    let gateway = stage.gateway();
    let client = stage.session().await;
    let long = "n".repeat(256);
    let deep = "d/".repeat(600) + "f";
    for path in [
        "..",
        "../etc/passwd",
        "../../../../etc/passwd",
        "a/../../etc/passwd",
        "%2e%2e/etc/passwd",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "..%2f..%2fetc%2fpasswd",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "a//b",
        "./a",
        "a/",
        "a%00b",
        "%ff",
        long.as_str(),
        deep.as_str(),
    ] {
        let place = format!("/v1/sessions/{}/files/{path}", client.session());
        ask(gateway, "GET", place.as_str()).reply().await.problem(400);
        ask(gateway, "PUT", place).body("x").reply().await.problem(400);
    }
    let listed = ask(gateway, "GET", format!("/v1/sessions/{}/files", client.session()));
    assert_eq!(listed.reply().await.json(200)["entries"], json!([]));
    client.end().await;
}

async fn no_link_leads_out(stage: &Stage) {
    let gateway = stage.gateway();
    let mut client = stage.session().await;
    let code = "import os\nopen('/tmp/outside', 'w').write('outside')\n\
                os.symlink('/etc/passwd', 'passwd')\nos.symlink('..', 'up')\n\
                os.symlink('/', 'root')\nos.symlink('/tmp/outside', 'written')\n\
                os.mkdir('d')\nos.symlink('/tmp', 'd/tmp')\nos.symlink('/proc/self', 'self')\n\
                os.symlink('/tmp/new', 'dangling')";
    client.run(code).await.expect("ok", true);
    for path in [
        "passwd",
        "up/etc/passwd",
        "root/etc/passwd",
        "d/tmp/outside",
        "written",
        "self/environ",
        "dangling",
        "up",
    ] {
        let place = format!("/v1/sessions/{}/files/{path}", client.session());
        let read = ask(gateway, "GET", place.as_str()).reply().await.problem(403);
        assert!(read.contains("link"), "{path}: {read}");
        let written = ask(gateway, "PUT", place).body("hacked").reply().await.problem(403);
        assert!(written.contains("link"), "{path}: {written}");
        let place = format!("/v1/sessions/{}/files?path={path}", client.session());
        ask(gateway, "GET", place).reply().await.problem(403);
    }
    let code = "open('/tmp/outside').read(), os.path.exists('/tmp/new'), os.listdir('d')";
    assert_eq!(client.run(code).await.result(), "('outside', False, ['tmp'])");
    client.end().await;
}

async fn no_trap_is_stepped_into(stage: &Stage) {
    let gateway = stage.gateway();
    let mut client = stage.session().await;
    let code = "import os, socket\nos.mkfifo('pipe')\nos.mkdir('directory')\n\
                s = socket.socket(socket.AF_UNIX); s.bind('socket')\n\
                open('closed', 'w').close(); os.chmod('closed', 0)\n\
                open('shrinks', 'w').write('x' * 100)";
    client.run(code).await.expect("ok", true);
    for (path, read, written) in [
        ("pipe", 409, 409),
        ("socket", 409, 409),
        ("directory", 409, 409),
        ("closed", 403, 200), // replacing needs no right on the old one
        ("pipe/x", 409, 409),
    ] {
        let place = format!("/v1/sessions/{}/files/{path}", client.session());
        assert_eq!(ask(gateway, "GET", place.as_str()).reply().await.status, read, "{path}");
        let reply = ask(gateway, "PUT", place).body("x").reply().await;
        assert_eq!(reply.status, written, "{path}: {reply:?}");
    }
    // Nobody hangs: the session answers as before.
    assert_eq!(client.run("6 * 7").await.result(), "42");
    client.end().await;
}
