//! What runs of earlier versions saw and computed: their checkpoints must go on, so batches, identities and losses stay.

use sha2::Digest as _;
use vljepa_train::TrainConfig;
use vljepa_train::config::Phase;
use vljepa_train::feed::Maker;

use crate::support::{config, corpus, model_config, trainer};

fn three_vendors() -> TrainConfig {
    let mut config = config("steps = 40\nbatch = 6", "");
    config.data.own.insert("vendors".into(), vec!["noto", "twemoji", "emojione"].into());
    config
}

#[test]
fn drawings_of_a_step_are_those_of_earlier_versions() {
    let config = three_vendors();
    let corpus = corpus(&config);
    for (step, want) in [
        (0, [(11, 2), (50, 1), (1, 2), (48, 1), (14, 0), (26, 0)]),
        (1, [(43, 0), (5, 0), (53, 1), (42, 0), (51, 1), (15, 2)]),
        (2, [(35, 0), (39, 0), (33, 1), (55, 1), (8, 0), (17, 2)]),
        // The second epoch.
        (11, [(57, 2), (48, 1), (41, 0), (18, 0), (39, 2), (56, 0)]),
    ] {
        let draws: Vec<(u32, u32)> = corpus.draws(3, step, 6).iter().map(|d| (d.class, d.vendor.0)).collect();
        assert_eq!(draws, want, "step {step}");
    }
}

/// Pixels come from `exp` and `sin` of the platform's library, which differ in the last bit elsewhere.
#[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
#[test]
fn pixels_of_a_step_are_those_of_earlier_versions() {
    let config = three_vendors();
    let mut resized = config.clone();
    (resized.data.image_size, resized.data.phases) = (Some(16), vec![Phase { from: 0.5, image_size: 24 }]);
    for (config, step, want) in [
        (&config, 0, "0907636e2f96d33c05022703b24ae84915b474fc5e8c9d1c69d50165d6eb259f"),
        (&config, 3, "b4f3ec99245393bd717431f873b5246a4fdc6ec6bd7e58d16bbce788a10ce44e"),
        (&resized, 30, "7b491a4c271bbaf175c2e957566874ef5a1b612177972536b86461a7ea83f07e"),
    ] {
        let maker = Maker::new(corpus(config), config.clone(), vljepa_embed::preprocess(&model_config()));
        let bytes: Vec<u8> = maker.make(step).unwrap().pixels.iter().flat_map(|v| v.to_le_bytes()).collect();
        let hash: String = sha2::Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hash, want, "step {step}");
    }
}

#[test]
fn the_identity_of_a_run_is_that_of_earlier_versions() {
    let mut config = three_vendors();
    (config.data.image_size, config.data.phases) = (Some(16), vec![Phase { from: 0.5, image_size: 24 }]);
    let identity = trainer(&config).0.identity().unwrap();
    let wanted = [
        ("accumulate", "1"),
        ("batch", "6"),
        ("classes", "04d8b99c0b32df28c2d6746cbf26a60c113e6d6d46bc3a7e0e445ed3266940f8"),
        (
            "data",
            concat!(
                r#"{"augment":{"any_hue":0.11999999731779099,"backdrops":[0.20000000298023224,0.11999999731779099,"#,
                r#"0.10000000149011612,0.10000000149011612],"blur":0.20000000298023224,"blur_sigma":0.014999999664723873,"#,
                r#""brightness":0.15000000596046448,"contrast":0.3499999940395355,"far":0.10000000149011612,"#,
                r#""far_rotation":45.0,"gain":0.20000000298023224,"gamma":0.4000000059604645,"grain":0.10000000149011612,"#,
                r#""grain_depth":0.07999999821186066,"grey":0.11999999731779099,"hole":0.15000000596046448,"#,
                r#""hole_side":0.4000000059604645,"hue":0.05999999865889549,"ink":0.11999999731779099,"#,
                r#""invert":0.019999999552965164,"mirror":0.30000001192092896,"outline":0.15000000596046448,"#,
                r#""rotation":18.0,"saturation":0.6000000238418579,"scale":[0.6499999761581421,1.2000000476837158],"#,
                r#""shade":0.5,"shade_depth":0.5,"shadow":0.15000000596046448,"shear":0.11999999731779099,"#,
                r#""shift":0.10000000149011612,"stretch":0.15000000596046448,"swap_channels":0.05999999865889549,"#,
                r#""wave":0.03500000014901161},"exclude_groups":["People & Body","Flags","Objects","Travel & Places","#,
                r#""Symbols","Smileys & Emotion","Animals & Nature","Food & Drink","Component"],"image_size":16,"#,
                r#""keep_named_colors":true,"phases":[{"from":0.5,"image_size":24}],"#,
                r#""vendors":["noto","twemoji","emojione"]}"#,
            ),
        ),
        ("ema", "null"),
        (
            "objective",
            concat!(
                r#"{"kind":"bank","soft_labels":0.0,"soft_scale":12.0,"texts":["label"],"train_y_encoder":false,"#,
                r#""y_head":{"strength":1.0,"train":false,"whiten":true}}"#,
            ),
        ),
        (
            "optimizer",
            concat!(
                r#"{"betas":[0.9,0.999],"clip":1.0,"eps":1e-8,"groups":[],"kind":"adamw","lr":0.001,"muon":{"exclude":["#,
                r#""x_encoder.embeddings.stem.0.*","predictor.embed_tokens.*","predictor_head.*","#,
                r#""y_encoder.embeddings.*","y_head.*"],"iterations":5,"lr":0.02,"momentum":0.95,"weight_decay":0.02},"#,
                r#""weight_decay":0.05}"#,
            ),
        ),
        ("schedule", r#"{"decay":0.2,"end":0.0,"kind":"cosine","warmup":0.04}"#),
        ("seed", "3"),
        ("steps", "40"),
    ];
    for (key, want) in wanted {
        assert_eq!(identity[key], want, "{key}");
    }
    assert_eq!(identity.len(), wanted.len() + 1, "those and `model`: {:?}", identity.keys());
    assert_eq!(identity["model"], vljepa_model::config::VlJepaConfig::to_json(&model_config()).unwrap());
}

#[test]
fn naming_the_default_source_changes_nothing() {
    let named = config("steps = 40\nbatch = 6", "");
    let mut own = named.clone();
    own.data.kind = Some("emoji-vendors".into());
    let [named, own] = [named, own].map(|config| trainer(&config).0.identity().unwrap());
    assert!(named == own, "{} and {}", named["data"], own["data"]);
}

#[test]
fn the_losses_of_every_objective_are_those_of_earlier_versions() {
    for (objective, more, want) in [
        ("", "", 8.08037),
        ("", "accumulate = 3", 8.08037),
        ("soft_labels = 0.3", "", 8.078865),
        ("texts = [\"label\", \"name\", \"tags\"]", "", 6.344244),
        (
            "soft_labels = 0.3\ntexts = [\"label\", \"label-and-tags\"]\ny_head = { train = true, tags = 0.5 }",
            "",
            11.014685,
        ),
        ("y_head = { train = true, whiten = false }", "", 4.501789),
        ("kind = \"batch\"", "", 4.0844254),
        ("kind = \"batch\"\ntexts = [\"label\", \"tags\"]", "accumulate = 2", 2.193264),
        (
            "kind = \"batch\"\ntrain_y_encoder = true\ntexts = [\"label\", \"tags\"]\ny_head = { whiten = false, train = true }",
            "",
            2.8267984,
        ),
    ] {
        let config = config(&format!("steps = 8\nbatch = 6\n{more}"), &format!("[objective]\n{objective}\n"));
        let (trainer, maker) = trainer(&config);
        let loss: f32 = trainer.gradients(&maker.make(0).unwrap()).unwrap().0;
        // On the adapter that they come from they are equal; elsewhere sums have other orders.
        assert!((loss - want).abs() < 1e-4 * want, "{objective:?}, {more:?}: {loss}, was {want}");
    }
}
