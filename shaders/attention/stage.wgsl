// Tiles of queries, keys and values into workgroup memory. Included by attention_tile*.wgsl, which declare `q`, `k` and `v`:
// a WGSL function cannot take a storage buffer as an argument, so each buffer has one of its own.

// Rows row0 .. row0 + 31 of q, `width` vectors from channel 4 first on; zeros beyond `end`.
fn stage_q(to: u32, pitch: u32, width: u32, first: u32, b: u32, head: u32, row0: u32, end: u32, local: u32) {
    for (var e = local; e < TILE * width; e += 64u) {
        let at = row0 + e / width;
        let c = first + e % width;
        var value = vec4<f32>();
        if at < end && c < D4 {
            value = unpack4(q[query_address(b, at, head) / 4u + c]);
        }
        stage[to + e / width * pitch + e % width] = value;
    }
}

// Rows row0 .. row0 + 31 of k, `width` vectors from channel 4 first on; zeros beyond `end` and for hidden keys.
fn stage_k(to: u32, pitch: u32, width: u32, first: u32, b: u32, head: u32, row0: u32, end: u32, local: u32) {
    for (var e = local; e < TILE * width; e += 64u) {
        let at = row0 + e / width;
        let c = first + e % width;
        var value = vec4<f32>();
        if at < end && c < D4 && key_is_real(b, at) {
            value = unpack4(k[key_address(b, at, head) / 4u + c]);
        }
        stage[to + e / width * pitch + e % width] = value;
    }
}

// Rows row0 .. row0 + 31 of v, `width` vectors from channel 4 first on; zeros beyond `end` and for hidden keys.
fn stage_v(to: u32, pitch: u32, width: u32, first: u32, b: u32, head: u32, row0: u32, end: u32, local: u32) {
    for (var e = local; e < TILE * width; e += 64u) {
        let at = row0 + e / width;
        let c = first + e % width;
        var value = vec4<f32>();
        if at < end && c < D4 && key_is_real(b, at) {
            value = unpack4(v[key_address(b, at, head) / 4u + c]);
        }
        stage[to + e / width * pitch + e % width] = value;
    }
}
