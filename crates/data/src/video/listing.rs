//! What the program `ffmpeg` writes on its standard error: FFmpeg's `framecrc` listing (size, time base, a line a frame) and,
//! between its lines, what it complains of (`-v level+warning`).

use super::process::Listing;

/// Frames at the start of a stream that may refer to what came before it.
const LEADING: u64 = 8;

/// Words of FFmpeg for a file that ends too early.
const CUT: [&str; 6] =
    ["File ended prematurely", "Packet corrupt", "corrupt input packet", "partial file", "truncated", "Truncated"];
/// And for frames that its decoder could not make from their bytes.
const DAMAGE: [&str; 6] = [
    "corrupt decoded frame",
    "Error while decoding",
    "Decoding error",
    "Error submitting packet to decoder",
    "error while decoding",
    "concealing",
];

/// The listing as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// Width and height in pixels.
    pub size: Option<(u32, u32)>,
    /// Numerator and denominator of a unit of time in seconds; 0 / 0 until it is known.
    time_base: (f64, f64),
    /// Frames so far.
    pub frames: u64,
    /// When the last of them is shown, in units of time.
    last: i64,
    /// The first error.
    pub error: Option<String>,
    /// The first complaint of a file that is cut off.
    pub cut: Option<String>,
    /// The first complaint of damage.
    pub damage: Option<String>,
    /// That of damage behind the first frames.
    pub damage_inside: Option<String>,
}

/// A line of the listing, or a complaint.
#[derive(Debug, PartialEq)]
enum Line {
    Size(u32, u32),
    TimeBase(f64, f64),
    Frame(i64),
}

impl Listed {
    /// Seconds of a time of the listing.
    pub fn seconds(&self, time: i64) -> f64 {
        let (n, d) = if self.time_base.1 > 0.0 { self.time_base } else { (1.0, 1.0) };
        time as f64 * n / d
    }

    /// When the last frame is shown, in seconds.
    pub fn last(&self) -> Option<f64> {
        (self.frames > 0).then(|| self.seconds(self.last))
    }

    fn complain(&mut self, text: &str) {
        let Complaint { text, warning } = complaint(text);
        if text.is_empty() {
            return;
        }
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if has(&DAMAGE) {
            self.damage.get_or_insert_with(|| text.clone());
            if self.frames > LEADING {
                self.damage_inside.get_or_insert_with(|| text.clone());
            }
        } else if has(&CUT) {
            self.cut.get_or_insert_with(|| text.clone());
        }
        if !warning {
            self.error.get_or_insert(text);
        }
    }
}

impl Listing for Listed {
    fn line(&mut self, line: &str) -> Option<i64> {
        // A line of the listing is written at once; those of the log are not, and may end up on both sides of one.
        let starts = ["0,", "#tb ", "#dimensions "].into_iter().flat_map(|start| line.match_indices(start));
        if let Some((at, found)) = starts.filter_map(|(at, _)| Some((at, parse(&line[at..])?))).next() {
            self.complain(&line[..at]);
            match found {
                Line::Size(width, height) => self.size = Some((width, height)),
                Line::TimeBase(n, d) => self.time_base = (n, d),
                Line::Frame(time) => {
                    self.last = if self.frames == 0 { time } else { self.last.max(time) };
                    self.frames += 1;
                    return Some(time);
                }
            }
            return None;
        }
        if !line.starts_with('#') {
            self.complain(line);
        }
        None
    }
}

fn parse(line: &str) -> Option<Line> {
    let pair = |text: &str, mark: char| {
        let (a, b) = text.split_once(mark)?;
        Some((a.trim().parse::<u32>().ok()?, b.trim().parse::<u32>().ok()?))
    };
    if let Some(rest) = line.strip_prefix('#') {
        let (key, value) = rest.split_once(':')?;
        return match key {
            "dimensions 0" => pair(value, 'x').map(|(width, height)| Line::Size(width, height)),
            "tb 0" => pair(value, '/').map(|(n, d)| Line::TimeBase(f64::from(n), f64::from(d.max(1)))),
            _ => None,
        };
    }
    // Stream, decoding time, display time, duration, bytes, checksum.
    let mut fields = line.splitn(7, ',').map(str::trim);
    let (stream, dts, pts) = (fields.next()?, fields.next()?, fields.next()?);
    let (duration, bytes, sum) = (fields.next()?, fields.next()?, fields.next()?);
    let number = |text: &str| text.parse::<i64>().ok();
    let whole = stream == "0" && number(dts).and(number(duration)).and(number(bytes)).is_some();
    (whole && sum.starts_with("0x")).then(|| number(pts).map(Line::Frame)).flatten()
}

struct Complaint {
    /// Without addresses, which differ from run to run.
    text: String,
    /// It is no more than a warning.
    warning: bool,
}

/// Takes a line of the log apart: `[h264 @ 0x55…] [error] what happened`.
fn complaint(line: &str) -> Complaint {
    let (mut rest, mut warning, mut origin) = (line.trim(), false, "");
    while let Some((inner, after)) = rest.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        match inner {
            "warning" => warning = true,
            "error" | "fatal" | "panic" => {}
            _ => match inner.split_once(" @ 0x") {
                Some((name, _)) => origin = name,
                None => break,
            },
        }
        rest = after.trim_start();
    }
    // What the log repeats, and the second lines of its messages, have no level.
    warning |= rest.starts_with("Last message repeated") || rest.starts_with("Consider increasing");
    let text = if origin.is_empty() || rest.is_empty() { rest.to_owned() } else { format!("{origin}: {rest}") };
    Complaint { text, warning }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings() {
        let mut listed = Listed::default();
        assert_eq!(listed.line("#software: Lavf62.3.100\n"), None);
        assert_eq!(listed.line("#tb 0: 1001/30000\n"), None);
        assert_eq!((listed.line("#dimensions 0: 640x272\n"), listed.size), (None, Some((640, 272))));
        assert_eq!(listed.line("0,         -1,          3,        1,   152064, 0x05b789ef\n"), Some(3));
        assert_eq!(listed.seconds(30000), 1001.0);
        assert_eq!(listed.line("  \n"), None);
        assert_eq!(listed.error, None);
        assert_eq!(listed.line("[h264 @ 0x55] [error] error while decoding MB 3 4, bytestream -5\n"), None);
        assert_eq!(listed.error.as_deref(), Some("h264: error while decoding MB 3 4, bytestream -5"));
        assert!(listed.damage.is_some() && listed.damage_inside.is_none() && listed.cut.is_none());
    }

    /// As FFmpeg 9.0.2 wrote them.
    #[test]
    fn lines_within_lines() {
        let mut listed = Listed::default();
        assert_eq!(
            listed.line("[flv @ 0x561542154bc0] 0,          7,          8,        1,     4608, 0xe00466ec\n"),
            Some(8)
        );
        assert_eq!(listed.line("[error] illegal ac vlc code at 0x0\n"), None);
        assert_eq!(listed.error.as_deref(), Some("illegal ac vlc code at 0x0"));
        assert_eq!(listed.line("[in#0/flv @ 0x55] [warning] corrupt input packet in stream 0\n"), None);
        assert_eq!(listed.cut.as_deref(), Some("in#0/flv: corrupt input packet in stream 0"));
        assert_eq!(listed.frames, 1);
    }
}
