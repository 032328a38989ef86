//! Films to look at, servers to ask, and a client that notes what it is told.

use std::path::Path;
use std::sync::{Arc, Mutex};

use rmcp::model::{CallToolRequestParams, CallToolResult, ClientConfig, ErrorData, ProgressNotificationParam};
use rmcp::service::{NotificationContext, RunningService, ServiceError};
use rmcp::{ClientHandler, RoleClient, ServiceExt};
use serde_json::{Value, json};
use vljepa::mcp::{Server, Settings};

use crate::support::Bench;

/// Bytes that wait between client and server.
const PIPE: usize = 1 << 16;

/// A client that keeps what it is told of the progress of its calls.
#[derive(Clone, Debug, Default)]
pub struct Client(pub Arc<Mutex<Vec<ProgressNotificationParam>>>);

impl ClientHandler for Client {
    fn get_info(&self) -> ClientConfig {
        ClientConfig::default()
    }

    async fn on_progress(&self, params: ProgressNotificationParam, _context: NotificationContext<RoleClient>) {
        self.0.lock().unwrap().push(params);
    }
}

pub type Running = RunningService<RoleClient, Client>;

/// A film of a dark square on white, 64 pixels, `rate` frames a second; `place` tells where its middle is at each time, in shares of a side.
pub fn film(path: &Path, seconds: f64, rate: usize, place: impl Fn(f64) -> [f64; 2]) {
    const SIDE: usize = 64;
    let mut bytes = format!("YUV4MPEG2 W{SIDE} H{SIDE} F{rate}:1 Cmono\n").into_bytes();
    for i in 0..(seconds * rate as f64).round() as usize {
        let [x, y] = place(i as f64 / rate as f64).map(|share| share * SIDE as f64);
        bytes.extend(b"FRAME\n");
        let inside = |at: usize| {
            let (dx, dy) = ((at % SIDE) as f64 - x, (at / SIDE) as f64 - y);
            dx.abs() < 8.0 && dy.abs() < 8.0
        };
        bytes.extend((0..SIDE * SIDE).map(|at| if inside(at) { 40 } else { 235 }));
    }
    std::fs::write(path, bytes).unwrap();
}

/// A square that stands still, then goes to the right, then stands still.
pub fn to_the_right(time: f64) -> [f64; 2] {
    [0.2 + 0.6 * ((time - 4.0) / 1.5).clamp(0.0, 1.0), 0.5]
}

/// What the tests are run with: the built-in model on a software adapter.
pub fn settings(bench: &Bench) -> Settings {
    let mut settings = Settings::default();
    settings.allow = vec![bench.path("films")];
    settings.device = "cpu".into();
    settings
}

/// A folder with films, and a picture.
pub fn films() -> Bench {
    let bench = Bench::new();
    std::fs::create_dir_all(bench.path("films/more")).unwrap();
    film(&bench.path("films/right.y4m"), 10.0, 10, to_the_right);
    film(&bench.path("films/still.y4m"), 3.0, 10, |_| [0.5, 0.5]);
    film(&bench.path("films/more/down.y4m"), 2.0, 10, |time| [0.5, 0.2 + 0.3 * time]);
    bench.write("films/picture.png", crate::support::picture(3));
    bench.write("films/notes.txt", "no film");
    bench.write("secret.png", crate::support::picture(1));
    bench
}

/// A client and a server in this process.
pub async fn connected(settings: Settings) -> (Running, Server) {
    let server = Server::new(settings).unwrap();
    let client = beside(&server).await;
    (client, server)
}

/// One more client of a server.
pub async fn beside(server: &Server) -> Running {
    let (here, there) = tokio::io::duplex(PIPE);
    let server = server.clone();
    tokio::spawn(async move { server.serve(there).await.unwrap().waiting().await });
    Client::default().serve(here).await.unwrap()
}

pub fn request(tool: &'static str, arguments: Value) -> CallToolRequestParams {
    CallToolRequestParams::new(tool).with_arguments(arguments.as_object().unwrap().clone())
}

/// Runs a tool that must succeed; its values, which fit its schema, and its text.
pub async fn call(client: &Running, tool: &'static str, arguments: Value) -> (Value, String) {
    let result = client.call_tool(request(tool, arguments)).await.unwrap();
    let text = text(&result);
    assert_ne!(result.is_error, Some(true), "{text}");
    let values = result.structured_content.unwrap();
    let tools = client.list_all_tools().await.unwrap();
    let tool = tools.iter().find(|one| one.name == tool).unwrap();
    let schema = Value::Object(tool.output_schema.as_ref().unwrap().as_ref().clone());
    fits(&schema, &schema, &values, "$");
    assert!(!text.is_empty() && text.len() < 4000, "{text}");
    (values, text)
}

/// Runs a tool that must fail with one line that holds each of `words`.
pub async fn fails(client: &Running, tool: &'static str, arguments: Value, words: &[&str]) -> String {
    let result = client.call_tool(request(tool, arguments)).await.unwrap();
    let text = text(&result);
    assert_eq!(result.is_error, Some(true), "{text}");
    assert!(result.structured_content.is_none() && text.lines().count() == 1, "{text}");
    for word in words {
        assert!(text.contains(word), "no {word:?} in: {text}");
    }
    text
}

/// Makes a call that the protocol must refuse as not well formed.
pub async fn refused(client: &Running, tool: &'static str, arguments: Value, words: &str) {
    match client.call_tool(request(tool, arguments)).await {
        Err(ServiceError::McpError(ErrorData { code, message, .. })) => {
            assert_eq!(code.0, -32602, "{message}");
            assert!(message.contains(words) && message.lines().count() == 1, "no {words:?} in: {message}");
        }
        other => panic!("{words}: {other:?}"),
    }
}

/// The one text of a result.
pub fn text(result: &CallToolResult) -> String {
    assert_eq!(result.content.len(), 1, "{result:?}");
    result.content[0].as_text().unwrap().text.clone()
}

pub fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("no {key} in {value}"))
}

pub fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap_or_else(|| panic!("no list {key} in {value}"))
}

/// Checks values by as much of JSON Schema as the tools use.
#[track_caller]
fn fits(root: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(name) = schema["$ref"].as_str().and_then(|name| name.strip_prefix("#/$defs/")) {
        return fits(root, &root["$defs"][name], value, at);
    }
    let is_right = match schema["type"].as_str().unwrap_or_else(|| panic!("{at}: no type in {schema}")) {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        other => panic!("{at}: a type {other}"),
    };
    assert!(is_right, "{at}: {value} is no {}", schema["type"]);
    if let (Some(fields), Some(values)) = (schema["properties"].as_object(), value.as_object()) {
        for name in schema["required"].as_array().into_iter().flatten() {
            assert!(values.contains_key(name.as_str().unwrap()), "{at}: no {name} in {value}");
        }
        for (name, value) in values {
            let field = fields.get(name).unwrap_or_else(|| panic!("{at}: {name} is not in the schema"));
            fits(root, field, value, &format!("{at}.{name}"));
        }
    }
    if let (true, Some(values)) = (schema["items"].is_object(), value.as_array()) {
        values.iter().enumerate().for_each(|(i, value)| fits(root, &schema["items"], value, &format!("{at}[{i}]")));
    }
}

#[test]
fn schemas_are_checked() {
    let schema = json!({ "type": "object", "properties": { "a": { "type": "array", "items": { "$ref": "#/$defs/N" } } },
        "required": ["a"], "$defs": { "N": { "type": "number" } } });
    fits(&schema, &schema, &json!({ "a": [1, 2.5] }), "$");
    for wrong in [json!({}), json!({ "a": 1 }), json!({ "a": ["x"] }), json!({ "a": [], "b": 1 })] {
        let schema = schema.clone();
        assert!(std::panic::catch_unwind(|| fits(&schema, &schema, &wrong, "$")).is_err());
    }
}
