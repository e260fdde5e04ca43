//! What an operator sees: metrics, and a log that names sessions and never tells what they run.

use serde_json::Value;

use crate::common::client::{self, Client, text};
use crate::common::http;
use crate::common::suite::{Stage, cases};

cases![metrics_tell_what_happens, the_log_names_sessions_and_tells_no_code];

/// The value of one series.
fn value(metrics: &str, series: &str) -> f64 {
    let mut lines = metrics.lines();
    let line = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in\n{metrics}")).parse().unwrap()
}

async fn metrics_tell_what_happens(stage: &Stage) {
    let gateway = stage.own(&[]);
    let bearer = format!("Authorization: Bearer {}", gateway.token);
    let headers = [bearer.as_str()];
    let scrape = || http::get(&gateway, "/metrics", &headers);
    assert_eq!(http::get(&gateway, "/metrics", &[]).await.status, 401);
    let before = scrape().await;
    assert!(before.head.contains("text/plain; version=0.0.4"), "{}", before.head);
    assert_eq!(value(&before.body, "cellgate_socket_sent_bytes_total"), 0.0);

    let mut client = Client::create(&gateway, "python").await;
    client.print("print('x' * 1000)").await;
    assert_eq!(client.run("1 / 0").await.status(), "error");
    client.send(serde_json::json!({"type": "nonsense"})).await;
    assert_eq!(text(&client.until("protocol_error").await, "code"), "unknown_type");
    let metrics = scrape().await.body;
    let backend = stage.backend.told_as();
    for (series, expected) in [
        (format!("cellgate_sessions{{backend=\"{backend}\",state=\"idle\"}}"), 1.0),
        ("cellgate_participants".into(), 1.0),
        ("cellgate_sockets".into(), 1.0),
        ("cellgate_sessions_created_total{template=\"python\"}".into(), 1.0),
        ("cellgate_cell_duration_seconds_count{status=\"ok\"}".into(), 1.0),
        ("cellgate_cell_duration_seconds_count{status=\"error\"}".into(), 1.0),
        ("cellgate_protocol_errors_total{code=\"unknown_type\"}".into(), 1.0),
        ("cellgate_socket_received_messages_total".into(), 3.0),
        ("cellgate_http_requests_total{method=\"GET\",route=\"/ws\",status=\"101\"}".into(), 1.0),
        (
            "cellgate_http_requests_total{method=\"GET\",route=\"/metrics\",status=\"401\"}".into(),
            1.0,
        ),
        ("cellgate_pool_target{template=\"python\"}".into(), 2.0),
    ] {
        assert_eq!(value(&metrics, &series), expected, "{series}");
    }
    assert!(value(&metrics, "cellgate_cell_output_bytes_total") >= 1001.0);
    assert!(value(&metrics, "cellgate_socket_sent_bytes_total") > 1001.0);
    let made = format!(
        "cellgate_sandbox_create_seconds_count{{backend=\"{backend}\",template=\"python\"}}"
    );
    assert!(value(&metrics, &made) >= 1.0);
    let hits = ["hit", "miss"].map(|result| {
        let series =
            format!("cellgate_pool_claims_total{{template=\"python\",result=\"{result}\"}}");
        if metrics.contains(&series) { value(&metrics, &series) } else { 0.0 }
    });
    assert_eq!(hits[0] + hits[1], 1.0);
    // Everything that is served has a meaning.
    for line in metrics.lines().filter(|line| line.starts_with("# TYPE ")) {
        let name = line.split(' ').nth(2).unwrap();
        assert!(metrics.contains(&format!("# HELP {name} ")), "{line}");
    }
    client.end().await;
    let ended = "cellgate_sessions_ended_total{reason=\"requested\"}";
    assert_eq!(value(&scrape().await.body, ended), 1.0);
    gateway.stop().await;

    let open = stage.own(&["--metrics-public", "--pool-max", "0"]);
    assert_eq!(http::get(&open, "/metrics", &[]).await.status, 200);
    open.stop().await;
}

async fn the_log_names_sessions_and_tells_no_code(stage: &Stage) {
    for format in ["json", "text"] {
        let filter = ["--log", "info,cellgate=trace", "--log-format", format];
        let gateway = stage.own(&filter);
        let mut client = Client::create(&gateway, "python").await;
        client.print("marker_in_code = 'marker_in_output'\nprint(marker_in_code)").await;
        client.run("raise ValueError('marker_in_error')").await;
        client.run("input('marker_in_prompt') if False else {'marker_in_result': 1}").await;
        client.send(serde_json::json!({"type": "marker_in_message"})).await;
        client.until("protocol_error").await;
        client.send(serde_json::json!({"type": "complete", "id": "q", "code": "marker_in", "cursor": 9})).await;
        client.until("complete_reply").await;
        let token = text(&client.ready, "token").to_owned();
        let session = client.session().to_owned();
        let wrong = format!("/ws?token=marker_in_token&session={session}");
        let request = client::request(&gateway, &wrong);
        let (mut refused, _) = client::open(&gateway, request).await.unwrap();
        assert_eq!(client::next_frame(&mut refused).await.unwrap_err().code, 4401);
        client.end().await;
        while !gateway.log().contains("session ended") {
            tokio::task::yield_now().await;
        }
        let log = gateway.log();
        for secret in ["marker_in", &token, &gateway.token] {
            let told = log.lines().find(|line| line.contains(secret));
            assert_eq!(told, None, "{secret}");
        }
        let about = log.lines().filter(|line| line.contains("cellgate::session"));
        let mut lines = 0;
        for line in about {
            lines += 1;
            if format == "json" {
                let line: Value = serde_json::from_str(line).unwrap();
                assert_eq!(line["span"]["name"], "session", "{line}");
                assert_eq!(line["span"]["id"], session, "{line}");
            } else {
                assert!(line.contains("session{id=") && line.contains(&session), "{line}");
            }
        }
        assert!(lines >= 2, "it begins and it ends:\n{log}");
        gateway.stop().await;
    }
}
