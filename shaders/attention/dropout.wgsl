// Dropout of attention's probabilities, drawn by counter: nothing is kept for the backward pass. The counter of the probability
// (b, h, i, j) is its place in [batch, heads, nq, nk], modulo 2^32. The including kernel declares `params: AttentionParams`.
//#include "shared/random.wgsl"

override HAS_DROPOUT: u32 = 0u;

fn drop_factor(place: u32) -> f32 {
    let bits = random4(vec4<u32>(place, params.drop_step, params.drop_seed_low, params.drop_seed_high)).x;
    return select(0.0, params.drop_scale, bits >= params.drop_threshold);
}

// What the probabilities at four places are multiplied by.
fn drop_factors(place: vec4<u32>) -> vec4<f32> {
    if HAS_DROPOUT == 0u {
        return vec4<f32>(1.0);
    }
    return vec4<f32>(drop_factor(place.x), drop_factor(place.y), drop_factor(place.z), drop_factor(place.w));
}
