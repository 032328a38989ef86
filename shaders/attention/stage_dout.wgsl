// Tiles of the gradient from above into workgroup memory. Included by those attention_tile*.wgsl that declare `dout`.

// Rows row0 .. row0 + 31 of dout, `width` vectors from channel 4 first on; zeros beyond `end`.
fn stage_dout(to: u32, pitch: u32, width: u32, first: u32, b: u32, head: u32, row0: u32, end: u32, local: u32) {
    for (var e = local; e < TILE * width; e += 64u) {
        let at = row0 + e / width;
        let c = first + e % width;
        var value = vec4<f32>();
        if at < end && c < D4 {
            value = unpack4(dout[query_address(b, at, head) / 4u + c]);
        }
        stage[to + e / width * pitch + e % width] = value;
    }
}
