// Element type i8: four signed bytes are one word, the first in the low bits. A tensor's scales, one f32 for each row, lie
// behind its bytes.
alias store4 = u32;

fn unpack4(v: store4) -> vec4<f32> {
    let bytes = vec4<i32>(bitcast<i32>(v << 24u), bitcast<i32>(v << 16u), bitcast<i32>(v << 8u), bitcast<i32>(v));
    return vec4<f32>(bytes >> vec4<u32>(24u));
}

fn scale_of(v: store4) -> f32 {
    return bitcast<f32>(v);
}
