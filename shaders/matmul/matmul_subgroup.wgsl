// Matrix product for adapters whose subgroups have exactly 8 lanes and whose loads cost more than their arithmetic
// (software Vulkan: every lane's load is a scalar gather).
//   c[z, i, j] = act(alpha * sum_k a[z, i, k] * b[z, k, j] + bias[j]) + residual[z, i, j]
// a, b: any layout by row and column strides   c, residual: [batch, m, n]   bias: [n]
// One subgroup owns 32 rows and 64 columns. Lane l holds columns l, l + 8, l + 16, …; it loads the elements of a for
// row 8 g + l, and every lane gets them by a broadcast: one gather instead of eight.
// Grid: tiles, rows fastest so that a panel of b stays in cache, folded (shared/index.wgsl).
// Sums in f32 in the order of k. Written out instead of looped over arrays: this driver keeps arrays in memory and
// gathers their elements, which made the looped form four times slower.
//#include "shared/index.wgsl"
//#include "matmul/epilogue.wgsl"

struct MatmulParams {
    m: u32,
    n: u32,
    k: u32,
    batch: u32,
    a_row: u32,
    a_col: u32,
    b_row: u32,
    b_col: u32,
    a_batch: u32,
    b_batch: u32,
    alpha: f32,
}

@group(0) @binding(0) var<storage, read> a_data: array<f32>;
@group(0) @binding(1) var<storage, read> b_data: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> residual: array<f32>;
@group(0) @binding(4) var<storage, read_write> c_data: array<f32>;
@group(0) @binding(5) var<uniform> params: MatmulParams;

const ROWS: u32 = 32u;
const COLS: u32 = 64u;

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let tiles_m = (params.m + ROWS - 1u) / ROWS;
    let tiles_n = (params.n + COLS - 1u) / COLS;
    let tile = linear_group(group, groups);
    if tile >= tiles_m * tiles_n * params.batch {
        return;
    }
    let z = tile / (tiles_m * tiles_n);
    let row0 = (tile % tiles_m) * ROWS;
    let col0 = (tile / tiles_m % tiles_n) * COLS;

    let a_at0 = z * params.a_batch + min(row0 + 0u + lane, params.m - 1u) * params.a_row;
    let a_at1 = z * params.a_batch + min(row0 + 8u + lane, params.m - 1u) * params.a_row;
    let a_at2 = z * params.a_batch + min(row0 + 16u + lane, params.m - 1u) * params.a_row;
    let a_at3 = z * params.a_batch + min(row0 + 24u + lane, params.m - 1u) * params.a_row;
    let b_at0 = vec4<u32>(z * params.b_batch) + min(vec4<u32>(col0 + 0u + lane) + vec4<u32>(0u, 8u, 16u, 24u), vec4<u32>(params.n - 1u)) * params.b_col;
    let b_at1 = vec4<u32>(z * params.b_batch) + min(vec4<u32>(col0 + 32u + lane) + vec4<u32>(0u, 8u, 16u, 24u), vec4<u32>(params.n - 1u)) * params.b_col;
    var acc_0_0 = vec4<f32>();
    var acc_0_1 = vec4<f32>();
    var acc_1_0 = vec4<f32>();
    var acc_1_1 = vec4<f32>();
    var acc_2_0 = vec4<f32>();
    var acc_2_1 = vec4<f32>();
    var acc_3_0 = vec4<f32>();
    var acc_3_1 = vec4<f32>();
    var acc_4_0 = vec4<f32>();
    var acc_4_1 = vec4<f32>();
    var acc_5_0 = vec4<f32>();
    var acc_5_1 = vec4<f32>();
    var acc_6_0 = vec4<f32>();
    var acc_6_1 = vec4<f32>();
    var acc_7_0 = vec4<f32>();
    var acc_7_1 = vec4<f32>();
    var acc_8_0 = vec4<f32>();
    var acc_8_1 = vec4<f32>();
    var acc_9_0 = vec4<f32>();
    var acc_9_1 = vec4<f32>();
    var acc_10_0 = vec4<f32>();
    var acc_10_1 = vec4<f32>();
    var acc_11_0 = vec4<f32>();
    var acc_11_1 = vec4<f32>();
    var acc_12_0 = vec4<f32>();
    var acc_12_1 = vec4<f32>();
    var acc_13_0 = vec4<f32>();
    var acc_13_1 = vec4<f32>();
    var acc_14_0 = vec4<f32>();
    var acc_14_1 = vec4<f32>();
    var acc_15_0 = vec4<f32>();
    var acc_15_1 = vec4<f32>();
    var acc_16_0 = vec4<f32>();
    var acc_16_1 = vec4<f32>();
    var acc_17_0 = vec4<f32>();
    var acc_17_1 = vec4<f32>();
    var acc_18_0 = vec4<f32>();
    var acc_18_1 = vec4<f32>();
    var acc_19_0 = vec4<f32>();
    var acc_19_1 = vec4<f32>();
    var acc_20_0 = vec4<f32>();
    var acc_20_1 = vec4<f32>();
    var acc_21_0 = vec4<f32>();
    var acc_21_1 = vec4<f32>();
    var acc_22_0 = vec4<f32>();
    var acc_22_1 = vec4<f32>();
    var acc_23_0 = vec4<f32>();
    var acc_23_1 = vec4<f32>();
    var acc_24_0 = vec4<f32>();
    var acc_24_1 = vec4<f32>();
    var acc_25_0 = vec4<f32>();
    var acc_25_1 = vec4<f32>();
    var acc_26_0 = vec4<f32>();
    var acc_26_1 = vec4<f32>();
    var acc_27_0 = vec4<f32>();
    var acc_27_1 = vec4<f32>();
    var acc_28_0 = vec4<f32>();
    var acc_28_1 = vec4<f32>();
    var acc_29_0 = vec4<f32>();
    var acc_29_1 = vec4<f32>();
    var acc_30_0 = vec4<f32>();
    var acc_30_1 = vec4<f32>();
    var acc_31_0 = vec4<f32>();
    var acc_31_1 = vec4<f32>();
    let whole = params.k / 4u * 4u;
    for (var k = 0u; k < whole; k += 4u) {
        let ks = vec4<u32>(k) + vec4<u32>(0u, 1u, 2u, 3u);
        let p0 = vec4<u32>(a_at0) + ks * params.a_col;
        let a0 = vec4<f32>(a_data[p0.x], a_data[p0.y], a_data[p0.z], a_data[p0.w]);
        let p1 = vec4<u32>(a_at1) + ks * params.a_col;
        let a1 = vec4<f32>(a_data[p1.x], a_data[p1.y], a_data[p1.z], a_data[p1.w]);
        let p2 = vec4<u32>(a_at2) + ks * params.a_col;
        let a2 = vec4<f32>(a_data[p2.x], a_data[p2.y], a_data[p2.z], a_data[p2.w]);
        let p3 = vec4<u32>(a_at3) + ks * params.a_col;
        let a3 = vec4<f32>(a_data[p3.x], a_data[p3.y], a_data[p3.z], a_data[p3.w]);
        let q0_0 = b_at0 + vec4<u32>(ks[0] * params.b_row);
        let b0_0 = vec4<f32>(b_data[q0_0.x], b_data[q0_0.y], b_data[q0_0.z], b_data[q0_0.w]);
        let q0_1 = b_at1 + vec4<u32>(ks[0] * params.b_row);
        let b0_1 = vec4<f32>(b_data[q0_1.x], b_data[q0_1.y], b_data[q0_1.z], b_data[q0_1.w]);
        let q1_0 = b_at0 + vec4<u32>(ks[1] * params.b_row);
        let b1_0 = vec4<f32>(b_data[q1_0.x], b_data[q1_0.y], b_data[q1_0.z], b_data[q1_0.w]);
        let q1_1 = b_at1 + vec4<u32>(ks[1] * params.b_row);
        let b1_1 = vec4<f32>(b_data[q1_1.x], b_data[q1_1.y], b_data[q1_1.z], b_data[q1_1.w]);
        let q2_0 = b_at0 + vec4<u32>(ks[2] * params.b_row);
        let b2_0 = vec4<f32>(b_data[q2_0.x], b_data[q2_0.y], b_data[q2_0.z], b_data[q2_0.w]);
        let q2_1 = b_at1 + vec4<u32>(ks[2] * params.b_row);
        let b2_1 = vec4<f32>(b_data[q2_1.x], b_data[q2_1.y], b_data[q2_1.z], b_data[q2_1.w]);
        let q3_0 = b_at0 + vec4<u32>(ks[3] * params.b_row);
        let b3_0 = vec4<f32>(b_data[q3_0.x], b_data[q3_0.y], b_data[q3_0.z], b_data[q3_0.w]);
        let q3_1 = b_at1 + vec4<u32>(ks[3] * params.b_row);
        let b3_1 = vec4<f32>(b_data[q3_1.x], b_data[q3_1.y], b_data[q3_1.z], b_data[q3_1.w]);
        let s0 = subgroupBroadcast(a0, 0u);
        acc_0_0 = fma(vec4<f32>(s0.w), b3_0, fma(vec4<f32>(s0.z), b2_0, fma(vec4<f32>(s0.y), b1_0, fma(vec4<f32>(s0.x), b0_0, acc_0_0))));
        acc_0_1 = fma(vec4<f32>(s0.w), b3_1, fma(vec4<f32>(s0.z), b2_1, fma(vec4<f32>(s0.y), b1_1, fma(vec4<f32>(s0.x), b0_1, acc_0_1))));
        let s1 = subgroupBroadcast(a0, 1u);
        acc_1_0 = fma(vec4<f32>(s1.w), b3_0, fma(vec4<f32>(s1.z), b2_0, fma(vec4<f32>(s1.y), b1_0, fma(vec4<f32>(s1.x), b0_0, acc_1_0))));
        acc_1_1 = fma(vec4<f32>(s1.w), b3_1, fma(vec4<f32>(s1.z), b2_1, fma(vec4<f32>(s1.y), b1_1, fma(vec4<f32>(s1.x), b0_1, acc_1_1))));
        let s2 = subgroupBroadcast(a0, 2u);
        acc_2_0 = fma(vec4<f32>(s2.w), b3_0, fma(vec4<f32>(s2.z), b2_0, fma(vec4<f32>(s2.y), b1_0, fma(vec4<f32>(s2.x), b0_0, acc_2_0))));
        acc_2_1 = fma(vec4<f32>(s2.w), b3_1, fma(vec4<f32>(s2.z), b2_1, fma(vec4<f32>(s2.y), b1_1, fma(vec4<f32>(s2.x), b0_1, acc_2_1))));
        let s3 = subgroupBroadcast(a0, 3u);
        acc_3_0 = fma(vec4<f32>(s3.w), b3_0, fma(vec4<f32>(s3.z), b2_0, fma(vec4<f32>(s3.y), b1_0, fma(vec4<f32>(s3.x), b0_0, acc_3_0))));
        acc_3_1 = fma(vec4<f32>(s3.w), b3_1, fma(vec4<f32>(s3.z), b2_1, fma(vec4<f32>(s3.y), b1_1, fma(vec4<f32>(s3.x), b0_1, acc_3_1))));
        let s4 = subgroupBroadcast(a0, 4u);
        acc_4_0 = fma(vec4<f32>(s4.w), b3_0, fma(vec4<f32>(s4.z), b2_0, fma(vec4<f32>(s4.y), b1_0, fma(vec4<f32>(s4.x), b0_0, acc_4_0))));
        acc_4_1 = fma(vec4<f32>(s4.w), b3_1, fma(vec4<f32>(s4.z), b2_1, fma(vec4<f32>(s4.y), b1_1, fma(vec4<f32>(s4.x), b0_1, acc_4_1))));
        let s5 = subgroupBroadcast(a0, 5u);
        acc_5_0 = fma(vec4<f32>(s5.w), b3_0, fma(vec4<f32>(s5.z), b2_0, fma(vec4<f32>(s5.y), b1_0, fma(vec4<f32>(s5.x), b0_0, acc_5_0))));
        acc_5_1 = fma(vec4<f32>(s5.w), b3_1, fma(vec4<f32>(s5.z), b2_1, fma(vec4<f32>(s5.y), b1_1, fma(vec4<f32>(s5.x), b0_1, acc_5_1))));
        let s6 = subgroupBroadcast(a0, 6u);
        acc_6_0 = fma(vec4<f32>(s6.w), b3_0, fma(vec4<f32>(s6.z), b2_0, fma(vec4<f32>(s6.y), b1_0, fma(vec4<f32>(s6.x), b0_0, acc_6_0))));
        acc_6_1 = fma(vec4<f32>(s6.w), b3_1, fma(vec4<f32>(s6.z), b2_1, fma(vec4<f32>(s6.y), b1_1, fma(vec4<f32>(s6.x), b0_1, acc_6_1))));
        let s7 = subgroupBroadcast(a0, 7u);
        acc_7_0 = fma(vec4<f32>(s7.w), b3_0, fma(vec4<f32>(s7.z), b2_0, fma(vec4<f32>(s7.y), b1_0, fma(vec4<f32>(s7.x), b0_0, acc_7_0))));
        acc_7_1 = fma(vec4<f32>(s7.w), b3_1, fma(vec4<f32>(s7.z), b2_1, fma(vec4<f32>(s7.y), b1_1, fma(vec4<f32>(s7.x), b0_1, acc_7_1))));
        let s8 = subgroupBroadcast(a1, 0u);
        acc_8_0 = fma(vec4<f32>(s8.w), b3_0, fma(vec4<f32>(s8.z), b2_0, fma(vec4<f32>(s8.y), b1_0, fma(vec4<f32>(s8.x), b0_0, acc_8_0))));
        acc_8_1 = fma(vec4<f32>(s8.w), b3_1, fma(vec4<f32>(s8.z), b2_1, fma(vec4<f32>(s8.y), b1_1, fma(vec4<f32>(s8.x), b0_1, acc_8_1))));
        let s9 = subgroupBroadcast(a1, 1u);
        acc_9_0 = fma(vec4<f32>(s9.w), b3_0, fma(vec4<f32>(s9.z), b2_0, fma(vec4<f32>(s9.y), b1_0, fma(vec4<f32>(s9.x), b0_0, acc_9_0))));
        acc_9_1 = fma(vec4<f32>(s9.w), b3_1, fma(vec4<f32>(s9.z), b2_1, fma(vec4<f32>(s9.y), b1_1, fma(vec4<f32>(s9.x), b0_1, acc_9_1))));
        let s10 = subgroupBroadcast(a1, 2u);
        acc_10_0 = fma(vec4<f32>(s10.w), b3_0, fma(vec4<f32>(s10.z), b2_0, fma(vec4<f32>(s10.y), b1_0, fma(vec4<f32>(s10.x), b0_0, acc_10_0))));
        acc_10_1 = fma(vec4<f32>(s10.w), b3_1, fma(vec4<f32>(s10.z), b2_1, fma(vec4<f32>(s10.y), b1_1, fma(vec4<f32>(s10.x), b0_1, acc_10_1))));
        let s11 = subgroupBroadcast(a1, 3u);
        acc_11_0 = fma(vec4<f32>(s11.w), b3_0, fma(vec4<f32>(s11.z), b2_0, fma(vec4<f32>(s11.y), b1_0, fma(vec4<f32>(s11.x), b0_0, acc_11_0))));
        acc_11_1 = fma(vec4<f32>(s11.w), b3_1, fma(vec4<f32>(s11.z), b2_1, fma(vec4<f32>(s11.y), b1_1, fma(vec4<f32>(s11.x), b0_1, acc_11_1))));
        let s12 = subgroupBroadcast(a1, 4u);
        acc_12_0 = fma(vec4<f32>(s12.w), b3_0, fma(vec4<f32>(s12.z), b2_0, fma(vec4<f32>(s12.y), b1_0, fma(vec4<f32>(s12.x), b0_0, acc_12_0))));
        acc_12_1 = fma(vec4<f32>(s12.w), b3_1, fma(vec4<f32>(s12.z), b2_1, fma(vec4<f32>(s12.y), b1_1, fma(vec4<f32>(s12.x), b0_1, acc_12_1))));
        let s13 = subgroupBroadcast(a1, 5u);
        acc_13_0 = fma(vec4<f32>(s13.w), b3_0, fma(vec4<f32>(s13.z), b2_0, fma(vec4<f32>(s13.y), b1_0, fma(vec4<f32>(s13.x), b0_0, acc_13_0))));
        acc_13_1 = fma(vec4<f32>(s13.w), b3_1, fma(vec4<f32>(s13.z), b2_1, fma(vec4<f32>(s13.y), b1_1, fma(vec4<f32>(s13.x), b0_1, acc_13_1))));
        let s14 = subgroupBroadcast(a1, 6u);
        acc_14_0 = fma(vec4<f32>(s14.w), b3_0, fma(vec4<f32>(s14.z), b2_0, fma(vec4<f32>(s14.y), b1_0, fma(vec4<f32>(s14.x), b0_0, acc_14_0))));
        acc_14_1 = fma(vec4<f32>(s14.w), b3_1, fma(vec4<f32>(s14.z), b2_1, fma(vec4<f32>(s14.y), b1_1, fma(vec4<f32>(s14.x), b0_1, acc_14_1))));
        let s15 = subgroupBroadcast(a1, 7u);
        acc_15_0 = fma(vec4<f32>(s15.w), b3_0, fma(vec4<f32>(s15.z), b2_0, fma(vec4<f32>(s15.y), b1_0, fma(vec4<f32>(s15.x), b0_0, acc_15_0))));
        acc_15_1 = fma(vec4<f32>(s15.w), b3_1, fma(vec4<f32>(s15.z), b2_1, fma(vec4<f32>(s15.y), b1_1, fma(vec4<f32>(s15.x), b0_1, acc_15_1))));
        let s16 = subgroupBroadcast(a2, 0u);
        acc_16_0 = fma(vec4<f32>(s16.w), b3_0, fma(vec4<f32>(s16.z), b2_0, fma(vec4<f32>(s16.y), b1_0, fma(vec4<f32>(s16.x), b0_0, acc_16_0))));
        acc_16_1 = fma(vec4<f32>(s16.w), b3_1, fma(vec4<f32>(s16.z), b2_1, fma(vec4<f32>(s16.y), b1_1, fma(vec4<f32>(s16.x), b0_1, acc_16_1))));
        let s17 = subgroupBroadcast(a2, 1u);
        acc_17_0 = fma(vec4<f32>(s17.w), b3_0, fma(vec4<f32>(s17.z), b2_0, fma(vec4<f32>(s17.y), b1_0, fma(vec4<f32>(s17.x), b0_0, acc_17_0))));
        acc_17_1 = fma(vec4<f32>(s17.w), b3_1, fma(vec4<f32>(s17.z), b2_1, fma(vec4<f32>(s17.y), b1_1, fma(vec4<f32>(s17.x), b0_1, acc_17_1))));
        let s18 = subgroupBroadcast(a2, 2u);
        acc_18_0 = fma(vec4<f32>(s18.w), b3_0, fma(vec4<f32>(s18.z), b2_0, fma(vec4<f32>(s18.y), b1_0, fma(vec4<f32>(s18.x), b0_0, acc_18_0))));
        acc_18_1 = fma(vec4<f32>(s18.w), b3_1, fma(vec4<f32>(s18.z), b2_1, fma(vec4<f32>(s18.y), b1_1, fma(vec4<f32>(s18.x), b0_1, acc_18_1))));
        let s19 = subgroupBroadcast(a2, 3u);
        acc_19_0 = fma(vec4<f32>(s19.w), b3_0, fma(vec4<f32>(s19.z), b2_0, fma(vec4<f32>(s19.y), b1_0, fma(vec4<f32>(s19.x), b0_0, acc_19_0))));
        acc_19_1 = fma(vec4<f32>(s19.w), b3_1, fma(vec4<f32>(s19.z), b2_1, fma(vec4<f32>(s19.y), b1_1, fma(vec4<f32>(s19.x), b0_1, acc_19_1))));
        let s20 = subgroupBroadcast(a2, 4u);
        acc_20_0 = fma(vec4<f32>(s20.w), b3_0, fma(vec4<f32>(s20.z), b2_0, fma(vec4<f32>(s20.y), b1_0, fma(vec4<f32>(s20.x), b0_0, acc_20_0))));
        acc_20_1 = fma(vec4<f32>(s20.w), b3_1, fma(vec4<f32>(s20.z), b2_1, fma(vec4<f32>(s20.y), b1_1, fma(vec4<f32>(s20.x), b0_1, acc_20_1))));
        let s21 = subgroupBroadcast(a2, 5u);
        acc_21_0 = fma(vec4<f32>(s21.w), b3_0, fma(vec4<f32>(s21.z), b2_0, fma(vec4<f32>(s21.y), b1_0, fma(vec4<f32>(s21.x), b0_0, acc_21_0))));
        acc_21_1 = fma(vec4<f32>(s21.w), b3_1, fma(vec4<f32>(s21.z), b2_1, fma(vec4<f32>(s21.y), b1_1, fma(vec4<f32>(s21.x), b0_1, acc_21_1))));
        let s22 = subgroupBroadcast(a2, 6u);
        acc_22_0 = fma(vec4<f32>(s22.w), b3_0, fma(vec4<f32>(s22.z), b2_0, fma(vec4<f32>(s22.y), b1_0, fma(vec4<f32>(s22.x), b0_0, acc_22_0))));
        acc_22_1 = fma(vec4<f32>(s22.w), b3_1, fma(vec4<f32>(s22.z), b2_1, fma(vec4<f32>(s22.y), b1_1, fma(vec4<f32>(s22.x), b0_1, acc_22_1))));
        let s23 = subgroupBroadcast(a2, 7u);
        acc_23_0 = fma(vec4<f32>(s23.w), b3_0, fma(vec4<f32>(s23.z), b2_0, fma(vec4<f32>(s23.y), b1_0, fma(vec4<f32>(s23.x), b0_0, acc_23_0))));
        acc_23_1 = fma(vec4<f32>(s23.w), b3_1, fma(vec4<f32>(s23.z), b2_1, fma(vec4<f32>(s23.y), b1_1, fma(vec4<f32>(s23.x), b0_1, acc_23_1))));
        let s24 = subgroupBroadcast(a3, 0u);
        acc_24_0 = fma(vec4<f32>(s24.w), b3_0, fma(vec4<f32>(s24.z), b2_0, fma(vec4<f32>(s24.y), b1_0, fma(vec4<f32>(s24.x), b0_0, acc_24_0))));
        acc_24_1 = fma(vec4<f32>(s24.w), b3_1, fma(vec4<f32>(s24.z), b2_1, fma(vec4<f32>(s24.y), b1_1, fma(vec4<f32>(s24.x), b0_1, acc_24_1))));
        let s25 = subgroupBroadcast(a3, 1u);
        acc_25_0 = fma(vec4<f32>(s25.w), b3_0, fma(vec4<f32>(s25.z), b2_0, fma(vec4<f32>(s25.y), b1_0, fma(vec4<f32>(s25.x), b0_0, acc_25_0))));
        acc_25_1 = fma(vec4<f32>(s25.w), b3_1, fma(vec4<f32>(s25.z), b2_1, fma(vec4<f32>(s25.y), b1_1, fma(vec4<f32>(s25.x), b0_1, acc_25_1))));
        let s26 = subgroupBroadcast(a3, 2u);
        acc_26_0 = fma(vec4<f32>(s26.w), b3_0, fma(vec4<f32>(s26.z), b2_0, fma(vec4<f32>(s26.y), b1_0, fma(vec4<f32>(s26.x), b0_0, acc_26_0))));
        acc_26_1 = fma(vec4<f32>(s26.w), b3_1, fma(vec4<f32>(s26.z), b2_1, fma(vec4<f32>(s26.y), b1_1, fma(vec4<f32>(s26.x), b0_1, acc_26_1))));
        let s27 = subgroupBroadcast(a3, 3u);
        acc_27_0 = fma(vec4<f32>(s27.w), b3_0, fma(vec4<f32>(s27.z), b2_0, fma(vec4<f32>(s27.y), b1_0, fma(vec4<f32>(s27.x), b0_0, acc_27_0))));
        acc_27_1 = fma(vec4<f32>(s27.w), b3_1, fma(vec4<f32>(s27.z), b2_1, fma(vec4<f32>(s27.y), b1_1, fma(vec4<f32>(s27.x), b0_1, acc_27_1))));
        let s28 = subgroupBroadcast(a3, 4u);
        acc_28_0 = fma(vec4<f32>(s28.w), b3_0, fma(vec4<f32>(s28.z), b2_0, fma(vec4<f32>(s28.y), b1_0, fma(vec4<f32>(s28.x), b0_0, acc_28_0))));
        acc_28_1 = fma(vec4<f32>(s28.w), b3_1, fma(vec4<f32>(s28.z), b2_1, fma(vec4<f32>(s28.y), b1_1, fma(vec4<f32>(s28.x), b0_1, acc_28_1))));
        let s29 = subgroupBroadcast(a3, 5u);
        acc_29_0 = fma(vec4<f32>(s29.w), b3_0, fma(vec4<f32>(s29.z), b2_0, fma(vec4<f32>(s29.y), b1_0, fma(vec4<f32>(s29.x), b0_0, acc_29_0))));
        acc_29_1 = fma(vec4<f32>(s29.w), b3_1, fma(vec4<f32>(s29.z), b2_1, fma(vec4<f32>(s29.y), b1_1, fma(vec4<f32>(s29.x), b0_1, acc_29_1))));
        let s30 = subgroupBroadcast(a3, 6u);
        acc_30_0 = fma(vec4<f32>(s30.w), b3_0, fma(vec4<f32>(s30.z), b2_0, fma(vec4<f32>(s30.y), b1_0, fma(vec4<f32>(s30.x), b0_0, acc_30_0))));
        acc_30_1 = fma(vec4<f32>(s30.w), b3_1, fma(vec4<f32>(s30.z), b2_1, fma(vec4<f32>(s30.y), b1_1, fma(vec4<f32>(s30.x), b0_1, acc_30_1))));
        let s31 = subgroupBroadcast(a3, 7u);
        acc_31_0 = fma(vec4<f32>(s31.w), b3_0, fma(vec4<f32>(s31.z), b2_0, fma(vec4<f32>(s31.y), b1_0, fma(vec4<f32>(s31.x), b0_0, acc_31_0))));
        acc_31_1 = fma(vec4<f32>(s31.w), b3_1, fma(vec4<f32>(s31.z), b2_1, fma(vec4<f32>(s31.y), b1_1, fma(vec4<f32>(s31.x), b0_1, acc_31_1))));
    }
    for (var k = whole; k < params.k; k++) {
        let t0 = a_data[a_at0 + k * params.a_col];
        let t1 = a_data[a_at1 + k * params.a_col];
        let t2 = a_data[a_at2 + k * params.a_col];
        let t3 = a_data[a_at3 + k * params.a_col];
        let v0 = b_at0 + vec4<u32>(k * params.b_row);
        let w0 = vec4<f32>(b_data[v0.x], b_data[v0.y], b_data[v0.z], b_data[v0.w]);
        let v1 = b_at1 + vec4<u32>(k * params.b_row);
        let w1 = vec4<f32>(b_data[v1.x], b_data[v1.y], b_data[v1.z], b_data[v1.w]);
        let s0 = vec4<f32>(subgroupBroadcast(t0, 0u));
        acc_0_0 = fma(s0, w0, acc_0_0);
        acc_0_1 = fma(s0, w1, acc_0_1);
        let s1 = vec4<f32>(subgroupBroadcast(t0, 1u));
        acc_1_0 = fma(s1, w0, acc_1_0);
        acc_1_1 = fma(s1, w1, acc_1_1);
        let s2 = vec4<f32>(subgroupBroadcast(t0, 2u));
        acc_2_0 = fma(s2, w0, acc_2_0);
        acc_2_1 = fma(s2, w1, acc_2_1);
        let s3 = vec4<f32>(subgroupBroadcast(t0, 3u));
        acc_3_0 = fma(s3, w0, acc_3_0);
        acc_3_1 = fma(s3, w1, acc_3_1);
        let s4 = vec4<f32>(subgroupBroadcast(t0, 4u));
        acc_4_0 = fma(s4, w0, acc_4_0);
        acc_4_1 = fma(s4, w1, acc_4_1);
        let s5 = vec4<f32>(subgroupBroadcast(t0, 5u));
        acc_5_0 = fma(s5, w0, acc_5_0);
        acc_5_1 = fma(s5, w1, acc_5_1);
        let s6 = vec4<f32>(subgroupBroadcast(t0, 6u));
        acc_6_0 = fma(s6, w0, acc_6_0);
        acc_6_1 = fma(s6, w1, acc_6_1);
        let s7 = vec4<f32>(subgroupBroadcast(t0, 7u));
        acc_7_0 = fma(s7, w0, acc_7_0);
        acc_7_1 = fma(s7, w1, acc_7_1);
        let s8 = vec4<f32>(subgroupBroadcast(t1, 0u));
        acc_8_0 = fma(s8, w0, acc_8_0);
        acc_8_1 = fma(s8, w1, acc_8_1);
        let s9 = vec4<f32>(subgroupBroadcast(t1, 1u));
        acc_9_0 = fma(s9, w0, acc_9_0);
        acc_9_1 = fma(s9, w1, acc_9_1);
        let s10 = vec4<f32>(subgroupBroadcast(t1, 2u));
        acc_10_0 = fma(s10, w0, acc_10_0);
        acc_10_1 = fma(s10, w1, acc_10_1);
        let s11 = vec4<f32>(subgroupBroadcast(t1, 3u));
        acc_11_0 = fma(s11, w0, acc_11_0);
        acc_11_1 = fma(s11, w1, acc_11_1);
        let s12 = vec4<f32>(subgroupBroadcast(t1, 4u));
        acc_12_0 = fma(s12, w0, acc_12_0);
        acc_12_1 = fma(s12, w1, acc_12_1);
        let s13 = vec4<f32>(subgroupBroadcast(t1, 5u));
        acc_13_0 = fma(s13, w0, acc_13_0);
        acc_13_1 = fma(s13, w1, acc_13_1);
        let s14 = vec4<f32>(subgroupBroadcast(t1, 6u));
        acc_14_0 = fma(s14, w0, acc_14_0);
        acc_14_1 = fma(s14, w1, acc_14_1);
        let s15 = vec4<f32>(subgroupBroadcast(t1, 7u));
        acc_15_0 = fma(s15, w0, acc_15_0);
        acc_15_1 = fma(s15, w1, acc_15_1);
        let s16 = vec4<f32>(subgroupBroadcast(t2, 0u));
        acc_16_0 = fma(s16, w0, acc_16_0);
        acc_16_1 = fma(s16, w1, acc_16_1);
        let s17 = vec4<f32>(subgroupBroadcast(t2, 1u));
        acc_17_0 = fma(s17, w0, acc_17_0);
        acc_17_1 = fma(s17, w1, acc_17_1);
        let s18 = vec4<f32>(subgroupBroadcast(t2, 2u));
        acc_18_0 = fma(s18, w0, acc_18_0);
        acc_18_1 = fma(s18, w1, acc_18_1);
        let s19 = vec4<f32>(subgroupBroadcast(t2, 3u));
        acc_19_0 = fma(s19, w0, acc_19_0);
        acc_19_1 = fma(s19, w1, acc_19_1);
        let s20 = vec4<f32>(subgroupBroadcast(t2, 4u));
        acc_20_0 = fma(s20, w0, acc_20_0);
        acc_20_1 = fma(s20, w1, acc_20_1);
        let s21 = vec4<f32>(subgroupBroadcast(t2, 5u));
        acc_21_0 = fma(s21, w0, acc_21_0);
        acc_21_1 = fma(s21, w1, acc_21_1);
        let s22 = vec4<f32>(subgroupBroadcast(t2, 6u));
        acc_22_0 = fma(s22, w0, acc_22_0);
        acc_22_1 = fma(s22, w1, acc_22_1);
        let s23 = vec4<f32>(subgroupBroadcast(t2, 7u));
        acc_23_0 = fma(s23, w0, acc_23_0);
        acc_23_1 = fma(s23, w1, acc_23_1);
        let s24 = vec4<f32>(subgroupBroadcast(t3, 0u));
        acc_24_0 = fma(s24, w0, acc_24_0);
        acc_24_1 = fma(s24, w1, acc_24_1);
        let s25 = vec4<f32>(subgroupBroadcast(t3, 1u));
        acc_25_0 = fma(s25, w0, acc_25_0);
        acc_25_1 = fma(s25, w1, acc_25_1);
        let s26 = vec4<f32>(subgroupBroadcast(t3, 2u));
        acc_26_0 = fma(s26, w0, acc_26_0);
        acc_26_1 = fma(s26, w1, acc_26_1);
        let s27 = vec4<f32>(subgroupBroadcast(t3, 3u));
        acc_27_0 = fma(s27, w0, acc_27_0);
        acc_27_1 = fma(s27, w1, acc_27_1);
        let s28 = vec4<f32>(subgroupBroadcast(t3, 4u));
        acc_28_0 = fma(s28, w0, acc_28_0);
        acc_28_1 = fma(s28, w1, acc_28_1);
        let s29 = vec4<f32>(subgroupBroadcast(t3, 5u));
        acc_29_0 = fma(s29, w0, acc_29_0);
        acc_29_1 = fma(s29, w1, acc_29_1);
        let s30 = vec4<f32>(subgroupBroadcast(t3, 6u));
        acc_30_0 = fma(s30, w0, acc_30_0);
        acc_30_1 = fma(s30, w1, acc_30_1);
        let s31 = vec4<f32>(subgroupBroadcast(t3, 7u));
        acc_31_0 = fma(s31, w0, acc_31_0);
        acc_31_1 = fma(s31, w1, acc_31_1);
    }
    // One loop keeps the epilogue's code small; a trip count the compiler cannot know keeps it a loop.
    var sums: array<vec4<f32>, 64>;
    sums[0] = acc_0_0;
    sums[1] = acc_0_1;
    sums[2] = acc_1_0;
    sums[3] = acc_1_1;
    sums[4] = acc_2_0;
    sums[5] = acc_2_1;
    sums[6] = acc_3_0;
    sums[7] = acc_3_1;
    sums[8] = acc_4_0;
    sums[9] = acc_4_1;
    sums[10] = acc_5_0;
    sums[11] = acc_5_1;
    sums[12] = acc_6_0;
    sums[13] = acc_6_1;
    sums[14] = acc_7_0;
    sums[15] = acc_7_1;
    sums[16] = acc_8_0;
    sums[17] = acc_8_1;
    sums[18] = acc_9_0;
    sums[19] = acc_9_1;
    sums[20] = acc_10_0;
    sums[21] = acc_10_1;
    sums[22] = acc_11_0;
    sums[23] = acc_11_1;
    sums[24] = acc_12_0;
    sums[25] = acc_12_1;
    sums[26] = acc_13_0;
    sums[27] = acc_13_1;
    sums[28] = acc_14_0;
    sums[29] = acc_14_1;
    sums[30] = acc_15_0;
    sums[31] = acc_15_1;
    sums[32] = acc_16_0;
    sums[33] = acc_16_1;
    sums[34] = acc_17_0;
    sums[35] = acc_17_1;
    sums[36] = acc_18_0;
    sums[37] = acc_18_1;
    sums[38] = acc_19_0;
    sums[39] = acc_19_1;
    sums[40] = acc_20_0;
    sums[41] = acc_20_1;
    sums[42] = acc_21_0;
    sums[43] = acc_21_1;
    sums[44] = acc_22_0;
    sums[45] = acc_22_1;
    sums[46] = acc_23_0;
    sums[47] = acc_23_1;
    sums[48] = acc_24_0;
    sums[49] = acc_24_1;
    sums[50] = acc_25_0;
    sums[51] = acc_25_1;
    sums[52] = acc_26_0;
    sums[53] = acc_26_1;
    sums[54] = acc_27_0;
    sums[55] = acc_27_1;
    sums[56] = acc_28_0;
    sums[57] = acc_28_1;
    sums[58] = acc_29_0;
    sums[59] = acc_29_1;
    sums[60] = acc_30_0;
    sums[61] = acc_30_1;
    sums[62] = acc_31_0;
    sums[63] = acc_31_1;
    let filled = min(params.m - row0, 32u) * 2u;
    for (var i = 0u; i < filled; i++) {
        let sum = sums[i];
        for (var q = 0u; q < 4u; q++) {
            let col = col0 + (i % 2u) * 32u + q * 8u + lane;
            if col < params.n {
                let at = (z * params.m + row0 + i / 2u) * params.n + col;
                c_data[at] = epilogue(sum[q], col, at);
            }
        }
    }
}
