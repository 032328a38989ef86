// Matrix product for software adapters, any size and layout.
//   c[z, i, j] = act(alpha * sum_k a[z, i, k] * b[z, k, j] + bias[j]) + residual[z, i, j]
// a, b: any layout by row and column strides   c, residual: [batch, m, n]   bias: [n]
// Tiles, grid and order of the sums: matmul/subgroup.wgsl.
//#include "matmul/operands.wgsl"
//#include "matmul/epilogue.wgsl"
//#include "matmul/subgroup.wgsl"
//#include "shared/index.wgsl"

const FOUR: vec4<u32> = vec4<u32>(0u, 1u, 2u, 3u);

fn at_most(i: u32, size: u32) -> vec4<u32> {
    return min(vec4<u32>(i) + FOUR, vec4<u32>(size - 1u));
}

fn load_a(z: u32, row: u32, k: u32) -> mat4x4<f32> {
    let rows = vec4<u32>(z * params.a_batch) + at_most(row, params.m) * params.a_row;
    let ks = at_most(k, params.k) * params.a_col;
    let some = vec4<u32>(k) + FOUR < vec4<u32>(params.k);
    var out: mat4x4<f32>;
    let p0 = vec4<u32>(rows.x) + ks;
    out[0] = select(vec4<f32>(), vec4<f32>(a_data[p0.x], a_data[p0.y], a_data[p0.z], a_data[p0.w]), some);
    let p1 = vec4<u32>(rows.y) + ks;
    out[1] = select(vec4<f32>(), vec4<f32>(a_data[p1.x], a_data[p1.y], a_data[p1.z], a_data[p1.w]), some);
    let p2 = vec4<u32>(rows.z) + ks;
    out[2] = select(vec4<f32>(), vec4<f32>(a_data[p2.x], a_data[p2.y], a_data[p2.z], a_data[p2.w]), some);
    let p3 = vec4<u32>(rows.w) + ks;
    out[3] = select(vec4<f32>(), vec4<f32>(a_data[p3.x], a_data[p3.y], a_data[p3.z], a_data[p3.w]), some);
    return out;
}

fn load_b(z: u32, col: u32, k: u32) -> mat4x4<f32> {
    let cols = vec4<u32>(z * params.b_batch) + at_most(col, params.n) * params.b_col;
    let ks = at_most(k, params.k) * params.b_row;
    let some = vec4<u32>(k) + FOUR < vec4<u32>(params.k);
    var out: mat4x4<f32>;
    let p0 = cols + vec4<u32>(ks.x);
    out[0] = select(vec4<f32>(), vec4<f32>(b_data[p0.x], b_data[p0.y], b_data[p0.z], b_data[p0.w]), some.x);
    let p1 = cols + vec4<u32>(ks.y);
    out[1] = select(vec4<f32>(), vec4<f32>(b_data[p1.x], b_data[p1.y], b_data[p1.z], b_data[p1.w]), some.y);
    let p2 = cols + vec4<u32>(ks.z);
    out[2] = select(vec4<f32>(), vec4<f32>(b_data[p2.x], b_data[p2.y], b_data[p2.z], b_data[p2.w]), some.z);
    let p3 = cols + vec4<u32>(ks.w);
    out[3] = select(vec4<f32>(), vec4<f32>(b_data[p3.x], b_data[p3.y], b_data[p3.z], b_data[p3.w]), some.w);
    return out;
}

fn store(z: u32, row: u32, col: u32, sum: vec4<f32>) {
    for (var q = 0u; q < min(params.n - min(col, params.n), 4u); q++) {
        let at = (z * params.m + row) * params.n + col + q;
        c_data[at] = epilogue(sum[q], col + q, at);
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
