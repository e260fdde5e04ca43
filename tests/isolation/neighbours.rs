//! A session cannot harm another, and nothing of it outlives it. The probe checks that it sees none.

use crate::common::suite::{Stage, cases};

cases![killing_everything_kills_only_itself, what_was_daemonised_does_not_outlive_a_restart];

async fn killing_everything_kills_only_itself(stage: &Stage) {
    let mut other = stage.session().await;
    other.print("x = 1").await;
    let mut client = stage.session().await;
    let code = "import os, subprocess\nchild = subprocess.Popen(['sleep', '600'])\nos.kill(-1, 9)\n\
                print(child.wait())\nos.kill(os.getpid(), 9)";
    let cell = client.run(code).await;
    assert_eq!(cell.stdout(), "-9\n");
    cell.expect("exited", false);
    client.until("restarted").await;
    assert_eq!(client.run("6 * 7").await.result(), "42");
    assert_eq!(other.run("x").await.result(), "1");
    other.end().await;
    client.end().await;
}

async fn what_was_daemonised_does_not_outlive_a_restart(stage: &Stage) {
    let mut client = stage.session().await;
    let code = r#"
import os, signal, time
if os.fork() == 0:
    os.setsid()
    for number in range(1, 32):
        try: signal.signal(number, signal.SIG_IGN)
        except OSError: pass
    if os.fork() == 0:
        os.execvp('sleep', ['sleep', '27182'])
    os._exit(0)
print('let go')
"#;
    client.print(code).await;
    client.send(serde_json::json!({"type": "restart"})).await;
    client.until("restarted").await;
    let code = "import glob\nprint([p for p in glob.glob('/proc/[0-9]*/cmdline') if b'27182' in open(p, 'rb').read()])";
    assert_eq!(client.print(code).await, "[]\n");
    client.end().await;
}
