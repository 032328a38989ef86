//! How values are stored.

/// How the values of a model that is saved are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Storage {
    /// Exact.
    #[default]
    F32,
    /// Half precision.
    F16,
    /// Matrices as int8 with one scale per row, everything else f32.
    Int8Rows,
}
