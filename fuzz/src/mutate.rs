//! Damage to bytes, and to what they are built of.

use std::ops::Range;

use crate::random::Random;
use crate::tree;

/// How a target's input is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Bytes,
    /// Boxes of MP4, with their lengths.
    Boxes,
    /// MP4 of which only the frames and their parameters are damaged.
    Frames,
    Json,
    /// A length in 8 bytes, JSON, and data: safetensors.
    Header,
}

/// Longest input.
const MOST: usize = 1 << 20;

/// One of the seeds, damaged.
pub fn mutate(seeds: &[Vec<u8>], shape: Shape, random: &mut Random) -> Vec<u8> {
    let mut bytes = random.pick(seeds).cloned().unwrap_or_default();
    let structured = match shape {
        Shape::Bytes => None,
        Shape::Boxes if !random.once_in(3) => boxes(&bytes, random),
        Shape::Boxes => None,
        Shape::Frames => Some(frames(bytes.clone(), random)),
        Shape::Json => (!random.once_in(3)).then(|| tree::damage(&bytes, random)).flatten(),
        Shape::Header => (!random.once_in(3)).then(|| header(&bytes, random)).flatten(),
    };
    match structured {
        Some(damaged) => bytes = damaged,
        None => {
            for _ in 0..=random.below(6) {
                let other = random.pick(seeds).map_or(&[][..], Vec::as_slice);
                edit(&mut bytes, other, random);
            }
        }
    }
    bytes.truncate(MOST);
    bytes
}

/// One edit anywhere.
fn edit(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let len = bytes.len();
    let at = random.below(len);
    let most = if random.once_in(4) { 4096 } else { 16 };
    let end = (at + 1 + random.below(most)).min(len);
    match random.below(8) {
        0 => bytes.truncate(at),
        1 if at < end => drop(bytes.drain(at..end)),
        2 if at < end => {
            let part = bytes[at..end].to_vec();
            let times = 1 + random.below(8);
            bytes.splice(at..at, part.repeat(times));
        }
        3 => {
            let from = random.below(other.len());
            let to = (from + random.below(256)).min(other.len());
            bytes.splice(at..at, other[from..to].iter().copied());
        }
        4 => number(bytes, random),
        _ => overwrite(bytes, at..len, random),
    }
}

/// Overwrites a few bytes in a range.
fn overwrite(bytes: &mut [u8], range: Range<usize>, random: &mut Random) {
    let at = range.start + random.below(range.len());
    let edges = [0, 1, 0x7f, 0x80, 0xff, 0xfe, 0x40];
    let wide = [0, 1, 2, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0xffff, 0x1_0000, 0x100_0000, u64::MAX, 1 << 32];
    let place = bytes.get_mut(at..range.end).unwrap_or(&mut []);
    let (Some(first), room) = (place.first().copied(), place.len()) else { return };
    match random.below(6) {
        0 | 1 => place[0] = first ^ 1 << random.below(8),
        2 => place[0] = random.any() as u8,
        3 => place[0] = edges[random.below(edges.len())],
        4 => place[0] = first.wrapping_add(if random.once_in(2) { 1 } else { 0xff }),
        _ => {
            let value = wide[random.below(wide.len())];
            let width = [2, 4, 8][random.below(3)].min(room);
            let big = value.to_be_bytes();
            let little = value.to_le_bytes();
            let source = if random.once_in(2) { &big[8 - width..] } else { &little[..width] };
            place[..width].copy_from_slice(source);
        }
    }
}

/// Another number where the text has one.
fn number(bytes: &mut Vec<u8>, random: &mut Random) {
    let starts: Vec<usize> = (0..bytes.len())
        .filter(|i| bytes[*i].is_ascii_digit() && (*i == 0 || !bytes[i - 1].is_ascii_digit()))
        .collect();
    let Some(start) = random.pick(&starts).copied() else { return };
    let digits = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let numbers =
        ["0", "-1", "1", "4294967295", "4294967296", "18446744073709551615", "99999999999999999999", "1e999", "65536"];
    let text = numbers[random.below(numbers.len())];
    bytes.splice(start..start + digits, text.bytes());
}

/// Places of all boxes, also of those within others.
fn all_boxes(bytes: &[u8], range: Range<usize>, depth: usize, found: &mut Vec<Range<usize>>) {
    let mut at = range.start;
    while at + 8 <= range.end {
        let size = u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize;
        if size < 8 || size > range.end - at {
            return;
        }
        found.push(at..at + size);
        let inner = match &bytes[at + 4..at + 8] {
            b"moov" | b"trak" | b"mdia" | b"minf" | b"stbl" | b"edts" | b"mvex" | b"moof" | b"traf" | b"dinf" => 8,
            b"stsd" => 16,
            b"avc1" => 86,
            _ => size,
        };
        if depth < 8 && inner < size {
            all_boxes(bytes, at + inner..at + size, depth + 1, found);
        }
        at += size;
    }
}

/// Removes, repeats, moves or damages a box, and mends the lengths of those around it.
fn boxes(bytes: &[u8], random: &mut Random) -> Option<Vec<u8>> {
    let mut found = Vec::new();
    all_boxes(bytes, 0..bytes.len(), 0, &mut found);
    let chosen = random.pick(&found)?.clone();
    let mut part = bytes[chosen.clone()].to_vec();
    let mut out = bytes.to_vec();
    match random.below(6) {
        0 => part.clear(),
        1 => part = part.repeat(2),
        2 => part = bytes[random.pick(&found)?.clone()].to_vec(),
        3 => part[4..8].copy_from_slice(&bytes[random.pick(&found)?.clone()][4..8]),
        _ => {
            for _ in 0..=random.below(3) {
                let end = part.len();
                overwrite(&mut part, 8.min(end)..end, random);
            }
        }
    }
    let grown = part.len() as i64 - chosen.len() as i64;
    out.splice(chosen.clone(), part);
    if !random.once_in(8) {
        for around in found.iter().filter(|b| b.start < chosen.start && b.end >= chosen.end) {
            let size = (around.len() as i64 + grown) as u32;
            out[around.start..around.start + 4].copy_from_slice(&size.to_be_bytes());
        }
    }
    Some(out)
}

/// Damages frames and codec parameters in place, so that the file around them stays sound.
fn frames(mut bytes: Vec<u8>, random: &mut Random) -> Vec<u8> {
    let mut found = Vec::new();
    all_boxes(&bytes, 0..bytes.len(), 0, &mut found);
    let named = |range: &&Range<usize>, name: &[u8]| bytes[range.start + 4..range.start + 8] == *name;
    let wanted: Vec<Range<usize>> =
        found.iter().filter(|range| named(range, b"mdat") || named(range, b"avcC")).cloned().collect();
    for _ in 0..=random.below(5) {
        let Some(range) = random.pick(&wanted) else { break };
        // Headers stand first in a NAL unit, which begins after its length.
        let start = range.start + 8;
        let at = start + random.below(range.end.saturating_sub(start));
        let close =
            (at..range.end.saturating_sub(8)).find(|i| bytes[*i] == 0 && bytes[i + 1] == 0).map_or(at, |i| i + 4);
        let at = if random.once_in(2) { at } else { close.min(range.end) };
        let end = (at + 24).min(range.end);
        if random.once_in(2) {
            overwrite(&mut bytes, at..end, random);
        } else {
            shift(&mut bytes[at.min(end)..end], random);
        }
    }
    bytes
}

/// Puts a few bits in, or takes some out, and moves what follows: codes of other lengths.
fn shift(bytes: &mut [u8], random: &mut Random) {
    let mut bits: Vec<bool> = bytes.iter().flat_map(|byte| (0..8).map(move |i| byte >> (7 - i) & 1 == 1)).collect();
    let len = bits.len();
    let (at, count, fill) = (random.below(len), 1 + random.below(20), random.once_in(3));
    if random.once_in(2) {
        bits.splice(at..at, std::iter::repeat_n(fill, count));
    } else {
        bits.drain(at..(at + count).min(len));
    }
    bits.resize(len, false);
    for (byte, eight) in bytes.iter_mut().zip(bits.chunks(8)) {
        *byte = eight.iter().fold(0, |sum, bit| sum << 1 | u8::from(*bit));
    }
}

/// Damages the JSON of a safetensors file, and mends its length.
fn header(bytes: &[u8], random: &mut Random) -> Option<Vec<u8>> {
    let length = usize::try_from(u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?)).ok()?;
    let end = length.checked_add(8)?;
    let text = tree::damage(bytes.get(8..end)?, random)?;
    let mut out = (text.len() as u64).to_le_bytes().to_vec();
    out.extend(text);
    out.extend_from_slice(&bytes[end..]);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides() {
        let seeds = vec![br#"{"a": [1, 2], "b": "c"}"#.to_vec(), b"\0\0\0\x10moov\0\0\0\x08free".to_vec()];
        for shape in [Shape::Bytes, Shape::Boxes, Shape::Frames, Shape::Json, Shape::Header] {
            let run = |seed| {
                let mut random = Random::new(seed);
                (0..50).map(|_| mutate(&seeds, shape, &mut random)).collect::<Vec<_>>()
            };
            assert_eq!(run(3), run(3));
            assert!(shape == Shape::Frames || run(3) != run(4), "{shape:?}");
        }
    }
}
