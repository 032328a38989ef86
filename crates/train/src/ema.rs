//! Exponential moving average of the trained weights.

use std::collections::BTreeMap;

use vljepa_model::Param;
use vljepa_tensor::{Tensor, ops};

use crate::error::Result;

/// Averages by parameter name.
#[derive(Clone, Debug, Default)]
pub struct Ema(BTreeMap<String, Tensor>);

impl Ema {
    /// Starts at the present weights of the parameters that `trained` accepts.
    ///
    /// # Errors
    /// Allocation errors.
    pub fn new(params: &[&Param], trained: &dyn Fn(&str) -> bool) -> Result<Self> {
        let copies = params.iter().filter(|p| trained(p.name()));
        Ok(Self(copies.map(|p| Ok((p.name().to_owned(), p.tensor().copy()?))).collect::<Result<_>>()?))
    }

    /// average ← decay · average + (1 − decay) · weight.
    ///
    /// # Errors
    /// What the operators report.
    pub fn update(&self, params: &[&Param], decay: f64) -> Result<()> {
        for param in params {
            if let Some(average) = self.0.get(param.name()) {
                ops::ema_assign(average, param.tensor(), decay)?;
            }
        }
        Ok(())
    }

    /// Names and averages.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.0.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Runs `body` with the averages in the place of the weights, and puts the weights back whatever it returns.
    ///
    /// # Errors
    /// What `body` and the copies report.
    pub fn during<T>(&self, params: &[&Param], body: impl FnOnce() -> Result<T>) -> Result<T> {
        let mut weights = Vec::with_capacity(self.0.len());
        for param in params {
            if let Some(average) = self.0.get(param.name()) {
                weights.push((param.tensor(), param.tensor().copy()?));
                param.tensor().copy_from(average)?;
            }
        }
        let result = body();
        for (weight, copy) in weights {
            weight.copy_from(&copy)?;
        }
        result
    }
}
