//! Matrix products.

use vljepa_shaders::kernels::matmul::{MATMUL_SUBGROUP, MATMUL_SUBGROUP4, MATMUL_TILE, MATMUL_TILE4, MatmulParams};
use vljepa_shaders::{Activation, Elem};

use super::cast::cast;
use crate::caps::Capabilities;
use crate::error::{Error, Result};
use crate::launch::Launch;
use crate::tensor::{Dtype, Tensor};

pub use crate::reference::matmul::Layout;

/// Options of [`matmul`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Matmul<'a> {
    /// Storage of the operands.
    pub layout: Layout,
    /// Added to every row: `[n]`.
    pub bias: Option<&'a Tensor>,
    /// Applied after the bias.
    pub activation: Activation,
    /// Added after the activation: the shape of the result.
    pub residual: Option<&'a Tensor>,
    /// Factor of the product; `None` is 1.
    pub alpha: Option<f32>,
}

impl<'a> Matmul<'a> {
    /// `a · b`.
    pub fn nn() -> Self {
        Self::default()
    }

    /// `a · bᵀ`.
    pub fn nt() -> Self {
        Matmul { layout: Layout::Nt, ..Self::default() }
    }

    /// `aᵀ · b`.
    pub fn tn() -> Self {
        Matmul { layout: Layout::Tn, ..Self::default() }
    }

    /// Adds `bias` `[n]` to every row.
    pub fn bias(mut self, bias: Option<&'a Tensor>) -> Self {
        self.bias = bias;
        self
    }

    /// Applies an activation after the bias.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// Adds a tensor of the result's shape after the activation.
    pub fn residual(mut self, residual: Option<&'a Tensor>) -> Self {
        self.residual = residual;
        self
    }

    /// Multiplies the product.
    pub fn alpha(mut self, alpha: f32) -> Self {
        self.alpha = Some(alpha);
        self
    }
}

/// The kernels that compute matrix products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MatmulVariant {
    /// Workgroup tiles, any size.
    Tile,
    /// Workgroup tiles with vector loads: the size along memory is divisible by 4; second operands in f16 and i8 are read as they are.
    Tile4,
    /// Broadcast register tiles of 32 rows and 32 or 64 columns on subgroups of 8, any size.
    Subgroup,
    /// The same with vector loads: `n`, `k` and for [`Layout::Tn`] `m` divisible by 4.
    Subgroup4,
}

/// Which kernel computes a product of sizes `m`, `n`, `k` with a second operand of type `b`.
///
/// On software adapters loads are dear and arithmetic is cheap: big tiles in registers, without workgroup memory. Other
/// adapters get tiles in workgroup memory, with vector loads where the sizes allow them. Only [`MatmulVariant::Tile4`] reads f16, and i8 of
/// [`Layout::Nt`]: for the others [`matmul`] casts the second operand first.
pub fn choose_matmul(caps: &Capabilities, layout: Layout, [m, n, k]: [usize; 3], b: Dtype) -> MatmulVariant {
    if caps.software && caps.fixed_subgroup() == Some(8) {
        let vectors = n.is_multiple_of(4) && k.is_multiple_of(4) && (layout != Layout::Tn || m.is_multiple_of(4));
        return if vectors { MatmulVariant::Subgroup4 } else { MatmulVariant::Subgroup };
    }
    // The preludes unpack on any adapter, but where loads are dear each number would be unpacked many times.
    let along = if layout == Layout::Tn { m } else { k };
    let vectors = n.is_multiple_of(4) && along.is_multiple_of(4) && !(caps.software && b != Dtype::F32);
    if vectors { MatmulVariant::Tile4 } else { MatmulVariant::Tile }
}

/// Whether tiles of 64 columns are faster than tiles of 32. The smaller ones need more loads for each multiplication, but
/// leave less of the last tile empty, and software drivers compile them in a third of the time (benches/README.md).
fn wide_tiles(p: &MatmulParams) -> bool {
    let products = u64::from(p.batch) * u64::from(p.m) * u64::from(p.n) * u64::from(p.k);
    products >= 1 << 24 && 3 * p.n.next_multiple_of(64) <= 4 * p.n.next_multiple_of(32)
}

/// Matrix product of the last two axes, batched over the leading ones; a `b` of two axes is shared by the whole batch.
///
/// `a: [.., m, k]`, `b: [.., k, n]` (or as [`Layout`] says) → `[.., m, n]`, f32; `b` may be f16 or i8 (weights).
///
/// # Errors
/// [`Error::Shape`] when the inner sizes, the batches, the bias or the residual do not fit.
pub fn matmul(a: &Tensor, b: &Tensor, options: &Matmul<'_>) -> Result<Tensor> {
    const OP: &str = "matmul";
    let bad = || Error::shape(OP, format!("{:?} by {:?} as {:?}", a.shape(), b.shape(), options.layout));
    if b.dtype() == Dtype::U32 {
        return Err(Error::Dtype { op: OP, what: "b is U32, f32, f16 or i8 is needed".into() });
    }
    for (name, t) in [("a", Some(a)), ("bias", options.bias), ("residual", options.residual)] {
        if let Some(t) = t.filter(|t| t.dtype() != Dtype::F32) {
            return Err(Error::Dtype { op: OP, what: format!("{name} is {:?}, f32 is needed", t.dtype()) });
        }
    }
    let ([a_lead @ .., a0, a1], [b_lead @ .., b0, b1]) = (a.shape(), b.shape()) else { return Err(bad()) };
    let (m, k, k2, n) = match options.layout {
        Layout::Nn => (*a0, *a1, *b0, *b1),
        Layout::Nt => (*a0, *a1, *b1, *b0),
        Layout::Tn => (*a1, *a0, *b0, *b1),
    };
    if k != k2 || !(b_lead.is_empty() || b_lead == a_lead) {
        return Err(bad());
    }
    let mut shape = a_lead.to_vec();
    shape.extend([m, n]);
    // A shared b turns the batch into more rows, unless a is transposed.
    let mut batch: usize = a_lead.iter().product();
    let mut rows = m;
    if b_lead.is_empty() && options.layout != Layout::Tn {
        rows *= batch;
        batch = 1;
    }
    let c = Tensor::empty(a.device(), &shape, Dtype::F32)?;
    if let Some(bias) = options.bias.filter(|t| t.len() != n) {
        return Err(Error::shape(OP, format!("bias {:?} for {n} columns", bias.shape())));
    }
    if let Some(residual) = options.residual.filter(|t| t.len() != c.len()) {
        return Err(Error::shape(OP, format!("residual {:?} for a result {shape:?}", residual.shape())));
    }
    if c.is_empty() {
        return Ok(c);
    }
    if k == 0 {
        return Err(Error::shape(OP, "the inner size is zero"));
    }
    let (a_row, a_col) = if options.layout == Layout::Tn { (1, m) } else { (k, 1) };
    let (b_row, b_col) = if options.layout == Layout::Nt { (1, k) } else { (n, 1) };
    let variant = choose_matmul(a.device().capabilities(), options.layout, [rows, n, k], b.dtype());
    let as_it_is = match b.dtype() {
        Dtype::F32 => true,
        Dtype::I8 => variant == MatmulVariant::Tile4 && options.layout == Layout::Nt && b_lead.is_empty(),
        _ => variant == MatmulVariant::Tile4,
    };
    let params = MatmulParams {
        m: rows as u32,
        n: n as u32,
        k: k as u32,
        batch: batch as u32,
        a_row: a_row as u32,
        a_col: a_col as u32,
        b_row: b_row as u32,
        b_col: b_col as u32,
        a_batch: (m * k) as u32,
        b_batch: if b_lead.is_empty() { 0 } else { (k * n) as u32 },
        alpha: options.alpha.unwrap_or(1.0),
        // As matmul/params.wgsl.
        epilogue: u32::from(options.bias.is_some())
            + 2 * u32::from(options.residual.is_some())
            + 4 * u32::from(as_it_is && b.dtype() == Dtype::I8),
    };
    if as_it_is {
        run(variant, a, b, options, &c, &params)?;
    } else {
        run(variant, a, &cast(b, Dtype::F32)?, options, &c, &params)?;
    }
    Ok(c)
}

fn run(
    variant: MatmulVariant,
    a: &Tensor,
    b: &Tensor,
    options: &Matmul<'_>,
    c: &Tensor,
    params: &MatmulParams,
) -> Result<()> {
    let bindings = [Some(a), Some(b), options.bias, options.residual, Some(c)];
    let activation = [("ACT", options.activation as u32)];
    let tiles = |rows: u32, cols: u32| {
        u64::from(params.m.div_ceil(rows)) * u64::from(params.n.div_ceil(cols)) * u64::from(params.batch)
    };
    let work = 2 * u64::from(params.batch) * u64::from(params.m) * u64::from(params.n) * u64::from(params.k);
    match variant {
        MatmulVariant::Tile => Launch::op(&MATMUL_TILE, bindings)
            .overrides(&activation)
            .overrides(&[("A_ALONG_K", (params.a_col == 1).into()), ("B_ALONG_K", (params.b_row == 1).into())])
            .work(work)
            .record(a.device(), params, tiles(64, 64)),
        MatmulVariant::Tile4 => {
            let elem = match b.dtype() {
                Dtype::F16 if a.device().capabilities().f16 => Elem::F16,
                Dtype::F16 => Elem::F16Packed,
                Dtype::I8 => Elem::I8,
                _ => Elem::F32,
            };
            Launch::op(&MATMUL_TILE4, bindings)
                .elem(elem)
                .overrides(&activation)
                .overrides(&[("LAYOUT", options.layout as u32)])
                .work(work)
                .record(a.device(), params, tiles(64, 64))
        }
        MatmulVariant::Subgroup | MatmulVariant::Subgroup4 => {
            let wide = wide_tiles(params);
            let launch = match variant {
                MatmulVariant::Subgroup4 => Launch::op(&MATMUL_SUBGROUP4, bindings)
                    .overrides(&[("LAYOUT", options.layout as u32), ("WIDE", wide.into())]),
                _ => Launch::op(&MATMUL_SUBGROUP, bindings).overrides(&[("WIDE", wide.into())]),
            };
            launch.overrides(&activation).work(work).record(a.device(), params, tiles(32, if wide { 64 } else { 32 }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_adapter_gets_its_kernel() {
        let (f32, f16, nt) = (Dtype::F32, Dtype::F16, Layout::Nt);
        let gpu = Capabilities::none();
        assert_eq!(choose_matmul(&gpu, nt, [7, 64, 32], f32), MatmulVariant::Tile4);
        assert_eq!(choose_matmul(&gpu, nt, [7, 64, 32], f16), MatmulVariant::Tile4);
        assert_eq!(choose_matmul(&gpu, nt, [8, 62, 32], f16), MatmulVariant::Tile);
        assert_eq!(choose_matmul(&gpu, Layout::Nn, [8, 64, 31], f32), MatmulVariant::Tile);
        assert_eq!(choose_matmul(&gpu, Layout::Tn, [8, 64, 31], f32), MatmulVariant::Tile4);
        assert_eq!(choose_matmul(&gpu, Layout::Tn, [7, 64, 32], f32), MatmulVariant::Tile);
        let mut software = Capabilities { software: true, ..Capabilities::none() };
        assert_eq!(choose_matmul(&software, nt, [8, 64, 32], f16), MatmulVariant::Tile);
        (software.subgroup, software.subgroup_size) = (true, (8, 8));
        assert_eq!(choose_matmul(&software, nt, [7, 64, 32], f16), MatmulVariant::Subgroup4);
        assert_eq!(choose_matmul(&software, nt, [8, 63, 32], f32), MatmulVariant::Subgroup);
        assert_eq!(choose_matmul(&software, nt, [8, 64, 31], f32), MatmulVariant::Subgroup);
        assert_eq!(choose_matmul(&software, Layout::Tn, [7, 64, 32], f32), MatmulVariant::Subgroup);
        assert_eq!(choose_matmul(&software, Layout::Tn, [8, 64, 32], f32), MatmulVariant::Subgroup4);
    }

    #[test]
    fn large_products_get_wide_tiles_unless_they_stay_empty() {
        let sizes = |m, n, k| MatmulParams { m, n, k, batch: 1, ..MatmulParams::default() };
        for (n, wide) in [(24, false), (32, false), (33, true), (64, true), (65, true), (96, true), (192, true)] {
            assert_eq!(wide_tiles(&sizes(8192, n, 1024)), wide, "{n}");
        }
        assert!(!wide_tiles(&sizes(64, 64, 64)));
    }
}
