// Tubelets of a clip as rows, so that V-JEPA 2's 3-D patch convolution (kernel = stride) is a matrix product.
//   y[b, (t' * grid_h + h') * grid_w + w', ((c * tubelet + dt) * patch + dh) * patch + dw]
//     = x[b, t' * tubelet + dt, c, h' * patch + dh, w' * patch + dw]            and back with INVERSE
// x: [batch, frames, channels, height, width]   y: [batch, tokens, channels * tubelet * patch * patch]
// The dw of a patch row are one run of neighbours in both. An invocation copies `chunk` elements of a run: 1 on GPUs,
// the whole run on software adapters, where the divisions that find it cost more than loads.
// Grid: chunks, folded (shared/index.wgsl).
//#include "shared/index.wgsl"

struct TubeletPatchesParams {
    chunks: u32,
    chunk: u32,
    grid_h: u32,
    grid_w: u32,
    channels: u32,
    tubelet: u32,
    patch_size: u32,
}

@group(0) @binding(0) var<storage, read> source: array<f32>;
@group(0) @binding(1) var<storage, read_write> target_data: array<f32>;
@group(0) @binding(2) var<uniform> params: TubeletPatchesParams;

override INVERSE: u32 = 0u;

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
    let p = params.patch_size;
    let per_run = (p + params.chunk - 1u) / params.chunk;
    let run = i / per_run;
    let first = (i % per_run) * params.chunk;
    let end = min(first + params.chunk, p);
    // run = (((((b, t'), h'), w'), c), dt), dh
    var rest = run;
    let dh = rest % p;
    rest /= p;
    let dt = rest % params.tubelet;
    rest /= params.tubelet;
    let c = rest % params.channels;
    rest /= params.channels;
    let pw = rest % params.grid_w;
    rest /= params.grid_w;
    let ph = rest % params.grid_h;
    // What is left counts tubelets over the whole batch, and so frames do.
    let frame = rest / params.grid_h * params.tubelet + dt;
    let row = (frame * params.channels + c) * params.grid_h * p + ph * p + dh;
    let clip_at = (row * params.grid_w + pw) * p;
    for (var j = first; j < end; j++) {
        if INVERSE == 0u {
            target_data[run * p + j] = source[clip_at + j];
        } else {
            target_data[clip_at + j] = source[run * p + j];
        }
    }
}
