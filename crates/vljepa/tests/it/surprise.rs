//! `surprise`: windows of a video, foretold from their first halves alone.

use vljepa::embed::folder::VisionFolder;
use vljepa::embed::models::Foresight;
use vljepa_model::config::Vjepa2Config;
use vljepa_model::weights::Writer;

use crate::fixtures::text;
use crate::support::{Bench, fails, film, json, vljepa};
use crate::synthetic::synthetic;

/// A folder of a tiny V-JEPA 2 with its predictor, 16 pixels and 8 frames.
fn foreteller(bench: &Bench) -> String {
    folder(bench, "base", true)
}

fn folder(bench: &Bench, name: &str, foretells: bool) -> String {
    let config = text("../../../model/tests/fixtures/vision/predictor.json");
    let parsed = Vjepa2Config::from_json(&config).unwrap();
    let mut writer = Writer::new();
    let predictor = if foretells { parsed.predictor_tensors() } else { Vec::new() };
    for spec in parsed.tensors().into_iter().chain(predictor) {
        writer.f32(&spec.name, &spec.shape, &synthetic(&spec.name, &spec.shape, None)).unwrap();
    }
    std::fs::create_dir(bench.path(name)).unwrap();
    bench.write(&format!("{name}/config.json"), config);
    bench.write(&format!("{name}/model.safetensors"), writer.finish().unwrap());
    bench.text(name)
}

#[test]
fn what_is_to_come_does_not_reach_what_foretells_it() {
    let bench = Bench::new();
    let folder = VisionFolder::open(foreteller(&bench).as_ref()).unwrap();
    let model = Foresight::load(&vljepa::open_device("cpu").unwrap(), &folder).unwrap();
    let half = 4 * 3 * 16 * 16;
    let clip = |first: f32, second: f32| -> Vec<f32> {
        let of = |seed: f32| (0..half).map(move |i| (seed * (1.0 + i as f32)).sin());
        of(first).chain(of(second)).collect()
    };
    let (one, other, third) = (clip(0.7, 0.3), clip(0.7, 0.9), clip(0.2, 0.3));
    assert_eq!(model.foretell(&one, 1, 8).unwrap(), model.foretell(&other, 1, 8).unwrap());
    assert_ne!(model.foretell(&one, 1, 8).unwrap(), model.foretell(&third, 1, 8).unwrap());
    let both = [one.clone(), other].concat();
    let found = model.surprise(&both, 2, 8).unwrap();
    assert!(
        found[0] != found[1] && found.iter().all(|one| (0.0..=2.0).contains(&one.score) && one.l1 > 0.0),
        "{found:?}"
    );
    let alone = model.surprise(&one, 1, 8).unwrap();
    assert!((alone[0].score - found[0].score).abs() < 1e-5);
    let error = model.surprise(&one, 1, 6).unwrap_err().to_string();
    assert!(error.contains("a multiple of 4"), "{error}");
}

#[test]
fn windows_of_a_video_have_scores_and_times() {
    let bench = Bench::new();
    let model = foreteller(&bench);
    film(&bench.path("film.y4m"), 100);
    let film = bench.text("film.y4m");
    let found = json(["surprise", &film, "--model", &model, "--frames", "8", "--rate", "8", "--hz", "2", "--top", "3"]);
    let windows = found["windows"].as_array().unwrap();
    assert!((17..=19).contains(&windows.len()), "{}", windows.len());
    for window in windows {
        let [start, cut, end] = ["start_s", "cut_s", "end_s"].map(|key| window[key].as_f64().unwrap());
        assert!((cut - start - 0.5).abs() < 1e-6 && (end - cut - 0.5).abs() < 1e-6);
        assert!(window["z"].as_f64().unwrap().is_finite() && window["score"].as_f64().unwrap() >= 0.0);
    }
    let mean: f64 = windows.iter().map(|window| window["z"].as_f64().unwrap()).sum();
    assert!(mean.abs() < 1e-6 && found["peaks"].as_array().unwrap().len() == 3);
    let shown = vljepa(["surprise", &film, "--model", &model, "--frames", "8"]).output().unwrap();
    assert!(String::from_utf8(shown.stdout).unwrap().contains("deviations"));
    fails(&mut vljepa(["surprise", &film, "--model", &model, "--frames", "6"]), &["a multiple of 4"]);
    fails(
        &mut vljepa(["surprise", &film, "--model", &model, "--frames", "256"]),
        &["film.y4m", "shorter than one window"],
    );
    let encoder = folder(&bench, "encoder", false);
    fails(&mut vljepa(["surprise", &film, "--model", &encoder]), &["no masked predictor"]);
    fails(&mut vljepa(["surprise", &film, "--model", &bench.text("model")]), &["a V-JEPA 2 is needed"]);
}
