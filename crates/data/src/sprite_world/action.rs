//! What things do, where, and which way.

use serde::{Deserialize, Serialize};

/// What one thing does in one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Moves in one of eight directions, slowly or quickly.
    Move,
    /// Becomes nearly twice as large.
    Grow,
    /// Becomes about half as large.
    Shrink,
    /// Turns once around its centre.
    Spin,
    /// Shakes from side to side.
    Shake,
    /// Jumps and lands where it stood.
    Jump,
    /// Fades in.
    Appear,
    /// Fades out.
    Vanish,
    /// Comes into the picture from one of its sides.
    Enter,
    /// Goes out of the picture by one of its sides.
    Leave,
    /// Moves up to a partner and stops before it.
    Approach,
    /// Moves into a partner and is thrown back.
    Bump,
    /// Passes behind a partner.
    PassBehind,
    /// Changes places with a partner.
    Swap,
    /// Takes a partner onto its top and carries it in a direction.
    Carry,
    /// Pushes a partner in a direction.
    Push,
}

impl Action {
    /// All actions.
    pub const ALL: [Self; 16] = [
        Self::Move,
        Self::Grow,
        Self::Shrink,
        Self::Spin,
        Self::Shake,
        Self::Jump,
        Self::Appear,
        Self::Vanish,
        Self::Enter,
        Self::Leave,
        Self::Approach,
        Self::Bump,
        Self::PassBehind,
        Self::Swap,
        Self::Carry,
        Self::Push,
    ];

    /// Whether a second thing takes part.
    pub fn has_partner(self) -> bool {
        matches!(self, Self::Approach | Self::Bump | Self::PassBehind | Self::Swap | Self::Carry | Self::Push)
    }

    /// Whether it goes in one of the eight directions, or in one of four (see [`Self::is_straight`]).
    pub fn has_direction(self) -> bool {
        matches!(self, Self::Move | Self::Enter | Self::Leave | Self::Carry | Self::Push)
    }

    /// Whether its direction is left, right, up or down.
    pub fn is_straight(self) -> bool {
        matches!(self, Self::Enter | Self::Leave)
    }

    /// Whether the picture after it differs from the picture before it.
    pub fn leaves_a_trace(self) -> bool {
        !matches!(self, Self::Spin | Self::Shake | Self::Jump)
    }

    /// What a thing does next that has done this, if it does anything more: whatever shakes jumps, whatever shrinks vanishes.
    pub fn consequence(self) -> Option<Self> {
        Some(match self {
            Self::Shake => Self::Jump,
            Self::Shrink => Self::Vanish,
            Self::Spin => Self::Leave,
            Self::Grow => Self::Shake,
            Self::Appear => Self::Spin,
            Self::Enter => Self::Grow,
            Self::Jump => Self::Move,
            Self::Approach => Self::Push,
            _ => return None,
        })
    }

    /// Its name in files: `pass_behind`.
    pub fn key(self) -> &'static str {
        match self {
            Self::Move => "move",
            Self::Grow => "grow",
            Self::Shrink => "shrink",
            Self::Spin => "spin",
            Self::Shake => "shake",
            Self::Jump => "jump",
            Self::Appear => "appear",
            Self::Vanish => "vanish",
            Self::Enter => "enter",
            Self::Leave => "leave",
            Self::Approach => "approach",
            Self::Bump => "bump",
            Self::PassBehind => "pass_behind",
            Self::Swap => "swap",
            Self::Carry => "carry",
            Self::Push => "push",
        }
    }
}

/// A direction in the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Towards smaller x.
    Left,
    /// Towards larger x.
    Right,
    /// Towards smaller y.
    Up,
    /// Towards larger y.
    Down,
    /// Up and left.
    UpLeft,
    /// Up and right.
    UpRight,
    /// Down and left.
    DownLeft,
    /// Down and right.
    DownRight,
}

impl Direction {
    /// All directions, the four straight ones first.
    pub const ALL: [Self; 8] =
        [Self::Left, Self::Right, Self::Up, Self::Down, Self::UpLeft, Self::UpRight, Self::DownLeft, Self::DownRight];

    /// As a vector of length 1; y points down.
    pub fn vector(self) -> [f32; 2] {
        const D: f32 = std::f32::consts::FRAC_1_SQRT_2;
        match self {
            Self::Left => [-1.0, 0.0],
            Self::Right => [1.0, 0.0],
            Self::Up => [0.0, -1.0],
            Self::Down => [0.0, 1.0],
            Self::UpLeft => [-D, -D],
            Self::UpRight => [D, -D],
            Self::DownLeft => [-D, D],
            Self::DownRight => [D, D],
        }
    }

    /// As an answer: "up and left".
    pub fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
            Self::Up => "up",
            Self::Down => "down",
            Self::UpLeft => "up and left",
            Self::UpRight => "up and right",
            Self::DownLeft => "down and left",
            Self::DownRight => "down and right",
        }
    }
}

/// How fast something moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speed {
    /// Half of quick.
    Slow,
    /// About two fifths of the picture in one event.
    Quick,
}

/// One of nine parts of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The upper left ninth, and so on, row by row.
    TopLeft,
    /// Above the middle.
    Top,
    /// The upper right ninth.
    TopRight,
    /// Left of the middle.
    Left,
    /// The middle.
    Middle,
    /// Right of the middle.
    Right,
    /// The lower left ninth.
    BottomLeft,
    /// Below the middle.
    Bottom,
    /// The lower right ninth.
    BottomRight,
}

impl Place {
    /// All places, row by row.
    pub const ALL: [Self; 9] = [
        Self::TopLeft,
        Self::Top,
        Self::TopRight,
        Self::Left,
        Self::Middle,
        Self::Right,
        Self::BottomLeft,
        Self::Bottom,
        Self::BottomRight,
    ];

    /// The ninth that a point of the unit square lies in, where it is not within `margin` of the border between two.
    pub(super) fn of(x: f32, y: f32, margin: f32) -> Option<Self> {
        let third = |v: f32| {
            let inner = |border: f32| (v - border).abs() < margin;
            if !(0.0..1.0).contains(&v) || inner(1.0 / 3.0) || inner(2.0 / 3.0) {
                return None;
            }
            Some(((v * 3.0) as usize).min(2))
        };
        Some(Self::ALL[third(y)? * 3 + third(x)?])
    }

    /// As an answer: "top left".
    pub fn name(self) -> &'static str {
        match self {
            Self::TopLeft => "top left",
            Self::Top => "top",
            Self::TopRight => "top right",
            Self::Left => "left",
            Self::Middle => "middle",
            Self::Right => "right",
            Self::BottomLeft => "bottom left",
            Self::Bottom => "bottom",
            Self::BottomRight => "bottom right",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consequences_differ_so_that_a_last_event_says_what_follows() {
        let mut next: Vec<Action> = Action::ALL.into_iter().filter_map(Action::consequence).collect();
        let count = next.len();
        next.sort();
        next.dedup();
        assert_eq!((count, next.len()), (8, 8));
    }

    #[test]
    fn places_are_told_only_where_they_are_clear() {
        assert_eq!(Place::of(0.1, 0.9, 0.03), Some(Place::BottomLeft));
        assert_eq!(Place::of(0.5, 0.5, 0.03), Some(Place::Middle));
        assert_eq!(Place::of(0.34, 0.5, 0.03), None);
        assert_eq!(Place::of(1.2, 0.5, 0.03), None);
    }
}
