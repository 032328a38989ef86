// The mean from a sum and a count.
//   y[0] = totals[0] / max(totals[1], 1)
// totals: [2]   y: [1]
// One invocation.

struct WeightedMeanParams {
    unused: u32,
}

@group(0) @binding(0) var<storage, read> totals: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: WeightedMeanParams;

@compute @workgroup_size(1)
fn main() {
    y[0] = totals[0] / max(totals[1], 1.0);
}
