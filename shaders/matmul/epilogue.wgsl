// What a matrix product does to each element before storing it: scale, bias, activation, residual.
// The including kernel declares `params.alpha`, `bias` and `residual`; the overrides leave out what is absent.
//#include "shared/activation.wgsl"

override ACT: u32 = 0u;
override HAS_BIAS: u32 = 0u;
override HAS_RESIDUAL: u32 = 0u;

fn epilogue(sum: f32, col: u32, at: u32) -> f32 {
    var v = params.alpha * sum;
    if HAS_BIAS != 0u {
        v += bias[col];
    }
    if ACT != 0u {
        v = activate1(v, ACT);
    }
    if HAS_RESIDUAL != 0u {
        v += residual[at];
    }
    return v;
}
