//! Forward passes of the encoder and of a compact model, and its training step.

use std::cell::Cell;
use std::process::ExitCode;

use vljepa_benches::harness::{Harness, noise_tensor};
use vljepa_benches::{Case, Result, Work, models, shapes};
use vljepa_model::config::{Vjepa2Config, VlJepaConfig};
use vljepa_model::{Forward, RandomInit, Tokens, Vjepa2Encoder, VlJepa};
use vljepa_tensor::autograd::{self, InfoNce, Tape};
use vljepa_tensor::ops::{self, AdamW};
use vljepa_tensor::{Device, Dtype, Tensor};

fn frames(device: &Device, config: &Vjepa2Config, batch: usize, time: usize) -> Result<Tensor> {
    noise_tensor(device, 1, &[batch, time, config.in_chans, config.crop_size, config.crop_size])
}

fn texts(device: &Device, config: &VlJepaConfig, batch: usize, len: usize) -> Result<Tokens> {
    let vocab = config.y_encoder.config.vocab_size();
    let rows: Vec<Vec<u32>> =
        (0..batch).map(|b| (0..len).map(|i| ((b * 131 + i * 17) % vocab) as u32).collect()).collect();
    Ok(Tokens::new(device, &rows, 0)?)
}

fn encoder(harness: &mut Harness, name: &str, config: Vjepa2Config) {
    let (config, batch) = if harness.small() { (models::small_encoder(config), 1) } else { (config, 1) };
    let case = Case {
        name: format!("{name}_forward"),
        shape: shapes::text(&[batch, 2, config.crop_size, config.crop_size]),
        work: Work::Flops(models::encoder_flops(&config, batch, 2)),
    };
    harness.case(
        case,
        |device| {
            let mut init = RandomInit { seed: 1, range: config.initializer_range, logit_scale: 0.0 };
            let encoder = Vjepa2Encoder::load(device, &config, &mut init, "encoder")?;
            Ok((encoder, frames(device, &config, batch, 2)?))
        },
        |_, (encoder, frames), _| {
            encoder.forward(&Forward::inference(), frames)?;
            Ok(())
        },
    );
}

/// A model with the moments of its parameters.
struct Training {
    model: VlJepa,
    moments: Vec<(String, Tensor, [Tensor; 2])>,
    frames: Tensor,
    texts: Tokens,
    step: Cell<u64>,
}

impl Training {
    fn new(device: &Device, config: &VlJepaConfig, batch: usize, len: usize) -> Result<Self> {
        let model = VlJepa::init(device, config.clone(), 1)?;
        let mut moments = Vec::new();
        for param in model.params() {
            let zeros = || Tensor::zeros(device, param.tensor().shape(), Dtype::F32);
            moments.push((param.name().to_owned(), param.tensor().clone(), [zeros()?, zeros()?]));
        }
        moments.sort_by(|a, b| a.0.cmp(&b.0));
        let frames = frames(device, &config.x_encoder, batch, 1)?;
        Ok(Training { model, moments, frames, texts: texts(device, config, batch, len)?, step: Cell::new(0) })
    }

    /// Forward, InfoNCE, backward and AdamW of every parameter.
    fn step(&self) -> Result<()> {
        let tape = Tape::new();
        let forward = Forward::training(tape.clone(), |_| true);
        let predicted = self.model.predict(&forward, &self.frames, None)?;
        let target = self.model.encode_text(&forward, &self.texts)?;
        let scale = self.model.logit_scale(&forward);
        let loss = autograd::info_nce(&predicted, &target, &scale, &InfoNce::default())?.loss;
        let gradients = forward.gradients(tape.backward(&loss, None)?);
        self.step.set(self.step.get() + 1);
        for (name, gradient) in &gradients {
            let Ok(at) = self.moments.binary_search_by(|(n, _, _)| n.cmp(name)) else { continue };
            let (_, tensor, [m, v]) = &self.moments[at];
            ops::adamw_assign(tensor, gradient, m, v, self.step.get(), &AdamW::new(1e-4), None)?;
        }
        Ok(())
    }
}

fn compact(harness: &mut Harness, config: &VlJepaConfig) {
    let (batch, len) = if harness.small() { (2, 3) } else { (32, 8) };
    let side = config.x_encoder.crop_size;
    let predict = models::predict_flops(config, batch, 1);
    let case = Case {
        name: "compact_predict".into(),
        shape: shapes::text(&[batch, 1, side, side]),
        work: Work::Flops(predict),
    };
    harness.case(
        case,
        |device| Ok((VlJepa::init(device, config.clone(), 1)?, frames(device, &config.x_encoder, batch, 1)?)),
        |_, (model, frames), _| {
            model.predict(&Forward::inference(), frames, None)?;
            Ok(())
        },
    );
    let case = Case {
        name: "compact_encode_text".into(),
        shape: shapes::text(&[batch, len]),
        work: Work::Flops(models::text_flops(&config.y_encoder.config, batch, len)),
    };
    harness.case(
        case,
        |device| Ok((VlJepa::init(device, config.clone(), 1)?, texts(device, config, batch, len)?)),
        |_, (model, texts), _| {
            model.encode_text(&Forward::inference(), texts)?;
            Ok(())
        },
    );
    let case = Case {
        name: "compact_train_step".into(),
        shape: format!("{}, {}", shapes::text(&[batch, 1, side, side]), shapes::text(&[batch, len])),
        // Backward passes take twice the products of forward ones.
        work: Work::Flops(3.0 * (predict + models::text_flops(&config.y_encoder.config, batch, len))),
    };
    harness.case(case, |device| Training::new(device, config, batch, len), |_, training, _| training.step());
}

fn main() -> ExitCode {
    let mut harness = Harness::new("model");
    match models::compact() {
        Ok(config) => {
            let config = if harness.small() { models::small(config) } else { config };
            compact(&mut harness, &config);
        }
        Err(error) => {
            eprintln!("model: {error}");
            return ExitCode::FAILURE;
        }
    }
    encoder(&mut harness, "vits_12_blocks", models::vit_small(12));
    encoder(&mut harness, "vitl_2_blocks", models::vit_large(2));
    harness.finish()
}
