//! Attention of the models, forward and backward.

use std::process::ExitCode;

use vljepa_benches::harness::{Harness, noise_tensor, sets};
use vljepa_benches::shapes::{self, ATTENTIONS, AttentionShape};
use vljepa_benches::{Case, Result, Work};
use vljepa_tensor::ops::{self, Attention};
use vljepa_tensor::{Device, Tensor};

fn operands(device: &Device, shape: &AttentionShape, seed: usize) -> Result<[Tensor; 3]> {
    Ok([
        noise_tensor(device, seed, &shape.queries())?,
        noise_tensor(device, seed + 1, &shape.keys())?,
        noise_tensor(device, seed + 2, &shape.keys())?,
    ])
}

fn main() -> ExitCode {
    let mut harness = Harness::new("attention");
    for shape in ATTENTIONS {
        let small = harness.small();
        let shape = if small { shape.small() } else { *shape };
        let options = Attention::new(shape.heads).kv_heads(shape.kv_heads).causal(shape.causal);
        let bytes = 4 * 4 * shape.queries().iter().product::<usize>() as u64;
        let sizes = shapes::text(&[shape.batch, shape.tokens, shape.heads, shape.head_dim]);
        let case = Case { name: shape.name.into(), shape: sizes.clone(), work: Work::Flops(shape.flops(2)) };
        harness.case(
            case,
            |device| (0..sets(bytes, small)).map(|i| operands(device, &shape, 3 * i)).collect::<Result<Vec<_>>>(),
            |_, sets, i| {
                let [q, k, v] = &sets[i % sets.len()];
                ops::attention(q, k, v, &options)?;
                Ok(())
            },
        );
        let case = Case { name: format!("{}_backward", shape.name), shape: sizes, work: Work::Flops(shape.flops(5)) };
        harness.case(
            case,
            |device| {
                let [q, k, v] = operands(device, &shape, 0)?;
                let (o, lse) = ops::attention_with_lse(&q, &k, &v, &options)?;
                let grad = noise_tensor(device, 9, &shape.queries())?;
                Ok([q, k, v, o, lse, grad])
            },
            |_, [q, k, v, o, lse, grad], _| {
                ops::attention_backward([q, k, v], o, lse, grad, &options)?;
                Ok(())
            },
        );
    }
    harness.finish()
}
