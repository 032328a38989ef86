//! The convolutional stem: one frame at a time, or a tubelet at once.

use vljepa_model::config::VlJepaConfig;
use vljepa_model::{Forward, VlJepa};
use vljepa_tensor::Tensor;

use crate::fixtures::text;
use crate::parity::device;

fn model(over_time: bool) -> VlJepa {
    let mut config = VlJepaConfig::from_json(&text("vljepa/config.json")).unwrap();
    let stem = serde_json::json!({"channels": [4, 6], "residual": [0, 1], "over_time": over_time});
    config.x_encoder.conv_stem = Some(serde_json::from_value(stem).unwrap());
    config.x_encoder.patch_size = 4;
    VlJepa::init(&device(), config, 3).unwrap()
}

fn values(model: &VlJepa, name: &str) -> Vec<f32> {
    model.params().into_iter().find(|p| p.name() == name).unwrap().tensor().to_f32().unwrap()
}

fn tokens(model: &VlJepa, frames: &[f32], time: usize) -> Vec<f32> {
    let side = model.config.x_encoder.crop_size;
    let shape = [frames.len() / (time * 3 * side * side), time, 3, side, side];
    let frames = Tensor::from_f32(&device(), &shape, frames).unwrap();
    model.encode_frames(&Forward::inference(), &frames).unwrap().value().to_f32().unwrap()
}

fn assert_close(got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        assert!((got - want).abs() < 1e-5, "{got} for {want}");
    }
}

/// Of a tubelet only the first frame counts, in both: then they are the same map.
#[test]
fn over_time_is_one_frame_at_a_time_where_the_others_do_not_count() {
    let (each, together) = (model(false), model(true));
    assert_eq!(each.config.x_encoder.tubelet_size, 2);
    let first = "x_encoder.embeddings.stem.0.conv.weight";
    let tap = |t: usize| format!("x_encoder.embeddings.patch_embeddings.proj.{t}.weight");
    for param in together.params() {
        let own = values(&each, param.name());
        let own = match param.name() == first {
            // [out, 3, 3, 3] to [out, 3, 3, 6]: the channels of the second frame have no weight.
            true => own.chunks_exact(3).flat_map(|c| [c[0], c[1], c[2], 0.0, 0.0, 0.0]).collect(),
            false => own,
        };
        param.tensor().write_f32(&own).unwrap();
    }
    let second = each.params().into_iter().find(|p| p.name() == tap(1)).unwrap().tensor();
    second.write_f32(&vec![0.0; second.len()]).unwrap();
    assert!(together.params().iter().all(|p| p.name() != tap(1)));
    let side = each.config.x_encoder.crop_size;
    for (clips, time) in [(1, 2), (2, 4), (3, 1)] {
        let frames: Vec<f32> =
            (0..clips * time * 3 * side * side).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect();
        assert_close(&tokens(&together, &frames, time), &tokens(&each, &frames, time));
    }
}

#[test]
fn a_still_is_a_tubelet_of_one_frame_again_and_again() {
    let model = model(true);
    let side = model.config.x_encoder.crop_size;
    let still: Vec<f32> = (0..3 * side * side).map(|i| ((i * 29 % 67) as f32 - 33.0) / 33.0).collect();
    assert_close(&tokens(&model, &still, 1), &tokens(&model, &[still.clone(), still.clone()].concat(), 2));
}

#[test]
fn the_order_of_frames_counts() {
    let model = model(true);
    let side = model.config.x_encoder.crop_size;
    let frame = |k: usize| -> Vec<f32> { (0..3 * side * side).map(|i| ((i * k % 67) as f32 - 33.0) / 33.0).collect() };
    let (forth, back) = ([frame(29), frame(31)].concat(), [frame(31), frame(29)].concat());
    let (forth, back) = (tokens(&model, &forth, 2), tokens(&model, &back, 2));
    assert!(forth.iter().zip(&back).any(|(a, b)| (a - b).abs() > 1e-3));
}

/// A stem over time beside one for stills, with every weight of the first one's map at zero but its bias.
fn still_alone() -> VlJepa {
    let mut config = model(true).config;
    let stem = serde_json::json!({"channels": [4, 6], "residual": [0, 1]});
    config.x_encoder.still_stem = Some(serde_json::from_value(stem).unwrap());
    let model = VlJepa::init(&device(), config, 3).unwrap();
    let map = "x_encoder.embeddings.patch_embeddings.proj.0.weight";
    let map = model.params().into_iter().find(|p| p.name() == map).unwrap().tensor().clone();
    map.write_f32(&vec![0.0; map.len()]).unwrap();
    model
}

/// A still stem is a stem of one frame at a time whose map of all frames but the middle one is zero.
#[test]
fn a_still_stem_sees_the_middle_frame_of_each_tubelet() {
    let (still, each) = (still_alone(), model(false));
    let tap = |t: usize| format!("x_encoder.embeddings.patch_embeddings.proj.{t}.weight");
    for param in each.params() {
        let name = param.name().replace(".stem.", ".still_stem.");
        let own = match param.name() {
            name if name == tap(0) => vec![0.0; param.tensor().len()],
            name if name == tap(1) => values(&still, "x_encoder.embeddings.patch_embeddings.still.weight"),
            _ => values(&still, &name),
        };
        param.tensor().write_f32(&own).unwrap();
    }
    let side = each.config.x_encoder.crop_size;
    for (clips, time) in [(1, 2), (2, 4), (3, 6)] {
        let frames: Vec<f32> =
            (0..clips * time * 3 * side * side).map(|i| ((i * 41 % 103) as f32 - 51.0) / 51.0).collect();
        assert_close(&tokens(&still, &frames, time), &tokens(&each, &frames, time));
    }
    let frame: Vec<f32> = (0..3 * side * side).map(|i| ((i * 29 % 67) as f32 - 33.0) / 33.0).collect();
    assert_close(&tokens(&still, &frame, 1), &tokens(&still, &[frame.clone(), frame.clone()].concat(), 2));
}

#[test]
fn a_still_stem_goes_beside_a_stem_and_sees_one_frame() {
    let mut config = still_alone().config.x_encoder;
    config.validate().unwrap();
    let json = serde_json::to_string(&config).unwrap();
    assert_eq!(vljepa_model::config::Vjepa2Config::from_json(&json).unwrap(), config);
    config.still_stem.as_mut().unwrap().over_time = true;
    assert!(config.validate().unwrap_err().to_string().contains("`still_stem`"));
    config.still_stem.as_mut().unwrap().over_time = false;
    config.still_stem.as_mut().unwrap().stride = 4;
    assert!(config.validate().unwrap_err().to_string().contains("`still_stem` divides frames by 16"));
    config.still_stem.as_mut().unwrap().stride = 2;
    config.conv_stem = None;
    assert!(config.validate().unwrap_err().to_string().contains("beside a `conv_stem`"));
}
