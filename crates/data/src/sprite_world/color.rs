//! The colour that most of a drawing has.

use serde::{Deserialize, Serialize};

use crate::Rgba8Image;

/// A group of colours that people call by one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Color {
    /// Red.
    Red,
    /// Orange.
    Orange,
    /// Yellow.
    Yellow,
    /// Green.
    Green,
    /// Blue.
    Blue,
    /// Purple.
    Purple,
    /// Pink.
    Pink,
    /// Brown.
    Brown,
    /// Grey.
    Gray,
    /// Black.
    Black,
    /// White.
    White,
}

impl Color {
    /// All groups.
    pub const ALL: [Self; 11] = [
        Self::Red,
        Self::Orange,
        Self::Yellow,
        Self::Green,
        Self::Blue,
        Self::Purple,
        Self::Pink,
        Self::Brown,
        Self::Gray,
        Self::Black,
        Self::White,
    ];

    /// As an answer: "red".
    pub fn name(self) -> &'static str {
        match self {
            Self::Red => "red",
            Self::Orange => "orange",
            Self::Yellow => "yellow",
            Self::Green => "green",
            Self::Blue => "blue",
            Self::Purple => "purple",
            Self::Pink => "pink",
            Self::Brown => "brown",
            Self::Gray => "gray",
            Self::Black => "black",
            Self::White => "white",
        }
    }

    /// The group of a pixel; `None` between two groups.
    fn of([r, g, b]: [u8; 3]) -> Option<Self> {
        let [r, g, b] = [r, g, b].map(|v| f32::from(v) / 255.0);
        let (most, least) = (r.max(g).max(b), r.min(g).min(b));
        let range = most - least;
        if most < 0.2 {
            return Some(Self::Black);
        }
        if range < 0.12 {
            return match most {
                v if v > 0.88 => Some(Self::White),
                v if v < 0.3 => Some(Self::Black),
                v if (0.4..0.78).contains(&v) => Some(Self::Gray),
                _ => None,
            };
        }
        let saturation = range / most;
        if saturation < 0.2 {
            return None;
        }
        let sixth = if most == r {
            (g - b) / range
        } else if most == g {
            2.0 + (b - r) / range
        } else {
            4.0 + (r - g) / range
        };
        let hue = (sixth * 60.0).rem_euclid(360.0);
        let pale = saturation < 0.4;
        if pale && ((15.0..66.0).contains(&hue) || (165.0..250.0).contains(&hue)) {
            return None;
        }
        Some(match hue {
            h if h < 45.0 && most < 0.68 && h > 10.0 => Self::Brown,
            h if !(12.0..340.0).contains(&h) && saturation < 0.62 && most > 0.75 => Self::Pink,
            h if !(12.0..345.0).contains(&h) => Self::Red,
            h if h < 40.0 => Self::Orange,
            h if h < 66.0 => Self::Yellow,
            h if h < 165.0 => Self::Green,
            h if h < 250.0 => Self::Blue,
            h if h < 295.0 => Self::Purple,
            _ => Self::Pink,
        })
    }

    /// The group of most pixels of a drawing: at least two thirds of those that are seen.
    pub fn most_of(picture: &Rgba8Image) -> Option<Self> {
        let mut counts = [0usize; Self::ALL.len()];
        let mut seen = 0usize;
        for pixel in picture.data.chunks_exact(4).filter(|pixel| pixel[3] > 127) {
            seen += 1;
            if let Some(color) = Self::of([pixel[0], pixel[1], pixel[2]]) {
                counts[color as usize] += 1;
            }
        }
        let (best, count) = counts.iter().enumerate().max_by_key(|(_, count)| **count)?;
        (seen > 0 && count * 3 >= seen * 2).then(|| Self::ALL[best])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_colors_have_their_names_and_mixed_drawings_have_none() {
        let flat = |color: [u8; 3]| Rgba8Image::new(4, 4, [color[0], color[1], color[2], 255].repeat(16)).unwrap();
        let cases = [
            ([220, 20, 30], Color::Red),
            ([250, 140, 20], Color::Orange),
            ([250, 220, 40], Color::Yellow),
            ([40, 160, 60], Color::Green),
            ([30, 90, 220], Color::Blue),
            ([140, 60, 200], Color::Purple),
            ([250, 150, 190], Color::Pink),
            ([120, 70, 30], Color::Brown),
            ([140, 140, 145], Color::Gray),
            ([10, 10, 12], Color::Black),
            ([250, 250, 250], Color::White),
        ];
        for (color, group) in cases {
            assert_eq!(Color::most_of(&flat(color)), Some(group), "{color:?}");
        }
        let half = [[220, 20, 30, 255].repeat(8), [40, 160, 60, 255].repeat(8)].concat();
        assert_eq!(Color::most_of(&Rgba8Image::new(4, 4, half).unwrap()), None);
        assert_eq!(Color::most_of(&Rgba8Image::new(4, 4, vec![0; 64]).unwrap()), None);
    }
}
