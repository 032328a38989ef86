// One number from each row. OP by override: 0 sum, 1 maximum, 2 sum of products with b
//   y[first + r] = factor * reduce_c f(x[r, c])        the maximum takes no factor
// x, b: [len], seen as rows of cols of which the last may be short   y: first + rows elements or more
// LANES invocations share a row (shared/rows.wgsl); grid folded. f32 sums by a tree that depends on sizes and LANES.
//#include "shared/rows.wgsl"

struct ReduceRowsParams {
    rows: u32,
    cols: u32,
    len: u32,
    first: u32,
    factor: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: ReduceRowsParams;

override OP: u32 = 0u;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let place = own_row(group, groups, local, params.rows);
    let row = place.index;
    let lane = place.lane;
    let start = row * params.cols;
    let count = min(params.cols, params.len - start);

    var total = 0.0;
    if OP == 1u {
        // Any element of the row does as a start, so that rows of minus infinity keep it.
        total = x[start + min(lane, count - 1u)];
    }
    for (var c = lane; c < count; c += LANES) {
        let v = x[start + c];
        if OP == 0u {
            total += v;
        }
        if OP == 1u {
            total = max(total, v);
        }
        if OP == 2u {
            total = fma(v, b[start + c], total);
        }
    }
    if OP == 1u {
        total = reduce_max(total, local);
    } else {
        total = params.factor * reduce_sum(total, local);
    }
    if place.inside && lane == 0u {
        y[params.first + row] = total;
    }
}
