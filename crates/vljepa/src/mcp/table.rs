//! The table of the tools: name, what an agent reads of it, what it takes, what runs it, and what it gives.

use std::sync::Arc;

use rmcp::handler::server::tool::{schema_for_input, schema_for_output};
use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde_json::Value;

use super::calls::{Ask, Checked, Compare, Describe, SearchMoments, Surprise, Watch};
use super::error::{McpError, Result};
use super::session::Session;
use super::task::Task;
use super::told::{Answered, Compared, Described, FoundMoments, Surprises, Told, Watched};

/// What a tool gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// A few lines of text.
    pub text: String,
    /// All of it, as the tool's output schema says.
    pub values: Value,
}

/// A call whose arguments are right.
#[derive(Clone, Debug)]
pub enum Call {
    /// Tell what an input shows.
    Describe(Describe),
    /// Answer a question.
    Ask(Ask),
    /// Find moments.
    SearchMoments(SearchMoments),
    /// Watch a video as a stream.
    Watch(Watch),
    /// Find where a video stops being predictable.
    Surprise(Surprise),
    /// Compare two inputs.
    Compare(Compare),
}

/// The functions over the tools.
macro_rules! tools {
    ($($name:literal, $title:literal, $about:literal: $call:ident => $method:ident -> $given:ident;)*) => {
        impl Call {
            /// The call of a tool with these arguments; those that are null count as absent.
            ///
            /// # Errors
            /// No such tool, and arguments that are missing, unknown, of another type or out of their range; one line.
            pub fn parse(name: &str, arguments: JsonObject) -> std::result::Result<Self, String> {
                match name {
                    $($name => Ok(Self::$call(read(name, arguments)?)),)*
                    other => Err(format!("there is no tool {other:?}; there are {}", [$($name),*].join(", "))),
                }
            }

            /// Runs the call.
            ///
            /// # Errors
            /// Those of the tool.
            pub fn run(&self, session: &mut Session, task: &Task) -> Result<Outcome> {
                match self {
                    $(Self::$call(call) => outcome(&session.$method(call, task)?),)*
                }
            }
        }

        /// The tools, as clients list them.
        pub fn tools() -> Vec<Tool> {
            vec![$(tool::<$call, $given>($name, $title, $about)),*]
        }
    };
}

tools! {
    "describe", "Describe", "Say what happens in a video, or what a picture shows, in plain sentences. Gives a sentence for the whole, and for a \
     video its segments with their times in seconds. Pass captions to choose among sentences of your own.":
        Describe => describe -> Described;
    "ask", "Ask", "Answer a question about a picture or a video. Pass answers to choose among, which is more reliable than an answer in free \
     words; pass window_s to get answers over time.":
        Ask => ask -> Answered;
    "search_moments", "Search moments", "Find the moments of a video, or of all videos and pictures in a folder, that a text describes. Gives files with \
     start and end in seconds and a score. The first search of a file takes long; later ones are quick.":
        SearchMoments => search_moments -> FoundMoments;
    "watch", "Watch", "Go through a long video as a stream: a sentence each time that what happens changes, and events for texts to be alerted by. A \
     call watches max_s seconds; where the result has resume_s, call again with it, all else the same.":
        Watch => watch -> Watched;
    "surprise", "Surprise", "Find where a video stops being predictable: for each window how far its second half is from what its first half, which alone \
     is seen, lets expect. Finds cuts, jumps and unusual events without being told what to look for.":
        Surprise => surprise -> Surprises;
    "compare", "Compare", "Say how alike two pictures or videos are: one cosine for the whole, and for each window of the first the cosine with the \
     same time and with the best time of the second.":
        Compare => compare -> Compared;
}

fn tool<C, G>(name: &'static str, title: &'static str, about: &'static str) -> Tool
where
    C: rmcp::schemars::JsonSchema + 'static,
    G: rmcp::schemars::JsonSchema + 'static,
{
    let input = schema_for_input::<C>().map(|schema| plain_object(&schema)).unwrap_or_default();
    let about = about.split_whitespace().collect::<Vec<_>>().join(" ");
    let reads_only = ToolAnnotations::new().read_only(true).destructive(false).idempotent(true).open_world(false);
    Tool::new(name, about, input)
        .with_title(title)
        .with_raw_output_schema(Arc::new(plain_object(&schema_for_output::<G>())))
        .with_annotations(reads_only)
}

/// A schema without what some clients do not know: names of number formats, and null beside the type of what may be absent.
fn plain_object(schema: &JsonObject) -> JsonObject {
    let mut schema = schema.clone();
    schema.values_mut().for_each(plain);
    schema
}

fn plain(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            // A property that is called so has no text as its schema.
            if fields.get("format").is_some_and(Value::is_string) {
                fields.remove("format");
            }
            if fields.get("default").is_some_and(Value::is_null) {
                fields.remove("default");
            }
            if let Some(Value::Array(kinds)) = fields.get("type")
                && let [kind, null] = kinds.as_slice()
                && null == "null"
            {
                let kind = kind.clone();
                fields.insert("type".into(), kind);
            }
            fields.values_mut().for_each(plain);
        }
        Value::Array(values) => values.iter_mut().for_each(plain),
        _ => {}
    }
}

fn read<C: serde::de::DeserializeOwned + Checked>(
    name: &str,
    mut arguments: JsonObject,
) -> std::result::Result<C, String> {
    arguments.retain(|_, value| !value.is_null());
    let call: C =
        serde_path_to_error::deserialize(Value::Object(arguments)).map_err(|error| format!("{name}: {error}"))?;
    call.check().map_err(|error| format!("{name}: {error}"))?;
    Ok(call)
}

fn outcome(given: &impl Told) -> Result<Outcome> {
    // Fails only for values that JSON cannot express.
    let values = serde_json::to_value(given).map_err(|error| McpError::Internal(error.to_string()))?;
    Ok(Outcome { text: given.text(), values })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> JsonObject {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn schemas_are_plain_and_say_what_is_needed() {
        let tools = tools();
        let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_ref()).collect();
        assert_eq!(names, ["describe", "ask", "search_moments", "watch", "surprise", "compare"]);
        for tool in &tools {
            let (input, output) = (&tool.input_schema, tool.output_schema.as_ref().unwrap());
            let text = serde_json::to_string(&json!([input, output])).unwrap();
            assert!(!text.contains("\"format\"") && !text.contains("null"), "{text}");
            assert_eq!((&input["type"], &output["type"]), (&json!("object"), &json!("object")));
            assert_eq!(input["additionalProperties"], json!(false), "{}", tool.name);
            for (name, field) in input["properties"].as_object().unwrap() {
                assert!(field["description"].is_string(), "{}.{name}", tool.name);
            }
            assert!(
                tool.description.as_ref().unwrap().len() < 400
                    && tool.annotations.as_ref().unwrap().read_only_hint == Some(true)
            );
        }
        let watch = &tools[3].input_schema;
        assert_eq!(watch["required"], json!(["input"]));
        assert_eq!(watch["properties"]["max_s"]["default"], json!(120.0));
        assert_eq!(watch["properties"]["alert_above"]["type"], json!("number"));
        assert_eq!(tools[1].input_schema["required"], json!(["input", "question"]));
    }

    #[test]
    fn calls_that_are_wrong_are_told_in_a_line() {
        let parse = |name: &str, arguments: Value| Call::parse(name, object(arguments));
        assert!(matches!(parse("describe", json!({ "input": "a.mp4", "captions": null })), Ok(Call::Describe(_))));
        let cases = [
            ("paint", json!({}), "there is no tool \"paint\"; there are describe, ask"),
            ("describe", json!({}), "describe: missing field `input`"),
            ("describe", json!({ "input": 3 }), "describe: input: invalid type: integer `3`, expected a string"),
            ("describe", json!({ "input": "a", "inptu": "b" }), "unknown field `inptu`"),
            ("describe", json!({ "input": "a", "top": -1 }), "describe: top: "),
            ("watch", json!({ "input": "a", "alerts": ["b", 3] }), "watch: alerts[1]: "),
            ("ask", json!({ "input": "a" }), "missing field `question`"),
            ("ask", json!({ "input": "a", "question": "what", "answers": "a, b" }), "expected a sequence"),
            ("compare", json!({ "a": "a", "b": "" }), "compare: `b` is empty"),
        ];
        for (name, arguments, words) in cases {
            let said = parse(name, arguments.clone()).unwrap_err();
            assert!(said.contains(words) && said.lines().count() == 1, "{name} {arguments}: {said}");
        }
    }
}
