// Half-precision bits of an f32 by integer arithmetic: round to nearest even, overflow to infinity, NaN stays NaN.
// pack2x16float leaves rounding and overflow to the driver, and software Vulkan truncates.

fn half_bits(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    let magnitude = bits & 0x7fffffffu;
    let odd = (magnitude >> 13u) & 1u;
    var h = (magnitude - 0x38000000u + 0xfffu + odd) >> 13u;
    // Below 2^-14 a half has no leading one: adding 0.5 lets the float adder round to its last place.
    let small = bitcast<u32>(bitcast<f32>(magnitude) + 0.5) - 0x3f000000u;
    h = select(h, small, magnitude < 0x38800000u);
    h = select(h, 0x7c00u, magnitude >= 0x477ff000u);
    h = select(h, 0x7e00u, magnitude > 0x7f800000u);
    return h | ((bits >> 16u) & 0x8000u);
}
