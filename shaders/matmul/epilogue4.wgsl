// matmul/epilogue.wgsl for four neighbouring columns; `at4` counts vectors of four.
//#include "shared/activation.wgsl"

override ACT: u32 = 0u;
override HAS_BIAS: u32 = 0u;
override HAS_RESIDUAL: u32 = 0u;

fn epilogue4(sum: vec4<f32>, col4: u32, at4: u32) -> vec4<f32> {
    var v = params.alpha * sum;
    if HAS_BIAS != 0u {
        v += bias[col4];
    }
    v = activate4(v, ACT);
    if HAS_RESIDUAL != 0u {
        v += residual[at4];
    }
    return v;
}
