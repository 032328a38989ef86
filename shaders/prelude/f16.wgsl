// Element type f16 by the shader-f16 feature: four elements are one vec4<f16>. Arithmetic stays in f32.
enable f16;

alias store4 = vec4<f16>;

fn unpack4(v: store4) -> vec4<f32> {
    return vec4<f32>(v);
}

fn pack4(v: vec4<f32>) -> store4 {
    return vec4<f16>(v);
}

// Only i8 has scales.
fn scale_of(v: store4) -> f32 {
    return f32(v.x);
}
