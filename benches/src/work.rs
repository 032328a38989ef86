//! What one run of a case does, from which its rate follows and the roof that it is compared with.

/// What one run of a case does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Work {
    /// Floating-point operations.
    Flops(f64),
    /// Bytes that must cross memory at least once.
    Bytes(f64),
    /// Things, such as pictures; there is no roof for them.
    Items(f64),
    /// Something without a rate.
    Time,
}

impl Work {
    /// GFLOP/s, GB/s or items a second.
    pub fn rate(self, seconds: f64) -> Option<f64> {
        match self {
            Work::Flops(amount) | Work::Bytes(amount) => Some(amount / seconds * 1e-9),
            Work::Items(amount) => Some(amount / seconds),
            Work::Time => None,
        }
    }

    /// What [`Self::rate`] counts.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Work::Flops(_) => "GFLOP/s",
            Work::Bytes(_) => "GB/s",
            Work::Items(_) => "/s",
            Work::Time => "",
        }
    }
}
