//! The kinds of checkpoint that can be converted.

use std::fmt;

/// A kind of conversion, named after the checkpoint that it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// V-JEPA 2 of the model hub.
    Vjepa2,
    /// V-JEPA 2 as its authors publish it.
    Vjepa2Pt,
    /// A text model of the model hub.
    HfText,
    /// A checkpoint of open-vljepa.
    OpenVlJepa,
}

impl Kind {
    /// The name of the kind: `vjepa2`, `vjepa2-pt`, `hf-text`, `open-vljepa`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vjepa2 => "vjepa2",
            Self::Vjepa2Pt => "vjepa2-pt",
            Self::HfText => "hf-text",
            Self::OpenVlJepa => "open-vljepa",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
