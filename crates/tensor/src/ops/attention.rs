//! Scaled dot-product attention.

use vljepa_shaders::Const;
use vljepa_shaders::kernels::attention::{
    ATTENTION_ROW, ATTENTION_ROW_DKV, ATTENTION_ROW_DQ, ATTENTION_STATS, ATTENTION_SUBGROUP, ATTENTION_SUBGROUP_DKV,
    ATTENTION_SUBGROUP_DQ, ATTENTION_SUBGROUP4, ATTENTION_TILE, ATTENTION_TILE_DKV, ATTENTION_TILE_DQ, AttentionParams,
    AttentionStatsParams,
};

use super::dropout::{Dropout, draw};
use super::elementwise::need_f32;
use crate::caps::Capabilities;
use crate::device::pipelines::Override;
use crate::error::{Error, Result};
use crate::launch::Launch;
use crate::tensor::{Dtype, Tensor};

const OP: &str = "attention";

/// Options of [`attention`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Attention<'a> {
    /// Query heads in the last axis of `q`.
    pub heads: usize,
    /// Key and value heads; query head `h` uses head `h / (heads / kv_heads)`.
    pub kv_heads: usize,
    /// Factor of the scores; `None` is 1 / sqrt(head dim).
    pub scale: Option<f32>,
    /// Whether a query sees only keys that do not come after it. With fewer queries than keys the last query stands
    /// beside the last key.
    pub causal: bool,
    /// u32 `[B, Nk]`: 0 hides a key from every query.
    pub key_mask: Option<&'a Tensor>,
    /// Exclusive distance: query `i` sees key `j` where `|i - j| < window`.
    pub window: Option<usize>,
    /// Sets probabilities to zero at random after the softmax and scales the others by `1 / (1 - p)`, as PyTorch's
    /// `dropout(softmax(..)) · v`. The counter of the probability `(b, h, i, j)` is its place in `[batch, heads, Nq, Nk]`, modulo
    /// 2³².
    pub dropout: Option<Dropout>,
}

impl<'a> Attention<'a> {
    /// Every query sees every key; as many key heads as query heads.
    pub fn new(heads: usize) -> Self {
        Attention { heads, kv_heads: heads, scale: None, causal: false, key_mask: None, window: None, dropout: None }
    }

    /// Shares each key and value head among `heads / kv_heads` query heads.
    pub fn kv_heads(mut self, kv_heads: usize) -> Self {
        self.kv_heads = kv_heads;
        self
    }

    /// Replaces 1 / sqrt(head dim).
    pub fn scale(mut self, scale: f32) -> Self {
        self.scale = Some(scale);
        self
    }

    /// Hides later keys.
    pub fn causal(mut self, causal: bool) -> Self {
        self.causal = causal;
        self
    }

    /// Hides keys, u32 `[B, Nk]` with 0 for hidden.
    pub fn key_mask(mut self, key_mask: Option<&'a Tensor>) -> Self {
        self.key_mask = key_mask;
        self
    }

    /// Hides keys at a distance of `window` or more.
    pub fn window(mut self, window: Option<usize>) -> Self {
        self.window = window;
        self
    }

    /// Drops probabilities at random, for training.
    pub fn dropout(mut self, dropout: Option<Dropout>) -> Self {
        self.dropout = dropout;
        self
    }
}

/// The kernels that compute attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttentionVariant {
    /// One invocation per query (backward: also one per key); any head size, nothing shared.
    Row,
    /// One subgroup of 8 per tile of 8 queries (backward: also per tile of 8 keys), which share their loads by broadcast.
    Subgroup,
    /// One subgroup of 8 per tile of 32 queries, with vector loads; backward as [`AttentionVariant::Subgroup`].
    Subgroup4,
    /// One workgroup of 64 per tile of 32 queries (backward: also per tile of 32 keys), tiles in workgroup memory.
    Tile,
}

/// Largest head of [`AttentionVariant::Tile`], whose running sums must stay in registers.
const MAX_TILE_HEAD_DIM: usize = 256;

/// Which kernels run. On software adapters loads and barriers are dear: where the size of the subgroup is known, its lanes
/// share their loads; otherwise each query goes alone, at a fifth of the speed. Other adapters get tiles in workgroup
/// memory, as long as a head fits the registers. Only the kernels that go row by row know dropout.
pub fn choose_attention(caps: &Capabilities, head_dim: usize, dropout: bool) -> AttentionVariant {
    if dropout {
        return AttentionVariant::Row;
    }
    if caps.software {
        return match caps.fixed_subgroup() {
            Some(8) if head_dim.is_multiple_of(4) => AttentionVariant::Subgroup4,
            Some(8) => AttentionVariant::Subgroup,
            _ => AttentionVariant::Row,
        };
    }
    if head_dim.is_multiple_of(4) && head_dim <= MAX_TILE_HEAD_DIM {
        AttentionVariant::Tile
    } else {
        AttentionVariant::Row
    }
}

/// Checked sizes of one call.
struct Sizes {
    params: AttentionParams,
    overrides: Vec<Override>,
    /// `HEAD_DIM` for the tiled kernels, which keep running sums in arrays of that length.
    head_dim: [Const; 1],
    variant: AttentionVariant,
}

impl Sizes {
    /// Workgroups of 64 invocations, one per row of every head.
    fn rows(&self, heads: u32, rows: u32) -> u64 {
        (u64::from(self.params.batch) * u64::from(heads) * u64::from(rows)).div_ceil(64)
    }

    /// Workgroups, one per tile of rows of every head.
    fn tiles(&self, heads: u32, rows: u32, tile: u32) -> u64 {
        u64::from(self.params.batch) * u64::from(heads) * u64::from(rows.div_ceil(tile))
    }

    fn consts(&self) -> &[Const] {
        if self.variant == AttentionVariant::Tile { &self.head_dim } else { &[] }
    }

    fn work(&self, products: u64) -> u64 {
        let p = &self.params;
        2 * products
            * u64::from(self.params.head_dim)
            * u64::from(p.batch)
            * u64::from(p.heads)
            * u64::from(p.nq)
            * u64::from(p.nk)
    }
}

fn sizes(q: &Tensor, k: &Tensor, v: &Tensor, options: &Attention<'_>) -> Result<Sizes> {
    need_f32(OP, &[q, k, v])?;
    let (heads, kv_heads) = (options.heads, options.kv_heads);
    if heads == 0 || kv_heads == 0 || !heads.is_multiple_of(kv_heads) {
        return Err(Error::shape(OP, format!("{heads} query heads do not share {kv_heads} key heads evenly")));
    }
    let bad = || {
        Error::shape(
            OP,
            format!(
                "q {:?}, k {:?}, v {:?} for {heads} query heads and {kv_heads} key heads",
                q.shape(),
                k.shape(),
                v.shape()
            ),
        )
    };
    let ([q_lead @ .., nq, q_width], [k_lead @ .., nk, k_width]) = (q.shape(), k.shape()) else { return Err(bad()) };
    let head_dim = q_width / heads;
    if head_dim == 0
        || head_dim * heads != *q_width
        || head_dim * kv_heads != *k_width
        || q_lead != k_lead
        || k.shape() != v.shape()
    {
        return Err(bad());
    }
    let batch: usize = q_lead.iter().product();
    if let Some(mask) = options.key_mask {
        if mask.dtype() != Dtype::U32 {
            return Err(Error::Dtype { op: OP, what: format!("the key mask is {:?}, u32 is needed", mask.dtype()) });
        }
        if mask.len() != batch * nk {
            return Err(Error::shape(OP, format!("key mask {:?} for keys {:?}", mask.shape(), k.shape())));
        }
    }
    if *nq > i32::MAX as usize / 2 || *nk > i32::MAX as usize / 2 {
        return Err(bad());
    }
    let scale = options.scale.unwrap_or(1.0 / (head_dim as f32).sqrt());
    let drawn = options.dropout.map_or(Ok(None), |dropout| draw(OP, &dropout))?;
    let ([drop_step, drop_seed_low, drop_seed_high, drop_threshold], drop_scale) = drawn.unwrap_or_default();
    let mut overrides = vec![
        ("CAUSAL", options.causal.into()),
        ("HAS_MASK", options.key_mask.is_some().into()),
        ("HAS_WINDOW", options.window.is_some().into()),
    ];
    // The other kernels declare no such override.
    overrides.extend(drawn.map(|_| ("HAS_DROPOUT", 1)));
    Ok(Sizes {
        params: AttentionParams {
            batch: batch as u32,
            heads: heads as u32,
            kv_heads: kv_heads as u32,
            nq: *nq as u32,
            nk: *nk as u32,
            head_dim: head_dim as u32,
            // Beyond the longest distance a window changes nothing.
            window: options.window.map_or(0, |w| w.min(i32::MAX as usize / 4) as u32),
            scale: scale * std::f32::consts::LOG2_E,
            drop_step,
            drop_seed_low,
            drop_seed_high,
            drop_threshold,
            drop_scale,
        },
        overrides,
        head_dim: [("HEAD_DIM", head_dim as u32)],
        variant: choose_attention(q.device().capabilities(), head_dim, drawn.is_some()),
    })
}

/// Scaled dot-product attention, any lengths, f32: `q: [.., Nq, heads * D]`, `k, v: [.., Nk, kv_heads * D]` →
/// `[.., Nq, heads * D]`. Scores are never stored. A query that sees no key gives zeros.
///
/// # Errors
/// [`Error::Shape`] when heads, widths, lengths or the mask do not fit;
/// [`Error::Invalid`] when the dropout's probability is not in `[0, 1)`; [`Error::Dtype`].
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, options: &Attention<'_>) -> Result<Tensor> {
    Ok(attention_with_lse(q, k, v, options)?.0)
}

/// [`attention`] and the log-sum-exp of each row of scores, `[B, heads, Nq]` (0 where no key is seen), which
/// [`attention_backward`] needs.
///
/// # Errors
/// As [`attention`].
pub fn attention_with_lse(q: &Tensor, k: &Tensor, v: &Tensor, options: &Attention<'_>) -> Result<(Tensor, Tensor)> {
    let s = sizes(q, k, v, options)?;
    let p = &s.params;
    let o = Tensor::empty(q.device(), q.shape(), Dtype::F32)?;
    let lse = Tensor::empty(q.device(), &[p.batch as usize, p.heads as usize, p.nq as usize], Dtype::F32)?;
    let (kernel, groups) = match s.variant {
        AttentionVariant::Row => (&ATTENTION_ROW, s.rows(p.heads, p.nq)),
        AttentionVariant::Subgroup => (&ATTENTION_SUBGROUP, s.tiles(p.heads, p.nq, 8)),
        AttentionVariant::Subgroup4 => (&ATTENTION_SUBGROUP4, s.tiles(p.heads, p.nq, 32)),
        AttentionVariant::Tile => (&ATTENTION_TILE, s.tiles(p.heads, p.nq, 32)),
    };
    Launch::op(kernel, [Some(q), Some(k), Some(v), options.key_mask, Some(&o), Some(&lse)])
        .consts(s.consts())
        .overrides(&s.overrides)
        .work(s.work(2))
        .record(q.device(), p, groups)?;
    Ok((o, lse))
}

/// Gradients of [`attention`] with respect to `q`, `k` and `v`, from its result `o`, the log-sum-exp of
/// [`attention_with_lse`] and the gradient of `o`. The same inputs give the same bits.
///
/// # Errors
/// As [`attention`]; also when `o`, `lse` or `grad` have other sizes than the forward pass gave.
pub fn attention_backward(
    [q, k, v]: [&Tensor; 3],
    o: &Tensor,
    lse: &Tensor,
    grad: &Tensor,
    options: &Attention<'_>,
) -> Result<[Tensor; 3]> {
    let s = sizes(q, k, v, options)?;
    need_f32(OP, &[o, lse, grad])?;
    let p = &s.params;
    let rows = p.batch as usize * p.heads as usize * p.nq as usize;
    if o.len() != q.len() || grad.len() != q.len() || lse.len() != rows {
        return Err(Error::shape(
            OP,
            format!("o {:?}, lse {:?}, gradient {:?} for q {:?}", o.shape(), lse.shape(), grad.shape(), q.shape()),
        ));
    }
    let device = q.device();
    let stats = Tensor::empty(device, &[rows, 2], Dtype::F32)?;
    let stat_params = AttentionStatsParams { batch: p.batch, heads: p.heads, nq: p.nq, head_dim: p.head_dim };
    Launch::op(&ATTENTION_STATS, [Some(grad), Some(o), Some(lse), Some(&stats)]).record_elements(
        device,
        &stat_params,
        rows as u64,
    )?;
    let dq = Tensor::empty(device, q.shape(), Dtype::F32)?;
    let dk = Tensor::empty(device, k.shape(), Dtype::F32)?;
    let dv = Tensor::empty(device, v.shape(), Dtype::F32)?;
    let inputs = [Some(q), Some(k), Some(v), options.key_mask, Some(&stats), Some(grad)];
    let (queries, keys) = match s.variant {
        AttentionVariant::Row => {
            ((&ATTENTION_ROW_DQ, s.rows(p.heads, p.nq)), (&ATTENTION_ROW_DKV, s.rows(p.kv_heads, p.nk)))
        }
        AttentionVariant::Subgroup | AttentionVariant::Subgroup4 => (
            (&ATTENTION_SUBGROUP_DQ, s.tiles(p.heads, p.nq, 8)),
            (&ATTENTION_SUBGROUP_DKV, s.tiles(p.kv_heads, p.nk, 8)),
        ),
        AttentionVariant::Tile => {
            ((&ATTENTION_TILE_DQ, s.tiles(p.heads, p.nq, 32)), (&ATTENTION_TILE_DKV, s.tiles(p.kv_heads, p.nk, 32)))
        }
    };
    Launch::op(queries.0, inputs.into_iter().chain([Some(&dq)]))
        .consts(s.consts())
        .overrides(&s.overrides)
        .work(s.work(3))
        .record(device, p, queries.1)?;
    Launch::op(keys.0, inputs.into_iter().chain([Some(&dk), Some(&dv)]))
        .consts(s.consts())
        .overrides(&s.overrides)
        .work(s.work(4))
        .record(device, p, keys.1)?;
    Ok([dq, dk, dv])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_broadcasts_and_hardware_tiles() {
        use AttentionVariant::{Row, Subgroup, Subgroup4, Tile};
        let mut caps = Capabilities::none();
        for (head_dim, variant) in [(64, Tile), (80, Tile), (256, Tile), (260, Row), (6, Row), (1, Row)] {
            assert_eq!(choose_attention(&caps, head_dim, false), variant, "{head_dim}");
        }
        assert_eq!(choose_attention(&caps, 64, true), Row);
        caps.software = true;
        assert_eq!(choose_attention(&caps, 64, false), Row);
        (caps.subgroup, caps.subgroup_size) = (true, (8, 8));
        for (head_dim, variant) in [(64, Subgroup4), (300, Subgroup4), (6, Subgroup), (1, Subgroup)] {
            assert_eq!(choose_attention(&caps, head_dim, false), variant, "{head_dim}");
        }
        assert_eq!(choose_attention(&caps, 64, true), Row);
        caps.subgroup_size = (4, 8);
        assert_eq!(choose_attention(&caps, 64, false), Row);
    }
}
