//! The frame of a JPEG and the scans that fill it.

use super::bits::{Bits, Stop, Table, Tables};

/// More components than that are left to the decoder, which refuses them.
const MAX_PARTS: usize = 4;

/// What is known of a file whose data are all there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Whole {
    /// Bytes of coefficients that a decoder keeps until the last scan is read.
    pub kept: u64,
}

/// A component.
struct Component {
    id: u8,
    /// Blocks of a unit, across and down.
    across: u32,
    down: u32,
    /// Blocks of its own, across and down.
    wide: u32,
    high: u32,
    /// For each coefficient, the lowest bit that was sent; 255 for none.
    sent: [u8; 64],
    /// For each block of a progressive picture, which coefficients are not zero; made with the first scan that needs it.
    filled: Vec<u64>,
}

/// Size and components.
pub(super) struct Frame {
    progressive: bool,
    height: u32,
    /// Units of interleaved scans, across and down.
    units: (u32, u32),
    components: Vec<Component>,
    /// Whether a scan held only some of the components.
    apart: bool,
}

impl Frame {
    pub fn parse(body: &[u8], progressive: bool) -> Option<Self> {
        let [8, h1, h0, w1, w0, count, rest @ ..] = body else {
            return None;
        };
        let (height, width) = (u32::from(u16::from_be_bytes([*h1, *h0])), u32::from(u16::from_be_bytes([*w1, *w0])));
        let count = usize::from(*count);
        let specs = rest.as_chunks::<3>().0.get(..count)?;
        let factors: Vec<_> = specs.iter().map(|spec| (u32::from(spec[1] >> 4), u32::from(spec[1] & 15))).collect();
        let most = factors.iter().fold((0, 0), |most, factor| (factor.0.max(most.0), factor.1.max(most.1)));
        let valid = factors.iter().all(|(across, down)| (1..=4).contains(across) && (1..=4).contains(down));
        if !valid || height == 0 || width == 0 || count == 0 || count > MAX_PARTS {
            return None;
        }
        let components = specs.iter().zip(&factors).map(|(spec, (across, down))| Component {
            id: spec[0],
            across: *across,
            down: *down,
            wide: (width * across).div_ceil(most.0).div_ceil(8),
            high: (height * down).div_ceil(most.1).div_ceil(8),
            sent: [255; 64],
            filled: Vec::new(),
        });
        Some(Self {
            progressive,
            height,
            units: (width.div_ceil(8 * most.0), height.div_ceil(8 * most.1)),
            components: components.collect(),
            apart: false,
        })
    }

    /// Whether all was sent: of a progressive file that `ended` by itself it may be less than every bit.
    pub fn complete(&self, ended: bool) -> bool {
        self.components.iter().all(|component| match self.progressive && !ended {
            true => component.sent.iter().all(|bit| *bit == 0),
            false => component.sent[0] != 255,
        })
    }

    pub fn known(&self) -> Whole {
        let units = u64::from(self.units.0) * u64::from(self.units.1);
        let blocks = self.components.iter().map(|c| u64::from(c.across * c.down) * units).sum::<u64>();
        Whole { kept: if self.progressive || self.apart { blocks * 64 * 2 } else { 0 } }
    }

    /// Why the data of a scan, from 1, are not whole.
    pub fn stopped(&self, what: &str, row: u32, scan: usize) -> String {
        match self.progressive || self.apart {
            true => format!("{what} in scan {scan}, before all of its picture was there"),
            false => format!("{what} at row {} of {}", row.min(self.height), self.height),
        }
    }
}

/// How far the data of a scan go.
pub(super) enum Part {
    /// All are there; where what follows them stands.
    Whole(usize),
    /// A table is missing.
    Unknown,
    /// They end.
    Short {
        /// The first row of pixels that lacks some.
        row: u32,
    },
    /// They are no codes.
    Damaged {
        /// Likewise.
        row: u32,
    },
}

/// The header of a scan.
pub(super) struct Scan {
    /// Components and the tables of each, DC and AC.
    parts: Vec<(usize, u8, u8)>,
    /// First and last coefficient.
    from: u8,
    to: u8,
    /// The lowest bit that was sent before; 0 for none.
    before: u8,
}

/// What a scan needs of the tables.
struct Codes<'a> {
    dc: Option<&'a Table>,
    ac: Option<&'a Table>,
}

impl Scan {
    pub fn parse(body: &[u8], frame: &mut Frame) -> Option<Self> {
        let (count, rest) = body.split_first()?;
        let (specs, [from, to, bits, ..]) = rest.split_at_checked(usize::from(*count) * 2)? else {
            return None;
        };
        let mut parts: Vec<(usize, u8, u8)> = Vec::new();
        for spec in specs.as_chunks::<2>().0 {
            let place = frame.components.iter().position(|component| component.id == spec[0])?;
            if parts.iter().any(|(other, ..)| *other == place) {
                return None;
            }
            parts.push((place, spec[1] >> 4, spec[1] & 15));
        }
        let (from, to) = if frame.progressive { (*from, *to) } else { (0, 63) };
        let (before, bit) = if frame.progressive { (bits >> 4, bits & 15) } else { (0, 0) };
        let band = if from == 0 { to == 0 || !frame.progressive } else { from <= to && to < 64 && parts.len() == 1 };
        if parts.is_empty() || !band || bit > 13 {
            return None;
        }
        frame.apart |= parts.len() < frame.components.len();
        for (place, ..) in &parts {
            frame.components[*place].sent[usize::from(from)..=usize::from(to)].fill(bit);
        }
        Some(Self { parts, from, to, before })
    }

    /// Reads the data that begin at a place.
    pub fn read(&self, bytes: &[u8], at: usize, frame: &mut Frame, tables: &Tables, restart: u32) -> Part {
        let mut codes = Vec::new();
        for (_, dc, ac) in &self.parts {
            let codes_of = Codes { dc: tables.get(false, *dc), ac: tables.get(true, *ac) };
            let needs_dc = self.from == 0 && self.before == 0;
            let needs_ac = self.to > 0;
            if (needs_dc && codes_of.dc.is_none()) || (needs_ac && codes_of.ac.is_none()) {
                return Part::Unknown;
            }
            codes.push(codes_of);
        }
        let alone = self.parts.len() == 1;
        let first = self.parts[0].0;
        let (wide, high) = match &frame.components[first] {
            component if alone => (component.wide, component.high),
            _ => frame.units,
        };
        if self.from > 0 {
            let component = &mut frame.components[first];
            component.filled.resize(wide as usize * high as usize, 0);
        }
        // Rows of pixels of a row of units.
        let rows = (frame.height).div_ceil(high);
        let (mut bits, mut run, mut left) = (Bits::new(bytes, at), 0_u32, restart);
        for unit in 0..wide * high {
            let row = unit / wide * rows;
            if restart > 0 {
                if left == 0 {
                    if !bits.restart() {
                        return Part::Short { row };
                    }
                    (run, left) = (0, restart);
                }
                left -= 1;
            }
            for ((place, ..), codes) in self.parts.iter().zip(&codes) {
                let component = &mut frame.components[*place];
                let blocks = if alone { 1 } else { component.across * component.down };
                for _ in 0..blocks {
                    let read = if !frame.progressive {
                        sequential(&mut bits, codes)
                    } else if self.from == 0 {
                        self.dc(&mut bits, codes)
                    } else {
                        self.ac(&mut bits, codes, &mut run, &mut component.filled[unit as usize])
                    };
                    match read {
                        Ok(()) => {}
                        Err(Stop::Short) => return Part::Short { row },
                        Err(Stop::NoCode) => return Part::Damaged { row },
                    }
                }
            }
        }
        Part::Whole(bits.at())
    }

    fn dc(&self, bits: &mut Bits<'_>, codes: &Codes<'_>) -> Result<(), Stop> {
        match codes.dc {
            Some(table) if self.before == 0 => {
                let size = bits.symbol(table)?;
                bits.skip(u32::from(size.min(16)))
            }
            _ => bits.skip(1),
        }
    }

    /// A block of a progressive scan of AC coefficients; `run` counts blocks that hold no more.
    fn ac(&self, bits: &mut Bits<'_>, codes: &Codes<'_>, run: &mut u32, filled: &mut u64) -> Result<(), Stop> {
        let Some(table) = codes.ac else {
            return Err(Stop::NoCode);
        };
        let (mut at, to) = (u32::from(self.from), u32::from(self.to));
        let refines = self.before > 0;
        while *run == 0 && at <= to {
            let symbol = bits.symbol(table)?;
            let (mut zeros, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
            if size == 0 && zeros < 15 {
                *run = (1 << zeros) + bits.take(zeros)?;
                break;
            }
            if refines {
                bits.skip(u32::from(size > 0))?;
                // One bit for each coefficient that is there already, up to the place of the new one.
                while at <= to {
                    if *filled >> at & 1 == 1 {
                        bits.skip(1)?;
                    } else if zeros == 0 {
                        break;
                    } else {
                        zeros -= 1;
                    }
                    at += 1;
                }
            } else {
                at += zeros;
                bits.skip(size)?;
            }
            if size > 0 && at <= to {
                *filled |= 1 << at;
            }
            at += 1;
        }
        if *run > 0 {
            *run -= 1;
            if refines && at <= to {
                let band = (u64::MAX >> (63 - to)) & (u64::MAX << at);
                let mut there = (*filled & band).count_ones();
                while there > 0 {
                    let now = there.min(32);
                    bits.skip(now)?;
                    there -= now;
                }
            }
        }
        Ok(())
    }
}

/// A block of a scan of all coefficients.
fn sequential(bits: &mut Bits<'_>, codes: &Codes<'_>) -> Result<(), Stop> {
    let (Some(dc), Some(ac)) = (codes.dc, codes.ac) else {
        return Err(Stop::NoCode);
    };
    let size = bits.symbol(dc)?;
    bits.skip(u32::from(size.min(16)))?;
    let mut at = 1;
    while at < 64 {
        let symbol = bits.symbol(ac)?;
        let (zeros, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        if size == 0 && zeros < 15 {
            break;
        }
        at += zeros + 1;
        bits.skip(size)?;
    }
    Ok(())
}
