//! What a stream has told, as a page: novelty over time, sentences with pictures, alerts.

use vljepa_data::{Rgb8Image, encode_jpeg};

use super::alert::Event;
use super::engine::{Summary, Update};
use crate::error::Result;
use crate::html::{base64, escape, head};

/// Points of the curve that are kept: where there are more, two become one.
const POINTS: usize = 2048;
/// Sentences with pictures, and alerts, that are kept: the newest.
const TOLD: usize = 500;
/// Width and height of the drawing.
const SIZE: [f64; 2] = [960.0, 120.0];
/// Height of the bar of an alert.
const BAR: f64 = 14.0;

const STYLE: &str = "\
svg.timeline{width:100%;height:auto;display:block;overflow:visible}
.timeline .curve{fill:none;stroke:currentColor;stroke-width:1.2}
.timeline .encoded{fill:currentColor;opacity:.25}
.timeline .told{stroke:#c2410c;stroke-width:1.5}
.timeline .alert{fill:#2563eb;opacity:.6}
.timeline text{font-size:11px;fill:currentColor}
ol.told{list-style:none;padding:0;display:grid;grid-template-columns:repeat(auto-fill,minmax(15rem,1fr));gap:.8rem}
ol.told li{display:flex;gap:.7rem;align-items:flex-start}
ol.told img{width:5rem;height:5rem;border-radius:4px;flex:none;image-rendering:auto}
ol.told time{display:block;opacity:.7;font-variant-numeric:tabular-nums}
";

/// Some windows of a stream together.
#[derive(Clone, Copy, Debug)]
struct Point {
    start: f64,
    end: f64,
    novelty: f64,
    encoded: bool,
}

/// A sentence and the picture of its moment.
#[derive(Debug)]
struct Moment {
    time: f64,
    text: String,
    picture: String,
}

/// Collects what a stream tells. Its memory does not grow with the length of the stream.
#[derive(Debug, Default)]
pub struct Timeline {
    points: Vec<Point>,
    /// Windows that a point stands for.
    each: usize,
    /// Windows in the last point.
    within: usize,
    told: Vec<Moment>,
    /// Sentences and alerts that are not kept.
    dropped: [usize; 2],
    events: Vec<Event>,
}

impl Timeline {
    /// Nothing seen.
    pub fn new() -> Self {
        Self { each: 1, ..Self::default() }
    }

    /// A window, and the sentence that was told of it with the picture of that moment.
    ///
    /// # Errors
    /// A picture that cannot be encoded.
    pub fn push(&mut self, update: &Update, told: Option<(&str, Option<&Rgb8Image>)>) -> Result<()> {
        let point = Point { start: update.start, end: update.end, novelty: update.novelty, encoded: update.encoded };
        // The last window may come once more, to be told.
        let is_new = self.points.last().is_none_or(|last| last.end < point.end);
        match self.points.last_mut().filter(|_| self.within < self.each || !is_new) {
            Some(_) if !is_new => {}
            Some(last) => {
                *last = joined(*last, point);
                self.within += 1;
            }
            None => {
                self.points.push(point);
                self.within = 1;
            }
        }
        if self.points.len() > POINTS {
            let pairs = self.points.chunks(2).map(|pair| pair.iter().copied().reduce(joined).unwrap_or(pair[0]));
            self.points = pairs.collect();
            self.each *= 2;
        }
        if let Some((text, picture)) = told {
            if self.told.len() >= TOLD {
                self.told.remove(0);
                self.dropped[0] += 1;
            }
            let picture = picture.map(|picture| encode_jpeg(picture, 85)).transpose()?;
            let picture = base64(&picture.unwrap_or_default());
            self.told.push(Moment { time: update.start, text: text.to_owned(), picture });
        }
        self.events.extend(update.alerts.iter().filter_map(|alert| alert.ended.clone()));
        let over = self.events.len().saturating_sub(TOLD);
        self.events.drain(..over);
        self.dropped[1] += over;
        Ok(())
    }

    /// The page, with the events that were on at the end. `title` names the stream, `facts` says how it was watched.
    pub fn page(&self, title: &str, facts: &str, summary: &Summary, open: &[Event]) -> String {
        let events: Vec<&Event> = self.events.iter().chain(open).collect();
        let mut page = head(title, STYLE);
        page += &format!("<h1>{}</h1>\n<p>{}</p>\n", escape(title), escape(facts));
        page += &self.drawing(&events);
        let share = |part: u64| 100.0 * part as f64 / summary.windows.max(1) as f64;
        page += &format!(
            "<p>{} windows, {:.1} % of them encoded, {} sentences told{}.</p>\n",
            summary.windows,
            share(summary.encoded),
            summary.spoken,
            summary.fidelity.map_or(String::new(), |mean| format!(
                "; of windows that were left out {} were encoded to see what that costs: the cosine to the state that was kept is {mean:.3}",
                summary.audited
            )),
        );
        for (kept, dropped, what) in
            [(self.told.len(), self.dropped[0], "sentences"), (self.events.len(), self.dropped[1], "alerts")]
        {
            if dropped > 0 {
                page += &format!("<p>The newest {kept} {what}; {dropped} came before them.</p>\n");
            }
        }
        page += "<h2>What was told</h2>\n<ol class=\"told\">\n";
        for moment in &self.told {
            page += &format!(
                "<li><img alt=\"\" src=\"data:image/jpeg;base64,{}\"><div><time>{}</time>{}</div></li>\n",
                moment.picture,
                clock(moment.time),
                escape(&moment.text)
            );
        }
        page += "</ol>\n";
        if !events.is_empty() {
            page += "<h2>Alerts</h2>\n<table><tr><th>text<th>from<th>to<th>strongest at<th>cosine</tr>\n";
            for event in &events {
                page += &format!(
                    "<tr><td>{}<td>{}<td>{}<td>{}<td>{:.3}</tr>\n",
                    escape(&event.text),
                    clock(event.start_s),
                    clock(event.end_s),
                    clock(event.peak_s),
                    event.score
                );
            }
            page += "</table>\n";
        }
        page + "</main>\n</body>\n</html>\n"
    }

    fn drawing(&self, events: &[&Event]) -> String {
        let (first, last) = (self.points.first().map_or(0.0, |p| p.start), self.points.last().map_or(1.0, |p| p.end));
        let [width, height] = SIZE;
        let x = |time: f64| width * ((time - first) / (last - first).max(1e-9)).clamp(0.0, 1.0);
        let y = |novelty: f64| height * (1.0 - novelty.clamp(0.0, 1.0));
        let mut names: Vec<&str> = events.iter().map(|event| event.text.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let bottom = height + BAR * (names.len() + 2) as f64;
        let mut out = format!(
            "<svg class=\"timeline\" viewBox=\"0 -4 {width} {:.0}\" role=\"img\" aria-label=\"novelty over time\">\n",
            bottom + 4.0
        );
        for point in self.points.iter().filter(|point| point.encoded) {
            let (from, to) = (x(point.start), x(point.end));
            out += &format!(
                "<rect class=\"encoded\" x=\"{from:.1}\" y=\"{height}\" width=\"{:.1}\" height=\"3\"/>",
                to - from
            );
        }
        for moment in &self.told {
            let at = x(moment.time);
            let tip = escape(&moment.text);
            out += &format!(
                "<line class=\"told\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"0\" y2=\"{height}\"><title>{tip}</title></line>"
            );
        }
        let curve = self.points.iter().map(|p| format!("{:.1},{:.1}", x((p.start + p.end) / 2.0), y(p.novelty)));
        out += &format!("\n<polyline class=\"curve\" points=\"{}\"/>\n", curve.collect::<Vec<_>>().join(" "));
        for event in events {
            let row = names.iter().position(|name| *name == event.text).unwrap_or(0);
            let top = height + 6.0 + BAR * row as f64;
            let (from, to) = (x(event.start_s), x(event.end_s));
            out += &format!(
                "<rect class=\"alert\" x=\"{from:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{}\"/><text x=\"{from:.1}\" y=\"{:.1}\">{}</text>\n",
                (to - from).max(2.0),
                BAR - 3.0,
                top + BAR - 5.0,
                escape(&event.text)
            );
        }
        let under = bottom - 2.0;
        out + &format!(
            "<text x=\"0\" y=\"{under:.0}\">{}</text><text x=\"{width}\" y=\"{under:.0}\" text-anchor=\"end\">{}</text>\n</svg>\n",
            clock(first),
            clock(last)
        )
    }
}

fn joined(one: Point, next: Point) -> Point {
    Point {
        start: one.start,
        end: next.end,
        novelty: one.novelty.max(next.novelty),
        encoded: one.encoded || next.encoded,
    }
}

/// Minutes and seconds, with hours where there are some.
pub fn clock(seconds: f64) -> String {
    let tenths = (seconds.max(0.0) * 10.0).round() as u64;
    let (hours, minutes, rest) = (tenths / 36_000, tenths / 600 % 60, tenths % 600);
    let short = format!("{minutes:02}:{:02}.{}", rest / 10, rest % 10);
    if hours > 0 { format!("{hours}:{short}") } else { short }
}

#[cfg(test)]
mod tests {
    use super::super::alert::Scored;
    use super::*;

    fn update(i: usize) -> Update {
        let event =
            Event { text: "often".into(), start_s: i as f64, end_s: i as f64 + 1.0, peak_s: i as f64, score: 0.4 };
        let ended = Scored { score: 0.1, on: false, is_peak: false, ended: Some(event) };
        Update {
            start: i as f64,
            end: i as f64 + 2.0,
            change: 0.0,
            encoded: i.is_multiple_of(50),
            novelty: if i == 4321 { 0.9 } else { 0.1 },
            variance: 0.0,
            speak: None,
            alerts: if i.is_multiple_of(50) { vec![ended] } else { Vec::new() },
        }
    }

    #[test]
    fn a_long_stream_takes_no_more_memory_and_keeps_its_peaks() {
        let (mut timeline, picture) = (Timeline::new(), Rgb8Image::new(2, 2, vec![9; 12]).unwrap());
        for i in 0..50_000 {
            timeline.push(&update(i), i.is_multiple_of(20).then_some(("a <b>", Some(&picture)))).unwrap();
        }
        assert!(timeline.points.len() <= POINTS && timeline.points.len() > POINTS / 3, "{}", timeline.points.len());
        assert_eq!(timeline.points.iter().filter(|point| point.novelty > 0.5).count(), 1);
        assert!(timeline.points.windows(2).all(|pair| pair[0].start < pair[1].start));
        assert_eq!((timeline.told.len(), timeline.events.len(), timeline.dropped), (TOLD, TOLD, [2000, 500]));
        let event = Event { text: "x & y".into(), start_s: 5.0, end_s: 9.0, peak_s: 6.0, score: 0.5 };
        let page = timeline.page("film", "as it was", &Summary { windows: 50_000, ..Summary::default() }, &[event]);
        assert!(page.contains("a &lt;b&gt;") && !page.contains("<b>") && page.contains("x &amp; y"));
        assert!(page.contains("13:53:21.0") && page.ends_with("</html>\n"), "{}", &page[page.len() - 400..]);
    }

    #[test]
    fn times_are_short() {
        assert_eq!((clock(0.0), clock(65.26), clock(3600.0)), ("00:00.0".into(), "01:05.3".into(), "1:00:00.0".into()));
        assert_eq!(clock(59.96), "01:00.0");
    }
}
