//! Named shapes of the models, and a square sweep.
//!
//! ViT-L at 256² and 8 frames has 1,024 tokens; batches of two give 2,048 rows. The predictor has the widths of
//! Llama-3.2-1B. The compact shapes are those of small models at batch 64.

use vljepa_tensor::ops::Layout;

/// One matrix product `[m, k] · [k, n]`.
#[derive(Clone, Copy, Debug)]
pub struct MatmulShape {
    /// Name.
    pub name: &'static str,
    /// Rows of the result.
    pub m: usize,
    /// Columns of the result.
    pub n: usize,
    /// Inner size.
    pub k: usize,
    /// Storage of the operands.
    pub layout: Layout,
}

const fn nt(name: &'static str, m: usize, n: usize, k: usize) -> MatmulShape {
    MatmulShape { name, m, n, k, layout: Layout::Nt }
}

const fn square(name: &'static str, size: usize) -> MatmulShape {
    MatmulShape { name, m: size, n: size, k: size, layout: Layout::Nn }
}

/// Products of the models: linear layers are `Nt`, the gradient of a weight is `Tn`.
pub const MATMULS: &[MatmulShape] = &[
    nt("vitl_qkv", 2048, 1024, 1024),
    nt("vitl_mlp_up", 2048, 4096, 1024),
    nt("vitl_mlp_down", 2048, 1024, 4096),
    MatmulShape { name: "vitl_qkv_weight_gradient", m: 1024, n: 1024, k: 2048, layout: Layout::Tn },
    nt("predictor_gate", 1024, 8192, 2048),
    nt("compact_qkv", 4096, 256, 256),
    nt("compact_mlp_up", 4096, 1024, 256),
    nt("compact_mlp_down", 4096, 256, 1024),
    nt("text_mlp_up", 512, 1536, 384),
    square("square_256", 256),
    square("square_512", 512),
    square("square_1024", 1024),
];

impl MatmulShape {
    /// Floating-point operations: a multiplication and an addition per term.
    pub fn flops(&self) -> f64 {
        2.0 * self.m as f64 * self.n as f64 * self.k as f64
    }

    /// Bytes of the operands and the result, each counted once.
    pub fn bytes(&self) -> u64 {
        4 * (self.m * self.k + self.k * self.n + self.m * self.n) as u64
    }

    /// Shapes of the stored operands.
    pub fn operands(&self) -> [[usize; 2]; 2] {
        let MatmulShape { m, n, k, .. } = *self;
        match self.layout {
            Layout::Nn => [[m, k], [k, n]],
            Layout::Nt => [[m, k], [n, k]],
            Layout::Tn => [[k, m], [k, n]],
        }
    }

    /// The same kind of product, small.
    pub fn small(self) -> Self {
        MatmulShape { m: self.m.min(33), n: self.n.min(65), k: self.k.min(17), ..self }
    }
}

/// One attention: self-attention without a mask unless `causal`.
#[derive(Clone, Copy, Debug)]
pub struct AttentionShape {
    /// Name.
    pub name: &'static str,
    /// Sequences.
    pub batch: usize,
    /// Queries and keys of each.
    pub tokens: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Size of a head.
    pub head_dim: usize,
    /// Whether later keys are hidden.
    pub causal: bool,
}

/// Attentions of the models.
pub const ATTENTIONS: &[AttentionShape] = &[
    AttentionShape { name: "vitl_attn", batch: 1, tokens: 1024, heads: 16, kv_heads: 16, head_dim: 64, causal: false },
    AttentionShape {
        name: "predictor_attn",
        batch: 1,
        tokens: 320,
        heads: 32,
        kv_heads: 8,
        head_dim: 64,
        causal: false,
    },
    AttentionShape { name: "decoder_attn", batch: 1, tokens: 320, heads: 32, kv_heads: 8, head_dim: 64, causal: true },
    AttentionShape { name: "compact_attn", batch: 64, tokens: 64, heads: 4, kv_heads: 4, head_dim: 64, causal: false },
];

impl AttentionShape {
    /// Floating-point operations of `products` products of queries by keys (2 forward, 5 backward), softmax not counted,
    /// hidden pairs neither.
    pub fn flops(&self, products: u32) -> f64 {
        let tokens = self.tokens as f64;
        let pairs = if self.causal { 0.5 * tokens * (tokens + 1.0) } else { tokens * tokens };
        2.0 * f64::from(products) * (self.batch * self.heads * self.head_dim) as f64 * pairs
    }

    /// Shape of the queries.
    pub fn queries(&self) -> [usize; 3] {
        [self.batch, self.tokens, self.heads * self.head_dim]
    }

    /// Shape of keys and of values.
    pub fn keys(&self) -> [usize; 3] {
        [self.batch, self.tokens, self.kv_heads * self.head_dim]
    }

    /// The same kind of attention, small.
    pub fn small(self) -> Self {
        let group = self.heads / self.kv_heads;
        AttentionShape { batch: 1, tokens: self.tokens.min(21), heads: 2 * group, kv_heads: 2, ..self }
    }
}

/// Rows and columns of what row-wise operators see.
pub const ROWS: &[(&str, [usize; 2])] =
    &[("vitl_tokens", [2048, 1024]), ("predictor_tokens", [1024, 2048]), ("compact_tokens", [4096, 256])];

/// Text of a shape: `2048x1024x1024`.
pub fn text(sizes: &[usize]) -> String {
    sizes.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_of_products() {
        let shape = MATMULS.iter().find(|s| s.name == "vitl_mlp_up").unwrap();
        assert_eq!(shape.flops(), 2.0 * 2048.0 * 4096.0 * 1024.0);
        assert_eq!(shape.operands(), [[2048, 1024], [4096, 1024]]);
        assert_eq!(shape.bytes(), 4 * (2048 * 1024 + 4096 * 1024 + 2048 * 4096));
        assert!(MATMULS.iter().all(|s| s.small().flops() < 1e5));
    }

    #[test]
    fn work_of_attention() {
        let find = |name: &str| *ATTENTIONS.iter().find(|s| s.name == name).unwrap();
        assert_eq!(find("vitl_attn").flops(2), 4.0 * 1024.0 * 1024.0 * 1024.0);
        assert!(find("decoder_attn").flops(2) < 0.51 * find("predictor_attn").flops(2));
        let small = find("predictor_attn").small();
        assert_eq!((small.heads, small.kv_heads), (8, 2));
        assert_eq!(small.queries(), [1, 21, 512]);
        assert_eq!(small.keys(), [1, 21, 128]);
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = MATMULS.iter().map(|s| s.name).chain(ATTENTIONS.iter().map(|s| s.name)).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        assert_eq!(text(&[2048, 3]), "2048x3");
    }
}
