//! Requests that want to be a WebSocket and are not what RFC 6455 and RFC 9112 ask for.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::client::DEADLINE;
use crate::common::http::{RawSocket, frame};
use crate::common::suite::{Stage, rows};

/// What comes of a request.
enum Gets {
    /// An answer with this status that has these words.
    Status(u16, &'static str),
    /// 101, then a close with this code and a reason that has these words.
    Closed(u16, &'static str),
    /// 101, then a session; the answer's head does not have these words.
    Session { without: &'static str },
}
use Gets::{Closed, Session, Status};

rows![gets:
    version_8 "426 with `Sec-WebSocket-Version: 13`"
        => (good().set("Sec-WebSocket-Version", "8"), Status(426, "sec-websocket-version: 13")),
    two_versions "426" => (good().add("Sec-WebSocket-Version: 8"), Status(426, "version")),
    no_version "426" => (good().drop("Sec-WebSocket-Version"), Status(426, "version")),
    no_key "400" => (good().drop("Sec-WebSocket-Key"), Status(400, "Sec-WebSocket-Key")),
    a_key_of_3_bytes "400" => (good().set("Sec-WebSocket-Key", "Zm9v"), Status(400, "Sec-WebSocket-Key")),
    a_key_that_is_not_base64 "400"
        => (good().set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=!"), Status(400, "Sec-WebSocket-Key")),
    two_keys "400"
        => (good().add("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="), Status(400, "Sec-WebSocket-Key")),
    an_upgrade_to_something_else "426 with `Upgrade: websocket`"
        => (good().set("Upgrade", "h2c"), Status(426, "upgrade: websocket")),
    a_connection_that_does_not_upgrade "426"
        => (good().set("Connection", "close"), Status(426, "upgrade: websocket")),
    a_post "405 with `Allow`"
        => (good().line("POST /ws?token={token} HTTP/1.1"), Status(405, "allow: GET")),
    http_1_0 "400" => (good().line("GET /ws?token={token} HTTP/1.0"), Status(400, "")),
    the_preface_of_http_2 "400" => (good().line("PRI * HTTP/2.0"), Status(400, "")),
    a_greeting_of_tls "400" => (raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), Status(400, "")),
    ones "400" => (raw(&[0xff; 4096]), Status(400, "")),
    no_host "400" => (good().drop("Host"), Status(400, "Host")),
    two_hosts "400" => (good().add("Host: evil.example"), Status(400, "Host")),
    a_strangers_host "403" => (good().set("Host", "evil.example"), Status(403, "evil.example")),
    a_user_before_the_host "400" => (good().set("Host", "127.0.0.1@evil.example"), Status(400, "Host header")),
    a_name_behind_an_address_in_brackets "400" => (good().set("Host", "[::1].evil.example"), Status(400, "Host header")),
    an_absolute_target_of_a_stranger "403, whatever `Host` says"
        => (good().line("GET http://evil.example/ws?token={token} HTTP/1.1"), Status(403, "evil.example")),
    a_strangers_origin "403" => (good().add("Origin: https://evil.example"), Status(403, "evil.example")),
    two_origins "403, though one is ours"
        => (good().add("Origin: http://{host}").add("Origin: https://evil.example"), Status(403, "")),
    an_origin_that_is_not_ascii "403" => (good().add("Origin: http://ev\u{ed}l"), Status(403, "")),
    a_header_of_1_MiB "431" => (good().add(&format!("X: {}", "x".repeat(1 << 20))), Status(431, "")),
    a_thousand_headers "431" => (good().add(&["X: y"; 1000].join("\r\n")), Status(431, "")),
    a_target_of_100_KiB "414"
        => (good().line(&format!("GET /ws?token={} HTTP/1.1", "x".repeat(100 << 10))), Status(414, "")),
    a_header_with_nul "400" => (good().add("X: a\0b"), Status(400, "")),
    a_header_without_colon "400" => (good().add("nothing"), Status(400, "")),
    a_header_that_is_folded "400" => (good().add("X: a\r\n b"), Status(400, "")),
    a_space_before_the_colon "400" => (good().add("X : a"), Status(400, "")),
    two_lengths "400" => (good().add("Content-Length: 1").add("Content-Length: 2"), Status(400, "")),
    a_length_below_0 "400" => (good().add("Content-Length: -1"), Status(400, "")),
    a_body "400" => (good().add("Content-Length: 3").then(b"abc"), Status(400, "body")),
    a_length_and_chunks "400"
        => (good().add("Content-Length: 3").add("Transfer-Encoding: chunked"), Status(400, "")),
    a_path_with_nul "404" => (good().line("GET /ws%00?token={token} HTTP/1.1"), Status(404, "")),
    a_path_of_dots "404" => (good().line("GET /x/../ws?token={token} HTTP/1.1"), Status(404, "")),
    two_tokens "400" => (good().line("GET /ws?token={token}&token=x HTTP/1.1"), Status(400, "token")),
    a_seq_below_0 "400" => (good().line("GET /ws?token={token}&after=-1 HTTP/1.1"), Status(400, "after")),
    a_seq_beyond_64_bits "400"
        => (good().line("GET /ws?token={token}&after=18446744073709551616 HTTP/1.1"), Status(400, "after")),
    a_session_that_is_a_path "closes 4404"
        => (good().line("GET /ws?token={token}&session=../../etc/passwd HTTP/1.1"), Closed(4404, "")),
    a_session_with_nul "closes 4404"
        => (good().line("GET /ws?token={token}&session=%00 HTTP/1.1"), Closed(4404, "")),
    a_template_with_a_line_end "closes 4404; the reason is one line"
        => (good().line("GET /ws?token={token}&template=a%0d%0ab HTTP/1.1"), Closed(4404, "template")),
    no_token "closes 4401" => (good().line("GET /ws HTTP/1.1"), Closed(4401, "token")),
    a_token_that_is_not_utf_8 "closes 4401" => (good().line("GET /ws?token=%ff%fe HTTP/1.1"), Closed(4401, "token")),
    a_bearer_that_is_not_base64 "closes 4401"
        => (good().line("GET /ws HTTP/1.1").add("Sec-WebSocket-Protocol: cellgate.bearer.!!"), Closed(4401, "token")),
    a_subprotocol_we_do_not_speak "a session; none is answered"
        => (good().add("Sec-WebSocket-Protocol: mqtt"), Session { without: "sec-websocket-protocol" }),
    an_offer_to_compress "a session; none is answered"
        => (good().add("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=1"),
            Session { without: "sec-websocket-extensions" }),
    a_name_that_is_not_text "a session"
        => (good().line("GET /ws?token={token}&name=%ff%00%1b[31m HTTP/1.1"), Session { without: "\u{1b}" }),
    frames_right_behind_the_request "they are read"
        => (good().then(&frame(0x89, b"early")), Session { without: "early" }),
    garbage_right_behind_the_request "closes 1002"
        => (good().then(&[0xff; 64]), Closed(1002, "")),
    a_second_request_right_behind "closes 1002"
        => (good().then(b"GET /metrics HTTP/1.1\r\n\r\n"), Closed(1002, "")),
];

/// A request, to be spoiled. `{host}` and `{token}` stand for the gateway's.
struct Ask {
    line: String,
    headers: Vec<String>,
    then: Vec<u8>,
}

/// What a WebSocket client sends.
fn good() -> Ask {
    let headers = [
        "Host: {host}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    let headers = headers.map(str::to_owned).to_vec();
    Ask { line: "GET /ws?token={token} HTTP/1.1".to_owned(), headers, then: Vec::new() }
}

/// Bytes that are no request.
fn raw(bytes: &[u8]) -> Ask {
    Ask { line: String::new(), headers: Vec::new(), then: bytes.to_vec() }
}

impl Ask {
    fn line(self, line: &str) -> Ask {
        Ask { line: line.to_owned(), ..self }
    }

    fn add(mut self, header: &str) -> Ask {
        self.headers.push(header.to_owned());
        self
    }

    fn drop(mut self, name: &str) -> Ask {
        self.headers.retain(|header| !header.starts_with(&format!("{name}:")));
        self
    }

    fn set(self, name: &str, value: &str) -> Ask {
        self.drop(name).add(&format!("{name}: {value}"))
    }

    fn then(self, bytes: &[u8]) -> Ask {
        Ask { then: bytes.to_vec(), ..self }
    }

    fn bytes(&self, host: &str, token: &str) -> Vec<u8> {
        let mut head = String::new();
        if !self.line.is_empty() {
            head = format!("{}\r\n{}\r\n\r\n", self.line, self.headers.join("\r\n"));
        }
        let head = head.replace("{host}", host).replace("{token}", token);
        [head.as_bytes(), &self.then].concat()
    }
}

async fn gets(stage: &Stage, (ask, wanted): (Ask, Gets)) {
    let gateway = stage.gateway();
    let bytes = ask.bytes(&gateway.address.to_string(), &gateway.token);
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    // Who is refused half-way may not be read to the end: what it cannot send is not sent.
    let sending = tokio::spawn(async move {
        writing.write_all(&bytes).await.ok();
        writing
    });
    let head = async {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = reading.read_u8().await else { break };
            head.push(byte);
        }
        String::from_utf8(head).unwrap()
    };
    let head = tokio::time::timeout(DEADLINE, head).await.expect("an answer takes too long");
    let status = head.split(' ').nth(1).unwrap_or_default().to_owned();
    if let Status(code, words) = wanted {
        let mut body = vec![0; 4096];
        let length = match head.contains("content-length: 0") {
            true => 0,
            false => {
                tokio::time::timeout(DEADLINE, reading.read(&mut body)).await.unwrap().unwrap_or(0)
            }
        };
        let body = String::from_utf8_lossy(&body[..length]).into_owned();
        assert_eq!(status, code.to_string(), "{head}{body}");
        assert!(format!("{head}{body}").contains(words), "{head}{body}");
        return;
    }
    assert_eq!(status, "101", "{head}");
    let stream = reading.reunite(sending.await.unwrap()).unwrap();
    let mut socket = RawSocket { stream };
    match wanted {
        Closed(code, words) => {
            let closed = socket.closed().await;
            assert_eq!(closed.code, code, "{closed:?}");
            assert!(closed.reason.contains(words) && !closed.reason.contains('\n'), "{closed:?}");
        }
        Session { without } => {
            assert!(!head.contains(without), "{head}");
            if !ask.then.is_empty() {
                // `ready` and the first events may be before it, or behind.
                while socket.read_frame().await.unwrap().0 != 0x8a {}
            }
            socket.send_frame(0x81, br#"{"type": "end"}"#).await;
            assert_eq!(socket.close_code().await, Some(1000));
        }
        Status(..) => unreachable!("looked at above"),
    }
}
