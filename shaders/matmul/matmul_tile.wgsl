// Matrix product by workgroup tiles: the portable variant, for any shape and layout.
//   c[z, i, j] = act(alpha * sum_k a[z, i, k] * b[z, k, j] + bias[j]) + residual[z, i, j]
// a, b: any layout by row and column strides   c, residual: [batch, m, n]   bias: [n]
// A workgroup of 16 x 16 owns 64 x 64 elements of c and walks over k in steps of 16 through workgroup memory; each
// invocation owns 4 x 4 elements, 16 apart, so that neighbours store to neighbours.
// Grid: tiles, rows fastest, folded (shared/index.wgsl). Sums in f32 in the order of k.
//#include "shared/index.wgsl"
//#include "matmul/operands.wgsl"
//#include "matmul/epilogue.wgsl"

// 1 where consecutive k, not consecutive rows (columns), are neighbours in memory.
override A_ALONG_K: u32 = 1u;
override B_ALONG_K: u32 = 0u;

const TILE: u32 = 64u;
const STEP: u32 = 16u;
// One element of padding keeps the columns of a tile in different banks.
const PITCH: u32 = TILE + 1u;

var<workgroup> a_tile: array<f32, STEP * PITCH>;
var<workgroup> b_tile: array<f32, STEP * PITCH>;

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
    var acc: array<vec4<f32>, 4>;
    for (var i = 0u; i < 4u; i++) {
        acc[i] = vec4<f32>();
    }

    for (var k0 = 0u; k0 < params.k; k0 += STEP) {
        for (var i = 0u; i < 4u; i++) {
            let e = local + i * 256u;
            let ak = select(e / TILE, e % STEP, A_ALONG_K != 0u);
            let ar = select(e % TILE, e / STEP, A_ALONG_K != 0u);
            let a_inside = k0 + ak < params.k && row0 + ar < params.m;
            var value = 0.0;
            if a_inside {
                value = a_data[z * params.a_batch + (row0 + ar) * params.a_row + (k0 + ak) * params.a_col];
            }
            a_tile[ak * PITCH + ar] = value;
            let bk = select(e / TILE, e % STEP, B_ALONG_K != 0u);
            let bc = select(e % TILE, e / STEP, B_ALONG_K != 0u);
            let b_inside = k0 + bk < params.k && col0 + bc < params.n;
            value = 0.0;
            if b_inside {
                value = b_data[z * params.b_batch + (k0 + bk) * params.b_row + (col0 + bc) * params.b_col];
            }
            b_tile[bk * PITCH + bc] = value;
        }
        workgroupBarrier();
        for (var k = 0u; k < STEP; k++) {
            let at = k * PITCH;
            let b = vec4<f32>(b_tile[at + tx], b_tile[at + tx + 16u], b_tile[at + tx + 32u], b_tile[at + tx + 48u]);
            for (var i = 0u; i < 4u; i++) {
                acc[i] = fma(vec4<f32>(a_tile[at + ty + i * 16u]), b, acc[i]);
            }
        }
        // The next step overwrites the tiles that slower invocations may still read.
        workgroupBarrier();
    }

    for (var i = 0u; i < 4u; i++) {
        let row = row0 + ty + i * 16u;
        for (var j = 0u; j < 4u; j++) {
            let col = col0 + tx + j * 16u;
            if row < params.m && col < params.n {
                let at = (z * params.m + row) * params.n + col;
                c_data[at] = epilogue(acc[i][j], col, at);
            }
        }
    }
}
