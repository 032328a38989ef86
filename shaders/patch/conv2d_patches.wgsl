// Patches of a channels-last picture (im2col), so that a convolution is a matrix product.
//   y[b, oy, ox, (ky * kw + kx) * channels + c] = x[b, oy * stride_y + ky - pad_y, ox * stride_x + kx - pad_x, c], 0 outside
// x: [batch, height, width, channels]   y: [batch, out_h, out_w, kernel_h * kernel_w * channels]
// For one ky, the kx and c of a patch are one run of neighbours in x and in y. An invocation copies `chunk` elements of
// a run: 1 on GPUs, where neighbours should load neighbours; the whole run on software adapters, where the divisions
// that find it cost more than loads.
// Grid: chunks, folded (shared/index.wgsl).
//#include "shared/index.wgsl"

struct Conv2dPatchesParams {
    chunks: u32,
    chunk: u32,
    height: u32,
    width: u32,
    channels: u32,
    out_h: u32,
    out_w: u32,
    kernel_h: u32,
    kernel_w: u32,
    stride_y: u32,
    stride_x: u32,
    pad_y: u32,
    pad_x: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Conv2dPatchesParams;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_invocation(group, groups, local, 64u);
    if i >= params.chunks {
        return;
    }
    let run_len = params.kernel_w * params.channels;
    let per_run = (run_len + params.chunk - 1u) / params.chunk;
    let run = i / per_run;
    let first = (i % per_run) * params.chunk;
    let end = min(first + params.chunk, run_len);
    let ky = run % params.kernel_h;
    let place = run / params.kernel_h;
    let ox = place % params.out_w;
    let line = place / params.out_w;
    let oy = line % params.out_h;
    let b = line / params.out_h;

    let row = i32(oy * params.stride_y + ky) - i32(params.pad_y);
    let row_inside = row >= 0 && row < i32(params.height);
    let row_start = (b * params.height + u32(max(row, 0))) * params.width * params.channels;
    // Places in the row of x, in elements; outside of [0, row_end) is padding.
    let start = (i32(ox * params.stride_x) - i32(params.pad_x)) * i32(params.channels);
    let row_end = i32(params.width * params.channels);
    for (var j = first; j < end; j++) {
        let at = start + i32(j);
        var v = 0.0;
        if row_inside && at >= 0 && at < row_end {
            v = x[row_start + u32(at)];
        }
        y[run * run_len + j] = v;
    }
}
