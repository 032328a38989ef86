// Random bits as a function of a counter: pcg4d of Jarzynski and Olano, "Hash functions for GPU rendering" (2020).
// No state is kept, so a backward pass draws what its forward pass drew, and every adapter draws the same.

fn random4(counter: vec4<u32>) -> vec4<u32> {
    var v = counter * 1664525u + 1013904223u;
    v.x += v.y * v.w;
    v.y += v.z * v.x;
    v.z += v.x * v.y;
    v.w += v.y * v.z;
    v ^= v >> vec4<u32>(16u);
    v.x += v.y * v.w;
    v.y += v.z * v.x;
    v.z += v.x * v.y;
    v.w += v.y * v.z;
    return v;
}
