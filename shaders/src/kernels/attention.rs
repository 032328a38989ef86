//! `attention/`: scaled dot-product attention and its gradients.

use crate::kernel::params;
use crate::{
    Access::{Read, ReadWrite},
    Kernel, Params,
};

params! {
    /// Sizes, window and `scale * log2(e)` of every attention kernel but [`ATTENTION_STATS`].
    AttentionParams { batch: u32, heads: u32, kv_heads: u32, nq: u32, nk: u32, head_dim: u32, window: u32, scale: f32 }
    /// Sizes of [`ATTENTION_STATS`].
    AttentionStatsParams { batch: u32, heads: u32, nq: u32, head_dim: u32 }
}

const fn kernel(name: &'static str, file: &'static str, bindings: &'static [crate::Access]) -> Kernel {
    Kernel {
        name,
        file,
        bindings,
        params: AttentionParams::LAYOUT,
        elems: &[],
        consts: &[],
        subgroup: false,
        workgroup_size: 64,
    }
}

const FORWARD: &[crate::Access] = &[Read, Read, Read, Read, ReadWrite, ReadWrite];
const QUERIES: &[crate::Access] = &[Read, Read, Read, Read, Read, Read, ReadWrite];
const KEYS: &[crate::Access] = &[Read, Read, Read, Read, Read, Read, ReadWrite, ReadWrite];

/// Forward, one invocation per query.
pub const ATTENTION_ROW: Kernel = kernel("attention_row", "attention/attention_row.wgsl", FORWARD);

/// Gradient for the queries, one invocation per query.
pub const ATTENTION_ROW_DQ: Kernel = kernel("attention_row_dq", "attention/attention_row_dq.wgsl", QUERIES);

/// Gradients for the keys and values, one invocation per key.
pub const ATTENTION_ROW_DKV: Kernel = kernel("attention_row_dkv", "attention/attention_row_dkv.wgsl", KEYS);

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

pub(super) const KERNELS: &[Kernel] = &[ATTENTION_ROW, ATTENTION_ROW_DQ, ATTENTION_ROW_DKV, ATTENTION_STATS];
