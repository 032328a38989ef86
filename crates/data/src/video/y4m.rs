//! YUV4MPEG2: a header line, then planes of Y, U and V with a line before each frame.

use super::raw::Stream;
use super::source::{Access, Facts, Pixels, Raw, Source, check_size};
use super::yuv::{Colour, YuvFrame};
use crate::kind::Y4M_MAGIC;
use crate::{DataError, Limits};

const NAME: &str = "Y4M";
const MAX_LINE: u64 = 4096;

pub(super) struct Y4m {
    stream: Stream,
    header: Header,
    facts: Facts,
    /// Number of the next frame.
    at: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Header {
    size: (u32, u32),
    /// Frames a second, as a fraction.
    rate: (u32, u32),
    step: (u32, u32),
    depth: u8,
    full_range: bool,
}

impl Y4m {
    pub fn new(mut stream: Stream, limits: &Limits) -> Result<Self, DataError> {
        let header = read_header(&mut stream)?;
        check_size(&stream.origin, header.size, limits)?;
        let fps = (header.rate.0 > 0).then(|| f64::from(header.rate.0) / f64::from(header.rate.1));
        let facts = Facts { format: NAME, size: Some(header.size), fps, ..Facts::default() };
        Ok(Self { stream, header, facts, at: 0 })
    }

    fn frame(&mut self) -> Result<Option<Vec<u8>>, DataError> {
        let corrupt = |stream: &Stream, reason: String| DataError::Corrupt {
            origin: stream.origin.clone(),
            format: NAME,
            reason,
        };
        let Some(line) = self.stream.line(MAX_LINE, NAME)? else {
            return Ok(None);
        };
        let number = self.at + 1;
        if line != "FRAME" && !line.starts_with("FRAME ") {
            return Err(corrupt(&self.stream, format!("the line FRAME is missing before frame {number}")));
        }
        let Header { size, step, depth, .. } = self.header;
        let bytes = YuvFrame::plane_bytes(size, step, depth).map_or(0, |(luma, chroma)| luma + 2 * chroma);
        let mut data = vec![0; bytes];
        if !self.stream.fill(&mut data, NAME, &format!("frame {number}"))? {
            return Err(corrupt(&self.stream, format!("frame {number} is missing after its line")));
        }
        self.at += 1;
        Ok(Some(data))
    }
}

impl Source for Y4m {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn access(&self) -> Access {
        self.stream.access()
    }

    fn next(&mut self) -> Result<Option<Raw>, DataError> {
        let (rate, per) = self.header.rate;
        let pts = if rate > 0 { self.at as f64 * f64::from(per) / f64::from(rate) } else { self.at as f64 };
        let Header { size, step, depth, full_range, .. } = self.header;
        Ok(self.frame()?.map(|data| {
            let frame = YuvFrame {
                width: size.0,
                height: size.1,
                chroma_step_x: step.0,
                chroma_step_y: step.1,
                depth,
                colour: Colour { full_range, ..Colour::default() },
                data,
            };
            Raw { pixels: Pixels::Yuv(frame), pts }
        }))
    }

    fn seek(&mut self, index: u64) -> Result<(), DataError> {
        if index < self.at {
            self.stream.rewind()?;
            self.header = read_header(&mut self.stream)?;
            self.at = 0;
        }
        while self.at < index && self.frame()?.is_some() {}
        Ok(())
    }
}

fn read_header(stream: &mut Stream) -> Result<Header, DataError> {
    let line = stream.line(MAX_LINE, NAME)?.ok_or_else(|| DataError::Empty(stream.origin.clone()))?;
    parse_header(&line).map_err(|reason| DataError::Corrupt { origin: stream.origin.clone(), format: NAME, reason })
}

fn parse_header(line: &str) -> Result<Header, String> {
    let mut words = line.split(' ');
    if words.next().map(str::as_bytes) != Some(Y4M_MAGIC) {
        return Err("it does not begin with YUV4MPEG2".into());
    }
    let mut header = Header { size: (0, 0), rate: (0, 1), step: (2, 2), depth: 8, full_range: false };
    for word in words.filter(|word| !word.is_empty()) {
        let (key, value) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
        let number = || value.parse::<u32>().map_err(|_| format!("{word:?} in the header is no number"));
        match key {
            "W" => header.size.0 = number()?,
            "H" => header.size.1 = number()?,
            "F" => {
                let rate = value.split_once(':').and_then(|(n, d)| Some((n.parse().ok()?, d.parse().ok()?)));
                header.rate = rate.filter(|(_, per)| *per > 0).unwrap_or((0, 1));
            }
            "C" => (header.step, header.depth) = colour_space(value)?,
            "X" => header.full_range |= value == "COLORRANGE=FULL",
            _ => {}
        }
    }
    Ok(header)
}

fn colour_space(name: &str) -> Result<((u32, u32), u8), String> {
    let refuse = || format!("the colour space {name} is not one of 420, 422, 444 and mono of 8 to 16 bits");
    let (sampling, rest) = if let Some(rest) = name.strip_prefix("mono") {
        ((0, 0), rest)
    } else {
        let (digits, rest) = name.split_at_checked(3).ok_or_else(refuse)?;
        let step = match digits {
            "420" => (2, 2),
            "422" => (2, 1),
            "444" => (1, 1),
            _ => return Err(refuse()),
        };
        (step, rest)
    };
    let depth = match rest {
        "" | "jpeg" | "paldv" | "mpeg2" => 8,
        deep => deep.trim_start_matches('p').parse().ok().filter(|d| (9..=16).contains(d)).ok_or_else(refuse)?,
    };
    Ok((sampling, depth))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let header =
            parse_header("YUV4MPEG2 W5 H3 F30000:1001 Ip A1:1 C420mpeg2 XYSCSS=420MPEG2 XCOLORRANGE=FULL").unwrap();
        assert_eq!(header, Header { size: (5, 3), rate: (30000, 1001), step: (2, 2), depth: 8, full_range: true });
        assert_eq!(colour_space("444p10").unwrap(), ((1, 1), 10));
        assert_eq!(colour_space("mono16").unwrap(), ((0, 0), 16));
        assert_eq!(colour_space("mono").unwrap(), ((0, 0), 8));
        for bad in
            ["YUV4MPEG W5", "YUV4MPEG2 Wx H3", "YUV4MPEG2 W5 H3 C411", "YUV4MPEG2 W5 H3 C444alpha", "YUV4MPEG2 C42"]
        {
            assert!(parse_header(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_header("YUV4MPEG2 W5 H3 F0:0").unwrap().rate, (0, 1));
    }
}
