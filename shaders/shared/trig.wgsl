// Cosine and sine of one angle to about 1e-7 for |x| up to 2e5: the built-ins may be off by 2^-11, and more beyond pi.
// Reduction by multiples of pi/2 in four parts, the first three of 7 bits so that their products with k < 2^17 are exact
// without a fused fma; then the polynomials of Cephes' sinf and cosf.
fn cos_sin(x: f32) -> vec2<f32> {
    let k = round(x * 0.63661977);
    // Compilers add up the factors of equal multiplicands, which would round; this one is equal only at run time.
    let same = max(k, -3e38);
    var r = fma(-k, 1.578125, x);
    r = fma(same, 0.00732421875, r);
    r = fma(k, 4.470348358154297e-6, r);
    r = fma(-same, 1.5893255e-8, r);
    let z = r * r;
    let s = fma(r * z, fma(z, fma(z, -1.9515296e-4, 8.332161e-3), -0.16666655), r);
    let c = fma(z * z, fma(z, fma(z, 2.4433157e-5, -1.3887316e-3), 0.041666646), fma(z, -0.5, 1.0));
    let quarter = u32(i32(k)) & 3u;
    let turned = select(vec2<f32>(c, s), vec2<f32>(-s, c), (quarter & 1u) == 1u);
    return select(turned, -turned, quarter >= 2u);
}
