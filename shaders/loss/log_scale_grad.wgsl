// Gradient of a capped log-scale: at the cap only what would lower it passes, so that descent never pushes beyond.
//   dy[0] = log_scale[0] < max_log_scale ? d[0] : max(d[0], 0)
// d, log_scale, dy: [1]
// One invocation.

struct LogScaleGradParams {
    max_log_scale: f32,
}

@group(0) @binding(0) var<storage, read> d: array<f32>;
@group(0) @binding(1) var<storage, read> log_scale: array<f32>;
@group(0) @binding(2) var<storage, read_write> dy: array<f32>;
@group(0) @binding(3) var<uniform> params: LogScaleGradParams;

@compute @workgroup_size(1)
fn main() {
    dy[0] = select(max(d[0], 0.0), d[0], log_scale[0] < params.max_log_scale);
}
