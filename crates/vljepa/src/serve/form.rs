//! `multipart/form-data` (RFC 7578), read piece by piece: of a file of any length only what has just come is in memory.

use memchr::memmem;

/// Longest head of a part.
const MAX_HEAD: usize = 16 << 10;
/// Longest boundary (RFC 2046, 5.1.1).
const MAX_BOUNDARY: usize = 70;

/// What is found in a form, in its order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A part begins.
    Begin(Head),
    /// Bytes of the part.
    Bytes(&'a [u8]),
    /// The part is complete.
    End,
}

/// What the head of a part says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// The name of the field.
    pub name: String,
    /// The name of the file, where it is one.
    pub file: Option<String>,
    /// The type of the file.
    pub media_type: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Before the first boundary.
    Preamble,
    /// Right after a boundary.
    Boundary,
    Head,
    Body,
    /// After the last boundary.
    Done,
}

/// A form that comes in pieces.
#[derive(Debug)]
pub(super) struct Form {
    /// CR LF, two dashes, and the boundary.
    delimiter: Vec<u8>,
    held: Vec<u8>,
    at: At,
}

/// The boundary that a content type states.
pub(super) fn boundary(content_type: &str) -> Option<String> {
    let found = parameters(content_type).find(|(name, _)| name.eq_ignore_ascii_case("boundary"))?.1;
    (1..=MAX_BOUNDARY).contains(&found.len()).then_some(found)
}

impl Form {
    /// Nothing has come yet.
    pub fn new(boundary: &str) -> Self {
        // The first boundary may stand at the very beginning.
        Self { delimiter: format!("\r\n--{boundary}").into_bytes(), held: b"\r\n".to_vec(), at: At::Preamble }
    }

    /// Takes the next bytes, and gives what is complete with them.
    ///
    /// # Errors
    /// What is wrong with the form, or what `each` reports.
    pub fn push<E: From<&'static str>>(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.held.extend_from_slice(bytes);
        let mut from = 0;
        loop {
            let held = &self.held[from..];
            let next = match self.at {
                At::Done => {
                    from = self.held.len();
                    break;
                }
                At::Preamble | At::Body => {
                    let found = memmem::find(held, &self.delimiter);
                    // The beginning of a boundary may be at the end.
                    let keep = self.delimiter.len() - 1;
                    let upto = found.unwrap_or(held.len().saturating_sub(keep));
                    if self.at == At::Body && upto > 0 {
                        each(Piece::Bytes(&held[..upto]))?;
                    }
                    if found.is_none() {
                        from += upto;
                        break;
                    }
                    if self.at == At::Body {
                        each(Piece::End)?;
                    }
                    (upto + self.delimiter.len(), At::Boundary)
                }
                At::Boundary => {
                    let padding = held.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
                    if padding > MAX_HEAD {
                        return Err("a boundary of the form is followed by white space without end".into());
                    }
                    match held.get(padding..padding + 2) {
                        None => break,
                        Some(b"--") if padding == 0 => (2, At::Done),
                        // The head of a part may be empty, so the line end stays.
                        Some(b"\r\n") => (padding, At::Head),
                        Some(_) => return Err("a boundary of the form is followed by something else".into()),
                    }
                }
                At::Head => match memmem::find(held, b"\r\n\r\n") {
                    Some(end) if end <= MAX_HEAD => {
                        each(Piece::Begin(head(&held[..end])?))?;
                        (end + 4, At::Body)
                    }
                    None if held.len() <= MAX_HEAD => break,
                    _ => return Err("the head of a part of the form is too long".into()),
                },
            };
            from += next.0;
            self.at = next.1;
        }
        self.held.drain(..from);
        Ok(())
    }

    /// Whether the last boundary has come.
    pub fn is_whole(&self) -> bool {
        self.at == At::Done
    }
}

/// Reads the lines of a head.
fn head(bytes: &[u8]) -> Result<Head, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "the head of a part of the form is not UTF-8")?;
    let mut head = Head::default();
    let mut named = false;
    for line in text.split("\r\n").filter(|line| !line.is_empty()) {
        let Some((name, value)) = line.split_once(':') else {
            return Err("a line in the head of a part of the form has no colon");
        };
        if name.eq_ignore_ascii_case("content-type") {
            head.media_type = Some(value.trim().to_owned());
        }
        if name.eq_ignore_ascii_case("content-disposition") {
            for (name, value) in parameters(value) {
                match name {
                    "name" => (head.name, named) = (unescaped(&value), true),
                    "filename" => head.file = Some(unescaped(&value)),
                    _ => {}
                }
            }
        }
    }
    if named { Ok(head) } else { Err("a part of the form has no name") }
}

/// What browsers escape in names.
fn unescaped(text: &str) -> String {
    text.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n")
}

/// The parameters after the first `;` of a header: names, and values without their quotes.
fn parameters(header: &str) -> impl Iterator<Item = (&str, String)> {
    let mut rest = header.find(';').map_or("", |at| &header[at + 1..]);
    std::iter::from_fn(move || {
        let (name, after) = rest.split_once('=')?;
        let (mut value, mut quoted, mut escaped) = (String::new(), false, false);
        let mut end = after.len();
        for (at, c) in after.char_indices() {
            match c {
                _ if escaped => {
                    // Some browsers send paths with their backslashes as they are.
                    if !matches!(c, '"' | '\\') {
                        value.push('\\');
                    }
                    value.push(c);
                    escaped = false;
                }
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                ';' if !quoted => {
                    end = at + 1;
                    break;
                }
                c => value.push(c),
            }
        }
        rest = &after[end..];
        Some((name.trim(), if after.trim_start().starts_with('"') { value } else { value.trim().to_owned() }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &[u8] = b"to be ignored\r\n--x-1\r\nContent-Disposition: form-data; name=\"question\"\r\n\r\nwhich \r\n--x way?\r\n--x-1  \r\n\
        content-disposition: form-data; filename=\"a \\\"b\\\"; c.mp4\"; name=file\r\nContent-Type: video/mp4\r\n\r\n\x00\r\n--x-\xff\r\r\n\r\n--x-1\r\n\
        Content-Disposition: form-data; name=\"empty\"\r\n\r\n\r\n--x-1--\r\nand after";

    type Found = Vec<(Head, Vec<u8>)>;

    fn read(form: &mut Form, pieces: impl IntoIterator<Item = Vec<u8>>) -> Result<Found, &'static str> {
        let (mut found, mut open): (Found, bool) = (Vec::new(), false);
        for piece in pieces {
            form.push(&piece, |piece| {
                match piece {
                    Piece::Begin(head) => {
                        assert!(!std::mem::replace(&mut open, true));
                        found.push((head, Vec::new()));
                    }
                    Piece::Bytes(bytes) => found.last_mut().unwrap().1.extend_from_slice(bytes),
                    Piece::End => assert!(std::mem::replace(&mut open, false)),
                }
                Ok::<(), &'static str>(())
            })?;
            // Little more than what may be the beginning of a boundary is held.
            assert!(form.held.len() < 200, "{}", form.held.len());
        }
        Ok(found)
    }

    #[test]
    fn a_form_is_the_same_in_pieces_of_any_size() {
        let head = |name: &str, file: Option<&str>, media_type: Option<&str>| Head {
            name: name.into(),
            file: file.map(str::to_owned),
            media_type: media_type.map(str::to_owned),
        };
        let want: Found = vec![
            (head("question", None, None), b"which \r\n--x way?".to_vec()),
            (head("file", Some("a \"b\"; c.mp4"), Some("video/mp4")), b"\x00\r\n--x-\xff\r\r\n".to_vec()),
            (head("empty", None, None), Vec::new()),
        ];
        for size in (1..40).chain([FORM.len()]) {
            let mut form = Form::new("x-1");
            let found = read(&mut form, FORM.chunks(size).map(<[u8]>::to_vec));
            assert_eq!((found.as_ref(), form.is_whole()), (Ok(&want), true), "{size}");
        }
        // Cut off anywhere it is not whole, and says so.
        for cut in 0..FORM.len() - b"--\r\nand after".len() + 1 {
            let mut form = Form::new("x-1");
            assert!(read(&mut form, [FORM[..cut].to_vec()]).is_ok() && !form.is_whole(), "{cut}");
        }
    }

    #[test]
    fn what_is_no_form_is_refused() {
        let part = |head: &str| format!("--b\r\n{head}\r\n\r\nx\r\n--b--").into_bytes();
        for (bytes, word) in [
            (part("Content-Type: a/b"), "no name"),
            (part("no colon here"), "colon"),
            (b"--b and more\r\n\r\n".to_vec(), "something else"),
            (part(&format!("a: {}", "x".repeat(MAX_HEAD))), "too long"),
            ([b"--b\r\na: \xff", &part("")[..]].concat(), "UTF-8"),
            (format!("--b{}", " ".repeat(MAX_HEAD + 3)).into_bytes(), "white space"),
        ] {
            let mut form = Form::new("b");
            let error = form.push(&bytes, |_| Ok::<(), &'static str>(())).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
        // A head that never ends.
        let mut form = Form::new("b");
        let mut each = |_: Piece<'_>| Ok::<(), &'static str>(());
        form.push(b"--b\r\n", &mut each).unwrap();
        assert!((0..40).any(|_| form.push(&[b'a'; 1024], &mut each).is_err()));
    }

    #[test]
    fn boundaries_stand_in_content_types() {
        let of = |text: &str| boundary(text);
        assert_eq!(of("multipart/form-data; boundary=abc").as_deref(), Some("abc"));
        assert_eq!(of("multipart/form-data;charset=utf-8; Boundary=\"a b;c\"").as_deref(), Some("a b;c"));
        for none in ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary"] {
            assert_eq!(of(none), None, "{none}");
        }
        assert_eq!(of(&format!("multipart/form-data; boundary={}", "x".repeat(71))), None);
    }
}
