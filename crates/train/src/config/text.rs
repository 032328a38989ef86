//! Where in the text of a configuration a key is, and the text without this machine's paths.

use std::path::Path;

use toml::de::{DeTable, DeValue};
use vljepa_model::json_fault;

/// A fault of TOML with its line and column, in one line.
pub(crate) fn located(text: &str, error: &toml::de::Error) -> String {
    let message = json_fault(&error.message().trim().replace('\n', "; "));
    match error.span() {
        Some(span) => {
            let before = text.get(..span.start).unwrap_or(text);
            let line = 1 + before.matches('\n').count();
            let column = 1 + before.rsplit('\n').next().map_or(0, |l| l.chars().count());
            format!("line {line}, column {column}: {message}")
        }
        None => message,
    }
}

/// `what`, behind the line of `key` where the text has it.
pub(crate) fn at_line(text: &str, key: &str, what: String) -> String {
    match line_of(text, key) {
        Some(line) => format!("line {line}: {what}"),
        None => what,
    }
}

/// A configuration's text, with the last part of each absolute path in its place; `paths` are the keys of paths.
pub(crate) fn cut_paths(text: &str, paths: &[String]) -> String {
    let Ok(root) = DeTable::parse(text) else { return text.to_owned() };
    let mut cuts = Vec::new();
    for key in paths {
        let (mut table, mut value) = (Some(root.get_ref()), None);
        for part in key.split('.') {
            let found = table.and_then(|table| table.iter().find(|(name, _)| name.get_ref() == part));
            value = found.map(|(_, value)| value);
            table = value.and_then(|value| value.get_ref().as_table());
        }
        if let Some(value) = value
            && let Some(path) = value.get_ref().as_str().map(Path::new)
            && path.has_root()
        {
            let last = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            cuts.push((value.span(), toml::Value::String(last).to_string()));
        }
    }
    cuts.sort_by_key(|(span, _)| span.start);
    let (mut out, mut end) = (String::with_capacity(text.len()), 0);
    for (span, last) in cuts {
        out += text.get(end..span.start).unwrap_or_default();
        out += &last;
        end = span.end;
    }
    out + text.get(end..).unwrap_or_default()
}

/// The line of a key, from 1. `key` is a path such as `data.phases.2.from`, with the places of arrays in numbers; where the
/// file lacks its end, the line of the last part that is there, and none where it has nothing of it.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let root = DeTable::parse(text).ok()?;
    let (mut start, mut table) = (None, Some(root.get_ref()));
    let mut value: Option<&DeValue<'_>> = None;
    for part in key.split('.') {
        let next = match (table, value) {
            (Some(table), _) => {
                let found = table.iter().find(|(name, _)| name.get_ref() == part);
                found.map(|(name, value)| (name.span().start, value.get_ref()))
            }
            (None, Some(DeValue::Array(items))) => {
                let item = part.parse().ok().and_then(|i: usize| items.get(i));
                item.map(|item| (item.span().start, item.get_ref()))
            }
            _ => None,
        };
        let Some((at, found)) = next else { break };
        start = Some(at);
        table = found.as_table();
        value = Some(found);
    }
    Some(1 + text.get(..start?)?.matches('\n').count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_lines_however_they_are_written() {
        let text = "steps = 1 # [data]\nwarmup = 2\n\n[ data ] # names = 1\nnames = [\n  \"a\",\n  \"b\", # c\n]\n\
            phases = [{ from = 0.1, image_size = 8 },\n { from = 0.2,\n image_size = 9 }]\n\
            [schedule]\nkind = \"wsd\"\n\"warmup\" = 0.5\n\
            [[optimizer.groups]]\npattern = \"*\"\n[[optimizer.groups]]\npattern = \"a\"\nlr_scale = 2\n\
            [optimizer.muon]\nlr = 1\n[objective]\ny_head.tags = 1\n";
        for (key, line) in [
            ("steps", Some(1)),
            ("data", Some(4)),
            ("data.names", Some(5)),
            ("data.names.1", Some(7)),
            ("data.names.7", Some(5)),
            ("data.dir", Some(4)),
            ("data.phases.0.image_size", Some(9)),
            ("data.phases.1.image_size", Some(11)),
            ("schedule.warmup", Some(14)),
            ("optimizer.groups.1.lr_scale", Some(19)),
            ("optimizer.groups.1", Some(17)),
            ("optimizer.muon.lr", Some(21)),
            ("objective.y_head.tags", Some(23)),
            ("evaluate.every", None),
        ] {
            assert_eq!(line_of(text, key), line, "{key}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn absolute_paths_are_cut_to_their_last_parts_however_they_are_written() {
        let text = "output = '/home/me/runs/one' # kept\n\
            model.folder = \"/home/me/a \\\"b\\\"\"\nmodel.y_encoder = \"../e/f\"\n\
            [data]\nlists = [\"/x/y\"]\ndir = '''/srv/sets/pictures/'''\n";
        let cut = "output = \"one\" # kept\nmodel.folder = 'a \"b\"'\nmodel.y_encoder = \"../e/f\"\n\
            [data]\nlists = [\"/x/y\"]\ndir = \"pictures\"\n";
        let paths = ["output", "model.config", "model.folder", "model.y_encoder", "data.dir"].map(str::to_owned);
        let cut_paths = |text: &str| cut_paths(text, &paths);
        assert_eq!(cut_paths(text), cut);
        let table = "steps = 1\nmodel = { config = \"/m/config.json\", y_encoder = \"y\" }\n";
        assert_eq!(cut_paths(table), table.replace("/m/", ""));
        assert_eq!(cut_paths(&cut_paths(text)), cut);
    }
}
