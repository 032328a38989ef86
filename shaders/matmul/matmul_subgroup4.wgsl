// Matrix product for software adapters with vector loads: a vector's scalar gathers share their bounds checks.
//   c[z, i, j] = act(alpha * sum_k a[z, i, k] * b[z, k, j] + bias[j]) + residual[z, i, j]
// c, residual: [batch, m, n]   bias: [n]   n and k divisible by 4
// LAYOUT by override, as ops::Layout:
//   0  a [m, k], b [k, n]    1  a [m, k], b [n, k]    2  a [k, m], b [k, n], m divisible by 4 too
// Tiles, grid and order of the sums: matmul/subgroup.wgsl.
//#include "matmul/params.wgsl"
//#include "matmul/epilogue4.wgsl"
//#include "matmul/subgroup.wgsl"
//#include "shared/index.wgsl"

@group(0) @binding(0) var<storage, read> a_data: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b_data: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> residual: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> c_data: array<vec4<f32>>;
@group(0) @binding(5) var<uniform> params: MatmulParams;

override LAYOUT: u32 = 0u;

fn load_a(z: u32, row: u32, k: u32) -> mat4x4<f32> {
    let base = z * params.a_batch;
    if LAYOUT == 2u {
        let at = (base + k * params.m + min(row, params.m - 4u)) / 4u;
        let step = params.m / 4u;
        return transpose(mat4x4<f32>(a_data[at], a_data[at + step], a_data[at + 2u * step], a_data[at + 3u * step]));
    }
    let rows = min(vec4<u32>(row) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(params.m - 1u));
    let at = (vec4<u32>(base + k) + rows * params.k) / 4u;
    return mat4x4<f32>(a_data[at.x], a_data[at.y], a_data[at.z], a_data[at.w]);
}

fn load_b(z: u32, col: u32, k: u32) -> mat4x4<f32> {
    let base = z * params.b_batch;
    let inside = min(col, params.n - 4u);
    if LAYOUT == 1u {
        let at = (base + inside * params.k + k) / 4u;
        let step = params.k / 4u;
        return transpose(mat4x4<f32>(b_data[at], b_data[at + step], b_data[at + 2u * step], b_data[at + 3u * step]));
    }
    let at = (base + k * params.n + inside) / 4u;
    let step = params.n / 4u;
    return mat4x4<f32>(b_data[at], b_data[at + step], b_data[at + 2u * step], b_data[at + 3u * step]);
}

fn store(z: u32, row: u32, col: u32, sum: vec4<f32>) {
    if col < params.n {
        let at4 = ((z * params.m + row) * params.n + col) / 4u;
        c_data[at4] = epilogue4(sum, col / 4u, at4);
    }
}

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    multiply(linear_group(group, groups), lane);
}
