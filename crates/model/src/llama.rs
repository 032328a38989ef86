//! Llama blocks as the Predictor uses them: any slice of layers, causal or not.

use std::ops::Range;

use vljepa_tensor::autograd::Var;
use vljepa_tensor::{Device, Tensor};

use crate::config::LlamaConfig;
use crate::decoder::DecoderLayers;
use crate::error::Result;
use crate::param::{Builder, Forward, Param, ParamSource};

/// A stack of Llama layers with an optional final norm.
#[derive(Clone, Debug)]
pub struct LlamaLayers(DecoderLayers);

impl LlamaLayers {
    /// Builds layers named `{prefix}.layers.{i}.…`, i from `first`, and `{prefix}.norm` when `final_norm`.
    pub(crate) fn new(
        b: &mut Builder<'_>,
        prefix: &str,
        config: &LlamaConfig,
        layers: Range<usize>,
        causal: bool,
        final_norm: bool,
    ) -> Result<Self> {
        let spec = config.decoder(causal);
        Ok(LlamaLayers(DecoderLayers::new(b, &format!("{prefix}."), spec, layers, final_norm)?))
    }

    /// Some layers alone, from parameters named `{prefix}.layers.{i}.…` (`model` in the published files).
    ///
    /// # Errors
    /// When the slice is empty or ends beyond the model, and what the source reports.
    pub fn load(
        device: &Device,
        config: &LlamaConfig,
        source: &mut dyn ParamSource,
        prefix: &str,
        layers: Range<usize>,
        causal: bool,
        final_norm: bool,
    ) -> Result<Self> {
        config.validate()?;
        Self::new(&mut Builder::new(device, source), prefix, config, layers, causal, final_norm)
    }

    /// Every parameter.
    pub fn params(&self) -> Vec<&Param> {
        let mut out = Vec::new();
        self.collect(&mut out);
        out
    }

    /// Runs the layers on embeddings `[B, N, D]`; positions count from 0. `key_mask` `[B, N]` (u32) is 0 for padding,
    /// which no token attends to.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn forward(&self, f: &Forward, x: &Var, key_mask: Option<&Tensor>) -> Result<Var> {
        self.0.run(f, x, key_mask, |_| ())
    }

    pub(crate) fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        self.0.collect(out);
    }
}
