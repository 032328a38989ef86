// e^x; NaN stays NaN, of which some drivers' exp makes infinity.
fn exp_or_nan(x: f32) -> f32 {
    return select(exp(x), x, (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u);
}
