//! What all configurations share: the list of tensors that a model consists of, rules for values, reading JSON.
//!
//! Every configuration lists its tensors (`tensors`): loading checks a file against that list, and parameter counts are
//! its sum.

use crate::error::{ModelError, Result};
use crate::json;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Name and shape of one weight tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Name in the checkpoint.
    pub name: String,
    /// Shape, outermost first.
    pub shape: Vec<usize>,
}

impl TensorSpec {
    /// Number of elements. Saturates; validated configurations stay far below.
    pub fn elements(&self) -> u64 {
        self.shape.iter().fold(1, |n, &d| n.saturating_mul(d as u64))
    }
}

/// Number of parameters in a list of tensors.
pub fn parameter_count(tensors: &[TensorSpec]) -> u64 {
    tensors.iter().map(TensorSpec::elements).sum()
}

/// The same tensors with `from` at the start of each name replaced by `to`.
pub fn renamed(tensors: Vec<TensorSpec>, from: &str, to: &str) -> Vec<TensorSpec> {
    let rename = |t: TensorSpec| match t.name.strip_prefix(from) {
        Some(rest) => TensorSpec { name: format!("{to}{rest}"), shape: t.shape },
        None => t,
    };
    tensors.into_iter().map(rename).collect()
}

/// Builder for lists of tensors, so that the names read as in the checkpoint.
#[derive(Default)]
pub(crate) struct Specs(pub(crate) Vec<TensorSpec>);

impl Specs {
    pub(crate) fn add(&mut self, name: impl Into<String>, shape: &[usize]) {
        self.0.push(TensorSpec { name: name.into(), shape: shape.to_vec() });
    }

    /// `{name}.weight` (output, input), and `{name}.bias` (output).
    pub(crate) fn linear(&mut self, name: &str, input: usize, output: usize, bias: bool) {
        self.add(format!("{name}.weight"), &[output, input]);
        if bias {
            self.add(format!("{name}.bias"), &[output]);
        }
    }

    /// `{name}.weight` and `{name}.bias`, both (width).
    pub(crate) fn layer_norm(&mut self, name: &str, width: usize) {
        self.add(format!("{name}.weight"), &[width]);
        self.add(format!("{name}.bias"), &[width]);
    }
}

fn not_readable(config: &'static str) -> impl Fn(String) -> ModelError {
    move |what| ModelError::Config { config, what: format!("not readable: {what}") }
}

/// Parses JSON; a message has the key, line and column.
pub(crate) fn parse<T: DeserializeOwned>(config: &'static str, text: &str) -> Result<T> {
    json::from_str(text).map_err(not_readable(config))
}

/// [`parse`] of JSON that is parsed already.
pub(crate) fn parse_value<T: DeserializeOwned>(config: &'static str, value: &Value) -> Result<T> {
    json::from_value(value).map_err(not_readable(config))
}

/// Rules shared by the configurations; a message names the key at fault.
pub(crate) struct Check(pub(crate) &'static str);

impl Check {
    pub(crate) fn fail<T>(&self, what: String) -> Result<T> {
        Err(ModelError::Config { config: self.0, what })
    }

    /// 1 ≤ value ≤ limit. The limits are far above every published model; they keep products of sizes from overflowing.
    pub(crate) fn size(&self, key: &str, value: usize, limit: usize) -> Result<()> {
        if value == 0 || value > limit {
            return self.fail(format!("`{key}` is {value}, must be in 1..={limit}"));
        }
        Ok(())
    }

    pub(crate) fn divides(&self, key: &str, value: usize, whole_key: &str, whole: usize) -> Result<()> {
        if value == 0 || !whole.is_multiple_of(value) {
            return self.fail(format!("`{whole_key}` ({whole}) is not a multiple of `{key}` ({value})"));
        }
        Ok(())
    }

    /// low < value ≤ high, finite.
    pub(crate) fn number(&self, key: &str, value: f64, low: f64, high: f64) -> Result<()> {
        if !(value > low && value <= high) {
            return self.fail(format!("`{key}` is {value}, must be above {low} and at most {high}"));
        }
        Ok(())
    }

    /// The whole model must stay below 2^40 parameters.
    pub(crate) fn parameters(&self, tensors: &[TensorSpec]) -> Result<()> {
        const LIMIT: u64 = 1 << 40;
        let mut total = 0u64;
        for t in tensors {
            total = total.saturating_add(t.elements());
        }
        if total > LIMIT {
            return self.fail(format!("{total} parameters, the limit is {LIMIT}"));
        }
        Ok(())
    }

    /// `model_type`, where it is given, must be the expected one.
    pub(crate) fn model_type(&self, found: Option<&str>, expected: &str) -> Result<()> {
        match found {
            Some(t) if t != expected => self.fail(format!("`model_type` is \"{t}\", expected \"{expected}\"")),
            _ => Ok(()),
        }
    }

    pub(crate) fn one_of(&self, key: &str, value: &str, accepted: &[&str]) -> Result<()> {
        if !accepted.contains(&value) {
            return self.fail(format!("`{key}` is \"{value}\", supported: {}", accepted.join(", ")));
        }
        Ok(())
    }
}

/// Largest width of anything: hidden sizes, MLPs, embedding dimension.
pub(crate) const MAX_WIDTH: usize = 1 << 17;
/// Largest number of layers.
pub(crate) const MAX_LAYERS: usize = 1 << 10;
/// Largest vocabulary or number of positions.
pub(crate) const MAX_ROWS: usize = 1 << 24;
