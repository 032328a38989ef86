// Conversion between element types; halves lie two to a word, the first in the low bits.
//   MODE 0: f32 -> f16 (nearest even)   1: f16 -> f32   2: u32 -> f32   3: f32 -> u32 (towards zero, clamped)
// x, y: [len] elements of their types, seen as words
// One invocation per pair of elements; grid folded (shared/index.wgsl).
//#include "shared/index.wgsl"
//#include "shared/half.wgsl"

struct LenParams {
    len: u32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<uniform> params: LenParams;

override MODE: u32 = 0u;

fn convert(word: u32) -> u32 {
    if MODE == 2u {
        return bitcast<u32>(f32(word));
    }
    // A negative number or NaN would convert differently from driver to driver.
    let v = bitcast<f32>(word);
    return select(0u, u32(min(v, 4294967040.0)), v > 0.0);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_invocation(group, groups, local, 64u);
    let first = 2u * i;
    if first >= params.len {
        return;
    }
    let second = min(first + 1u, params.len - 1u);
    if MODE == 0u {
        let high = select(half_bits(bitcast<f32>(x[second])), 0u, second == first);
        y[i] = half_bits(bitcast<f32>(x[first])) | (high << 16u);
    } else if MODE == 1u {
        let pair = unpack2x16float(x[i]);
        y[first] = bitcast<u32>(pair.x);
        if second != first {
            y[second] = bitcast<u32>(pair.y);
        }
    } else {
        y[first] = convert(x[first]);
        y[second] = convert(x[second]);
    }
}
