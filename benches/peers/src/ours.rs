//! vljepa's side.

use vljepa_model::config::Vjepa2Config;
use vljepa_model::{Forward, ParamSource, Vjepa2Encoder};
use vljepa_tensor::ops::{self, Attention, Matmul};
use vljepa_tensor::{AdapterChoice, Device, DeviceOptions, Tensor, wgpu};

use crate::work::{self, CHANNELS, FRAMES, LAYER_NORM_EPS, Outcome, PATCH, Run, Runtime, Task, Vit, noise};

pub struct Ours {
    device: Device,
}

struct Weights;

impl ParamSource for Weights {
    fn values(&mut self, name: &str, shape: &[usize]) -> vljepa_model::Result<Vec<f32>> {
        Ok(work::weight(name, shape))
    }
}

impl Ours {
    /// The adapter that `VLJEPA_DEVICE` names, else the best one.
    pub fn open() -> Outcome<Self> {
        let mut options = DeviceOptions::default();
        options.adapter = AdapterChoice::parse(&std::env::var("VLJEPA_DEVICE").unwrap_or_default());
        Ok(Ours { device: Device::open(options)? })
    }

    pub fn software(&self) -> bool {
        self.device.info().device_type == wgpu::DeviceType::Cpu
    }

    fn encoder(&self, vit: &Vit) -> Outcome<Vjepa2Encoder> {
        let config = Vjepa2Config {
            patch_size: PATCH,
            crop_size: vit.side,
            frames_per_clip: FRAMES,
            tubelet_size: FRAMES,
            in_chans: CHANNELS,
            hidden_size: vit.hidden,
            num_attention_heads: vit.heads,
            num_hidden_layers: vit.layers,
            layer_norm_eps: LAYER_NORM_EPS,
            ..Vjepa2Config::default()
        };
        Ok(Vjepa2Encoder::load(&self.device, &config, &mut Weights, "encoder")?)
    }

    /// One run of the task, on operands made once.
    fn task(&self, task: &Task) -> Outcome<Box<dyn Fn() -> Outcome<Tensor>>> {
        let device = &self.device;
        Ok(match *task {
            Task::Matmul { n, .. } => {
                let a = Tensor::from_f32(device, &[n, n], &noise(1, n * n))?;
                let b = Tensor::from_f32(device, &[n, n], &noise(2, n * n))?;
                Box::new(move || Ok(ops::matmul(&a, &b, &Matmul::nn())?))
            }
            Task::Attention { batch, tokens, heads, head_dim, .. } => {
                let shape = [batch, tokens, heads * head_dim];
                let make = |seed| Tensor::from_f32(device, &shape, &noise(seed, shape.iter().product()));
                let (q, k, v) = (make(1)?, make(2)?, make(3)?);
                Box::new(move || Ok(ops::attention(&q, &k, &v, &Attention::new(heads))?))
            }
            Task::Vit { vit, .. } => {
                let encoder = self.encoder(&vit)?;
                let frames = Tensor::from_f32(device, &vit.frames(), &noise(1, vit.frames().iter().product()))?;
                let forward = Forward::inference();
                Box::new(move || Ok(encoder.forward(&forward, &frames)?.value().clone()))
            }
        })
    }
}

impl Runtime for Ours {
    fn adapter(&self) -> &str {
        &self.device.info().name
    }

    fn check(&self, task: &Task) -> Outcome<Vec<f32>> {
        Ok(self.task(&task.check())?()?.to_f32()?)
    }

    fn prepare(&self, task: &Task) -> Outcome<Run> {
        let (device, run) = (self.device.clone(), self.task(task)?);
        Ok(Box::new(move |count| {
            let results: Outcome<Vec<Tensor>> = (0..count).map(|_| run()).collect();
            let results = results?;
            device.synchronize()?;
            drop(results);
            Ok(())
        }))
    }
}
