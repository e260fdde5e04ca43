//! The few devices that every program needs work. The probe checks that there are no others.

use crate::common::suite::{Stage, cases};

cases![the_usual_ones_work];

async fn the_usual_ones_work(stage: &Stage) {
    let mut client = stage.session().await;
    let code = r#"
assert len(open('/dev/urandom', 'rb').read(8)) == 8
assert open('/dev/zero', 'rb').read(4) == bytes(4)
assert open('/dev/null', 'rb').read() == b''
open('/dev/null', 'wb').write(b'x')
os.mkfifo('/work/pipe')
print('work')
"#;
    assert_eq!(client.print(&format!("import os\n{code}")).await, "work\n");
    client.end().await;
}
