//! What a file of Rust declares and names, from its tokens alone.

use std::collections::BTreeSet;

use super::scan;

/// One name that a `use` brings in.
#[derive(Debug, PartialEq, Eq)]
pub struct Use {
    /// The path that it stands for.
    pub path: Vec<String>,
    /// Its name here; of a glob, nothing.
    pub name: String,
    /// Whether it is all that the module at the path has.
    pub glob: bool,
    /// From 1.
    pub line: usize,
}

/// What a file, or a module within one, holds without its tests.
#[derive(Debug, Default)]
pub struct Parsed {
    /// Modules that are files of their own.
    pub modules: Vec<String>,
    /// Modules within the file.
    pub inner: Vec<(String, Parsed)>,
    /// Names of other things declared outside of any other braces.
    pub items: BTreeSet<String>,
    /// Macros declared by `macro_rules!`.
    pub macros: Vec<String>,
    pub uses: Vec<Use>,
    /// Paths of two and more names in code, with their lines.
    pub paths: Vec<(Vec<String>, usize)>,
}

/// A name or a mark, and its line.
struct Token<'a> {
    text: &'a str,
    line: usize,
}

fn tokens(code: &str) -> Vec<Token<'_>> {
    let bytes = code.as_bytes();
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < bytes.len() {
        let name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
        let end = match bytes[at] {
            byte if name(byte) => at + bytes[at..].iter().take_while(|byte| name(**byte)).count(),
            b':' if bytes.get(at + 1) == Some(&b':') => at + 2,
            _ => at + 1,
        };
        if bytes[at] == b'\n' {
            line += 1;
        } else if !bytes[at].is_ascii_whitespace() {
            tokens.push(Token { text: &code[at..end], line });
        }
        at = end;
    }
    tokens
}

fn is_name(text: &str) -> bool {
    text.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
}

/// Reads a file of Rust.
pub fn parse(source: &str) -> Parsed {
    let code = scan::without_tests(&scan::blank(source));
    block(&tokens(&code), 0).0
}

/// Reads from `at` to the brace that closes the block; also returns the place after it.
fn block(tokens: &[Token<'_>], mut at: usize) -> (Parsed, usize) {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let mut parsed = Parsed::default();
    let mut depth = 0_usize;
    while at < tokens.len() {
        let line = tokens[at].line;
        match text(at) {
            "{" => depth += 1,
            "}" if depth == 0 => return (parsed, at + 1),
            "}" => depth -= 1,
            "use" if text(at + 1) != "<" => {
                at = use_tree(tokens, at + 1, &mut Vec::new(), &mut parsed.uses);
                continue;
            }
            "mod" if is_name(text(at + 1)) && text(at + 2) == ";" => parsed.modules.push(text(at + 1).to_owned()),
            "mod" if is_name(text(at + 1)) && text(at + 2) == "{" => {
                let (inner, end) = block(tokens, at + 3);
                parsed.inner.push((text(at + 1).to_owned(), inner));
                at = end;
                continue;
            }
            "macro_rules" if text(at + 1) == "!" => {
                parsed.macros.push(text(at + 2).to_owned());
                parsed.items.insert(text(at + 2).to_owned());
            }
            "fn" | "struct" | "enum" | "union" | "trait" | "type" | "static" | "const" if depth == 0 => {
                let name = if text(at + 1) == "mut" { text(at + 2) } else { text(at + 1) };
                if is_name(name) {
                    parsed.items.insert(name.to_owned());
                }
            }
            name if is_name(name)
                && text(at + 1) == "::"
                && !matches!(at.checked_sub(1).map(text), Some("::" | ".")) =>
            {
                let mut path = vec![name.to_owned()];
                while text(at + 1) == "::" && is_name(text(at + 2)) {
                    path.push(text(at + 2).to_owned());
                    at += 2;
                }
                if path.len() > 1 {
                    parsed.paths.push((path, line));
                }
            }
            _ => {}
        }
        at += 1;
    }
    (parsed, at)
}

/// Reads the tree of a `use` from `at` to the `;`, `,` or `}` that ends it; returns the place of that.
fn use_tree(tokens: &[Token<'_>], mut at: usize, path: &mut Vec<String>, uses: &mut Vec<Use>) -> usize {
    let text = |at: usize| tokens.get(at).map_or(";", |token| token.text);
    let line = |at: usize| tokens.get(at).map_or(0, |token| token.line);
    let before = path.len();
    let mut renamed = None;
    let mut glob = false;
    let mut group = false;
    let place = line(at);
    loop {
        match text(at) {
            ";" | "," | "}" => break,
            "{" => {
                group = true;
                at += 1;
                while !matches!(text(at), "}" | ";") {
                    at = use_tree(tokens, at, path, uses);
                    at += usize::from(text(at) == ",");
                }
                // Over the brace that closes the group.
                at += usize::from(text(at) == "}");
                continue;
            }
            "*" => glob = true,
            "as" => {
                renamed = Some(text(at + 1).to_owned());
                at += 1;
            }
            name if is_name(name) => path.push(name.to_owned()),
            _ => {}
        }
        at += 1;
    }
    if !group && path.len() + usize::from(glob) > before {
        let mut whole = path.clone();
        // `a::{self}` is `a`.
        if whole.len() > 1 && whole.last().is_some_and(|last| last == "self") {
            whole.pop();
        }
        let name = if glob { String::new() } else { renamed.or_else(|| whole.last().cloned()).unwrap_or_default() };
        uses.push(Use { path: whole, name, glob, line: place });
    }
    path.truncate(before);
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uses(source: &str) -> Vec<String> {
        let one = |one: &Use| {
            let end = if one.glob { "::*".to_owned() } else { format!(" as {}", one.name) };
            format!("{}{end}", one.path.join("::"))
        };
        parse(source).uses.iter().map(one).collect()
    }

    #[test]
    fn trees_of_uses() {
        assert_eq!(
            uses("pub use a::{self, b::{C, D as E}, f::*, g};\npub(crate) use super::x;\nuse h;\n"),
            ["a as a", "a::b::C as C", "a::b::D as E", "a::f::*", "a::g as g", "super::x as x", "h as h"]
        );
        assert!(uses("fn f<'a>() -> impl Iterator<Item = &'a u8> + use<'a> { x }").is_empty());
        let lines: Vec<usize> = parse("use a::{\n    b,\n    c::d,\n};\n").uses.iter().map(|one| one.line).collect();
        assert_eq!(lines, [2, 3]);
    }

    #[test]
    fn declarations() {
        let parsed = parse(
            "pub const A: u8 = 1;\nconst fn b() { fn hidden() {} }\npub struct C<'a>(&'a u8);\nmod d;\nmod e { pub fn f() {} }\nimpl C<'_> { fn g() {} }\n",
        );
        assert_eq!(parsed.modules, ["d"]);
        let items: Vec<&str> = parsed.items.iter().map(String::as_str).collect();
        assert_eq!(parsed.inner[0].0, "e");
        assert!(parsed.inner[0].1.items.contains("f"));
        for name in ["A", "b", "C"] {
            assert!(items.contains(&name), "{name} of {items:?}");
        }
        for name in ["hidden", "f", "g"] {
            assert!(!items.contains(&name), "{name} of {items:?}");
        }
    }

    #[test]
    fn paths_in_code() {
        let paths =
            parse("fn f() { crate::a::g(); x.y::<u8>(); ::std::z(); Vec::<u8>::new(); super::h!(b::C { d: 1 }) }\n")
                .paths;
        let shown: Vec<String> = paths.iter().map(|(path, _)| path.join("::")).collect();
        assert_eq!(shown, ["crate::a::g", "super::h", "b::C"]);
    }
}
