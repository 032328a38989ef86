//! Parameters, where their values come from, and the forward pass that uses them.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use half::f16;
use vljepa_tensor::autograd::{self, Gradients, Tape, Var};
use vljepa_tensor::{Device, Dtype, Error, Tensor};

use crate::error::{ModelError, Result};
use crate::formats::{WeightSource, read_f32, read_f32_rows};

/// A named parameter on the device. Optimisers update its memory in place.
#[derive(Clone, Debug)]
pub struct Param {
    name: String,
    tensor: Tensor,
    table: bool,
}

impl Param {
    pub(crate) fn new(name: impl Into<String>, tensor: Tensor) -> Self {
        Param { name: name.into(), tensor, table: false }
    }

    /// The same parameter as a table ([`Param::is_table`]).
    pub(crate) fn into_table(mut self) -> Self {
        self.table = true;
        self
    }

    /// Name in our files.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The values.
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// Whether it is a table whose rows are looked up by number (tokens, positions), rather than a matrix that maps
    /// activations.
    pub fn is_table(&self) -> bool {
        self.table
    }
}

/// Where the values of parameters come from.
pub trait ParamSource {
    /// Values of the parameter `name` of `shape`, row-major.
    ///
    /// # Errors
    /// When there is no such parameter or it cannot be read.
    fn values(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>>;

    /// Values of some rows (outermost indices) of the parameter `name` of `shape`, for tables that are uploaded in
    /// parts.
    ///
    /// # Errors
    /// As [`ParamSource::values`].
    fn rows(&mut self, name: &str, shape: &[usize], rows: Range<usize>) -> Result<Vec<f32>> {
        let width: usize = shape.iter().skip(1).product();
        let mut values = self.values(name, shape)?;
        values.truncate(rows.end * width);
        values.drain(..rows.start * width);
        Ok(values)
    }

    /// Values of the weight of a norm that multiplies by one plus its weight. Files hold them like any others.
    ///
    /// # Errors
    /// As [`ParamSource::values`].
    fn offset_norm(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        self.values(name, shape)
    }
}

impl<S: WeightSource + ?Sized> ParamSource for &S {
    fn values(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        read_f32(*self, name, shape)
    }

    fn rows(&mut self, name: &str, shape: &[usize], rows: Range<usize>) -> Result<Vec<f32>> {
        read_f32_rows(*self, name, shape, rows)
    }
}

/// Random initial values, by the parameter's name and shape.
///
/// * biases, mask tokens, and V-JEPA 2.1's vectors for stills and videos (there of deviation 1e-6): zeros;
/// * norms: ones, or zeros where the norm adds one to its weight;
/// * convolutions: uniform within ±1/√fan-in, half of that in residual units;
/// * all else: normal numbers cut at two standard deviations; in output projections of block l (from 1) divided by
///   √(2 l), as V-JEPA 2 does, in Llama blocks likewise.
///
/// Each parameter has a stream of its own, so that the order does not matter.
#[derive(Clone, Debug)]
pub struct RandomInit {
    /// Seed of all streams.
    pub seed: u64,
    /// Standard deviation of matrices.
    pub range: f64,
    /// Value of `logit_scale`, ln(1/τ).
    pub logit_scale: f32,
}

/// SplitMix64: one stream of 64-bit words.
pub(crate) struct Stream(u64);

impl Stream {
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        // FNV-1a of the name, mixed with the seed.
        let hash =
            name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        Stream(hash ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(crate) fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A standard normal number.
    pub(crate) fn uncut_normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// A standard normal number cut at two standard deviations.
    pub(crate) fn normal(&mut self) -> f64 {
        loop {
            let x = self.uncut_normal();
            if x.abs() <= 2.0 {
                return x;
            }
        }
    }
}

impl ParamSource for RandomInit {
    fn values(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let count = shape.iter().product();
        let mut stream = Stream::new(self.seed, name);
        if name == "logit_scale" {
            return Ok(vec![self.logit_scale; count]);
        }
        if [".bias", ".mask_tokens", "_mod_embed"].iter().any(|end| name.ends_with(end)) {
            return Ok(vec![0.0; count]);
        }
        if shape.len() == 1 {
            return Ok(vec![1.0; count]);
        }
        if name.contains(".conv.weight") {
            let fan_in: usize = shape[1..].iter().product();
            let bound = if name.contains(".residual.") { 0.5 } else { 1.0 } / (fan_in as f64).sqrt();
            return Ok((0..count).map(|_| (bound * (2.0 * stream.unit() - 1.0)) as f32).collect());
        }
        let outputs = [".attention.proj.", ".self_attn.out_proj.", ".mlp.fc2.", ".o_proj.", ".down_proj."];
        let layer = name.split('.').find_map(|part| part.parse::<usize>().ok());
        let std = match layer.filter(|_| outputs.iter().any(|o| name.contains(o))) {
            Some(l) => self.range / (2.0 * (l + 1) as f64).sqrt(),
            None => self.range,
        };
        Ok((0..count).map(|_| (std * stream.normal()) as f32).collect())
    }

    fn offset_norm(&mut self, _name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        Ok(vec![0.0; shape.iter().product()])
    }
}

/// Element type of matrices and tables on the device. Everything else is f32, sums included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Precision {
    /// Four bytes a number.
    #[default]
    F32,
    /// Half the memory; for inference only. Numbers are rounded to eleven bits; one beyond 65,504 is an error.
    F16,
    /// A quarter of the memory and an f32 scale for each row; for inference only. Each number is rounded to a multiple
    /// of its row's largest magnitude over 127; one that is not finite is an error.
    I8,
}

/// Makes parameters on a device from a source.
pub(crate) struct Builder<'a> {
    pub(crate) device: &'a Device,
    pub(crate) source: &'a mut dyn ParamSource,
    pub(crate) precision: Precision,
}

impl<'a> Builder<'a> {
    /// Makes parameters in f32.
    pub(crate) fn new(device: &'a Device, source: &'a mut dyn ParamSource) -> Self {
        Builder { device, source, precision: Precision::F32 }
    }
}

impl Builder<'_> {
    /// A parameter that is only ever the second operand of a product, or a table to gather from: in the builder's
    /// precision.
    pub(crate) fn matrix(&mut self, name: impl Into<String>, shape: &[usize]) -> Result<Param> {
        let name = name.into();
        let values = self.source.values(&name, shape)?;
        let tensor = self.upload_as(&name, shape, &values, 0)?;
        Ok(Param::new(name, tensor))
    }

    /// Uploads numbers of the tensor `name`, from its element `first` on, in the builder's precision.
    pub(crate) fn upload_as(&self, name: &str, shape: &[usize], values: &[f32], first: usize) -> Result<Tensor> {
        let finite = |bad: Option<usize>| match bad {
            Some(i) => Err(ModelError::NonFinite { name: name.into(), index: first + i, value: values[i] }),
            None => Ok(()),
        };
        match self.precision {
            Precision::F32 => Ok(Tensor::from_f32(self.device, shape, values)?),
            Precision::F16 => {
                let halves: Vec<f16> = values.iter().map(|&v| f16::from_f32(v)).collect();
                finite(halves.iter().position(|h| !h.is_finite()))?;
                Ok(Tensor::from_f16(self.device, shape, &halves)?)
            }
            // Kernels of the patch embedding stay f32: they see the pixels, and are small.
            Precision::I8 if shape.len() != 2 => Ok(Tensor::from_f32(self.device, shape, values)?),
            Precision::I8 => {
                finite(values.iter().position(|v| !v.is_finite()))?;
                Ok(Tensor::from_f32_as_i8(self.device, shape, values)?)
            }
        }
    }

    /// Bytes of a matrix of `shape`.
    pub(crate) fn matrix_bytes(&self, shape: &[usize]) -> u64 {
        let dtype = match self.precision {
            Precision::F32 => Dtype::F32,
            Precision::F16 => Dtype::F16,
            Precision::I8 => Dtype::I8,
        };
        dtype.bytes(shape)
    }

    /// Any other parameter, in f32.
    pub(crate) fn param(&mut self, name: impl Into<String>, shape: &[usize]) -> Result<Param> {
        let name = name.into();
        let values = self.source.values(&name, shape)?;
        self.upload(name, shape, &values)
    }

    /// The weight of a norm that multiplies by one plus its weight.
    pub(crate) fn offset_norm(&mut self, name: String, shape: &[usize]) -> Result<Param> {
        let values = self.source.offset_norm(&name, shape)?;
        self.upload(name, shape, &values)
    }

    fn upload(&self, name: String, shape: &[usize], values: &[f32]) -> Result<Param> {
        Ok(Param::new(name, Tensor::from_f32(self.device, shape, values)?))
    }
}

/// One forward pass: turns parameters into variables, on a tape when training.
#[derive(Clone, Default)]
pub struct Forward {
    training: Option<Arc<Training>>,
    recomputes: bool,
}

struct Training {
    tape: Tape,
    trainable: Box<dyn Fn(&str) -> bool + Send + Sync>,
    leaves: Mutex<HashMap<String, Var>>,
}

impl Training {
    /// The leaves so far. A panic elsewhere leaves them whole: one is there or not.
    fn leaves(&self) -> MutexGuard<'_, HashMap<String, Var>> {
        self.leaves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Forward {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forward").field("training", &self.training.is_some()).finish()
    }
}

impl Forward {
    /// A pass without gradients.
    pub fn inference() -> Self {
        Self::default()
    }

    /// Whether the pass records gradients.
    pub fn is_training(&self) -> bool {
        self.training.is_some()
    }

    /// A pass that records on `tape`; parameters whose name `trainable` accepts become leaves.
    pub fn training(tape: Tape, trainable: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        let training = Training { tape, trainable: Box::new(trainable), leaves: Mutex::default() };
        Forward { training: Some(Arc::new(training)), recomputes: false }
    }

    /// The same pass that keeps of each transformer block its input alone: the backward pass computes the rest once more (activation
    /// checkpointing). Gradients are the same.
    pub fn recomputing(mut self) -> Self {
        self.recomputes = true;
        self
    }

    /// Runs a transformer block on `x`, without keeping what lies between where the pass recomputes. `collect` gives its parameters.
    pub(crate) fn block<B: Clone + Send + 'static>(
        &self,
        x: &Var,
        block: &B,
        collect: for<'a> fn(&'a B, &mut Vec<&'a Param>),
        body: impl Fn(&B, &Forward, &Var) -> Result<Var> + Send + 'static,
    ) -> Result<Var> {
        if !self.recomputes || self.training.is_none() {
            return body(block, self, x);
        }
        // A leaf is put on the tape where it is met first; within the block it would be cut off again.
        let mut params = Vec::new();
        collect(block, &mut params);
        params.into_iter().for_each(|param| drop(self.var(param)));
        let (block, again) = (block.clone(), Forward { recomputes: false, ..self.clone() });
        let run = move |inputs: &[Var]| {
            let input = inputs.first().ok_or_else(|| Error::Invalid("a block without input".into()))?;
            body(&block, &again, input).map_err(|error| match error {
                ModelError::Tensor(error) => error,
                other => Error::Invalid(other.to_string()),
            })
        };
        Ok(autograd::checkpoint(&[x], run)?)
    }

    /// The parameter as a variable, the same one each time within a pass.
    pub fn var(&self, param: &Param) -> Var {
        match &self.training {
            Some(t) if (t.trainable)(&param.name) => {
                t.leaves().entry(param.name.clone()).or_insert_with(|| t.tape.leaf(param.tensor.clone())).clone()
            }
            _ => Var::constant(param.tensor.clone()),
        }
    }

    /// The gradients by parameter name, sorted; parameters that the output does not depend on are left out.
    pub fn gradients(&self, mut gradients: Gradients) -> Vec<(String, Tensor)> {
        let Some(training) = &self.training else { return Vec::new() };
        let mut all: Vec<(String, Tensor)> =
            training.leaves().iter().filter_map(|(name, leaf)| Some((name.clone(), gradients.take(leaf)?))).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }
}
