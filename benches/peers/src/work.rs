//! What both runtimes do, on which values.

use std::error::Error;

/// Result of this program.
pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// Runs a task so many times and waits until all results are there.
pub type Run = Box<dyn FnMut(usize) -> Outcome<()>>;

/// One of the two runtimes.
pub trait Runtime {
    /// Name of the adapter.
    fn adapter(&self) -> &str;
    /// The result of the task at the size of [`Task::check`].
    fn check(&self, task: &Task) -> Outcome<Vec<f32>>;
    /// Operands in place, ready to be timed.
    fn prepare(&self, task: &Task) -> Outcome<Run>;
}

/// A V-JEPA 2 encoder of this size, one clip of two frames.
#[derive(Clone, Copy, Debug)]
pub struct Vit {
    pub hidden: usize,
    pub heads: usize,
    pub layers: usize,
    pub side: usize,
    pub batch: usize,
}

pub const PATCH: usize = 16;
pub const FRAMES: usize = 2;
pub const CHANNELS: usize = 3;
pub const LAYER_NORM_EPS: f64 = 1e-6;

impl Vit {
    pub fn tokens(&self) -> usize {
        (self.side / PATCH) * (self.side / PATCH)
    }

    pub fn frames(&self) -> [usize; 5] {
        [self.batch, FRAMES, CHANNELS, self.side, self.side]
    }
}

/// What is timed.
#[derive(Clone, Copy, Debug)]
pub enum Task {
    /// `[n, n] · [n, n]`, f32.
    Matmul { name: &'static str, n: usize },
    /// Self-attention without a mask.
    Attention { name: &'static str, batch: usize, tokens: usize, heads: usize, head_dim: usize },
    /// Forward pass of the encoder. Ours also rotates queries and keys; the peer does not, which favours it.
    Vit { name: &'static str, vit: Vit },
}

const VIT_SMALL: Vit = Vit { hidden: 384, heads: 6, layers: 12, side: 224, batch: 1 };

/// The table. The encoder takes one clip: with four, the peer's attention (burn 0.21 on llvmpipe) gives results for the
/// second to fourth that differ from ours by 7e-2, while ours equal those of each clip alone.
pub const TASKS: &[Task] = &[
    Task::Matmul { name: "matmul_512", n: 512 },
    Task::Matmul { name: "matmul_1024", n: 1024 },
    Task::Attention { name: "attention_256", batch: 1, tokens: 256, heads: 6, head_dim: 64 },
    Task::Attention { name: "attention_1024", batch: 1, tokens: 1024, heads: 6, head_dim: 64 },
    Task::Vit { name: "vit_small", vit: VIT_SMALL },
];

impl Task {
    pub fn name(&self) -> &'static str {
        match self {
            Task::Matmul { name, .. } | Task::Attention { name, .. } | Task::Vit { name, .. } => name,
        }
    }

    pub fn shape(&self) -> String {
        match self {
            Task::Matmul { n, .. } => format!("{n}x{n}x{n} f32"),
            Task::Attention { batch, tokens, heads, head_dim, .. } => format!("{batch}x{tokens}x{heads}x{head_dim}"),
            Task::Vit { vit, .. } => {
                format!("{}x{} tokens, {}x{}", vit.batch, vit.tokens(), vit.layers, vit.hidden)
            }
        }
    }

    /// Floating-point operations of the products.
    pub fn flops(&self) -> f64 {
        match *self {
            Task::Matmul { n, .. } => 2.0 * (n as f64).powi(3),
            Task::Attention { batch, tokens, heads, head_dim, .. } => {
                4.0 * (batch * heads * head_dim) as f64 * (tokens as f64).powi(2)
            }
            Task::Vit { vit, .. } => {
                let (rows, d) = ((vit.batch * vit.tokens()) as f64, vit.hidden as f64);
                let patch = 2.0 * d * (PATCH * PATCH * FRAMES * CHANNELS) as f64;
                let layer = 24.0 * d * d + 4.0 * d * vit.tokens() as f64;
                rows * (patch + vit.layers as f64 * layer)
            }
        }
    }

    /// The size at which results are compared. A rotation of the only position is no rotation, so that one patch makes
    /// both encoders compute the same.
    pub fn check(&self) -> Task {
        match *self {
            Task::Vit { name, vit } => Task::Vit { name, vit: Vit { side: PATCH, ..vit } },
            other => other,
        }
    }
}

/// Largest difference relative to the largest value.
pub fn difference(a: &[f32], b: &[f32]) -> Outcome<f64> {
    if a.len() != b.len() {
        return Err(format!("{} values against {}", a.len(), b.len()).into());
    }
    let largest = a.iter().fold(1e-6f32, |m, v| m.max(v.abs()));
    let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0f32, |m, d| if d.is_nan() { d } else { m.max(d) });
    Ok(f64::from(worst) / f64::from(largest))
}

/// Repeatable numbers in [-1, 1), another sequence for each seed.
pub fn noise(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 40) as f32) / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// Values of a weight by its name in V-JEPA 2's files, the same for both runtimes: about one for norms, small else.
pub fn weight(name: &str, shape: &[usize]) -> Vec<f32> {
    let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let fan_in: usize = shape[1..].iter().product();
    let norm = name.contains("norm") && name.ends_with("weight");
    let (mean, spread) = if norm { (1.0, 0.1) } else { (0.0, 1.0 / (fan_in as f32).sqrt()) };
    noise(seed, shape.iter().product()).iter().map(|v| mean + spread * v).collect()
}
