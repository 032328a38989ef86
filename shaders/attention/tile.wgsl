// Tiles of 32 rows by 32 columns for 64 invocations: what the tiled attention kernels share. 13.4 KiB of workgroup memory.
// Invocation (ty, tx) of 8 x 8 owns the rows ty + 8 i; of a product of two tiles the columns tx + 8 m; of the running sums
// the vectors tx and tx + 8 of each 64 channels. HEAD_DIM comes by const prelude and is a multiple of 4.

const TILE: u32 = 32u;
// Vectors of four channels in a head.
const D4: u32 = HEAD_DIM / 4u;
// Steps of 32 channels over which products are summed, steps of 64 channels in which running sums grow.
const CHUNKS: u32 = (HEAD_DIM + 31u) / 32u;
const PASSES: u32 = (HEAD_DIM + 63u) / 64u;
// Vectors per row of a staged tile, one or two of them padding against bank conflicts.
const PITCH: u32 = 9u;
const WIDE_PITCH: u32 = 18u;
const SECOND: u32 = TILE * PITCH;
const WEIGHT_PITCH: u32 = TILE + 1u;

var<workgroup> stage: array<vec4<f32>, 2u * TILE * PITCH>;
var<workgroup> weights: array<f32, TILE * WEIGHT_PITCH>;

// s[i][m] += row ty + 8 i of the first staged tile . row tx + 8 m of the second, over 32 channels.
fn multiply(s: ptr<function, array<vec4<f32>, 4>>, ty: u32, tx: u32) {
    for (var c = 0u; c < 8u; c++) {
        let at = SECOND + tx * PITCH + c;
        let b0 = stage[at];
        let b1 = stage[at + 8u * PITCH];
        let b2 = stage[at + 16u * PITCH];
        let b3 = stage[at + 24u * PITCH];
        for (var i = 0u; i < 4u; i++) {
            let a = stage[(ty + 8u * i) * PITCH + c];
            (*s)[i] += vec4<f32>(dot(a, b0), dot(a, b1), dot(a, b2), dot(a, b3));
        }
    }
}

// acc += weights . the staged wide tile, for the channels 64 pass ...
fn accumulate(acc: ptr<function, array<vec4<f32>, 8u * PASSES>>, pass_index: u32, ty: u32, tx: u32) {
    for (var r = 0u; r < TILE; r++) {
        let x0 = stage[r * WIDE_PITCH + tx];
        let x1 = stage[r * WIDE_PITCH + tx + 8u];
        for (var i = 0u; i < 4u; i++) {
            let weight = vec4<f32>(weights[(ty + 8u * i) * WEIGHT_PITCH + r]);
            let at = pass_index * 8u + i * 2u;
            (*acc)[at] = fma(weight, x0, (*acc)[at]);
            (*acc)[at + 1u] = fma(weight, x1, (*acc)[at + 1u]);
        }
    }
}

// The scores' columns as the weights of rows ty + 8 i.
fn put_weights(i: u32, value: vec4<f32>, ty: u32, tx: u32) {
    let at = (ty + 8u * i) * WEIGHT_PITCH + tx;
    weights[at] = value.x;
    weights[at + 8u] = value.y;
    weights[at + 16u] = value.z;
    weights[at + 24u] = value.w;
}
