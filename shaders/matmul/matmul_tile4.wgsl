// Matrix product by workgroup tiles with vector loads: for GPUs, sizes along memory divisible by 4.
//   c[z, i, j] = act(alpha * sum_k a[z, i, k] * b[z, k, j] + bias[j]) + residual[z, i, j]
// a, c, residual: f32   b: f32, f16 or i8 (prelude)   c, residual: [batch, m, n]   bias: [n]
// b of i8 has layout 1 and no batch: its rows are columns of c, whose sums its scales multiply.
// LAYOUT by override, as ops::Layout:
//   0  a [m, k], b [k, n]: k and n divisible by 4    1  a [m, k], b [n, k]: k and n    2  a [k, m], b [k, n]: m and n
// A workgroup of 16 x 16 owns 64 x 64 elements of c and walks over k in steps of 16. Vectors lie in workgroup memory the
// way they lie in memory: along k or across it; nothing is transposed on the way. While a step is multiplied the next
// one is on its way into registers. Each invocation owns 4 x 4 elements: columns 4 tx .. 4 tx + 4.
// Grid: tiles, rows fastest, folded (shared/index.wgsl). Sums in f32 in the order of k.
//#include "shared/index.wgsl"
//#include "matmul/params.wgsl"
//#include "matmul/epilogue4.wgsl"

@group(0) @binding(0) var<storage, read> a_data: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b_data: array<store4>;
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> residual: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> c_data: array<vec4<f32>>;
@group(0) @binding(5) var<uniform> params: MatmulParams;

override LAYOUT: u32 = 0u;

const SCALED_ROWS: u32 = 4u;
const TILE: u32 = 64u;
const STEP: u32 = 16u;
// Tiles of vectors along k are [row or column][k / 4] with one vector of padding a line; tiles of vectors across k are
// [k][row or column / 4].
const PITCH: u32 = STEP / 4u + 1u;

var<workgroup> a_tile: array<vec4<f32>, TILE * PITCH>;
var<workgroup> b_tile: array<vec4<f32>, TILE * PITCH>;

// The vector that an invocation loads of a 64 x 16 tile, along k: (row, k).
fn along(local: u32) -> vec2<u32> {
    return vec2<u32>(local / 4u, local % 4u * 4u);
}

// The same across k: (first row, k).
fn across(local: u32) -> vec2<u32> {
    return vec2<u32>(local % 16u * 4u, local / 16u);
}

fn load_a(z: u32, row0: u32, k0: u32, local: u32) -> vec4<f32> {
    let p = select(along(local), across(local), LAYOUT == 2u) + vec2<u32>(row0, k0);
    if p.x >= params.m || p.y >= params.k {
        return vec4<f32>();
    }
    return a_data[(z * params.a_batch + p.x * params.a_row + p.y * params.a_col) / 4u];
}

fn load_b(z: u32, col0: u32, k0: u32, local: u32) -> vec4<f32> {
    let p = select(across(local), along(local), LAYOUT == 1u) + vec2<u32>(col0, k0);
    if p.x >= params.n || p.y >= params.k {
        return vec4<f32>();
    }
    return unpack4(b_data[(z * params.b_batch + p.y * params.b_row + p.x * params.b_col) / 4u]);
}

fn row_scales(col: u32) -> vec4<f32> {
    let at = params.n * params.k / 4u + col;
    return vec4<f32>(scale_of(b_data[at]), scale_of(b_data[at + 1u]), scale_of(b_data[at + 2u]), scale_of(b_data[at + 3u]));
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let tiles_m = (params.m + TILE - 1u) / TILE;
    let tiles_n = (params.n + TILE - 1u) / TILE;
    let tile = linear_group(group, groups);
    if tile >= tiles_m * tiles_n * params.batch {
        return;
    }
    let z = tile / (tiles_m * tiles_n);
    let row0 = (tile % tiles_m) * TILE;
    let col0 = (tile / tiles_m % tiles_n) * TILE;
    let ty = local / 16u;
    let tx = local % 16u;

    // Where this invocation puts what it loads. Columns along k are dealt out so that the 16 columns that neighbours
    // read at once lie side by side.
    let row = along(local).x;
    let along_a = row * PITCH + local % 4u;
    let along_b = (row % 4u * 16u + row / 4u) * PITCH + local % 4u;
    let put_a = select(along_a, local, LAYOUT == 2u);
    let put_b = select(local, along_b, LAYOUT == 1u);

    var acc: array<vec4<f32>, 4>;
    for (var i = 0u; i < 4u; i++) {
        acc[i] = vec4<f32>();
    }
    var next_a = load_a(z, row0, 0u, local);
    var next_b = load_b(z, col0, 0u, local);
    for (var k0 = 0u; k0 < params.k; k0 += STEP) {
        a_tile[put_a] = next_a;
        b_tile[put_b] = next_b;
        workgroupBarrier();
        next_a = load_a(z, row0, k0 + STEP, local);
        next_b = load_b(z, col0, k0 + STEP, local);
        if LAYOUT == 2u {
            for (var k = 0u; k < STEP; k++) {
                let a = a_tile[k * 16u + ty];
                let b = b_tile[k * 16u + tx];
                acc[0] = fma(vec4<f32>(a.x), b, acc[0]);
                acc[1] = fma(vec4<f32>(a.y), b, acc[1]);
                acc[2] = fma(vec4<f32>(a.z), b, acc[2]);
                acc[3] = fma(vec4<f32>(a.w), b, acc[3]);
            }
        } else {
            for (var q = 0u; q < STEP / 4u; q++) {
                // Four values of k of four columns, as [k] of columns.
                var b0: vec4<f32>;
                var b1: vec4<f32>;
                var b2: vec4<f32>;
                var b3: vec4<f32>;
                if LAYOUT == 1u {
                    let at = tx * PITCH + q;
                    let t = transpose(mat4x4<f32>(
                        b_tile[at],
                        b_tile[at + 16u * PITCH],
                        b_tile[at + 32u * PITCH],
                        b_tile[at + 48u * PITCH],
                    ));
                    b0 = t[0];
                    b1 = t[1];
                    b2 = t[2];
                    b3 = t[3];
                } else {
                    let at = q * 64u + tx;
                    b0 = b_tile[at];
                    b1 = b_tile[at + 16u];
                    b2 = b_tile[at + 32u];
                    b3 = b_tile[at + 48u];
                }
                for (var i = 0u; i < 4u; i++) {
                    let a = a_tile[(ty + i * 16u) * PITCH + q];
                    acc[i] = fma(
                        vec4<f32>(a.w),
                        b3,
                        fma(vec4<f32>(a.z), b2, fma(vec4<f32>(a.y), b1, fma(vec4<f32>(a.x), b0, acc[i]))),
                    );
                }
            }
        }
        // The next step overwrites the tiles that slower invocations may still read.
        workgroupBarrier();
    }

    let col = col0 + tx * 4u;
    var scales = vec4<f32>(1.0);
    if (params.epilogue & SCALED_ROWS) != 0u && col < params.n {
        scales = row_scales(col);
    }
    for (var i = 0u; i < 4u; i++) {
        let r = row0 + select(ty + i * 16u, ty * 4u + i, LAYOUT == 2u);
        if r < params.m && col < params.n {
            let at4 = ((z * params.m + r) * params.n + col) / 4u;
            c_data[at4] = epilogue4(acc[i] * scales, col / 4u, at4);
        }
    }
}
