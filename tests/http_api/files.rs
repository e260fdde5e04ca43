//! Files in and out of a session's working directory.

use axum::body::Body;
use futures::StreamExt;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::client::{self, Client};
use crate::common::gateway::Gateway;
use crate::common::suite::{Stage, cases};
use crate::requests::{DEADLINE, ask, eventually};

cases![
    ten_megabytes_go_in_and_come_out_unchanged,
    what_is_written_is_the_codes_own,
    names_may_be_anything,
    a_file_is_replaced_in_one_step,
    directories_are_listed,
    one_name_is_told_of,
    files_are_removed,
    files_are_moved,
    directories_are_made,
    a_template_has_its_own_working_directory,
    what_changes_files_works_while_a_cell_runs,
    a_long_listing_is_cut_and_says_so,
    files_move_while_a_cell_floods,
    a_full_disk_is_told_and_left_as_it_was,
    an_upload_that_breaks_off_leaves_nothing,
];

// What no backend changes.
cases![
    ONCE:
    what_is_too_long_is_refused,
    a_client_that_sends_all_before_it_reads_sees_the_refusal,
    roles_decide_who_moves_files,
    downloads_cannot_run_in_the_console,
];

/// The address of a file of a client's session.
fn place(client: &Client, path: &str) -> String {
    format!("/v1/sessions/{}/files/{path}", client.session())
}

/// Lists a directory: what stands in it, and whether there is more.
async fn list(gateway: &Gateway, client: &Client, path: &str) -> (Vec<Value>, bool) {
    let path = format!("/v1/sessions/{}/files?path={path}", client.session());
    let listed = ask(gateway, "GET", path).reply().await.json(200);
    (listed["entries"].as_array().unwrap().clone(), listed["truncated"].as_bool().unwrap())
}

/// The names in a directory.
async fn names(gateway: &Gateway, client: &Client, path: &str) -> Vec<String> {
    let (entries, _) = list(gateway, client, path).await;
    entries.iter().map(|entry| client::text(entry, "name").to_owned()).collect()
}

async fn ten_megabytes_go_in_and_come_out_unchanged(stage: &Stage) {
    let gateway = stage.gateway();
    let mut client = stage.session().await;
    let bytes: Vec<u8> =
        (0..10u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let sum: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let written = ask(gateway, "PUT", place(&client, "big.bin")).body(bytes.clone()).reply().await;
    assert_eq!(written.json(201), json!({"path": "big.bin", "size": 10 << 20}));
    let code = "import hashlib\nhashlib.sha256(open('big.bin', 'rb').read()).hexdigest()";
    assert_eq!(client.run(code).await.result(), format!("'{sum}'"));
    let read = ask(gateway, "GET", place(&client, "big.bin")).reply().await;
    assert_eq!(read.status, 200);
    assert_eq!(read.header("content-length"), (10 << 20).to_string());
    assert!(read.body == bytes, "the bytes differ");
    client.end().await;
}

async fn a_template_has_its_own_working_directory(stage: &Stage) {
    let gateway = stage.gateway();
    let mut client = stage.session_of("home").await;
    let code = "import os, pathlib; (os.getcwd(), os.environ['HOME'], str(pathlib.Path.home()))";
    let home = "'/home/user'";
    assert_eq!(client.run(code).await.result(), format!("({home}, {home}, {home})"));
    let put = ask(gateway, "PUT", place(&client, "data/a.txt")).body("text").reply().await;
    assert_eq!(put.status, 201);
    let code = "open('made', 'w').close(); open('/home/user/data/a.txt').read()";
    assert_eq!(client.run(code).await.result(), "'text'");
    assert_eq!(names(gateway, &client, "").await, ["data", "made"]);
    for outside in ["/work/x", "/home/x"] {
        let cell = client.run(&format!("open('{outside}', 'w')")).await;
        cell.expect("error", true);
    }
    client.end().await;
}

async fn what_is_written_is_the_codes_own(stage: &Stage) {
    let gateway = stage.gateway();
    let mut client = stage.session().await;
    let written = ask(gateway, "PUT", place(&client, "a/b/file")).body("text").reply().await;
    assert_eq!(written.status, 201);
    let code = "import os, stat\n\
                assert os.stat('a/b/file').st_uid == os.getuid() == os.stat('a').st_uid\n\
                assert stat.S_IMODE(os.stat('a/b/file').st_mode) & 0o600 == 0o600\n\
                open('a/b/file', 'a').write('!')\nopen('a/b/new', 'w').write('new')\n\
                os.getcwd()";
    let cell = client.run(code).await;
    cell.expect("ok", true);
    assert_eq!(ask(gateway, "GET", place(&client, "a/b/file")).reply().await.body, "text!");
    assert_eq!(ask(gateway, "GET", place(&client, "a/b/new")).reply().await.body, "new");
    client.end().await;
}

async fn names_may_be_anything(stage: &Stage) {
    let gateway = stage.gateway();
    let mut client = stage.session().await;
    let long = "n".repeat(255);
    for (encoded, name) in [
        ("na%C3%AFve%20%F0%9F%90%8D.txt", "naïve 🐍.txt"),
        ("%25%3F%23%22", "%?#\""),
        ("...", "..."),
        ("-rf", "-rf"),
        ("line%0Abreak", "line\nbreak"),
        (long.as_str(), long.as_str()),
    ] {
        let written = ask(gateway, "PUT", place(&client, encoded)).body(name.to_owned());
        assert_eq!(written.reply().await.json(201)["path"], name);
        let code = format!("open({name:?}).read() == {name:?}");
        assert_eq!(client.run(&code).await.result(), "True", "{name}");
        let read = ask(gateway, "GET", place(&client, encoded)).reply().await;
        assert_eq!(read.body, name);
        let shown = read.header("content-disposition");
        assert!(shown.starts_with("attachment; filename*=UTF-8''"), "{shown}");
        assert!(names(gateway, &client, "").await.contains(&name.to_owned()));
    }
    client.end().await;
}

async fn a_file_is_replaced_in_one_step(stage: &Stage) {
    let gateway = stage.gateway();
    let client = stage.session().await;
    for (body, status) in [("one", 201), ("two, longer", 200), ("", 200)] {
        let written = ask(gateway, "PUT", place(&client, "file")).body(body).reply().await;
        assert_eq!(written.json(status)["size"], body.len());
        assert_eq!(ask(gateway, "GET", place(&client, "file")).reply().await.body, body);
    }
    assert_eq!(names(gateway, &client, "").await, ["file"]);
    client.end().await;
}

async fn directories_are_listed(stage: &Stage) {
    let gateway = stage.gateway();
    let mut client = stage.session().await;
    let code = "import os\nos.makedirs('d/empty')\nopen('d/f', 'w').write('12345')\n\
                os.symlink('f', 'd/link')\nos.mkfifo('d/pipe')\nos.utime('d/f', (1e9, 1e9))\n\
                os.chmod('d/f', 0o644)";
    client.run(code).await.expect("ok", true);
    let (entries, truncated) = list(gateway, &client, "d").await;
    assert!(!truncated);
    let told: Vec<(&str, &str)> = entries
        .iter()
        .map(|entry| (client::text(entry, "path"), client::text(entry, "kind")))
        .collect();
    let expected =
        [("d/empty", "directory"), ("d/f", "file"), ("d/link", "link"), ("d/pipe", "other")];
    assert_eq!(told, expected);
    assert_eq!(
        entries[1],
        json!({"name": "f", "path": "d/f", "size": 5, "modified": 1_000_000_000_000u64,
               "kind": "file", "mode": 0o644})
    );
    assert_eq!(names(gateway, &client, "").await, ["d"]);
    assert_eq!(names(gateway, &client, ".").await, ["d"]);
    client
        .run("os.makedirs('d/a/b/c'); open('d/a/b/f', 'w').close(); os.symlink('.', 'd/a/loop')")
        .await;
    for (depth, expected) in [
        ("1", &["d"][..]),
        ("3", &["d", "d/a", "d/a/b", "d/a/loop", "d/empty", "d/f", "d/link", "d/pipe"]),
        (
            "32",
            &[
                "d", "d/a", "d/a/b", "d/a/b/c", "d/a/b/f", "d/a/loop", "d/empty", "d/f", "d/link",
                "d/pipe",
            ],
        ),
    ] {
        let (entries, truncated) = list(gateway, &client, &format!("&depth={depth}")).await;
        let paths: Vec<&str> = entries.iter().map(|entry| client::text(entry, "path")).collect();
        assert_eq!((&*paths, truncated), (expected, false), "{depth}");
    }
    for depth in ["0", "33", "-1", "x"] {
        let path = format!("/v1/sessions/{}/files?depth={depth}", client.session());
        ask(gateway, "GET", path).reply().await.problem(400);
    }
    assert_eq!(names(gateway, &client, "d/empty/").await, Vec::<String>::new());
    for (path, status) in [("d/f", 409), ("missing", 404), ("..", 400), ("/etc", 400)] {
        let path = format!("/v1/sessions/{}/files?path={path}", client.session());
        ask(gateway, "GET", path).reply().await.problem(status);
    }
    client.end().await;
}

async fn one_name_is_told_of(stage: &Stage) {
    let gateway = stage.gateway();
    let mut client = stage.session().await;
    let code = "import os\nos.makedirs('d/e')\nopen('d/f', 'w').write('12345')\nos.chmod('d/f', 0o640)\n\
                os.utime('d/f', (1e9, 1e9))\nos.symlink('/etc/passwd', 'd/link')\nos.symlink('d', 'way')\n\
                os.mkfifo('d/pipe')";
    client.run(code).await.expect("ok", true);
    let stat = |path: &str| {
        let path = format!("/v1/sessions/{}/stat/{path}", client.session());
        async move { ask(gateway, "GET", path).reply().await }
    };
    let told = stat("d/f").await.json(200);
    let expected = json!({"name": "f", "path": "d/f", "size": 5, "kind": "file", "mode": 0o640,
                          "modified": 1_000_000_000_000u64});
    assert_eq!(told, expected);
    let (listed, _) = list(gateway, &client, "d").await;
    for entry in &listed {
        assert_eq!(&stat(client::text(entry, "path")).await.json(200), entry);
    }
    assert_eq!(listed.len(), 4);
    assert_eq!(stat("d/link").await.json(200)["kind"], "link");
    for (path, status) in [
        ("missing", 404),
        ("d/missing/x", 404),
        ("d/f/x", 409),
        ("way/f", 403),
        ("../work", 400),
        ("d/", 400),
    ] {
        stat(path).await.problem(status);
    }
    client.end().await;
}

async fn files_are_removed(stage: &Stage) {
    let gateway = stage.gateway();
    let mut client = stage.session().await;
    let code = "import os\nfor n in range(300): os.makedirs(f'd/{n}/e'); open(f'd/{n}/f', 'w').close()\n\
                open('f', 'w').close()\nos.makedirs('empty')\nos.symlink('/etc/passwd', 'link')\n\
                os.mkdir('full')\nos.symlink('/', 'full/root')\nos.mkfifo('full/pipe')";
    client.run(code).await.expect("ok", true);
    for (path, status, words) in [
        ("missing", 404, ""),
        ("missing?recursive=true", 404, ""),
        ("d", 409, "not empty"),
        ("d?recursive=false", 409, "not empty"),
        ("d?recursive=perhaps", 400, "recursive"),
        ("link/x", 403, "link"),
        ("link/x?recursive=true", 403, "link"),
        ("f/x", 409, "directory"),
        ("a/%2e%2e/f", 400, "`..`"),
        ("%2fetc%2fpasswd", 400, "absolute"),
    ] {
        let detail = ask(gateway, "DELETE", place(&client, path)).reply().await.problem(status);
        assert!(detail.contains(words), "{path}: {detail}");
    }
    assert_eq!(names(gateway, &client, "").await, ["d", "empty", "f", "full", "link"]);
    for path in ["f", "empty", "link", "full/root", "full/pipe", "full", "d?recursive=true"] {
        let reply = ask(gateway, "DELETE", place(&client, path)).reply().await;
        assert_eq!((reply.status, reply.body.len()), (204, 0), "{path}: {reply:?}");
    }
    assert_eq!(names(gateway, &client, "").await, Vec::<String>::new());
    assert_eq!(client.run("import os\nos.path.exists('/etc/passwd')").await.result(), "True");
    client.end().await;
}

async fn files_are_moved(stage: &Stage) {
    let gateway = stage.gateway();
    let mut client = stage.session().await;
    let code =
        "import os\nopen('f', 'w').write('text')\nopen('g', 'w').close()\nos.makedirs('d/e')";
    client.run(code).await.expect("ok", true);
    for (path, status, words) in [
        ("missing?move_to=x", 404, "find the file"),
        ("f?move_to=missing/x", 404, "make it first"),
        ("f?move_to=g", 409, "another name"),
        ("f?move_to=d", 409, "another name"),
        ("d?move_to=d/e/d", 409, "into itself"),
        ("f?move_to=../x", 400, "`move_to`"),
        ("f?move_to=/x", 400, "`move_to`"),
        ("f?move_to=", 400, "`move_to`"),
        ("f", 400, "`move_to`"),
    ] {
        let detail = ask(gateway, "POST", place(&client, path)).reply().await.problem(status);
        assert!(detail.contains(words), "{path}: {detail}");
    }
    for path in ["f?move_to=d/e/na%C3%AFve%20%26.txt", "d?move_to=moved"] {
        let reply = ask(gateway, "POST", place(&client, path)).reply().await;
        assert_eq!(reply.status, 204, "{path}: {reply:?}");
    }
    let code = "open('moved/e/naïve &.txt').read()";
    assert_eq!(client.run(code).await.result(), "'text'");
    assert_eq!(names(gateway, &client, "").await, ["g", "moved"]);
    client.end().await;
}

async fn directories_are_made(stage: &Stage) {
    let gateway = stage.gateway();
    let mut client = stage.session().await;
    let directory = |path: &str| format!("/v1/sessions/{}/directories/{path}", client.session());
    for (path, status) in [("a/b%20c", 201), ("a/b%20c", 200), ("a", 200)] {
        let made = ask(gateway, "POST", directory(path)).reply().await.json(status);
        assert_eq!(made, json!({"path": path.replace("%20", " ")}));
    }
    ask(gateway, "PUT", place(&client, "f")).body("x").reply().await.json(201);
    for (path, status) in [("f", 409), ("f/x", 409), ("a/../b", 400), ("a/%2e%2e/b", 400)] {
        ask(gateway, "POST", directory(path)).reply().await.problem(status);
    }
    let code = "import os\nos.stat('a').st_uid == os.getuid() and os.listdir('a')";
    assert_eq!(client.run(code).await.result(), "['b c']");
    client.end().await;
}

async fn what_changes_files_works_while_a_cell_runs(stage: &Stage) {
    let gateway = stage.gateway();
    let mut client = stage.session().await;
    let code = "import os, time\nos.makedirs('d/e')\nprint('go')\n\
                while os.path.exists('d') or not os.path.exists('new/moved'): time.sleep(.01)";
    let id = client.execute(code).await;
    client.until_text(&id, "go").await;
    let made = ask(gateway, "POST", format!("/v1/sessions/{}/directories/new", client.session()));
    made.reply().await.json(201);
    for (method, path) in [("POST", "d/e?move_to=new/moved"), ("DELETE", "d")] {
        let reply = ask(gateway, method, place(&client, path)).reply().await;
        assert_eq!(reply.status, 204, "{method} {path}: {reply:?}");
    }
    client.finish(&id).await.expect("ok", true);
    client.end().await;
}

async fn a_long_listing_is_cut_and_says_so(stage: &Stage) {
    let gateway = stage.gateway();
    let mut client = stage.session().await;
    client.run("for n in range(10_007): open(str(n), 'w').close()").await.expect("ok", true);
    let (entries, truncated) = list(gateway, &client, "").await;
    assert_eq!((entries.len(), truncated), (10_000, true));
    client.end().await;
}

async fn files_move_while_a_cell_floods(stage: &Stage) {
    let gateway = stage.gateway();
    let mut client = stage.session().await;
    let id = client.execute("while True: print('flood' * 100)").await;
    client.until_of("stdout", &id).await;
    let bytes = vec![b'z'; 1 << 20];
    let path = place(&client, "file");
    // Somebody has to take the flood, or the files wait behind it.
    let reading = async { while client.read().await.is_ok() {} };
    let moving = async {
        let written = ask(gateway, "PUT", path.as_str()).body(bytes.clone()).reply().await;
        assert_eq!(written.status, 201, "{written:?}");
        let read = ask(gateway, "GET", path.as_str()).reply().await;
        assert!(read.body == bytes);
    };
    tokio::select! {
        () = moving => {}
        () = reading => panic!("the session closed"),
    }
    client.end().await;
}

async fn what_is_too_long_is_refused(stage: &Stage) {
    let gateway = stage.own(&["--upload-size", "1MiB"]);
    let client = Client::create(&gateway, "python").await;
    let exact = ask(&gateway, "PUT", place(&client, "exact")).body(vec![0; 1 << 20]).reply().await;
    exact.json(201);
    let long = ask(&gateway, "PUT", place(&client, "long")).body(vec![0; (1 << 20) + 1]);
    assert!(long.reply().await.problem(413).contains("1048576"));
    // Without a length told ahead it is noticed on the way.
    let chunks = futures::stream::iter(0..40).map(|_| Ok::<_, std::io::Error>(vec![0u8; 32 << 10]));
    let long = ask(&gateway, "PUT", place(&client, "long")).body(Body::from_stream(chunks));
    assert!(long.reply().await.problem(413).contains("1048576"));
    eventually("nothing is left", async || {
        (names(&gateway, &client, "").await == ["exact"]).then_some(())
    })
    .await;
    client.end().await;
    gateway.stop().await;
}

/// As Python's http.client does, and most others.
async fn a_client_that_sends_all_before_it_reads_sees_the_refusal(stage: &Stage) {
    const LENGTH: usize = 20 << 20;
    let gateway = stage.own(&["--upload-size", "1MiB"]);
    let client = Client::create(&gateway, "python").await;
    let right = format!("Authorization: Bearer {}\r\n", gateway.token);
    let whole = format!("Content-Length: {LENGTH}\r\n");
    let chunked = "Transfer-Encoding: chunked\r\n";
    let file = format!("PUT {}", place(&client, "long"));
    let run = "POST /v1/run".to_owned();
    for (line, token, length, status) in [
        (&file, &*right, &*whole, "413"),
        (&file, &*right, chunked, "413"),
        (&file, "", &*whole, "401"),
        (&run, &*right, &*whole, "413"),
        (&run, "", chunked, "401"),
    ] {
        let host = gateway.address;
        let head = format!("{line} HTTP/1.1\r\nHost: {host}\r\n{token}{length}\r\n");
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        let exchange = async {
            stream.write_all(head.as_bytes()).await.unwrap();
            if length == chunked {
                stream.write_all(format!("{LENGTH:x}\r\n").as_bytes()).await.unwrap();
            }
            stream.write_all(&vec![b'x'; LENGTH]).await.unwrap();
            if length == chunked {
                stream.write_all(b"\r\n0\r\n\r\n").await.unwrap();
            }
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await.unwrap();
            String::from_utf8(answer.to_vec()).unwrap()
        };
        let answer = tokio::time::timeout(DEADLINE, exchange).await.expect("no answer");
        assert_eq!(answer, format!("HTTP/1.1 {status}"), "{line} {length}");
    }
    client.end().await;
    gateway.stop().await;
}

async fn a_full_disk_is_told_and_left_as_it_was(stage: &Stage) {
    let gateway = stage.gateway();
    let client = stage.session_of("small").await; // 8 MiB
    let kept = ask(gateway, "PUT", place(&client, "kept")).body("kept").reply().await;
    assert_eq!(kept.status, 201);
    let big = ask(gateway, "PUT", place(&client, "kept")).body(vec![1; 12 << 20]).reply().await;
    let detail = big.problem(507);
    assert!(detail.contains("write the file"), "{detail}");
    assert_eq!(ask(gateway, "GET", place(&client, "kept")).reply().await.body, "kept");
    assert_eq!(names(gateway, &client, "").await, ["kept"]);
    let fits = ask(gateway, "PUT", place(&client, "fits")).body(vec![1; 4 << 20]).reply().await;
    assert_eq!(fits.status, 201);
    client.end().await;
}

async fn an_upload_that_breaks_off_leaves_nothing(stage: &Stage) {
    let gateway = stage.gateway();
    let client = stage.session().await;
    let pending = futures::stream::iter([Ok::<_, std::io::Error>(vec![7u8; 200 << 10])])
        .chain(futures::stream::pending());
    let upload = ask(gateway, "PUT", place(&client, "half")).body(Body::from_stream(pending));
    let begun = eventually_named(gateway, &client, 1);
    tokio::select! {
        reply = upload.reply() => panic!("an answer to half a file: {reply:?}"),
        found = begun => assert!(found[0].starts_with(".cellgate-upload-"), "{found:?}"),
    }
    eventually_named(gateway, &client, 0).await;
    client.end().await;
}

/// Waits until so many names stand in the working directory.
async fn eventually_named(gateway: &Gateway, client: &Client, count: usize) -> Vec<String> {
    eventually("so many names", async || {
        let names = names(gateway, client, "").await;
        (names.len() == count).then_some(names)
    })
    .await
}

async fn roles_decide_who_moves_files(stage: &Stage) {
    let gateway = stage.gateway();
    let client = stage.session().await;
    let tokens = format!("/v1/sessions/{}/tokens", client.session());
    let file = place(&client, "file");
    let files = format!("/v1/sessions/{}/files", client.session());
    for (role, put, get) in [("owner", 201, 200), ("editor", 200, 200), ("viewer", 403, 403)] {
        let asked = json!({"role": role});
        let granted = ask(gateway, "POST", tokens.as_str()).json(&asked).reply().await.json(201);
        let token = client::text(&granted, "token");
        let written = ask(gateway, "PUT", file.as_str()).token(token).body(role).reply().await;
        assert_eq!(written.status, put, "{role}: {written:?}");
        for path in [&file, &files] {
            let read = ask(gateway, "GET", path.as_str()).token(token).reply().await;
            assert_eq!(read.status, get, "{role}: {read:?}");
            if get == 403 {
                assert!(read.problem(403).contains("editor"));
            }
        }
        let made = format!("/v1/sessions/{}/directories/made/{role}", client.session());
        for (method, path, status) in [
            ("POST", made.clone(), 201),
            ("POST", format!("{file}?move_to=made/{role}/file"), 204),
            ("DELETE", place(&client, &format!("made/{role}?recursive=true")), 204),
            ("PUT", file.clone(), 201),
        ] {
            let reply = ask(gateway, method, path.as_str()).token(token).reply().await;
            let expected = if get == 403 { 403 } else { status };
            assert_eq!(reply.status, expected, "{role}: {method} {path}: {reply:?}");
        }
    }
    client.end().await;
}

async fn downloads_cannot_run_in_the_console(stage: &Stage) {
    let gateway = stage.gateway();
    let client = stage.session().await;
    let html = "<script>alert(1)</script>";
    ask(gateway, "PUT", place(&client, "page.html")).body(html).reply().await.json(201);
    let read = ask(gateway, "GET", place(&client, "page.html")).reply().await;
    assert_eq!(read.header("content-type"), "application/octet-stream");
    assert_eq!(read.header("x-content-type-options"), "nosniff");
    assert!(read.header("content-security-policy").contains("sandbox"));
    assert!(read.header("content-disposition").starts_with("attachment"));
    let head = ask(gateway, "HEAD", place(&client, "page.html")).reply().await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), html.len().to_string());
    client.end().await;
}
