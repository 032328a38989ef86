//! `attention/`: scaled dot-product attention and its gradients.

use crate::kernel::{
    Access::{Read, ReadWrite},
    Const, Elem, Kernel, Params, params,
};

params! {
    /// Sizes, window and `scale * log2(e)` of every attention kernel but [`ATTENTION_STATS`], and the dropout of those that go
    /// row by row.
    AttentionParams {
        batch: u32, heads: u32, kv_heads: u32, nq: u32, nk: u32, head_dim: u32, window: u32, scale: f32,
        drop_step: u32, drop_seed_low: u32, drop_seed_high: u32, drop_threshold: u32, drop_scale: f32,
    }
    /// Sizes of [`ATTENTION_STATS`].
    AttentionStatsParams { batch: u32, heads: u32, nq: u32, head_dim: u32 }
}

const fn kernel(
    name: &'static str,
    file: &'static str,
    bindings: &'static [crate::Access],
    subgroup: bool,
    workgroup_size: u32,
) -> Kernel {
    Kernel { name, file, bindings, params: AttentionParams::LAYOUT, elems: &[], consts: &[], subgroup, workgroup_size }
}

const FORWARD: &[crate::Access] = &[Read, Read, Read, Read, ReadWrite, ReadWrite];
const QUERIES: &[crate::Access] = &[Read, Read, Read, Read, Read, Read, ReadWrite];
const KEYS: &[crate::Access] = &[Read, Read, Read, Read, Read, Read, ReadWrite, ReadWrite];

/// Forward, one invocation per query.
pub const ATTENTION_ROW: Kernel = kernel("attention_row", "attention/attention_row.wgsl", FORWARD, false, 64);

/// Gradient for the queries, one invocation per query.
pub const ATTENTION_ROW_DQ: Kernel = kernel("attention_row_dq", "attention/attention_row_dq.wgsl", QUERIES, false, 64);

/// Gradients for the keys and values, one invocation per key.
pub const ATTENTION_ROW_DKV: Kernel = kernel("attention_row_dkv", "attention/attention_row_dkv.wgsl", KEYS, false, 64);

/// Forward, one subgroup of 8 per tile of 8 queries.
pub const ATTENTION_SUBGROUP: Kernel =
    kernel("attention_subgroup", "attention/attention_subgroup.wgsl", FORWARD, true, 8);

/// Forward, one subgroup of 8 per tile of 32 queries, heads of a multiple of 4 channels.
pub const ATTENTION_SUBGROUP4: Kernel =
    kernel("attention_subgroup4", "attention/attention_subgroup4.wgsl", FORWARD, true, 8);

/// Gradient for the queries, one subgroup of 8 per tile of 8 queries.
pub const ATTENTION_SUBGROUP_DQ: Kernel =
    kernel("attention_subgroup_dq", "attention/attention_subgroup_dq.wgsl", QUERIES, true, 8);

/// Gradients for the keys and values, one subgroup of 8 per tile of 8 keys.
pub const ATTENTION_SUBGROUP_DKV: Kernel =
    kernel("attention_subgroup_dkv", "attention/attention_subgroup_dkv.wgsl", KEYS, true, 8);

/// Head sizes of one and of several passes.
const TILE_CONSTS: &[&[Const]] = &[&[("HEAD_DIM", 64)], &[("HEAD_DIM", 80)]];

const fn tiled(kernel: Kernel) -> Kernel {
    Kernel { elems: &[Elem::F32], consts: TILE_CONSTS, ..kernel }
}

/// Forward, one workgroup per tile of 32 queries; heads of a multiple of 4 channels.
pub const ATTENTION_TILE: Kernel = tiled(kernel("attention_tile", "attention/attention_tile.wgsl", FORWARD, false, 64));

/// Gradient for the queries, one workgroup per tile of 32 queries.
pub const ATTENTION_TILE_DQ: Kernel =
    tiled(kernel("attention_tile_dq", "attention/attention_tile_dq.wgsl", QUERIES, false, 64));

/// Gradients for the keys and values, one workgroup per tile of 32 keys.
pub const ATTENTION_TILE_DKV: Kernel =
    tiled(kernel("attention_tile_dkv", "attention/attention_tile_dkv.wgsl", KEYS, false, 64));

/// Row statistics that both gradients read.
pub const ATTENTION_STATS: Kernel = Kernel {
    name: "attention_stats",
    file: "attention/attention_stats.wgsl",
    bindings: &[Read, Read, Read, ReadWrite],
    params: AttentionStatsParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 64,
};

pub(super) const KERNELS: &[Kernel] = &[
    ATTENTION_ROW,
    ATTENTION_ROW_DQ,
    ATTENTION_ROW_DKV,
    ATTENTION_SUBGROUP,
    ATTENTION_SUBGROUP4,
    ATTENTION_SUBGROUP_DQ,
    ATTENTION_SUBGROUP_DKV,
    ATTENTION_TILE,
    ATTENTION_TILE_DQ,
    ATTENTION_TILE_DKV,
    ATTENTION_STATS,
];
