//! The boxes of ISO/IEC 14496-12 that describe a video track, read from untrusted bytes.
//!
//! Sizes and counts in a file are only believed as far as the bytes at hand reach, so that no box can make a reader loop,
//! allocate or index beyond them.

/// The children of a box, in order; ends at the first that is not whole.
pub(super) struct Boxes<'a>(pub &'a [u8]);

impl<'a> Iterator for Boxes<'a> {
    type Item = ([u8; 4], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let kind = *self.0.get(4..)?.first_chunk()?;
        let (start, size) = match u32_at(self.0, 0)? {
            // To the end of the parent.
            0 => (8, self.0.len()),
            1 => (16, usize::try_from(u64_at(self.0, 8)?).ok()?),
            size => (8, size as usize),
        };
        let body = self.0.get(start..size)?;
        self.0 = &self.0[size..];
        Some((kind, body))
    }
}

/// The first child of that kind.
pub(super) fn child<'a>(parent: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    Boxes(parent).find(|(found, _)| found == kind).map(|(_, body)| body)
}

/// A box some levels down, the first of its kind on each.
pub(super) fn descend<'a>(parent: &'a [u8], path: &[&[u8; 4]]) -> Option<&'a [u8]> {
    path.iter().try_fold(parent, |body, kind| child(body, kind))
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|b| u16::from_be_bytes(*b))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_be_bytes(*b))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|b| u64::from_be_bytes(*b))
}

/// A number of 32 bits in version 0 of a box and of 64 in version 1; the places are those of either version.
pub(super) fn versioned(body: &[u8], v0: usize, v1: usize) -> Option<u64> {
    if body.first() == Some(&1) { u64_at(body, v1) } else { u32_at(body, v0).map(u64::from) }
}

/// The entries, `W` bytes each, of a full box whose number of entries stands at `at`; as many as there are bytes for.
pub(super) fn entries<const W: usize>(body: &[u8], at: usize) -> &[[u8; W]] {
    let count = u32_at(body, at).unwrap_or(0) as usize;
    let rows = body.get(at + 4..).unwrap_or(&[]).as_chunks::<W>().0;
    &rows[..count.min(rows.len())]
}

/// A table of runs: each pair is a number of samples and what holds for each of them.
pub(super) struct Runs<'a> {
    rows: std::slice::Iter<'a, [u8; 8]>,
    left: u32,
    value: u32,
}

impl<'a> Runs<'a> {
    /// `stts` or `ctts`.
    pub fn new(body: &'a [u8]) -> Self {
        Self { rows: entries::<8>(body, 4).iter(), left: 0, value: 0 }
    }

    /// The value of the next sample; that of the last run goes on where the table is too short.
    pub fn next_value(&mut self) -> u32 {
        while self.left == 0 {
            let Some(row) = self.rows.next() else {
                return self.value;
            };
            let number = |at: usize| u32::from_be_bytes([row[at], row[at + 1], row[at + 2], row[at + 3]]);
            (self.left, self.value) = (number(0), number(4));
        }
        self.left -= 1;
        self.value
    }
}

/// How the picture of a file is turned for display: the source is transposed first, then mirrored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Orientation {
    pub transpose: bool,
    pub flip_x: bool,
    pub flip_y: bool,
}

impl Orientation {
    /// From the matrix of `tkhd` or `mvhd`: (a, b, c, d) of x' = a·x + c·y, y' = b·x + d·y. Turns by other than quarters go to
    /// the nearest one.
    pub fn from_matrix([a, b, c, d]: [f64; 4]) -> Self {
        if a.abs() + d.abs() >= b.abs() + c.abs() {
            Self { transpose: false, flip_x: a < 0.0, flip_y: d < 0.0 }
        } else {
            Self { transpose: true, flip_x: c < 0.0, flip_y: b < 0.0 }
        }
    }

    /// Width and height as displayed.
    pub fn size(self, (width, height): (u32, u32)) -> (u32, u32) {
        if self.transpose { (height, width) } else { (width, height) }
    }

    /// Turns interleaved pixels of `C` bytes.
    pub fn apply<const C: usize>(self, data: &[u8], (width, height): (u32, u32)) -> Vec<u8> {
        let (across, down) = self.size((width, height));
        let mut out = Vec::with_capacity(data.len());
        for y in 0..down {
            let v = if self.flip_y { down - 1 - y } else { y };
            for x in 0..across {
                let u = if self.flip_x { across - 1 - x } else { x };
                let (column, row) = if self.transpose { (v, u) } else { (u, v) };
                let at = (row as usize * width as usize + column as usize) * C;
                out.extend_from_slice(&data[at..at + C]);
            }
        }
        out
    }
}

/// The linear part of the matrix at `at`; the identity where there is none.
pub(super) fn matrix(body: &[u8], at: usize) -> [f64; 4] {
    let entry = |index: usize| u32_at(body, at + 4 * index).map(|v| f64::from(v as i32) / 65536.0);
    match (entry(0), entry(1), entry(3), entry(4)) {
        (Some(a), Some(b), Some(c), Some(d)) if [a, b, c, d] != [0.0; 4] => [a, b, c, d],
        _ => [1.0, 0.0, 0.0, 1.0],
    }
}

/// First `m`, then `n`.
pub(super) fn after(m: [f64; 4], n: [f64; 4]) -> [f64; 4] {
    let [a, b, c, d] = m;
    let [e, f, g, h] = n;
    [e * a + g * b, f * a + h * b, e * c + g * d, f * c + h * d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_end_where_the_bytes_do() {
        let mut bytes = vec![0, 0, 0, 9, b'a', b'b', b'c', b'd', 7];
        bytes.extend([0, 0, 0, 1, b'w', b'i', b'd', b'e', 0, 0, 0, 0, 0, 0, 0, 17, 5]);
        let found: Vec<_> = Boxes(&bytes).collect();
        assert_eq!(found, [(*b"abcd", &[7_u8][..]), (*b"wide", &[5_u8][..])]);
        // Sizes of 2..8 bytes, below a header; beyond the end; a 64-bit size below its header.
        for size in [2_u32, 7, 10] {
            let mut bytes = size.to_be_bytes().to_vec();
            bytes.extend(b"free!");
            assert_eq!(Boxes(&bytes).count(), 0, "{size}");
        }
        let wide = [0, 0, 0, 1, b'w', b'i', b'd', b'e', 0, 0, 0, 0, 0, 0, 0, 8];
        assert_eq!(Boxes(&wide).count(), 0);
        let last = [0, 0, 0, 0, b'l', b'a', b's', b't', 1, 2];
        assert_eq!(child(&last, b"last"), Some(&[1_u8, 2][..]));
    }

    #[test]
    fn tables_are_no_longer_than_their_bytes() {
        let mut table = vec![0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
        table.extend([0, 0, 0, 2, 0, 0, 0, 40, 0, 0]);
        assert_eq!(entries::<8>(&table, 4).len(), 1);
        let mut runs = Runs::new(&table);
        assert_eq!([runs.next_value(), runs.next_value(), runs.next_value()], [40; 3]);
        assert!(entries::<8>(&[], 4).is_empty());
    }

    #[test]
    fn quarter_turns() {
        // A 2x1 picture: pixels 1, 2. Turned clockwise, 1 is above 2; counter-clockwise, below.
        let turned = |m: [f64; 4]| Orientation::from_matrix(m).apply::<1>(&[1, 2], (2, 1));
        assert_eq!(turned([1.0, 0.0, 0.0, 1.0]), [1, 2]);
        assert_eq!(turned([-1.0, 0.0, 0.0, -1.0]), [2, 1]);
        let clockwise = Orientation::from_matrix([0.0, 1.0, -1.0, 0.0]);
        assert_eq!(clockwise.size((2, 1)), (1, 2));
        assert_eq!(clockwise.apply::<1>(&[1, 2, 3, 4], (2, 2)), [3, 1, 4, 2]);
        let counter = Orientation::from_matrix([0.0, -1.0, 1.0, 0.0]);
        assert_eq!(counter.apply::<1>(&[1, 2, 3, 4], (2, 2)), [2, 4, 1, 3]);
        assert_eq!(after([0.0, 1.0, -1.0, 0.0], [0.0, 1.0, -1.0, 0.0]), [-1.0, 0.0, 0.0, -1.0]);
    }
}
