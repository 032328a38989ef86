//! What all HTML pages share: they are one file, without scripts and without requests.

/// The style sheet, for light and dark screens and paper.
pub(crate) const STYLE: &str = include_str!("page.css");

/// Text as it stands in HTML and in quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            _ => out.push(c),
        }
    }
    out
}

/// A fraction in per cent.
pub(crate) fn percent(fraction: f64) -> String {
    format!("{:.1}\u{a0}%", 100.0 * fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_cannot_break_out_of_the_page() {
        assert_eq!(escape("<a href='x'>\"&"), "&lt;a href=&#39;x&#39;&gt;&quot;&amp;");
    }
}
