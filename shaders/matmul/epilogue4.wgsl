// matmul/epilogue.wgsl for four neighbouring columns; `at4` counts vectors of four.
//#include "shared/activation.wgsl"

override ACT: u32 = 0u;

const HAS_BIAS: u32 = 1u;
const HAS_RESIDUAL: u32 = 2u;

fn epilogue4(sum: vec4<f32>, col4: u32, at4: u32) -> vec4<f32> {
    var v = params.alpha * sum;
    if (params.epilogue & HAS_BIAS) != 0u {
        v += bias[col4];
    }
    v = activate4(v, ACT);
    if (params.epilogue & HAS_RESIDUAL) != 0u {
        v += residual[at4];
    }
    return v;
}
