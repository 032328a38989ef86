//! `elementwise/`: one output element per invocation.

use crate::kernel::{
    Access::{Read, ReadWrite},
    Kernel, Params, params,
};

params! {
    /// Lengths and factors of [`BINARY`].
    BinaryParams { len: u32, b_len: u32, alpha: f32, beta: f32 }
    /// Length and bit pattern of [`FILL`].
    FillParams { len: u32, bits: u32 }
    /// Counter and probability of [`DROPOUT`].
    DropoutParams { len: u32, step: u32, seed_low: u32, seed_high: u32, threshold: u32, scale: f32 }
    /// Number of elements of [`ACTIVATION`], [`ACTIVATION_BACKWARD`], [`GATED`], [`GATED_BACKWARD`] and [`CAST`].
    LenParams { len: u32 }
    /// Sizes of [`DEQUANTIZE`].
    DequantizeParams { rows: u32, cols: u32, chunk: u32 }
    /// Length, inner factor and offset, and the bounds of the clamp of [`UNARY`].
    UnaryParams { len: u32, alpha: f32, beta: f32, low: f32, high: f32 }
    /// Sizes of [`MODULATE`] and [`MODULATE_BACKWARD`], and where the parts of a row that they use begin.
    ModulateParams { len: u32, cols: u32, parts: u32, shift: u32, scale: u32 }
    /// Sizes of [`GATED_ADD`] and [`GATED_ADD_BACKWARD`], and where the part of a row that they use begins.
    GatedAddParams { len: u32, cols: u32, parts: u32, gate: u32 }
}

/// Arithmetic of two tensors.
pub const BINARY: Kernel = Kernel {
    name: "binary",
    file: "elementwise/binary.wgsl",
    bindings: &[Read, Read, ReadWrite],
    params: BinaryParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 64,
};

/// Sets every element.
pub const FILL: Kernel = Kernel {
    name: "fill",
    file: "elementwise/fill.wgsl",
    bindings: &[ReadWrite],
    params: FillParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 64,
};

/// An activation function.
pub const ACTIVATION: Kernel = Kernel {
    name: "activation",
    file: "elementwise/activation.wgsl",
    bindings: &[Read, ReadWrite],
    params: LenParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 64,
};

/// Its gradient.
pub const ACTIVATION_BACKWARD: Kernel = Kernel {
    name: "activation_backward",
    file: "elementwise/activation_backward.wgsl",
    bindings: &[Read, Read, ReadWrite],
    params: LenParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 64,
};

/// Gated linear unit.
pub const GATED: Kernel = Kernel {
    name: "gated",
    file: "elementwise/gated.wgsl",
    bindings: &[Read, Read, ReadWrite],
    params: LenParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 64,
};

/// Its gradients.
pub const GATED_BACKWARD: Kernel = Kernel {
    name: "gated_backward",
    file: "elementwise/gated_backward.wgsl",
    bindings: &[Read, Read, Read, ReadWrite, ReadWrite],
    params: LenParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 64,
};

/// Functions of one tensor and their gradients.
pub const UNARY: Kernel = Kernel {
    name: "unary",
    file: "elementwise/unary.wgsl",
    bindings: &[Read, Read, ReadWrite],
    params: UnaryParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 64,
};

/// Conversion between element types.
pub const CAST: Kernel = Kernel {
    name: "cast",
    file: "elementwise/cast.wgsl",
    bindings: &[Read, ReadWrite],
    params: LenParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 64,
};

/// Signed bytes with a scale for each row as f32.
pub const DEQUANTIZE: Kernel = Kernel {
    name: "dequantize",
    file: "elementwise/dequantize.wgsl",
    bindings: &[Read, ReadWrite],
    params: DequantizeParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 64,
};

/// Dropout and its gradient.
pub const DROPOUT: Kernel = Kernel {
    name: "dropout",
    file: "elementwise/dropout.wgsl",
    bindings: &[Read, ReadWrite],
    params: DropoutParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 64,
};

/// Rows scaled and shifted by parts of another tensor's rows.
pub const MODULATE: Kernel =
    Kernel::plain("modulate", "elementwise/modulate.wgsl", &[Read, Read, ReadWrite], ModulateParams::LAYOUT);

/// Its gradients.
pub const MODULATE_BACKWARD: Kernel = Kernel::plain(
    "modulate_backward",
    "elementwise/modulate_backward.wgsl",
    &[Read, Read, Read, ReadWrite, ReadWrite],
    ModulateParams::LAYOUT,
);

/// A sum whose second term is multiplied by a part of another tensor's rows.
pub const GATED_ADD: Kernel =
    Kernel::plain("gated_add", "elementwise/gated_add.wgsl", &[Read, Read, Read, ReadWrite], GatedAddParams::LAYOUT);

/// Its gradients.
pub const GATED_ADD_BACKWARD: Kernel = Kernel::plain(
    "gated_add_backward",
    "elementwise/gated_add_backward.wgsl",
    &[Read, Read, Read, ReadWrite, ReadWrite],
    GatedAddParams::LAYOUT,
);

pub(super) const KERNELS: &[Kernel] = &[
    BINARY,
    FILL,
    ACTIVATION,
    ACTIVATION_BACKWARD,
    GATED,
    GATED_BACKWARD,
    UNARY,
    CAST,
    DEQUANTIZE,
    DROPOUT,
    MODULATE,
    MODULATE_BACKWARD,
    GATED_ADD,
    GATED_ADD_BACKWARD,
];
