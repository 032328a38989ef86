//! The bits of entropy-coded data, and the codes in them.

/// Lengths of codes up to which a table answers at once.
const FAST: u32 = 9;

/// Codes of up to 16 bits.
pub(super) struct Table {
    /// By the first bits: length in the high byte and symbol in the low one; 0 for longer codes.
    fast: [u16; 1 << FAST],
    /// By the length of codes: the first value beyond them, in the upper of 16 bits.
    beyond: [u32; 17],
    /// What is added to a code of a length for the place of its symbol.
    offset: [i32; 17],
    symbols: [u8; 256],
}

impl Table {
    pub fn new(counts: &[u8; 16], symbols: &[u8]) -> Self {
        let mut table = Self { fast: [0; 1 << FAST], beyond: [0; 17], offset: [0; 17], symbols: [0; 256] };
        table.symbols.iter_mut().zip(symbols).for_each(|(slot, symbol)| *slot = *symbol);
        let (mut code, mut place) = (0_u32, 0_usize);
        for (length, count) in (1_u32..).zip(counts) {
            table.offset[length as usize] = place as i32 - code as i32;
            for _ in 0..*count {
                if length <= FAST {
                    let first = (code << (FAST - length)) as usize;
                    let symbol = table.symbols.get(place).copied().unwrap_or(0);
                    let entry = (length as u16) << 8 | u16::from(symbol);
                    let end = (first + (1 << (FAST - length))).min(table.fast.len());
                    table.fast[first.min(end)..end].fill(entry);
                }
                code += 1;
                place += 1;
            }
            table.beyond[length as usize] = code << (16 - length);
            code <<= 1;
        }
        table
    }
}

/// The tables of codes: those of DC coefficients, then those of AC coefficients.
#[derive(Default)]
pub(super) struct Tables([[Option<Table>; 4]; 2]);

impl Tables {
    /// Takes the tables of a segment; whether they are tables.
    pub fn define(&mut self, mut body: &[u8]) -> bool {
        while let [head, rest @ ..] = body {
            let Some((counts, rest)) = rest.split_first_chunk::<16>() else {
                return false;
            };
            let total = counts.iter().map(|count| usize::from(*count)).sum::<usize>();
            let (class, id) = (usize::from(head >> 4), usize::from(head & 15));
            let (Some(symbols), true) = (rest.get(..total), class < 2 && id < 4) else {
                return false;
            };
            self.0[class][id] = Some(Table::new(counts, symbols));
            body = &rest[total..];
        }
        true
    }

    pub fn get(&self, ac: bool, id: u8) -> Option<&Table> {
        self.0[usize::from(ac)].get(usize::from(id))?.as_ref()
    }
}

/// Why no more is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The data end.
    Short,
    /// The bits are no code of the table.
    NoCode,
}

/// Bits up to the next marker, first bit first.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The next bits, from the highest on; zeros after them.
    ahead: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    pub fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, ahead: 0, count: 0 }
    }

    /// Where the first byte stands that was not looked at.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Leaves the bits that were looked at, and stands after a restart marker if that is the next marker.
    pub fn restart(&mut self) -> bool {
        (self.ahead, self.count) = (0, 0);
        let mut at = self.at;
        loop {
            match self.bytes.get(at..).unwrap_or(&[]) {
                [0xff, 0xd0..=0xd7, ..] => {
                    self.at = at + 2;
                    return true;
                }
                // Fill, and bytes that no code needed.
                [0xff, 0x00 | 0xff, ..] | [0..=0xfe, _, ..] => at += 1,
                _ => return false,
            }
        }
    }

    fn fill(&mut self) {
        while self.count <= 56 {
            let Some(byte) = self.bytes.get(self.at) else {
                return;
            };
            if *byte == 0xff {
                // A byte of all ones is followed by one of zeros; all else is a marker, before which fill may stand.
                if self.bytes.get(self.at + 1) != Some(&0) {
                    return;
                }
                self.at += 1;
            }
            self.at += 1;
            self.ahead |= u64::from(*byte) << (56 - self.count);
            self.count += 8;
        }
    }

    /// Leaves out `count` bits, at most 32.
    pub fn skip(&mut self, count: u32) -> Result<(), Stop> {
        self.take(count).map(|_| ())
    }

    /// The next `count` bits, at most 32, as a number.
    pub fn take(&mut self, count: u32) -> Result<u32, Stop> {
        if self.count < count {
            self.fill();
            if self.count < count {
                return Err(Stop::Short);
            }
        }
        let value = (self.ahead >> 32 >> (32 - count)) as u32;
        self.ahead <<= count;
        self.count -= count;
        Ok(value)
    }

    /// The next symbol.
    pub fn symbol(&mut self, table: &Table) -> Result<u8, Stop> {
        if self.count < 16 {
            self.fill();
        }
        let next = (self.ahead >> 48) as u32;
        let entry = table.fast[(next >> (16 - FAST)) as usize];
        let (length, symbol) = if entry != 0 {
            (u32::from(entry >> 8), entry as u8)
        } else {
            let longer = (FAST as usize + 1..=16).find(|length| next < table.beyond[*length]);
            // Zeros stand for what is missing, and need not make a code.
            let Some(length) = longer else {
                return Err(if self.count < 16 { Stop::Short } else { Stop::NoCode });
            };
            let place = (next >> (16 - length)) as i32 + table.offset[length];
            (length as u32, table.symbols[(place & 255) as usize])
        };
        if length > self.count {
            return Err(Stop::Short);
        }
        self.ahead <<= length;
        self.count -= length;
        Ok(symbol)
    }
}
