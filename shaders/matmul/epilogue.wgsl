// What a matrix product does to each element before storing it: scale, bias, activation, residual.
// The including kernel declares `params: MatmulParams`, `bias` and `residual`. Whether the last two apply is read from the
// parameters: uniform branches at the end of a kernel cost nothing beside compiling it once for each combination.
//#include "shared/activation.wgsl"

override ACT: u32 = 0u;

const HAS_BIAS: u32 = 1u;
const HAS_RESIDUAL: u32 = 2u;

fn epilogue(sum: f32, col: u32, at: u32) -> f32 {
    var v = params.alpha * sum;
    if (params.epilogue & HAS_BIAS) != 0u {
        v += bias[col];
    }
    if ACT != 0u {
        v = activate1(v, ACT);
    }
    if (params.epilogue & HAS_RESIDUAL) != 0u {
        v += residual[at];
    }
    return v;
}
