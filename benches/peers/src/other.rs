//! burn's side: its own modules, its fused and autotuned kernels.

use burn::backend::Wgpu;
use burn::backend::wgpu::{WgpuDevice, graphics::AutoGraphicsApi, init_setup};
use burn::module::Param;
use burn::nn::{LayerNorm, LayerNormConfig, Linear};
use burn::tensor::activation::gelu;
use burn::tensor::backend::Backend;
use burn::tensor::module::attention;
use burn::tensor::{Tensor, TensorData};

use crate::work::{self, CHANNELS, FRAMES, LAYER_NORM_EPS, Outcome, PATCH, Run, Runtime, Task, Vit, noise};

type B = Wgpu<f32, i32, u32>;

pub struct Burn {
    device: WgpuDevice,
    adapter: String,
}

impl Burn {
    pub fn open(software: bool) -> Outcome<Self> {
        let device = if software { WgpuDevice::Cpu } else { WgpuDevice::DefaultDevice };
        let setup = init_setup::<AutoGraphicsApi>(&device, Default::default());
        Ok(Burn { adapter: setup.adapter.get_info().name, device })
    }

    /// Name and version.
    pub fn name(&self) -> String {
        let version = include_str!("../Cargo.lock")
            .split("[[package]]")
            .find_map(|package| package.trim().strip_prefix("name = \"burn\"\nversion = \"")?.split('"').next())
            .unwrap_or("?");
        format!("burn {version} wgpu with fusion and autotune")
    }

    fn tensor<const D: usize>(&self, shape: [usize; D], values: Vec<f32>) -> Tensor<B, D> {
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }

    fn linear(&self, name: &str, input: usize, output: usize) -> Linear<B> {
        // burn keeps weights as [in, out].
        let weight = work::weight(&format!("{name}.weight"), &[output, input]);
        let rows = (0..input * output).map(|i| weight[i % output * input + i / output]).collect();
        let bias = self.tensor([output], work::weight(&format!("{name}.bias"), &[output]));
        Linear { weight: Param::from_tensor(self.tensor([input, output], rows)), bias: Some(Param::from_tensor(bias)) }
    }

    fn norm(&self, name: &str, width: usize) -> LayerNorm<B> {
        let mut norm = LayerNormConfig::new(width).with_epsilon(LAYER_NORM_EPS).init(&self.device);
        let make = |part: &str| self.tensor([width], work::weight(&format!("{name}.{part}"), &[width]));
        norm.gamma = Param::from_tensor(make("weight"));
        norm.beta = Some(Param::from_tensor(make("bias")));
        norm
    }

    fn encoder(&self, vit: &Vit) -> Encoder {
        let d = vit.hidden;
        let flat = CHANNELS * FRAMES * PATCH * PATCH;
        Encoder {
            patch: self.linear("encoder.embeddings.patch_embeddings.proj", flat, d),
            layer: (0..vit.layers)
                .map(|i| {
                    let linear = |part: &str, from, to| self.linear(&format!("encoder.layer.{i}.{part}"), from, to);
                    Block {
                        norm1: self.norm(&format!("encoder.layer.{i}.norm1"), d),
                        query: linear("attention.query", d, d),
                        key: linear("attention.key", d, d),
                        value: linear("attention.value", d, d),
                        proj: linear("attention.proj", d, d),
                        norm2: self.norm(&format!("encoder.layer.{i}.norm2"), d),
                        fc1: linear("mlp.fc1", d, 4 * d),
                        fc2: linear("mlp.fc2", 4 * d, d),
                    }
                })
                .collect(),
            layernorm: self.norm("encoder.layernorm", d),
            heads: vit.heads,
        }
    }

    fn task(&self, task: &Task) -> Outcome<Box<dyn Fn() -> Tensor<B, 4>>> {
        Ok(match *task {
            Task::Matmul { n, .. } => {
                let (a, b) = (self.tensor([n, n], noise(1, n * n)), self.tensor([n, n], noise(2, n * n)));
                Box::new(move || a.clone().matmul(b.clone()).unsqueeze())
            }
            Task::Attention { batch, tokens, heads, head_dim, .. } => {
                let shape = [batch, tokens, heads, head_dim];
                let len = shape.iter().product();
                // Heads first, in memory too, as its attention wants them.
                let make = |seed| -> Outcome<Tensor<B, 4>> {
                    let rows = self.tensor(shape, noise(seed, len)).swap_dims(1, 2);
                    let values = rows.into_data().to_vec().map_err(|e| format!("burn: {e:?}"))?;
                    Ok(self.tensor([batch, heads, tokens, head_dim], values))
                };
                let (q, k, v) = (make(1)?, make(2)?, make(3)?);
                Box::new(move || attention(q.clone(), k.clone(), v.clone(), None, None, Default::default()))
            }
            Task::Vit { vit, .. } => {
                let encoder = self.encoder(&vit);
                let frames = self.tensor(vit.frames(), noise(1, vit.frames().iter().product()));
                Box::new(move || encoder.forward(frames.clone()).unsqueeze())
            }
        })
    }
}

struct Block {
    norm1: LayerNorm<B>,
    query: Linear<B>,
    key: Linear<B>,
    value: Linear<B>,
    proj: Linear<B>,
    norm2: LayerNorm<B>,
    fc1: Linear<B>,
    fc2: Linear<B>,
}

struct Encoder {
    patch: Linear<B>,
    layer: Vec<Block>,
    layernorm: LayerNorm<B>,
    heads: usize,
}

impl Block {
    fn forward(&self, x: Tensor<B, 3>, heads: usize) -> Tensor<B, 3> {
        let [batch, tokens, d] = x.dims();
        let h = self.norm1.forward(x.clone());
        let split = |t: Tensor<B, 3>| t.reshape([batch, tokens, heads, d / heads]).swap_dims(1, 2);
        let q = split(self.query.forward(h.clone()));
        let k = split(self.key.forward(h.clone()));
        let v = split(self.value.forward(h));
        let mixed = attention(q, k, v, None, None, Default::default());
        let x = x + self.proj.forward(mixed.swap_dims(1, 2).reshape([batch, tokens, d]));
        let h = gelu(self.fc1.forward(self.norm2.forward(x.clone())));
        x + self.fc2.forward(h)
    }
}

impl Encoder {
    fn forward(&self, frames: Tensor<B, 5>) -> Tensor<B, 3> {
        let [batch, time, channels, height, width] = frames.dims();
        let (rows, columns) = (height / PATCH, width / PATCH);
        let patches: Tensor<B, 3> = frames
            .reshape([batch, time, channels, rows, PATCH, columns, PATCH])
            .permute([0, 3, 5, 2, 1, 4, 6])
            .reshape([batch, rows * columns, channels * time * PATCH * PATCH]);
        let mut x = self.patch.forward(patches);
        for block in &self.layer {
            x = block.forward(x, self.heads);
        }
        self.layernorm.forward(x)
    }
}

impl Runtime for Burn {
    fn adapter(&self) -> &str {
        &self.adapter
    }

    fn check(&self, task: &Task) -> Outcome<Vec<f32>> {
        let result = self.task(&task.check())?();
        // Our attention keeps heads inside tokens.
        let result = if matches!(task, Task::Attention { .. }) { result.swap_dims(1, 2) } else { result };
        Ok(result.into_data().to_vec().map_err(|e| format!("burn: {e:?}"))?)
    }

    fn prepare(&self, task: &Task) -> Outcome<Run> {
        let (device, run) = (self.device.clone(), self.task(task)?);
        Ok(Box::new(move |count| {
            // Results live until the wait, so that nothing can be left out as unused.
            let results: Vec<Tensor<B, 4>> = (0..count).map(|_| run()).collect();
            <B as Backend>::sync(&device).map_err(|e| format!("burn: {e:?}"))?;
            drop(results);
            Ok(())
        }))
    }
}
