//! What the tools give, as values with a schema and as a few lines of text.

use rmcp::schemars::JsonSchema;
use serde::Serialize;

use crate::stream::clock;

/// Lines of a list that are told as text; the values hold all of it.
const LINES: usize = 12;

/// A few lines of text for a result.
pub(super) trait Told: Serialize {
    /// The lines.
    fn text(&self) -> String;
}

/// Seconds, to the millisecond.
pub(super) fn seconds(time: f64) -> f64 {
    (time * 1e3).round() / 1e3
}

/// A score or a cosine, to four digits.
pub(super) fn score(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// A sentence for something that is seen.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub struct Sentence {
    /// The sentence
    pub text: String,
    /// Of a sentence that the model wrote the mean probability of its words; of a caption its cosine with what is seen
    pub score: f64,
}

/// A part of a video in words.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub struct Segment {
    /// When it begins, in seconds
    pub start_s: f64,
    /// When it ends
    pub end_s: f64,
    /// What is seen, the best first
    pub sentences: Vec<Sentence>,
}

/// What a picture or a video shows.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub struct Described {
    /// The file
    pub input: String,
    /// Whether it is a video
    pub is_video: bool,
    /// The whole in words, the best first
    pub sentences: Vec<Sentence>,
    /// The parts that differ, in the order of time; none of a picture
    pub segments: Vec<Segment>,
    /// Windows that were looked at
    pub windows: usize,
    /// From the start of a window to that of the next, in seconds; longer than a window where a video is long
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stride_s: Option<f64>,
    /// What is to be known of the file and of the texts
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub struct Answer {
    /// The answer
    pub answer: String,
    /// Of given answers the probability among them; of an answer that the model wrote the mean probability of its words
    pub score: f64,
    /// Of given answers the cosine with what the model predicts
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cosine: Option<f64>,
}

/// Answers for a window.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub struct AnswersAt {
    /// When the window begins, in seconds
    pub start_s: f64,
    /// When it ends
    pub end_s: f64,
    /// The best answers
    pub answers: Vec<Answer>,
}

/// Answers to a question.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub struct Answered {
    /// The file
    pub input: String,
    /// The question
    pub question: String,
    /// Answers for the whole, the best first
    pub answers: Vec<Answer>,
    /// Answers for each window, where they were asked for
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<AnswersAt>,
    /// What is to be known of the file and of the texts
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A moment that a text describes.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub struct FoundMoment {
    /// The file
    pub input: String,
    /// When it begins, in seconds; absent for a picture
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_s: Option<f64>,
    /// When it ends
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_s: Option<f64>,
    /// Cosine of the text and the best window, -1 to 1
    pub score: f64,
}

/// Moments that a text describes.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub struct FoundMoments {
    /// The text
    pub text: String,
    /// The best first
    pub moments: Vec<FoundMoment>,
    /// Pictures and videos that were searched
    pub files: usize,
    /// Windows and pictures that were compared
    pub windows: usize,
    /// Files that were embedded for this call; those of calls before are kept
    pub embedded: usize,
    /// Files that could not be read, with the reasons; at most 20
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<String>,
    /// What is to be known of the files and of the text; at most 20
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A time that a sentence tells.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub struct ToldSegment {
    /// When it begins, in seconds; in a call that goes on, this may lie before it
    pub start_s: f64,
    /// When it ends, or how far it was watched
    pub end_s: f64,
    /// What happens
    pub text: String,
    /// Of a sentence that the model wrote the mean probability of its words; of a caption its cosine with the state
    pub score: f64,
}

/// A time during which an alert was on.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub struct AlertEvent {
    /// The text of the alert
    pub text: String,
    /// When it began, in seconds
    pub start_s: f64,
    /// When it ended, or how far it was watched
    pub end_s: f64,
    /// When the score was highest
    pub peak_s: f64,
    /// The highest cosine
    pub score: f64,
    /// Whether it goes on at the end of what this call has watched
    pub goes_on: bool,
}

/// How near a stream came to a text, whether or not that raised an alert.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub struct AlertScore {
    /// The text of the alert
    pub text: String,
    /// The highest cosine in this call
    pub highest: f64,
    /// The start of that window, in seconds
    pub at_s: f64,
}

/// What a stream has told.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub struct Watched {
    /// The file
    pub input: String,
    /// Where this call began, in seconds
    pub start_s: f64,
    /// How far it came
    pub end_s: f64,
    /// Sentences with their times, told where the meaning changed
    pub segments: Vec<ToldSegment>,
    /// Alerts that ended in this call, or go on
    pub events: Vec<AlertEvent>,
    /// How near each alert was
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<AlertScore>,
    /// Windows of this call
    pub windows: u64,
    /// Windows of this call that were encoded; the others look like the last encoded one
    pub encoded: u64,
    /// Mean cosine of the kept state and of windows that were encoded only to check it, over the stream so far
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fidelity: Option<f64>,
    /// Whether the state of the call before was taken up
    pub continued: bool,
    /// Pass this as `resume_s` to go on; absent at the end of the video
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume_s: Option<f64>,
    /// Why the video could not be read further
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// What is to be known of the file and of the texts
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// How a window's second half came to one who saw the first.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub struct Foretold {
    /// When the window begins, in seconds
    pub start_s: f64,
    /// What is before this is known, what is after it foretold
    pub cut_s: f64,
    /// When it ends
    pub end_s: f64,
    /// 1 - cosine of what was foretold and what was seen, 0 to 2
    pub score: f64,
    /// Standard deviations of the score above the mean of this call
    pub z: f64,
}

/// Where a video stops being predictable.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub struct Surprises {
    /// The file
    pub input: String,
    /// Each window, in the order of time
    pub windows: Vec<Foretold>,
    /// The windows that came least as foretold, of which no two overlap
    pub peaks: Vec<Foretold>,
    /// Pass this as `resume_s` to go on; absent at the end of the video
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume_s: Option<f64>,
    /// What is to be known of the file
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A window of `a` beside those of `b`.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub struct Beside {
    /// When the window of `a` begins, in seconds
    pub start_s: f64,
    /// When it ends
    pub end_s: f64,
    /// Cosine with the window of `b` at the same time; absent where `b` has ended or is a picture
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cosine: Option<f64>,
    /// The highest cosine with any window of `b`
    pub best: f64,
    /// When that window of `b` begins; absent where `b` is a picture
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best_start_s: Option<f64>,
    /// When it ends
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best_end_s: Option<f64>,
}

/// How alike two pictures or videos are.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub struct Compared {
    /// The file `a`
    pub a: String,
    /// The file `b`
    pub b: String,
    /// Cosine of both as a whole, -1 to 1
    pub cosine: f64,
    /// Each window of `a`, in the order of time; none of a picture
    pub windows: Vec<Beside>,
    /// What is to be known of the files and of the query
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

fn sentence(sentences: &[Sentence]) -> String {
    let of = |one: &Sentence| format!("{} ({:.3})", one.text, one.score);
    sentences.iter().map(of).collect::<Vec<_>>().join(" · ")
}

fn answer(answers: &[Answer]) -> String {
    let of = |one: &Answer| format!("{} ({:.0} %)", one.answer, 100.0 * one.score);
    answers.iter().take(5).map(of).collect::<Vec<_>>().join(" · ")
}

fn span(start: f64, end: f64) -> String {
    format!("{} to {}", clock(start), clock(end))
}

/// The head and the first lines of a list.
fn listed(head: String, lines: Vec<String>, notes: &[String]) -> String {
    let more = lines.len().saturating_sub(LINES);
    let mut text = std::iter::once(head).chain(lines.into_iter().take(LINES)).collect::<Vec<_>>();
    if more > 0 {
        text.push(format!("… and {more} more"));
    }
    text.extend(notes.iter().take(LINES).map(|note| format!("note: {note}")));
    text.join("\n")
}

impl Told for Described {
    fn text(&self) -> String {
        let lines = match self.segments.as_slice() {
            [_] => Vec::new(),
            parts => parts
                .iter()
                .map(|part| format!("{}  {}", span(part.start_s, part.end_s), sentence(&part.sentences)))
                .collect(),
        };
        listed(sentence(&self.sentences), lines, &self.notes)
    }
}

impl Told for Answered {
    fn text(&self) -> String {
        let at = |at: &AnswersAt| format!("{}  {}", span(at.start_s, at.end_s), answer(&at.answers));
        listed(answer(&self.answers), self.windows.iter().map(at).collect(), &self.notes)
    }
}

impl Told for FoundMoments {
    fn text(&self) -> String {
        let line = |found: &FoundMoment| match (found.start_s, found.end_s) {
            (Some(start), Some(end)) => format!("{:+.3}  {}  {}", found.score, span(start, end), found.input),
            _ => format!("{:+.3}  {}", found.score, found.input),
        };
        let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let head = format!(
            "{} of {} in {}",
            count(self.moments.len(), "moment"),
            count(self.windows, "window"),
            count(self.files, "file")
        );
        let notes: Vec<String> =
            self.skipped.iter().map(|why| format!("left out: {why}")).chain(self.notes.iter().cloned()).collect();
        listed(head, self.moments.iter().map(line).collect(), &notes)
    }
}

impl Told for Watched {
    fn text(&self) -> String {
        let told = self.segments.iter().map(|part| format!("{}  {}", span(part.start_s, part.end_s), part.text));
        let event = |event: &AlertEvent| {
            let end = if event.goes_on { ", goes on" } else { "" };
            format!(
                "alert: {}  {}, strongest at {} ({:.3}){end}",
                event.text,
                span(event.start_s, event.end_s),
                clock(event.peak_s),
                event.score
            )
        };
        let lines = self.events.iter().map(event).chain(told).collect();
        let head = format!(
            "watched {}: {} windows, {} of them encoded",
            span(self.start_s, self.end_s),
            self.windows,
            self.encoded
        );
        let fault = self.fault.iter().map(|fault| format!("it could not be read further: {fault}"));
        let resume = self.resume_s.iter().map(|resume| format!("there is more: pass resume_s {resume}"));
        let notes: Vec<String> = fault.chain(resume).chain(self.notes.iter().cloned()).collect();
        listed(head, lines, &notes)
    }
}

impl Told for Surprises {
    fn text(&self) -> String {
        let line = |one: &Foretold| format!("{}  {:.3} ({:+.1} deviations)", clock(one.cut_s), one.score, one.z);
        let head = format!("{} windows; least as foretold came:", self.windows.len());
        let resume = self.resume_s.iter().map(|resume| format!("there is more: pass resume_s {resume}"));
        let notes: Vec<String> = resume.chain(self.notes.iter().cloned()).collect();
        listed(head, self.peaks.iter().map(line).collect(), &notes)
    }
}

impl Told for Compared {
    fn text(&self) -> String {
        let line = |one: &Beside| {
            let same = one.cosine.map_or_else(|| "-".to_owned(), |cosine| format!("{cosine:+.3}"));
            let at = one.best_start_s.map(|start| format!(" at {}", clock(start))).unwrap_or_default();
            format!("{}  {same} at the same time, at best {:+.3}{at}", span(one.start_s, one.end_s), one.best)
        };
        listed(format!("cosine {:+.3}", self.cosine), self.windows.iter().map(line).collect(), &self.notes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut_in_text_and_numbers_are_short() {
        let part = |i: usize| Segment {
            start_s: i as f64,
            end_s: i as f64 + 1.0,
            sentences: vec![Sentence { text: format!("thing {i}"), score: 0.5 }],
        };
        let mut described = Described {
            input: "a.mp4".into(),
            is_video: true,
            sentences: vec![Sentence { text: "a thing moves".into(), score: 0.91 }],
            segments: (0..20).map(part).collect(),
            windows: 40,
            stride_s: Some(1.0),
            notes: vec!["it is cut off".into()],
        };
        let text = described.text();
        assert!(text.starts_with("a thing moves (0.910)\n00:00.0 to 00:01.0  thing 0 (0.500)\n"), "{text}");
        assert!(text.ends_with("… and 8 more\nnote: it is cut off"), "{text}");
        described.segments.truncate(1);
        assert_eq!(described.text(), "a thing moves (0.910)\nnote: it is cut off");
        assert_eq!((seconds(1.2000000000000002), score(0.123_456)), (1.2, 0.1235));
    }
}
