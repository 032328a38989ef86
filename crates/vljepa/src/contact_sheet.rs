//! A contact sheet: what searches found, as one HTML page without scripts and without requests.

use std::fmt::Write;

use vljepa_embed::visuals::{DEFAULT_RATE, Moment};

use crate::html::{base64, escape};
use crate::index::{Found, Index};
use crate::thumbnail::{Shown, thumbnails};

/// Pixels of the longer side of a thumbnail.
const SIDE: u32 = 320;

const STYLE: &str = include_str!("contact_sheet.css");

/// A search and what it found.
#[derive(Clone, Debug)]
pub struct Searched {
    /// What was searched for: a text, or the name of a file.
    pub query: String,
    /// What was found, best first.
    pub found: Vec<Found>,
}

/// The page for some searches of `indices`. A file that cannot be shown has the reason in the place of its picture.
pub fn contact_sheet(searches: &[Searched], indices: &[Index]) -> String {
    let rates: Vec<f64> = indices.iter().map(|index| index.reading().rate()).collect();
    page(searches, &rates)
}

/// `rates` are those of folders of frames, of each index.
fn page(searches: &[Searched], rates: &[f64]) -> String {
    let all = searches.iter().flat_map(|searched| &searched.found);
    let middle = |moment: Moment| (moment.start + moment.end) / 2.0;
    let shown = all.map(|found| Shown {
        path: found.path.clone(),
        time: found.best.map(middle),
        folder_fps: rates.get(found.index).copied().unwrap_or(DEFAULT_RATE),
    });
    let mut pictures = thumbnails(&shown.collect::<Vec<_>>(), SIDE).into_iter();
    let mut page = String::new();
    let title = searches.iter().map(|searched| searched.query.as_str()).collect::<Vec<_>>().join(" · ");
    page += "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";
    page += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
    add(&mut page, format_args!("<title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n", escape(&title)));
    for Searched { query, found } in searches {
        add(&mut page, format_args!("<section>\n<h1>{}</h1>\n", escape(query)));
        if found.is_empty() {
            page += "<p class=\"none\">Nothing in the index passes the filter.</p>\n";
        }
        page += "<ol>\n";
        for found in found {
            page += "<li>\n";
            match pictures.next() {
                Some(Ok(jpeg)) => {
                    let data = base64(&jpeg);
                    add(
                        &mut page,
                        format_args!(
                            "<div class=\"frame\"><img alt=\"\" src=\"data:image/jpeg;base64,{data}\"></div>\n"
                        ),
                    );
                }
                Some(Err(e)) => add(&mut page, format_args!("<div class=\"frame broken\">{}</div>\n", escape(&e))),
                None => {}
            }
            card(&mut page, found);
            page += "</li>\n";
        }
        page += "</ol>\n</section>\n";
    }
    page += "<footer>Scores are cosines between what was searched for and what is shown, from −1 to 1. Times are in the video.</footer>\n";
    page += "</body>\n</html>\n";
    page
}

fn add(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = page.write_fmt(text);
}

fn card(page: &mut String, found: &Found) {
    let path = found.path.display().to_string();
    let name = found.path.file_name().map_or_else(|| path.clone(), |name| name.to_string_lossy().into_owned());
    add(page, format_args!("<p class=\"name\" title=\"{}\">{}</p>\n<p class=\"facts\">", escape(&path), escape(&name)));
    if let Some(moment) = found.moment {
        add(page, format_args!("<span class=\"time\">{}–{}</span>", clock(moment.start), clock(moment.end)));
    }
    add(page, format_args!("<span class=\"score\">{:+.3}</span></p>\n", found.cosine));
    if !found.fresh {
        *page += "<p class=\"stale\">changed or gone since it was indexed</p>\n";
    }
}

/// Seconds as a clock shows them: 0:07.5, 1:02:03.
fn clock(seconds: f64) -> String {
    let tenths = (seconds.max(0.0) * 10.0).round() as u64;
    let (whole, rest) = (tenths / 10, tenths % 10);
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    let tail = if rest == 0 { String::new() } else { format!(".{rest}") };
    match hours {
        0 => format!("{minutes}:{seconds:02}{tail}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}{tail}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks() {
        let shown = [0.0, 7.54, 59.96, 61.0, 3723.0, -1.0].map(clock);
        assert_eq!(shown, ["0:00", "0:07.5", "1:00", "1:01", "1:02:03", "0:00"]);
    }

    #[test]
    fn a_page_stands_alone_and_texts_stay_texts() {
        let found = Found {
            index: 0,
            path: "no <such> file.png".into(),
            fresh: false,
            moment: Some(Moment { start: 1.0, end: 2.5 }),
            best: None,
            cosine: 0.25,
        };
        let searches = [
            Searched { query: "a <b> & \"c\"".into(), found: vec![found] },
            Searched { query: "nothing".into(), found: Vec::new() },
        ];
        let page = page(&searches, &[25.0]);
        assert!(
            page.contains("a &lt;b&gt; &amp; &quot;c&quot;") && page.contains("no &lt;such&gt; file.png"),
            "{page}"
        );
        assert!(page.contains("0:01–0:02.5") && page.contains("+0.250") && page.contains("changed or gone"), "{page}");
        assert!(page.contains("class=\"frame broken\"") && page.contains("Nothing in the index"), "{page}");
        for outside in ["http:", "https:", "<script", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}
