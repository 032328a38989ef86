//! Layers that every block is made of.

use vljepa_tensor::autograd::{self, Var};
use vljepa_tensor::{Device, Tensor, ops};

use crate::error::Result;
use crate::param::{Builder, Forward, Param, ParamSource};

/// `x · weightᵀ + bias`, weight `[out, in]`.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Param,
    bias: Option<Param>,
}

impl Linear {
    pub(crate) fn new(b: &mut Builder<'_>, name: &str, input: usize, output: usize, bias: bool) -> Result<Self> {
        let weight = b.matrix(format!("{name}.weight"), &[output, input])?;
        let bias = bias.then(|| b.param(format!("{name}.bias"), &[output])).transpose()?;
        Ok(Linear { weight, bias })
    }

    /// `[.., in]` → `[.., out]`.
    ///
    /// # Errors
    /// When the last axis has another size.
    pub fn forward(&self, f: &Forward, x: &Var) -> Result<Var> {
        let bias = self.bias.as_ref().map(|b| f.var(b));
        Ok(autograd::linear(x, &f.var(&self.weight), bias.as_ref())?)
    }

    /// `[out, in]`.
    pub fn weight(&self) -> &Param {
        &self.weight
    }

    /// `[out]`, where there is one.
    pub fn bias(&self) -> Option<&Param> {
        self.bias.as_ref()
    }

    /// Numbers that come out for each row.
    pub(crate) fn outputs(&self) -> usize {
        self.weight.tensor().shape()[0]
    }

    pub(crate) fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        out.push(&self.weight);
        out.extend(&self.bias);
    }
}

/// Most bytes of an MLP's intermediate outside of training. More rows at once would not make products faster.
const MLP_BYTES: u64 = 64 << 20;

/// `mlp` of `x` `[.., D]`, of so many rows at a time that its intermediates of `inner` f32 a row fit into a binding:
/// 8,192 tokens in an MLP of width 8,192 are 256 MiB, WebGPU promises 128. `mlp` must treat each row by itself.
pub(crate) fn chunked(f: &Forward, x: &Var, inner: usize, mlp: impl Fn(&Var) -> Result<Var>) -> Result<Var> {
    let limits = x.value().device().limits();
    let bound = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
    let most = if f.is_training() { bound } else { bound.min(MLP_BYTES) };
    let most = (most / (4 * inner as u64).max(1)).max(1) as usize;
    let (shape, (rows, width)) = (x.shape(), x.value().rows_cols());
    if rows <= most {
        return mlp(x);
    }
    let flat = x.reshape(&[rows, width])?;
    let step = rows.div_ceil(rows.div_ceil(most));
    let part = |first| mlp(&autograd::slice(&flat, 0, first, step.min(rows - first))?);
    let parts = (0..rows).step_by(step).map(part).collect::<Result<Vec<_>>>()?;
    Ok(autograd::concat(&parts.iter().collect::<Vec<_>>(), 0)?.reshape(shape)?)
}

/// Token embeddings: rows of a table by number. A table larger than the device's bindings lies there in parts. It is
/// then no parameter: it can be neither trained nor saved.
#[derive(Clone, Debug)]
pub struct EmbeddingTable {
    name: String,
    rows: usize,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Whole(Param),
    /// Consecutive rows.
    Parts(Vec<Tensor>),
}

impl EmbeddingTable {
    pub(crate) fn new(b: &mut Builder<'_>, name: impl Into<String>, rows: usize, width: usize) -> Result<Self> {
        let name = name.into();
        let limits = b.device.limits();
        let limit = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        let most = (limit / b.matrix_bytes(&[1, width]).max(1)) as usize;
        let place = if rows <= most {
            Place::Whole(b.matrix(name.as_str(), &[rows, width])?.into_table())
        } else {
            let starts = (0..rows).step_by(most.max(1));
            let part = |first: usize| -> Result<Tensor> {
                let range = first..rows.min(first + most.max(1));
                let values = b.source.rows(&name, &[rows, width], range.clone())?;
                b.upload_as(&name, &[range.len(), width], &values, first * width)
            };
            Place::Parts(starts.map(part).collect::<Result<_>>()?)
        };
        Ok(EmbeddingTable { name, rows, place })
    }

    /// A table `[rows, width]` from the parameter `name` of a source.
    ///
    /// # Errors
    /// What the source reports, and allocation errors.
    pub fn load(device: &Device, source: &mut dyn ParamSource, name: &str, [rows, width]: [usize; 2]) -> Result<Self> {
        Self::new(&mut Builder::new(device, source), name, rows, width)
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Rows by `ids` (u32, any shape): `[ids.., width]`.
    ///
    /// # Errors
    /// When the ids are not u32.
    pub fn forward(&self, f: &Forward, ids: &Tensor) -> Result<Var> {
        match &self.place {
            Place::Whole(table) => Ok(autograd::gather_rows(&f.var(table), ids)?),
            Place::Parts(parts) => {
                Ok(Var::constant(ops::gather_rows_of_parts(&parts.iter().collect::<Vec<_>>(), ids)?))
            }
        }
    }

    /// The table, where it lies on the device in one piece.
    pub(crate) fn whole(&self) -> Option<&Param> {
        match &self.place {
            Place::Whole(table) => Some(table),
            Place::Parts(_) => None,
        }
    }

    pub(crate) fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        if let Place::Whole(table) = &self.place {
            out.push(table);
        }
    }

    /// The name of a table that lies in parts.
    pub(crate) fn in_parts(&self) -> Option<&str> {
        matches!(self.place, Place::Parts(_)).then_some(self.name.as_str())
    }
}

/// Layer norm over the last axis with scale and shift.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    /// `[width]`
    pub weight: Param,
    /// `[width]`
    pub bias: Param,
    /// Added to the variance.
    pub eps: f32,
}

impl LayerNorm {
    pub(crate) fn new(b: &mut Builder<'_>, name: &str, width: usize, eps: f64) -> Result<Self> {
        Ok(LayerNorm {
            weight: b.param(format!("{name}.weight"), &[width])?,
            bias: b.param(format!("{name}.bias"), &[width])?,
            eps: eps as f32,
        })
    }

    /// Same shape as `x`.
    ///
    /// # Errors
    /// When the last axis has another size.
    pub fn forward(&self, f: &Forward, x: &Var) -> Result<Var> {
        Ok(autograd::layer_norm(x, Some(&f.var(&self.weight)), Some(&f.var(&self.bias)), self.eps)?)
    }

    pub(crate) fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        out.extend([&self.weight, &self.bias]);
    }
}

/// RMS norm over the last axis, times `weight` (Llama, Qwen 3) or one plus `weight` (Gemma 3).
#[derive(Clone, Debug)]
pub struct RmsNorm {
    /// `[width]`
    pub weight: Param,
    /// Epsilon, and how the weight enters.
    pub options: ops::RmsNorm,
}

impl RmsNorm {
    pub(crate) fn new(
        b: &mut Builder<'_>,
        name: &str,
        width: usize,
        eps: f64,
        weight: ops::NormWeight,
    ) -> Result<Self> {
        let options = ops::RmsNorm { eps: eps as f32, weight };
        let name = format!("{name}.weight");
        let weight = match weight {
            ops::NormWeight::Plain => b.param(name, &[width])?,
            ops::NormWeight::OnePlus => b.offset_norm(name, &[width])?,
        };
        Ok(RmsNorm { weight, options })
    }

    /// Same shape as `x`.
    ///
    /// # Errors
    /// When the last axis has another size.
    pub fn forward(&self, f: &Forward, x: &Var) -> Result<Var> {
        Ok(autograd::rms_norm(x, Some(&f.var(&self.weight)), self.options)?)
    }

    pub(crate) fn collect<'a>(&'a self, out: &mut Vec<&'a Param>) {
        out.push(&self.weight);
    }
}
