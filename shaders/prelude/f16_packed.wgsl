// Element type f16 without any feature: four elements are two words of two halves. Same memory as prelude/f16.wgsl.
alias store4 = vec2<u32>;

fn unpack4(v: store4) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(v.x), unpack2x16float(v.y));
}

fn pack4(v: vec4<f32>) -> store4 {
    return vec2<u32>(pack2x16float(v.xy), pack2x16float(v.zw));
}

// Only i8 has scales.
fn scale_of(v: store4) -> f32 {
    return bitcast<f32>(v.x);
}
