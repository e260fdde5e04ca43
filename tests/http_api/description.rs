//! The description that is served, and that it is true.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::common::suite::{Stage, cases};
use crate::requests::{anonymous, ask};

cases![the_description_is_whole, every_route_that_is_described_is_there];

/// The routes of the contract.
const ROUTES: [(&str, &str); 40] = [
    ("get", "/ws"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
    ("post", "/mcp"),
    ("get", "/mcp"),
    ("delete", "/mcp"),
    ("post", "/v1/run"),
    ("get", "/v1/keys"),
    ("get", "/v1/sessions"),
    ("post", "/v1/sessions"),
    ("get", "/v1/sessions/{id}"),
    ("delete", "/v1/sessions/{id}"),
    ("post", "/v1/sessions/{id}/cells"),
    ("get", "/v1/sessions/{id}/cells/{cell}"),
    ("get", "/v1/sessions/{id}/events"),
    ("post", "/v1/sessions/{id}/interrupt"),
    ("post", "/v1/sessions/{id}/input"),
    ("post", "/v1/sessions/{id}/restart"),
    ("post", "/v1/sessions/{id}/tokens"),
    ("get", "/v1/sessions/{id}/tokens"),
    ("delete", "/v1/sessions/{id}/tokens/{token}"),
    ("patch", "/v1/sessions/{id}/participants/{participant}"),
    ("delete", "/v1/sessions/{id}/participants/{participant}"),
    ("get", "/v1/sessions/{id}/cells/{cell}/output"),
    ("get", "/v1/sessions/{id}/files"),
    ("get", "/v1/sessions/{id}/files/{path}"),
    ("put", "/v1/sessions/{id}/files/{path}"),
    ("delete", "/v1/sessions/{id}/files/{path}"),
    ("post", "/v1/sessions/{id}/files/{path}"),
    ("get", "/v1/sessions/{id}/stat/{path}"),
    ("get", "/v1/sessions/{id}/watch"),
    ("get", "/v1/sessions/{id}/watch/{path}"),
    ("post", "/v1/sessions/{id}/directories/{path}"),
    ("get", "/v1/documents/{id}"),
    ("get", "/v1/sessions/{id}/document"),
    ("post", "/v1/sessions/{id}/document"),
    ("get", "/v1/sessions/{id}/document.ipynb"),
    ("get", "/v1/sessions/{id}/document.py"),
    ("get", "/v1/openapi.json"),
];

async fn description(stage: &Stage) -> Value {
    anonymous(stage.gateway(), "GET", "/v1/openapi.json").reply().await.json(200)
}

/// Method, path and operation of everything that is described.
fn operations(description: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = description["paths"].as_object().unwrap();
    let items = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(move |(method, operation)| (method.as_str(), path.as_str(), operation))
    });
    items.collect()
}

async fn the_description_is_whole(stage: &Stage) {
    let description = description(stage).await;
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1."));
    assert_eq!(description["info"]["title"], "cellgate");
    assert_eq!(description["info"]["version"], env!("CARGO_PKG_VERSION"));
    let described: BTreeSet<_> =
        operations(&description).iter().map(|(method, path, _)| (*method, *path)).collect();
    assert_eq!(described, BTreeSet::from(ROUTES));
    let mut names = BTreeSet::new();
    for (method, path, operation) in operations(&description) {
        let place = format!("{method} {path}");
        assert!(names.insert(operation["operationId"].as_str().expect(&place)), "{place}");
        assert!(!operation["summary"].as_str().expect(&place).is_empty(), "{place}");
        assert!(!operation["responses"].as_object().expect(&place).is_empty(), "{place}");
        // Each parameter of the path is described, and nothing else as one.
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let told: BTreeSet<&str> = parameters
            .iter()
            .filter(|parameter| parameter["in"] == "path")
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        let named: BTreeSet<&str> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        assert_eq!(told, named, "{place}");
    }
    let mut open = vec![&description];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(target)) = fields.get("$ref") {
                    let target = target.strip_prefix('#').unwrap();
                    assert!(description.pointer(target).is_some(), "{target} is not there");
                }
                open.extend(fields.values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    let schemes = &description["components"]["securitySchemes"];
    assert_eq!(schemes["bearer"]["scheme"], "bearer");
    assert_eq!(schemes["query"], json!({"type": "apiKey", "in": "query", "name": "token"}));
    let problem = &description["components"]["schemas"]["Problem"];
    assert_eq!(problem["required"], json!(["type", "title", "status", "detail"]));
}

async fn every_route_that_is_described_is_there(stage: &Stage) {
    let gateway = stage.gateway();
    let client = stage.session().await;
    let description = description(stage).await;
    let mut routes = operations(&description);
    // Ending the session comes last.
    routes.sort_by_key(|(_, path, operation)| (operation["operationId"] == "endSession", *path));
    for (method, path, _) in routes {
        let real = path
            .replace("{id}", client.session())
            .replace("{path}", "file")
            .replace("{cell}", "c1")
            // A stream that does not end is refused for what it asks.
            .replace("/events", "/events?after=nothing")
            .replace("{token}", "99")
            .replace("{participant}", "99");
        let real = match path.contains("/watch") {
            true => format!("{real}?recursive=maybe"),
            false => real,
        };
        let body = match path {
            "/v1/sessions/{id}/tokens" | "/v1/sessions/{id}/participants/{participant}" => {
                json!({"role": "viewer"})
            }
            _ => json!({"code": "1"}),
        };
        let name = method.to_uppercase();
        let reply = ask(gateway, &name, real).json(&body).reply().await;
        // None of what is asked for is there; that it is looked for shows in the text.
        if reply.status == 404 {
            let wanted = match path.rsplit('/').next() {
                Some("output") => "output of that cell",
                Some("{cell}") => "nothing of a cell of this id",
                Some("{token}") => "no token of this number",
                Some("{participant}") => "no participant of this number",
                _ => "find the file",
            };
            assert!(reply.problem(404).contains(wanted), "{method} {path}");
        } else {
            assert_ne!(reply.status, 405, "{method} {path}");
            assert!(reply.status < 500, "{method} {path}: {reply:?}");
        }
    }
}
