//! The sandbox's own loopback works. The probe checks that there is no other network.

use crate::common::suite::{Stage, cases};

cases![its_own_loopback_works];

async fn its_own_loopback_works(stage: &Stage) {
    let mut client = stage.session().await;
    let code = r#"
import socket
with socket.create_server(('127.0.0.1', 0)) as server:
    with socket.create_connection(server.getsockname()) as there:
        here, _ = server.accept()
        there.sendall(b'through')
        print(here.recv(16).decode())
        here.close()
"#;
    assert_eq!(client.print(code).await, "through\n");
    client.end().await;
}
