//! What an adapter can do, and which of it is switched off.

use crate::error::{Error, Result};

/// Optional abilities that kernels may use. Every one can be forced off by `VLJEPA_DISABLE`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// 16-bit floats in shaders (`shader-f16`).
    pub f16: bool,
    /// Subgroup operations.
    pub subgroup: bool,
    /// Smallest and largest subgroup the adapter may run; equal numbers mean a known size.
    pub subgroup_size: (u32, u32),
    /// Cooperative matrix sizes `m = n = k` with f16 operands and f32 accumulators.
    pub coop: Vec<u32>,
    /// Timestamp queries at pass boundaries.
    pub timestamps: bool,
    /// Parameters in immediates instead of a uniform buffer.
    pub immediates: bool,
    /// Compiled pipelines can be kept on disk by the driver.
    pub pipeline_cache: bool,
    /// The adapter is a processor that runs shaders in software. Loads and barriers are dear there and arithmetic is cheap,
    /// so operators choose other kernels.
    pub software: bool,
}

/// Names that `VLJEPA_DISABLE` understands, apart from `all`.
pub const NAMES: [&str; 7] = ["f16", "subgroup", "coop", "timestamps", "immediates", "pipeline_cache", "software"];

impl Capabilities {
    /// Plain WebGPU: nothing optional.
    pub fn none() -> Self {
        Capabilities {
            f16: false,
            subgroup: false,
            subgroup_size: (4, 128),
            coop: Vec::new(),
            timestamps: false,
            immediates: false,
            pipeline_cache: false,
            software: false,
        }
    }

    /// Switches off what the comma-separated `list` names; `all` leaves plain WebGPU. `software` switches off the
    /// kernels that are chosen only for software adapters.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an unknown name.
    pub fn disable(mut self, list: &str) -> Result<Self> {
        let mut all = false;
        for name in list.split(',').map(str::trim).filter(|n| !n.is_empty()) {
            match name {
                "all" => all = true,
                "f16" => self.f16 = false,
                "subgroup" => self.subgroup = false,
                "coop" => self.coop.clear(),
                "timestamps" => self.timestamps = false,
                "immediates" => self.immediates = false,
                "pipeline_cache" => self.pipeline_cache = false,
                "software" => self.software = false,
                other => {
                    return Err(Error::Invalid(format!(
                        "VLJEPA_DISABLE: unknown capability `{other}`; known: all, {}",
                        NAMES.join(", ")
                    )));
                }
            }
        }
        Ok(if all { Self::none() } else { self })
    }

    /// The subgroup size when it is certain.
    pub fn fixed_subgroup(&self) -> Option<u32> {
        (self.subgroup && self.subgroup_size.0 == self.subgroup_size.1).then_some(self.subgroup_size.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everything() -> Capabilities {
        Capabilities {
            f16: true,
            subgroup: true,
            subgroup_size: (8, 8),
            coop: vec![16],
            timestamps: true,
            immediates: true,
            pipeline_cache: true,
            software: true,
        }
    }

    #[test]
    fn each_name_switches_off_one_thing() {
        for name in NAMES {
            let caps = everything().disable(name).unwrap();
            assert_ne!(caps, everything(), "{name}");
            assert_ne!(caps, Capabilities::none(), "{name}");
        }
        assert_eq!(everything().disable("all").unwrap(), Capabilities::none());
        assert_eq!(everything().disable("").unwrap(), everything());
        assert_eq!(everything().disable("subgroup").unwrap().fixed_subgroup(), None);
    }

    #[test]
    fn unknown_names_are_refused() {
        assert!(everything().disable("all,warp").is_err());
        let error = everything().disable("f16,warp").unwrap_err().to_string();
        assert!(error.contains("`warp`") && error.contains("subgroup"), "{error}");
    }
}
