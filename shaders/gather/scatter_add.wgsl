// Sums rows into the rows of a table by number: the gradient of gather_rows.
//   y[v, c] = sum over i with ids[i] = v of x[i, c], in the order of i; rows that no id names are left as they are
// x: [rows, cols]   ids: [rows]   chains: [rows, 2] of id_chains   y: [table_rows, cols]
// One invocation per element of x; the first place of each id walks the chain and writes, so that no two write one
// element. Ids out of range are left out. Grid folded (shared/index.wgsl). Sums in f32.
//#include "shared/index.wgsl"

struct ScatterAddParams {
    rows: u32,
    cols: u32,
    table_rows: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> chains: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> params: ScatterAddParams;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_invocation(group, groups, local, 64u);
    let row = i / params.cols;
    if row >= params.rows {
        return;
    }
    let c = i % params.cols;
    let id = ids[row];
    if id >= params.table_rows || chains[2u * row] == 0u {
        return;
    }
    var sum = 0.0;
    for (var at = row; at < params.rows; at = chains[2u * at + 1u]) {
        sum += x[at * params.cols + c];
    }
    y[id * params.cols + c] = sum;
}
