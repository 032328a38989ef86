//! The frames of a track: from the sample table of `moov`, and from the fragments of `moof` (ISO/IEC 14496-12, 8.6 to 8.8).

use super::boxes::{Boxes, Runs, child, descend, entries, u16_at, u32_at, u64_at, versioned};

/// Beyond 77 hours at 60 frames a second.
pub(super) const MAX_SAMPLES: usize = 16 << 20;

/// One compressed frame, in decoding order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub offset: u64,
    /// When it is shown, in units of the track, before the edit list.
    pub cts: i64,
    pub size: u32,
    /// Which of the track's descriptions it is coded by.
    pub description: u16,
    /// Decoding can begin here.
    pub sync: bool,
}

/// Values of fragments' samples where the fragment states none.
#[derive(Clone, Copy, Default)]
pub(super) struct Defaults {
    pub description: u32,
    pub duration: u32,
    pub size: u32,
    pub flags: u32,
}

/// Collects samples from `stbl` and from fragments.
#[derive(Default)]
pub(super) struct Builder {
    pub samples: Vec<Sample>,
    next_dts: i64,
    /// Length of the file in bytes.
    file_len: u64,
}

type Built = Result<(), String>;

/// The sizes of a track's samples in bytes: `stsz`, or `stz2` (8.7.3).
enum Sizes<'a> {
    /// One size, which is not 0, and how many samples have it.
    Fixed(u32, u32),
    Each(&'a [[u8; 4]]),
    Compact {
        rows: &'a [u8],
        /// Of a size: 4, 8 or 16.
        bits: usize,
        count: usize,
    },
}

impl<'a> Sizes<'a> {
    fn of(stbl: &'a [u8]) -> Self {
        let number = |body, at| u32_at(body, at).unwrap_or(0);
        if let (None, Some(stz2)) = (child(stbl, b"stsz"), child(stbl, b"stz2")) {
            let bits = usize::from(stz2.get(7).copied().unwrap_or(0));
            let rows = stz2.get(12..).unwrap_or(&[]);
            let held = if matches!(bits, 4 | 8 | 16) { rows.len() * 8 / bits } else { 0 };
            return Self::Compact { rows, bits, count: held.min(number(stz2, 8) as usize) };
        }
        let stsz = child(stbl, b"stsz").unwrap_or(&[]);
        match number(stsz, 4) {
            0 => Self::Each(entries::<4>(stsz, 8)),
            size => Self::Fixed(size, number(stsz, 8)),
        }
    }

    fn at(&self, index: usize) -> u32 {
        match *self {
            Self::Fixed(size, _) => size,
            Self::Each(rows) => rows.get(index).map_or(0, |row| u32::from_be_bytes(*row)),
            Self::Compact { rows, bits: 16, .. } => u16_at(rows, 2 * index).map_or(0, u32::from),
            Self::Compact { rows, bits: 8, .. } => rows.get(index).copied().map_or(0, u32::from),
            // The first of a pair stands in the high half.
            Self::Compact { rows, .. } => {
                rows.get(index / 2).map_or(0, |pair| u32::from(pair >> (4 * (1 - index % 2)) & 15))
            }
        }
    }
}

impl Builder {
    pub fn new(file_len: u64) -> Self {
        Self { file_len, ..Self::default() }
    }

    fn push(&mut self, sample: Sample) -> Built {
        if self.samples.len() == MAX_SAMPLES {
            return Err(format!("its index names more than {MAX_SAMPLES} frames"));
        }
        self.samples.push(sample);
        Ok(())
    }

    /// The samples of `stbl`.
    pub fn add_table(&mut self, trak: &[u8]) -> Built {
        let stbl = descend(trak, &[b"mdia", b"minf", b"stbl"]).ok_or("the video track has no sample table")?;
        let table = |kind: &[u8; 4]| child(stbl, kind).unwrap_or(&[]);
        let sizes = Sizes::of(stbl);
        let count = match &sizes {
            // Each frame has its own bytes, so the file's length bounds their number.
            Sizes::Fixed(size, count) => (u64::from(*count).min(self.file_len / u64::from(*size) + 1)) as usize,
            Sizes::Each(rows) => rows.len(),
            Sizes::Compact { count, .. } => *count,
        };
        let chunk_offsets: Vec<u64> = match child(stbl, b"co64") {
            Some(co64) => entries::<8>(co64, 4).iter().map(|row| u64::from_be_bytes(*row)).collect(),
            None => entries::<4>(table(b"stco"), 4).iter().map(|row| u64::from(u32::from_be_bytes(*row))).collect(),
        };
        let runs = entries::<12>(table(b"stsc"), 4);
        let sync: Option<std::collections::HashSet<u32>> =
            child(stbl, b"stss").map(|stss| entries::<4>(stss, 4).iter().map(|row| u32::from_be_bytes(*row)).collect());
        let mut durations = Runs::new(table(b"stts"));
        let mut offsets = Runs::new(table(b"ctts"));
        let mut run = 0;
        for (chunk, start) in (1_u32..).zip(&chunk_offsets) {
            while runs.get(run + 1).is_some_and(|next| u32_at(next, 0).is_some_and(|first| first <= chunk)) {
                run += 1;
            }
            let Some(row) = runs.get(run) else { break };
            let (per_chunk, description) = (u32_at(row, 4).unwrap_or(0), u32_at(row, 8).unwrap_or(1));
            let mut offset = *start;
            for _ in 0..per_chunk {
                let index = self.samples.len();
                if index == count {
                    return Ok(());
                }
                let size = sizes.at(index);
                let shift = i64::from(offsets.next_value() as i32);
                self.push(Sample {
                    offset,
                    cts: self.next_dts.saturating_add(shift),
                    size,
                    description: description_index(description),
                    sync: sync.as_ref().is_none_or(|sync| sync.contains(&(index as u32 + 1))),
                })?;
                offset = offset.saturating_add(u64::from(size));
                self.next_dts += i64::from(durations.next_value());
            }
        }
        if self.samples.len() < count {
            return Err(format!("its index places {} of {count} frames", self.samples.len()));
        }
        Ok(())
    }

    /// The samples of a `moof` that begins at `start`.
    pub fn add_fragment(&mut self, moof: &[u8], start: u64, track_id: u32, defaults: Defaults) -> Built {
        let mut implied_base = start;
        for (_, traf) in Boxes(moof).filter(|(kind, _)| kind == b"traf") {
            let Some(tfhd) = child(traf, b"tfhd") else { continue };
            let flags = u32_at(tfhd, 0).unwrap_or(0) & 0xff_ffff;
            let mut at = 8;
            let mut field = |bit: u32, width: usize| {
                (flags & bit != 0).then(|| {
                    at += width;
                    if width == 8 { u64_at(tfhd, at - 8) } else { u32_at(tfhd, at - 4).map(u64::from) }.unwrap_or(0)
                })
            };
            let base = field(0x1, 8);
            let mut pick = |bit, default: u32| field(bit, 4).map_or(default, |value| value as u32);
            let own = Defaults {
                description: pick(0x2, defaults.description),
                duration: pick(0x8, defaults.duration),
                size: pick(0x10, defaults.size),
                flags: pick(0x20, defaults.flags),
            };
            let base = base.unwrap_or(if flags & 0x2_0000 != 0 { start } else { implied_base });
            let ours = u32_at(tfhd, 4) == Some(track_id);
            if let (true, Some(tfdt)) = (ours, child(traf, b"tfdt")) {
                self.next_dts = versioned(tfdt, 4, 4).and_then(|t| i64::try_from(t).ok()).unwrap_or(self.next_dts);
            }
            let mut cursor = base;
            for (_, trun) in Boxes(traf).filter(|(kind, _)| kind == b"trun") {
                cursor = self.add_run(trun, base, cursor, own, ours)?;
            }
            implied_base = cursor;
        }
        Ok(())
    }

    /// The samples of a `trun`; returns where its bytes end.
    fn add_run(&mut self, trun: &[u8], base: u64, mut cursor: u64, own: Defaults, ours: bool) -> Result<u64, String> {
        let flags = u32_at(trun, 0).unwrap_or(0) & 0xff_ffff;
        let count = u32_at(trun, 4).unwrap_or(0) as usize;
        let mut at = 8;
        if flags & 0x1 != 0 {
            let offset = u32_at(trun, at).unwrap_or(0) as i32;
            cursor = base.saturating_add_signed(i64::from(offset));
            at += 4;
        }
        let first_flags = (flags & 0x4 != 0).then(|| u32_at(trun, at).unwrap_or(0));
        at += if first_flags.is_some() { 4 } else { 0 };
        let width = [0x100, 0x200, 0x400, 0x800].iter().filter(|bit| flags & *bit != 0).count() * 4;
        let rows = trun.get(at..).unwrap_or(&[]);
        if rows.len() < width.saturating_mul(count) || (width == 0 && own.size == 0 && count > 0) {
            return Err(format!("a fragment announces {count} frames and does not describe them"));
        }
        if !ours && flags & 0x200 == 0 {
            return Ok(cursor.saturating_add(u64::from(own.size).saturating_mul(count as u64)));
        }
        for index in 0..count {
            let mut place = index * width;
            let mut field = |bit: u32, default: u32| {
                if flags & bit == 0 {
                    return default;
                }
                place += 4;
                u32_at(rows, place - 4).unwrap_or(default)
            };
            let duration = field(0x100, own.duration);
            let size = field(0x200, own.size);
            let sample_flags = field(0x400, if index == 0 { first_flags.unwrap_or(own.flags) } else { own.flags });
            let shift = i64::from(field(0x800, 0) as i32);
            if ours {
                // A run may give many frames in a few bytes, but each of them has bytes of its own.
                if self.samples.len() as u64 >= self.file_len {
                    return Err("its fragments name more frames than the file has bytes".into());
                }
                self.push(Sample {
                    offset: cursor,
                    cts: self.next_dts.saturating_add(shift),
                    size,
                    description: description_index(own.description),
                    // sample_is_non_sync_sample
                    sync: sample_flags & 0x1_0000 == 0,
                })?;
                self.next_dts = self.next_dts.saturating_add(i64::from(duration));
            }
            cursor = cursor.saturating_add(u64::from(size));
        }
        Ok(cursor)
    }
}

/// From 0; the file counts from 1.
fn description_index(number: u32) -> u16 {
    u16::try_from(number.saturating_sub(1)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_sizes() {
        for (bits, rows, want) in
            [(4, &[0x12, 0x30][..], [1, 2, 3]), (8, &[1, 2, 255], [1, 2, 255]), (16, &[1, 0, 0, 2, 0, 3], [256, 2, 3])]
        {
            let body = [&[0; 7][..], &[bits], &3_u32.to_be_bytes(), rows].concat();
            let stbl = [&(8 + body.len() as u32).to_be_bytes()[..], b"stz2", &body].concat();
            let sizes = Sizes::of(&stbl);
            assert_eq!([0, 1, 2].map(|index| sizes.at(index)), want, "{bits}");
            assert!(matches!(sizes, Sizes::Compact { count: 3, .. }), "{bits}");
            // No more than there are bytes for, and none of a width that the standard does not know.
            let many = [&[0; 7][..], &[bits], &[0xff; 4], rows].concat();
            let stbl = [&(8 + many.len() as u32).to_be_bytes()[..], b"stz2", &many].concat();
            assert!(matches!(Sizes::of(&stbl), Sizes::Compact { count: 3 | 4, .. }), "{bits}");
        }
        let odd = [&20_u32.to_be_bytes()[..], b"stz2", &[0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 1]].concat();
        assert!(matches!(Sizes::of(&odd), Sizes::Compact { count: 0, .. }));
    }
}
