//! Dropout.

/// Options of [`dropout`]. The same numbers drop the same elements, on every adapter.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Dropout {
    /// Probability of an element to become zero, in `[0, 1)`.
    pub p: f64,
    /// Seed of the run, different for each place in a model that drops.
    pub seed: u64,
    /// Number of the step, so that each step drops other elements.
    pub step: u32,
}

impl Dropout {
    /// Drops with probability `p`.
    pub fn new(p: f64, seed: u64, step: u32) -> Self {
        Dropout { p, seed, step }
    }
}

/// Random bits of a counter: pcg4d, as `shared/random.wgsl`.
pub fn random4(counter: [u32; 4]) -> [u32; 4] {
    let mut v = counter.map(|c| c.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    let mix = |v: &mut [u32; 4]| {
        v[0] = v[0].wrapping_add(v[1].wrapping_mul(v[3]));
        v[1] = v[1].wrapping_add(v[2].wrapping_mul(v[0]));
        v[2] = v[2].wrapping_add(v[0].wrapping_mul(v[1]));
        v[3] = v[3].wrapping_add(v[1].wrapping_mul(v[2]));
    };
    mix(&mut v);
    v = v.map(|c| c ^ (c >> 16));
    mix(&mut v);
    v
}

/// What the element of a counter is multiplied by: 0, or 1 / (1 - p).
pub fn drop_factor(counter: u32, options: &Dropout) -> f64 {
    let threshold = (options.p * 4_294_967_296.0) as u32;
    let bits = random4([counter, options.step, options.seed as u32, (options.seed >> 32) as u32])[0];
    if bits >= threshold { 1.0 / (1.0 - options.p) } else { 0.0 }
}

/// Dropout.
pub fn dropout(x: &[f32], options: &Dropout) -> Vec<f32> {
    let one = |(i, &x): (usize, &f32)| {
        let factor = drop_factor(i as u32, options);
        if factor == 0.0 { 0.0 } else { (f64::from(x) * factor) as f32 }
    };
    x.iter().enumerate().map(one).collect()
}
