//! What the tools take. A field's description is what an agent reads.

use rmcp::schemars::JsonSchema;
use serde::Deserialize;

/// Latest time of a video, in seconds.
const MOST_SECONDS: f64 = 1e6;
/// Most texts of a call.
const MOST_TEXTS: usize = 1000;
/// Most characters of a text.
const MOST_CHARACTERS: usize = 10_000;
/// Most results of a call.
const MOST_RESULTS: usize = 100;
/// Most windows of a stream that a call watches.
const MOST_WATCHED: f64 = 2400.0;
/// Most windows of a video that a call foretells.
pub(super) const MOST_FORETOLD: usize = 120;

/// Checks what a schema cannot say, and what a client may not have checked.
pub(super) trait Checked {
    /// # Errors
    /// The first field that is wrong, and what would be right.
    fn check(&self) -> Result<(), String>;
}

fn three() -> usize {
    3
}

fn five() -> usize {
    5
}

fn ten() -> usize {
    10
}

fn two_seconds() -> f64 {
    2.0
}

fn most_parts() -> usize {
    24
}

fn novelty() -> f64 {
    0.15
}

fn tenth() -> f64 {
    0.1
}

fn minute() -> f64 {
    60.0
}

fn two_minutes() -> f64 {
    120.0
}

fn sixteen() -> usize {
    16
}

fn eight() -> f64 {
    8.0
}

fn yes() -> bool {
    true
}

/// Tell what a picture or a video shows.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub struct Describe {
    /// Path of a picture, a video or a folder of frames
    pub input: String,
    /// Sentences to choose among, the nearest of which tell what is seen; without any the model writes a sentence of its own
    pub captions: Option<Vec<String>>,
    /// How many of the captions to give for each part, the nearest first
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 100))]
    pub top: usize,
    /// Seconds of a window: what is shorter is not told apart
    #[serde(default = "two_seconds")]
    #[schemars(range(min = 0.05, max = 3600.0))]
    pub window_s: f64,
    /// Most segments to tell
    #[serde(default = "most_parts")]
    #[schemars(range(min = 1, max = 100))]
    pub max_segments: usize,
    /// How much two neighbouring segments differ at least: 1 - cosine
    #[serde(default = "tenth")]
    #[schemars(range(min = 0.0, max = 2.0))]
    pub novelty: f64,
    /// Look at the video from this second on
    #[schemars(range(min = 0.0))]
    pub start_s: Option<f64>,
    /// Look at the video up to this second
    #[schemars(range(min = 0.0))]
    pub end_s: Option<f64>,
}

/// Answer a question about a picture or a video.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub struct Ask {
    /// Path of a picture, a video or a folder of frames
    pub input: String,
    /// The question
    pub question: String,
    /// Answers to choose among; without any the model writes one of its own
    pub answers: Option<Vec<String>>,
    /// Answer for each window of so many seconds too, not only for the whole
    #[schemars(range(min = 0.05, max = 3600.0))]
    pub window_s: Option<f64>,
    /// Look at the video from this second on
    #[schemars(range(min = 0.0))]
    pub start_s: Option<f64>,
    /// Look at the video up to this second
    #[schemars(range(min = 0.0))]
    pub end_s: Option<f64>,
}

/// Find the moments that a text describes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub struct SearchMoments {
    /// Path of a video, a picture, or a folder that is searched with all folders in it
    pub input: String,
    /// What to look for, as a plain sentence
    pub text: String,
    /// Moments to give, the best first
    #[serde(default = "five")]
    #[schemars(range(min = 1, max = 100))]
    pub top: usize,
    /// Seconds of a window; windows overlap by half
    #[serde(default = "two_seconds")]
    #[schemars(range(min = 0.05, max = 3600.0))]
    pub window_s: f64,
    /// Give neighbouring windows that match about as well as one moment
    #[serde(default = "yes")]
    pub merge: bool,
}

/// Watch a video as a stream.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub struct Watch {
    /// Path of a video or a folder of frames
    pub input: String,
    /// Texts to be alerted by, such as "a dog appears"
    #[serde(default)]
    pub alerts: Vec<String>,
    /// Cosine at which an alert begins; without it 3 standard deviations above what the stream has shown so far
    #[schemars(range(min = -1.0, max = 1.0))]
    pub alert_above: Option<f64>,
    /// Sentences to choose among; without any the model writes its own
    pub captions: Option<Vec<String>>,
    /// Keep the answer to this question as the state, in place of what is seen in the whole
    pub query: Option<String>,
    /// Seconds of a window
    #[serde(default = "two_seconds")]
    #[schemars(range(min = 0.05, max = 3600.0))]
    pub window_s: f64,
    /// Windows a second
    #[serde(default = "two_seconds")]
    #[schemars(range(min = 0.001, max = 100.0))]
    pub hz: f64,
    /// How far a state must be from what was told last to be told: 1 - cosine
    #[serde(default = "novelty")]
    #[schemars(range(min = 0.0, max = 2.0))]
    pub novelty: f64,
    /// Go on from this second: the `resume_s` of the call before
    #[schemars(range(min = 0.0))]
    pub resume_s: Option<f64>,
    /// Seconds of the video to watch in this call
    #[serde(default = "two_minutes")]
    #[schemars(range(min = 0.1, max = 86400.0))]
    pub max_s: f64,
}

/// Find where a video stops being predictable.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub struct Surprise {
    /// Path of a video or a folder of frames
    pub input: String,
    /// Frames of a window, of which the second half is foretold from the first
    #[serde(default = "sixteen")]
    #[schemars(range(min = 2, max = 256))]
    pub frames: usize,
    /// Frames a second within a window
    #[serde(default = "eight")]
    #[schemars(range(min = 0.1, max = 240.0))]
    pub rate: f64,
    /// Most surprising moments to name
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 100))]
    pub top: usize,
    /// Go on from this second: the `resume_s` of the call before
    #[schemars(range(min = 0.0))]
    pub resume_s: Option<f64>,
    /// Seconds of the video to look at in this call; at most 120 windows
    #[serde(default = "minute")]
    #[schemars(range(min = 0.1, max = 86400.0))]
    pub max_s: f64,
}

/// Compare two pictures or videos.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub struct Compare {
    /// Path of a picture, a video or a folder of frames
    pub a: String,
    /// Path of another one
    pub b: String,
    /// Seconds of a window
    #[serde(default = "two_seconds")]
    #[schemars(range(min = 0.05, max = 3600.0))]
    pub window_s: f64,
    /// Compare the answers to this question, in place of what is seen in the whole
    pub query: Option<String>,
}

fn within(name: &str, value: f64, [least, most]: [f64; 2]) -> Result<(), String> {
    match (least..=most).contains(&value) {
        true => Ok(()),
        false => Err(format!("`{name}` is {value}; a number from {least} to {most} is expected")),
    }
}

fn count(name: &str, value: usize, most: usize) -> Result<(), String> {
    within(name, value as f64, [1.0, most as f64])
}

fn time(name: &str, value: Option<f64>) -> Result<(), String> {
    value.map_or(Ok(()), |value| within(name, value, [0.0, MOST_SECONDS]))
}

fn part(start: Option<f64>, end: Option<f64>) -> Result<(), String> {
    time("start_s", start)?;
    time("end_s", end)?;
    match (start.unwrap_or(0.0), end) {
        (start, Some(end)) if end <= start => Err(format!("`end_s` is {end}, which is not after `start_s`, {start}")),
        _ => Ok(()),
    }
}

fn text(name: &str, text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err(format!("`{name}` is empty"));
    }
    match text.chars().nth(MOST_CHARACTERS) {
        Some(_) => Err(format!("`{name}` has more than {MOST_CHARACTERS} characters")),
        None => Ok(()),
    }
}

fn texts(name: &str, list: &[String], may_be_none: bool) -> Result<(), String> {
    if list.is_empty() && !may_be_none {
        return Err(format!("`{name}` is an empty list; give some, or leave it out"));
    }
    if list.len() > MOST_TEXTS {
        return Err(format!("`{name}` has {} texts; at most {MOST_TEXTS} are taken", list.len()));
    }
    let mut seen = std::collections::HashMap::new();
    for (i, one) in list.iter().enumerate() {
        text(&format!("{name}[{i}]"), one)?;
        if let Some(before) = seen.insert(one.as_str(), i) {
            return Err(format!("`{name}[{i}]` repeats `{name}[{before}]`: every text must differ"));
        }
    }
    Ok(())
}

const WINDOW: [f64; 2] = [0.05, 3600.0];

impl Checked for Describe {
    fn check(&self) -> Result<(), String> {
        text("input", &self.input)?;
        texts("captions", self.captions.as_deref().unwrap_or_default(), self.captions.is_none())?;
        count("top", self.top, MOST_RESULTS)?;
        within("window_s", self.window_s, WINDOW)?;
        count("max_segments", self.max_segments, MOST_RESULTS)?;
        within("novelty", self.novelty, [0.0, 2.0])?;
        part(self.start_s, self.end_s)
    }
}

impl Checked for Ask {
    fn check(&self) -> Result<(), String> {
        text("input", &self.input)?;
        text("question", &self.question)?;
        texts("answers", self.answers.as_deref().unwrap_or_default(), self.answers.is_none())?;
        self.window_s.map_or(Ok(()), |window| within("window_s", window, WINDOW))?;
        part(self.start_s, self.end_s)
    }
}

impl Checked for SearchMoments {
    fn check(&self) -> Result<(), String> {
        text("input", &self.input)?;
        text("text", &self.text)?;
        count("top", self.top, MOST_RESULTS)?;
        within("window_s", self.window_s, WINDOW)
    }
}

impl Checked for Watch {
    fn check(&self) -> Result<(), String> {
        text("input", &self.input)?;
        texts("alerts", &self.alerts, true)?;
        self.alert_above.map_or(Ok(()), |above| within("alert_above", above, [-1.0, 1.0]))?;
        texts("captions", self.captions.as_deref().unwrap_or_default(), self.captions.is_none())?;
        self.query.as_deref().map_or(Ok(()), |query| text("query", query))?;
        within("window_s", self.window_s, WINDOW)?;
        within("hz", self.hz, [0.001, 100.0])?;
        within("novelty", self.novelty, [0.0, 2.0])?;
        time("resume_s", self.resume_s)?;
        within("max_s", self.max_s, [0.1, 86400.0])?;
        match self.max_s * self.hz {
            windows if windows > MOST_WATCHED => Err(format!(
                "`max_s` times `hz` is {windows:.0} windows; a call watches at most {MOST_WATCHED}: go on with `resume_s`"
            )),
            _ => Ok(()),
        }
    }
}

impl Checked for Surprise {
    fn check(&self) -> Result<(), String> {
        text("input", &self.input)?;
        within("frames", self.frames as f64, [2.0, 256.0])?;
        within("rate", self.rate, [0.1, 240.0])?;
        count("top", self.top, MOST_RESULTS)?;
        time("resume_s", self.resume_s)?;
        within("max_s", self.max_s, [0.1, 86400.0])
    }
}

impl Checked for Compare {
    fn check(&self) -> Result<(), String> {
        text("a", &self.a)?;
        text("b", &self.b)?;
        within("window_s", self.window_s, WINDOW)?;
        self.query.as_deref().map_or(Ok(()), |query| text("query", query))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_is_out_of_range_is_named() {
        let watch = |more: Value| {
            let mut call = json!({ "input": "a.mp4" });
            call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            serde_json::from_value::<Watch>(call).unwrap().check()
        };
        assert_eq!(watch(json!({})), Ok(()));
        assert_eq!(watch(json!({ "alerts": ["a dog"], "resume_s": 12.5, "max_s": 30 })), Ok(()));
        let cases = [
            (json!({ "input": " " }), "`input` is empty"),
            (json!({ "alerts": ["a", "b", "a"] }), "`alerts[2]` repeats `alerts[0]`"),
            (json!({ "alerts": ["a", ""] }), "`alerts[1]` is empty"),
            (json!({ "captions": [] }), "`captions` is an empty list"),
            (json!({ "alert_above": 2 }), "`alert_above` is 2"),
            (json!({ "window_s": 0 }), "`window_s` is 0"),
            (json!({ "hz": 1e9 }), "`hz` is 1000000000"),
            (json!({ "resume_s": -1 }), "`resume_s` is -1"),
            (json!({ "max_s": 86400, "hz": 10 }), "go on with `resume_s`"),
            (json!({ "query": "" }), "`query` is empty"),
        ];
        for (more, words) in cases {
            let said = watch(more.clone()).unwrap_err();
            assert!(said.contains(words), "{more}: {said}");
        }
        let part = |start, end| part(start, end).unwrap_err();
        assert!(part(Some(3.0), Some(3.0)).contains("not after `start_s`"));
        assert!(part(None, Some(0.0)).contains("not after"));
        assert!(part(Some(f64::NAN), None).contains("`start_s` is NaN"));
        assert!(texts("answers", &vec!["x".to_owned(); MOST_TEXTS + 1], false).unwrap_err().contains("at most 1000"));
        assert!(text("text", &"x".repeat(MOST_CHARACTERS + 1)).is_err() && text("text", "ä").is_ok());
    }
}
