// Element type f32: four elements are one vec4<f32>.
alias store4 = vec4<f32>;

fn unpack4(v: store4) -> vec4<f32> {
    return v;
}

fn pack4(v: vec4<f32>) -> store4 {
    return v;
}

// Only i8 has scales.
fn scale_of(v: store4) -> f32 {
    return v.x;
}
