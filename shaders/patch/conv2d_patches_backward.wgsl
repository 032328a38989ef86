// Gradient of conv2d_patches (col2im): each pixel gathers from the patches that hold it, so that no two write one place.
//   dx[b, iy, ix, c] = sum over ky, kx, oy, ox with iy + pad_y = oy * stride_y + ky and ix + pad_x = ox * stride_x + kx
//                      of dy[b, oy, ox, (ky * kw + kx) * channels + c]
// dx: [batch, height, width, channels]   dy: [batch, out_h, out_w, kernel_h * kernel_w * channels]
// An invocation owns `chunk` channels of a pixel (a divisor of `channels`): 1 on GPUs, all on software adapters.
// Grid: chunks, folded (shared/index.wgsl). Sums in f32, by rising oy, then ox.
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

@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read_write> dx: array<f32>;
@group(0) @binding(2) var<uniform> params: Conv2dPatchesParams;

// Patches of one axis that hold the padded place `at`: first and end.
fn holders(at: u32, kernel: u32, stride: u32, count: u32) -> vec2<u32> {
    // The smallest o with o * stride + kernel > at.
    let first = select(0u, (at - kernel + stride) / stride, at >= kernel);
    return vec2<u32>(first, min(at / stride + 1u, count));
}

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
    let per_pixel = params.channels / params.chunk;
    let pixel = i / per_pixel;
    let first_c = (i % per_pixel) * params.chunk;
    let ix = pixel % params.width;
    let line = pixel / params.width;
    let py = line % params.height + params.pad_y;
    let px = ix + params.pad_x;
    let b = line / params.height;
    let rows = holders(py, params.kernel_h, params.stride_y, params.out_h);
    let cols = holders(px, params.kernel_w, params.stride_x, params.out_w);
    for (var c = first_c; c < first_c + params.chunk; c++) {
        var sum = 0.0;
        for (var oy = rows.x; oy < rows.y; oy++) {
            let ky = py - oy * params.stride_y;
            for (var ox = cols.x; ox < cols.y; ox++) {
                let kx = px - ox * params.stride_x;
                let place = (b * params.out_h + oy) * params.out_w + ox;
                sum += dy[((place * params.kernel_h + ky) * params.kernel_w + kx) * params.channels + c];
            }
        }
        dx[pixel * params.channels + c] = sum;
    }
}
