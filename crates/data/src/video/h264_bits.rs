//! Reads the bits of an H.264 header, and refuses a value that the standard does not allow (ITU-T H.264, 7.2 and 9.1).

use std::ops::RangeInclusive;

/// A header's payload without emulation prevention bytes, which [`rust_h264::nal::NalUnit::rbsp`] has lost already.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// Bits read.
    at: usize,
}

/// What is wrong, with the field, its value and its limit.
pub(super) type Checked<T> = Result<T, String>;

impl<'a> Bits<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bits read so far.
    pub fn at(&self) -> usize {
        self.at
    }

    pub fn bit(&mut self, field: &str) -> Checked<bool> {
        let byte = self.bytes.get(self.at / 8).ok_or_else(|| format!("it ends before {field}"))?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Ok(bit == 1)
    }

    /// `u(n)` of up to 32 bits.
    pub fn bits(&mut self, field: &str, count: u32) -> Checked<u32> {
        let mut value = 0;
        for _ in 0..count.min(32) {
            value = value << 1 | u32::from(self.bit(field)?);
        }
        Ok(value)
    }

    /// `ue(v)`, 9.1; no field has more than 32 bits.
    pub fn ue(&mut self, field: &str) -> Checked<u32> {
        let mut zeros = 0;
        while !self.bit(field)? {
            zeros += 1;
            if zeros > 31 {
                return Err(format!("{field} is longer than any code of the standard (ITU-T H.264, 9.1)"));
            }
        }
        Ok(((1_u32 << zeros) - 1).saturating_add(self.bits(field, zeros)?))
    }

    /// `se(v)`, 9.1.1.
    pub fn se(&mut self, field: &str) -> Checked<i32> {
        let code = self.ue(field)?;
        let magnitude = code.div_ceil(2) as i32;
        Ok(if code % 2 == 0 { -magnitude } else { magnitude })
    }

    /// `ue(v)` within what a section of the standard allows.
    pub fn ue_in(&mut self, field: &str, range: RangeInclusive<u32>, section: &str) -> Checked<u32> {
        let value = self.ue(field)?;
        within(field, i64::from(value), i64::from(*range.start())..=i64::from(*range.end()), section)?;
        Ok(value)
    }

    /// `se(v)` within what a section of the standard allows.
    pub fn se_in(&mut self, field: &str, range: RangeInclusive<i32>, section: &str) -> Checked<i32> {
        let value = self.se(field)?;
        within(field, i64::from(value), i64::from(*range.start())..=i64::from(*range.end()), section)?;
        Ok(value)
    }

    /// `more_rbsp_data()`, 7.2: whether anything stands before the stop bit.
    pub fn more_data(&self) -> bool {
        let Some(last) = self.bytes.iter().rposition(|byte| *byte != 0) else {
            return false;
        };
        let stop = 8 * last + 7 - self.bytes[last].trailing_zeros() as usize;
        self.at < stop
    }
}

/// Refuses a value outside of what a section of the standard allows.
pub(super) fn within(field: &str, value: i64, range: RangeInclusive<i64>, section: &str) -> Checked<()> {
    if range.contains(&value) {
        return Ok(());
    }
    let (low, high) = range.into_inner();
    Err(format!("{field} is {value}, the standard allows {low} to {high} (ITU-T H.264, {section})"))
}

/// The payload with `count` bits from bit `at` on replaced by `code`, a string of 0 and 1.
pub(super) fn replaced(bytes: &[u8], at: usize, count: usize, code: &str) -> Vec<u8> {
    let bit = |index: usize| bytes[index / 8] >> (7 - index % 8) & 1;
    let before = (0..at).map(bit);
    let after = (at + count..8 * bytes.len()).map(bit);
    let all: Vec<u8> = before.chain(code.bytes().map(|digit| digit & 1)).chain(after).collect();
    all.chunks(8).map(|eight| (0..8).fold(0, |byte, i| byte << 1 | eight.get(i).copied().unwrap_or(0))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_the_standard() {
        // 9.1: 0 is "1", 1 is "010", 2 is "011", 3 is "00100"; signed: 1, -1, 2.
        let bytes = [0b1010_0110, 0b0100_0000];
        let mut bits = Bits::new(&bytes);
        assert_eq!([(); 4].map(|()| bits.ue("x").unwrap()), [0, 1, 2, 3]);
        let mut bits = Bits::new(&bytes);
        assert_eq!([(); 4].map(|()| bits.se("x").unwrap()), [0, 1, -1, 2]);
        let mut longest = vec![0, 0, 0, 1];
        longest.extend([0xff; 4]);
        assert_eq!(Bits::new(&longest).ue("x").unwrap(), u32::MAX - 1);
        assert_eq!(
            Bits::new(&[0; 9]).ue("x").unwrap_err(),
            "x is longer than any code of the standard (ITU-T H.264, 9.1)"
        );
        assert_eq!(Bits::new(&[0]).ue("x").unwrap_err(), "it ends before x");
    }

    #[test]
    fn the_stop_bit_is_no_data() {
        let mut bits = Bits::new(&[0b1011_0000, 0]);
        assert!(bits.more_data());
        bits.bits("x", 3).unwrap();
        assert!(!bits.more_data() && !Bits::new(&[0, 0]).more_data());
    }

    #[test]
    fn bits_are_replaced_in_place() {
        assert_eq!(replaced(&[0b1101_1001], 2, 1, "010"), [0b1101_0110, 0b0100_0000]);
        assert_eq!(replaced(&[0xff, 0], 0, 0, ""), [0xff, 0]);
    }
}
